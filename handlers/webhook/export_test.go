package webhook

import "github.com/pipesteward/pipesteward/rules/event"

// Encode returns the body of an event's record.
func Encode(e event.Record) ([]byte, error) {
	r, err := newRecord("", &e)
	return r.Body, err
}
