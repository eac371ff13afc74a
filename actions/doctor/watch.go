package doctor

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// watchEvery is the time between two rounds of checks of a service.
	watchEvery = 24 * time.Hour
	// roundFor bounds one round.
	roundFor = time.Minute
	// The wait after a round in which a check could not be made doubles from
	// firstRetry to lastRetry.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Watch makes the cheap checks of a service: at its start and each day. It logs each
// finding that is not in order once, with what to do. What a check can't see now, it
// looks at again soon, and does not log: while GitLab can't be used, package health
// says so.
type Watch struct {
	Config func() Config                                    // as it is at the time of the call
	Sleep  func(ctx context.Context, d time.Duration) error // returns ctx's error when ctx ends first
	Log    *slog.Logger
	// Last keeps what was found; nil: it is only logged.
	Last *Last
}

// announcedElsewhere are the checks of outages, which package health logs.
var announcedElsewhere = []string{"gitlab-reachable", "token-valid"}

// Run makes rounds of checks until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	pending, retry := Cheap(), firstRetry
	for {
		if pending = w.round(ctx, pending); ctx.Err() != nil {
			return
		}
		wait := watchEvery
		if len(pending) == 0 {
			pending, retry = Cheap(), firstRetry
		} else {
			wait, retry = retry, min(2*retry, lastRetry)
		}
		if w.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// round makes the checks, logs what they find, and returns those that could not be made
// now.
func (w *Watch) round(ctx context.Context, checks []Check) (pending []Check) {
	bounded, cancel := context.WithTimeout(ctx, roundFor)
	defer cancel()
	again := map[string]bool{}
	found := Run(bounded, w.Config(), checks)
	if ctx.Err() != nil {
		return nil
	}
	if w.Last != nil {
		w.keep(ctx, checks, found)
	}
	for _, f := range found {
		if f.Passing {
			again[f.Check] = true
			continue
		}
		if f.Severity != OK && !slices.Contains(announcedElsewhere, f.Check) {
			w.log(ctx, f)
		}
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !again[c.ID] })
}

// levels are those of findings. An error is an outage, which package health logs.
var levels = map[Severity]slog.Level{Problem: slog.LevelWarn, Warning: slog.LevelWarn, Note: slog.LevelInfo, Unknown: slog.LevelInfo}

// log logs a finding.
func (w *Watch) log(ctx context.Context, f Finding) {
	about := []any{"check", f.Check, "reason", f.Seen}
	if f.Advice != "" {
		about = append(about, "advice", f.Advice)
	}
	w.Log.Log(ctx, levels[f.Severity], "a check found something to look at", about...)
}
