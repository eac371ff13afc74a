package event

import (
	"slices"
	"time"
)

// maxHistory is how many deferrals, and how many calls, a decision keeps: the newest.
const maxHistory = 10

// maxWords is the greatest length of a reason or an error in them, in bytes.
const maxWords = 500

// Deferral says that a decision was deferred for a reason: once, or several times in
// a row.
type Deferral struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`          // when the reason is, or was, checked again
	Times  int       `json:"times,omitzero"` // how often in a row
}

// AddDeferral adds a deferral to those of a decision, oldest first. One for the same
// reason as the last is a repetition of that.
func AddDeferral(all []Deferral, d Deferral) []Deferral {
	d.Reason, d.Times = brief(d.Reason), 1
	if n := len(all); n > 0 && all[n-1].Reason == d.Reason {
		d.Since, d.Times = all[n-1].Since, all[n-1].Times+1
		return append(all[:n-1:n-1], d)
	}
	return newest(append(slices.Clip(all), d))
}

// Call is a request to GitLab that was sent for a decision: one that changes
// something, or one that failed.
type Call struct {
	At       time.Time `json:"at"`
	Method   string    `json:"method"`
	Endpoint string    `json:"endpoint"`
	Status   int       `json:"status,omitzero"` // HTTP status; 0: no answer
	Error    string    `json:"error,omitzero"`  // GitLab's words, or what went wrong
}

// AddCall adds a call to those of a decision, oldest first.
func AddCall(all []Call, c Call) []Call {
	c.Error = brief(c.Error)
	return newest(append(slices.Clip(all), c))
}

// newest returns the newest items of a history.
func newest[T any](all []T) []T { return all[max(0, len(all)-maxHistory):] }

// brief shortens a text to maxWords bytes.
func brief(text string) string { return shortened(text, maxWords) }

// shortened shortens a text to so many bytes.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && text[end]&0xC0 == 0x80 { // within a character
		end--
	}
	return text[:end] + "…"
}
