package handlers

import "github.com/pipesteward/pipesteward/rules"

// Encode is encode.
func Encode(e rules.EventRecord) []byte { return encode(&e) }
