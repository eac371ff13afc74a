package handlers

import "github.com/pipesteward/pipesteward/rules"

// Encode is encode.
func Encode(e rules.Event) []byte { return encode(&e) }
