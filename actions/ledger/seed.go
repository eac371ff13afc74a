package ledger

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Seed queues tries that a backtest has found, in the GitLab of that base URL, as tries of
// others. One that was counted before, or that Pipesteward made, is not counted again. The
// error is an *event.StateError if `learning` is off.
func (l *Ledger) Seed(ctx context.Context, instance string, found []event.PastTry) (s event.Seeded, err error) {
	if !l.Rules().Learns() {
		return s, &event.StateError{Reason: "`learning: off` is in the rules: nothing is remembered of retries"}
	}
	var records []store.Record
	for _, p := range found {
		t := seeded(instance, p)
		if !t.counts() || l.Now().Sub(t.At) >= l.Retention {
			s.LeftOut++
			continue
		}
		known, err := l.known(ctx, t, keys.Counted, keys.Retried)
		if err != nil {
			return s, err
		}
		if known {
			s.Known++
			continue
		}
		record, err := t.record()
		if err != nil {
			return s, err
		}
		records = append(records, record)
	}
	added, err := l.Queue.Put(ctx, records...)
	for _, is := range added {
		if is {
			s.Added++
		} else {
			s.Known++
		}
	}
	return s, err
}

// seeded returns the try that a backtest has found.
func seeded(instance string, p event.PastTry) Try {
	t := Try{By: byBacktest, At: p.At.UTC()}
	t.Meta = event.Meta{Instance: instance, Kind: event.KindJob, ReceivedAt: t.At}
	t.Project = event.Project{ID: p.ProjectID, Path: p.Project}
	t.Pipeline.ID = p.PipelineID
	t.Job = event.Job{ID: p.NewID, Name: p.Job, Status: "failed", Duration: p.Seconds, FinishedAt: t.At}
	if p.Passed {
		t.Job.Status = "success"
	}
	if p.Seconds > 0 {
		t.Job.StartedAt = t.At.Add(-time.Duration(p.Seconds * float64(time.Second)))
	}
	t.Retried = event.Retried{FailureReason: p.Reason, FailureClass: p.Class, FailedSeconds: p.FailedSeconds, DelaySeconds: p.Delay, NewSeconds: p.Seconds}
	return t
}

// known reports whether the store has a value about the new run of a try.
func (l *Ledger) known(ctx context.Context, t Try, of ...func(instance string, job int64) string) (bool, error) {
	for _, key := range of {
		value, err := l.Guard.Get(ctx, key(t.Meta.Instance, t.Job.ID))
		if err != nil || value != nil {
			return value != nil, err
		}
	}
	return false, nil
}
