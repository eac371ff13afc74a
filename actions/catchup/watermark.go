package catchup

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// watermarkTTL is how long watermarks are kept.
const watermarkTTL = 365 * 24 * time.Hour

// watermark is up to when a project was read, by all replicas.
type watermark struct {
	// Known is when the project became known: with its first event, by the
	// store's clock, or in the first round that saw it among --projects. What
	// ended, or began to wait, before is left alone.
	Known time.Time `json:"known"`
	At    time.Time `json:"at"`   // up to when each round read
	Deep  time.Time `json:"deep"` // up to when rounds read that also find long jobs
}

func (f *Finder) watermarkKey(project int64) string {
	return keys.CaughtUp(f.GitLab.Instance(), project)
}

// watermark returns a project's watermark. That of a project that no round has
// read is when the project became known.
func (f *Finder) watermark(ctx context.Context, p KnownProject) (watermark, error) {
	value, err := f.Store.Get(ctx, f.watermarkKey(p.ID))
	if err != nil {
		return watermark{}, &storeError{err}
	}
	known := p.Since
	if known.IsZero() {
		known = f.Now()
	}
	known = known.UTC()
	var mark watermark
	switch {
	case len(value) == 0 || json.Unmarshal(value, &mark) != nil:
		mark = watermark{known, known, known}
	case mark.Known.IsZero() && known.After(mark.At): // of a version that kept none
		mark.Known = mark.At
	case mark.Known.IsZero():
		mark.Known = known
	}
	return mark, nil
}

// beginning returns since when events of a project are queued. known is false if
// the project is not among those of the round.
func (r *round) beginning(ctx context.Context, project int64) (at time.Time, known bool, err error) {
	p, known := r.byID[project]
	if !known {
		return time.Time{}, false, nil
	}
	if !r.Since.IsZero() {
		return r.Since, true, nil
	}
	mark, err := r.watermark(ctx, p)
	return later(r.Now().Add(-r.MaxAge), later(mark.Known, r.inForce.first())), true, err
}

func (f *Finder) keepJSON(ctx context.Context, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.keep(ctx, key, string(value))
}

// keep records how far catch-up has read.
func (f *Finder) keep(ctx context.Context, key, value string) error {
	if f.DryRun {
		return nil
	}
	if err := f.Store.Set(ctx, key, []byte(value), watermarkTTL); err != nil {
		return &storeError{err}
	}
	return nil
}

// span is the time in which an event may have been missed. One without a time of
// its own, such as that a job became manual, may be as old as oldest.
type span struct{ from, oldest, to time.Time }

// contains reports whether the job's event is of the span.
func (s span) contains(j event.Job) bool {
	if j.FinishedAt.IsZero() {
		return !j.CreatedAt.Before(s.oldest) && !j.CreatedAt.After(s.to)
	}
	return !j.FinishedAt.Before(s.from) && !j.FinishedAt.After(s.to)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
