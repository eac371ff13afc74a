package webhook

import "github.com/pipesteward/pipesteward/rules/event"

// Encode is encode.
func Encode(e event.Record) []byte { return encode(&e) }
