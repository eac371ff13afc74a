package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind is the kind of the queue's record of a try.
const RecordKind = "try"

const (
	// soon is how long after a failure a run of others begins that says something about a
	// retry by a rule.
	soon = 15 * time.Minute
	// decisionCheck is when it is checked again whether a decision made a try, and
	// maxDecisionTime how long.
	decisionCheck   = time.Minute
	maxDecisionTime = 24 * time.Hour
	// failureRemembered is how long the store keeps a failed run: longer than a pipeline is
	// worked on.
	failureRemembered = 7 * 24 * time.Hour
)

// Who made a retry.
const (
	byPipesteward = "pipesteward" // because a rule says so
	byPerson      = "person"      // by Pipesteward, because a person requested it in Slack
	byOthers      = "others"      // GitLab's own `retry:`, a person in GitLab, a retry of the whole pipeline
	byBacktest    = "backtest"    // others, before: a backtest found it
)

// Try is a retried run that has ended: the body of its record. The Event is that of its end.
type Try struct {
	event.Event
	Rule    string        `json:"rule,omitzero"` // that made it; "": none did
	By      string        `json:"by"`
	Retried event.Retried `json:"retried"`
	// Decision is the key of the decision of a rule on the run before, which may have made a
	// try of others: whether it did is not known until it has ended.
	Decision string    `json:"decision,omitzero"`
	At       time.Time `json:"at"` // when its end was seen
}

func (t Try) passed() bool  { return t.Job.Status == "success" }
func (t Try) class() string { return classOf(t.Retried.FailureClass) }

// classOf returns a failure class: unknown for one that GitLab does not tell.
func classOf(class string) string { return cmp.Or(class, event.ClassUnknown) }

// counts reports whether the try says something about retries by rules.
func (t Try) counts() bool {
	return t.Rule != "" || !t.Job.StartedAt.IsZero() && t.Retried.DelaySeconds <= soon.Seconds()
}

// record returns the record of the try: one for each run.
func (t Try) record() (store.Record, error) {
	t.Pipeline.Jobs = nil // not needed, and large
	body, err := json.Marshal(t)
	return store.Record{ID: keys.Try(t.Meta.Instance, t.Job.ID), Kind: RecordKind, Body: body}, err
}

// Of returns the record of the try of which made is the retry, and e the end of its run.
func (l *Ledger) Of(made event.Outcome, e event.Event) (store.Record, error) {
	t := Try{Event: e, At: l.Now().UTC()}
	t.madeBy(made)
	return t.record()
}

// madeBy says which retry made the try.
func (t *Try) madeBy(made event.Outcome) {
	t.Rule, t.By, t.Retried, t.Decision = made.Rule, byPipesteward, event.RetriedRun(made.Job, t.Job), ""
	if made.Requested() {
		t.By = byPerson
	}
}

// failure is a failed run as the store keeps it for the run that may follow.
type failure struct {
	Job      event.Job `json:"job"`
	Decision string    `json:"decision,omitzero"` // the key of the retry that a rule decided on
}

// Ended returns the changes to make with the end of a job's event: they keep a run that
// failed, and queue the try if the run is one. made is the retry that made the run, nil if
// Pipesteward made none; decisions are those of the rules on the event.
func (l *Ledger) Ended(ctx context.Context, e event.Event, made *event.Outcome, decisions []event.Decision) (c store.Changes, err error) {
	passed, failed := e.Job.Status == "success", e.Job.Status == "failed"
	if e.Meta.Kind != event.KindJob || !passed && !failed || e.Job.Bridge {
		return c, nil
	}
	key := keys.FailedRun(e.Meta.Instance, e.Pipeline.ID, hashed(e.Job.Name))
	t := Try{Event: e, By: byOthers, At: l.Now().UTC()}
	isTry := made != nil
	switch {
	case made != nil:
		t.madeBy(*made)
	case e.Job.Attempt > 1:
		if isTry, err = l.after(ctx, key, &t); err != nil {
			return c, err
		}
	}
	if isTry {
		record, err := t.record()
		if err != nil {
			return c, err
		}
		c.Next = append(c.Next, record)
	}
	if failed {
		body, err := json.Marshal(failureOf(e, decisions))
		if err != nil {
			return c, err
		}
		c.Values = append(c.Values, store.Value{Key: key, Value: body, TTL: failureRemembered})
	}
	return c, nil
}

// failureOf returns the failed run of an event, with the failure class that rules have found
// in its log.
func failureOf(e event.Event, decisions []event.Decision) failure {
	f := failure{Job: event.Job{
		ID: e.Job.ID, FailureReason: e.Job.FailureReason, FailureClass: e.Job.FailureClass, FinishedAt: e.Job.FinishedAt, Duration: e.Job.Duration,
	}}
	for _, d := range decisions {
		if d.Action.Verb == event.VerbRetry && d.Job.ID == e.Job.ID {
			f.Job.FailureClass, f.Decision = d.Job.FailureClass, d.Key
		}
	}
	return f
}

// after reads the failed run before a try of others, and reports whether there is one.
func (l *Ledger) after(ctx context.Context, key string, t *Try) (bool, error) {
	value, err := l.Guard.Get(ctx, key)
	if err != nil || value == nil {
		return false, err
	}
	var before failure
	if err := json.Unmarshal(value, &before); err != nil || before.Job.ID >= t.Job.ID {
		return false, nil //nolint:nilerr // then nothing is known of it
	}
	t.Retried, t.Decision = event.RetriedRun(before.Job, t.Job), before.Decision
	return true, nil
}

// attribute finds out whether a decision of ours made a try that seems to be one of others:
// after a crash in the middle of it, the end of the run can come before its own. While that
// is not known, it returns when to look again.
func (l *Ledger) attribute(ctx context.Context, t *Try) (wait time.Duration, err error) {
	if t.By != byOthers {
		return 0, nil
	}
	if t.Decision != "" {
		queued, err := l.Queue.Queued(ctx, keys.Decision(t.Decision, 0))
		if err != nil {
			return 0, err
		}
		if queued && l.Now().Sub(t.At) < maxDecisionTime {
			return decisionCheck, nil
		}
	}
	value, err := l.Guard.Get(ctx, keys.Retried(t.Meta.Instance, t.Job.ID))
	if err != nil || value == nil {
		return 0, err
	}
	var made event.Outcome
	if err := json.Unmarshal(value, &made); err != nil {
		return 0, fmt.Errorf("retry that made job %d: %w", t.Job.ID, err)
	}
	t.madeBy(made)
	return 0, nil
}
