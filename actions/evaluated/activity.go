package evaluated

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/rules"
)

// Log is the log of recent evaluations.
type Log interface {
	// Each calls visit with the items until it returns false.
	Each(ctx context.Context, visit func(subject string, item []byte) (more bool)) error
}

// Activity is what the rules made of the events that a log has.
type Activity struct {
	Since  time.Time // when the oldest of them was evaluated
	Events int
	Rules  map[string]*RuleActivity
}

// RuleActivity is what one rule made of them.
type RuleActivity struct {
	Rule                  string
	Matched, Failed       int // events
	LastMatch, LastFailed time.Time
	Error                 string // of the last failed expression
}

// recordKey begins the event in an item. In a text, its quotes would be escaped.
var recordKey = []byte(`,"record":`)

// Sum sums what the rules made of the events that a log has. An event that is to be evaluated
// again, or was dropped, does not count.
func Sum(ctx context.Context, log Log) (Activity, error) {
	a := Activity{Rules: map[string]*RuleActivity{}}
	var unreadable error
	err := log.Each(ctx, func(_ string, item []byte) bool {
		head, _, found := bytes.Cut(item, recordKey)
		var r Result
		if err := json.Unmarshal(append(bytes.Clone(head), '}'), &r); !found || err != nil {
			unreadable = fmt.Errorf("an evaluation that was kept can't be read: %w", err)
			return false
		}
		if r.Waits == "" && r.Dropped == "" {
			a.add(&r)
		}
		return ctx.Err() == nil
	})
	if err == nil {
		err = unreadable
	}
	if err == nil {
		err = ctx.Err()
	}
	return a, err
}

func (a *Activity) add(r *Result) {
	a.Events++
	if a.Since.IsZero() || r.At.Before(a.Since) {
		a.Since = r.At
	}
	for _, step := range r.Steps {
		of := a.Rules[step.Rule]
		if of == nil {
			of = &RuleActivity{Rule: step.Rule}
			a.Rules[step.Rule] = of
		}
		switch step.Result {
		case rules.VerdictMatched:
			of.Matched++
			if r.At.After(of.LastMatch) {
				of.LastMatch = r.At
			}
		case rules.VerdictFailed:
			of.Failed++
			if r.At.After(of.LastFailed) {
				of.LastFailed, of.Error = r.At, step.Reason
			}
		}
	}
}
