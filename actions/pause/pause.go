// Package pause keeps the pauses and the mutes in force. It stops actions that are paused,
// dry or no longer wanted at the moment of acting.
package pause

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Pauses are the pauses in force, which all replicas share. They survive
// restarts. Who changes them is recorded in the same step, see package audit.
type Pauses struct {
	Store Store
	Now   func() time.Time
	Log   *slog.Logger
}

func (ps Pauses) list() list[event.Pause] {
	return list[event.Pause]{ps.Store, ps.Now, keys.Pauses, event.ErrUnreadablePauses}
}

// List returns the pauses in force, oldest first.
func (ps Pauses) List(ctx context.Context) ([]event.Pause, error) { return ps.list().all(ctx) }

// Of returns the first pause that stops the decision's action, nil for none.
func (ps Pauses) Of(ctx context.Context, d event.Decision) (*event.Pause, error) {
	all, err := ps.List(ctx)
	if i := slices.IndexFunc(all, func(p event.Pause) bool { return p.Stops(d) }); i >= 0 {
		return &all[i], nil
	}
	return nil, err
}

// OfProject returns the first pause that stops all actions in a project or a group, by its
// path, nil for none. Those of rules do not.
func (ps Pauses) OfProject(ctx context.Context, path string) (*event.Pause, error) {
	all, err := ps.List(ctx)
	if i := slices.IndexFunc(all, func(p event.Pause) bool { return p.Covers(path) }); i >= 0 {
		return &all[i], nil
	}
	return nil, err
}

// Pause puts a pause in force, in place of one with the same scope, which it returns.
// Without replace, the error is an *event.StateError if that is another person's and would
// have lasted longer. from is where the request comes from, as in event.Change.
func (ps Pauses) Pause(ctx context.Context, p event.Pause, replace bool, from string) (replaced *event.Pause, err error) {
	p.Since, p.Until = ps.Now().UTC(), p.Until.UTC()
	if err := p.Check(p.Since); err != nil {
		return nil, err
	}
	c := event.Change{Action: event.ChangePause, Target: p.Scope(), By: p.By, From: from, Reason: p.Reason, Until: p.Until}
	replaced, err = ps.list().add(ctx, c, p, func(old event.Pause) error {
		if replace || old.By == p.By || !old.Outlasts(p) {
			return nil
		}
		return outlasted(old, old.Since, "pause", "resume")
	}, event.MaxPauses, event.ErrManyPauses)
	if err != nil {
		return nil, err
	}
	made(ps.Log, p.Until, replaced).WarnContext(ctx, "paused", "scope", p.Scope(), "by", p.By, "reason", p.Reason)
	return replaced, nil
}

// made adds the end of a pause or a mute to a log line, if it has one, and that which it
// replaced, if it did.
func made[T fmt.Stringer](log *slog.Logger, end time.Time, replaced *T) *slog.Logger {
	if !end.IsZero() {
		log = log.With("until", end)
	}
	if replaced != nil {
		log = log.With("replaced", (*replaced).String())
	}
	return log
}

// Resume ends the pause that has the scope of the given one, and returns it; nil if there
// was none.
func (ps Pauses) Resume(ctx context.Context, scope event.Pause, actor event.Actor) (ended *event.Pause, err error) {
	if ended, err = ps.list().remove(ctx, actor.Change(event.ChangeResume, ""), scope.Identity()); ended != nil {
		ps.Log.WarnContext(ctx, "resumed", "scope", ended.Scope(), "by", actor.By)
	}
	return ended, err
}

// ResumeAll ends all pauses, also those that can't be read, and returns those that could
// be.
func (ps Pauses) ResumeAll(ctx context.Context, actor event.Actor) (ended []event.Pause, err error) {
	const every = "every pause"
	if ended, err = ps.list().clear(ctx, actor.Change(event.ChangeResume, every)); err != nil {
		return nil, err
	}
	ps.Log.WarnContext(ctx, "resumed", "scope", every, "by", actor.By, "pauses", len(ended))
	return ended, nil
}

// NewMetrics returns a collector of the pauses in force.
func NewMetrics(ps Pauses) prometheus.Collector {
	return metrics[event.Pause]{ps.list(), prometheus.NewDesc("pipesteward_paused", "1 for each pause in force, by its scope: all, project:GLOB or rule:NAME.", []string{"scope"}, nil)}
}
