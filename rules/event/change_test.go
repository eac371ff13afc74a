package event_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
)

// TestWhoChanged: who made a change is said by name, or else by address.
func TestWhoChanged(t *testing.T) {
	for want, c := range map[string]event.Change{
		"ada": {By: "ada", From: "10.0.0.7"}, "10.0.0.7": {From: "10.0.0.7"}, "unknown": {},
	} {
		if got := c.Who(); got != want {
			t.Errorf("%+v was made by %q, want %q", c, got, want)
		}
	}
}
