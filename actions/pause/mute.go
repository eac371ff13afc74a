package pause

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Mutes are the mutes in force, which all replicas share. They survive restarts. Who changes
// them is recorded in the same step, see package audit.
type Mutes struct {
	Store Store
	Now   func() time.Time
	Log   *slog.Logger
}

func (ms Mutes) list() list[event.Mute] {
	return list[event.Mute]{ms.Store, ms.Now, keys.Mutes, event.ErrUnreadableMutes}
}

// List returns the mutes in force, oldest first.
func (ms Mutes) List(ctx context.Context) ([]event.Mute, error) { return ms.list().all(ctx) }

// Mute puts a mute in force, in place of one with the same scope, which it returns. Without
// replace, the error is an *event.StateError if that is another person's and would have
// lasted longer. from is where the request comes from, as in event.Change.
func (ms Mutes) Mute(ctx context.Context, m event.Mute, replace bool, from string) (replaced *event.Mute, err error) {
	m.Since, m.Until = ms.Now().UTC(), m.Until.UTC()
	if err := m.Check(m.Since); err != nil {
		return nil, err
	}
	c := event.Change{Action: event.ChangeMute, Target: m.Scope(), By: m.By, From: from, Reason: m.Reason, Until: m.Until}
	replaced, err = ms.list().add(ctx, c, m, func(old event.Mute) error {
		if replace || old.By == m.By || !old.Outlasts(m) {
			return nil
		}
		return outlasted(old, old.Since, "mute", "unmute")
	}, event.MaxMutes, event.ErrManyMutes)
	if err != nil {
		return nil, err
	}
	made(ms.Log, m.Until, replaced).WarnContext(ctx, "muted", "scope", m.Scope(), "by", m.By, "reason", m.Reason)
	return replaced, nil
}

// Unmute ends the mute that has the scope of the given one, and returns it; nil if there
// was none.
func (ms Mutes) Unmute(ctx context.Context, scope event.Mute, actor event.Actor) (ended *event.Mute, err error) {
	if ended, err = ms.list().remove(ctx, actor.Change(event.ChangeUnmute, ""), scope.Identity()); ended != nil {
		ms.Log.WarnContext(ctx, "unmuted", "scope", ended.Scope(), "by", actor.By)
	}
	return ended, err
}

// UnmuteAll ends all mutes, also those that can't be read, and returns those that could be.
func (ms Mutes) UnmuteAll(ctx context.Context, actor event.Actor) (ended []event.Mute, err error) {
	const every = "every mute"
	if ended, err = ms.list().clear(ctx, actor.Change(event.ChangeUnmute, every)); err != nil {
		return nil, err
	}
	ms.Log.WarnContext(ctx, "unmuted", "scope", every, "by", actor.By, "mutes", len(ended))
	return ended, nil
}

// NewMuteMetrics returns a collector of the mutes in force.
func NewMuteMetrics(ms Mutes) prometheus.Collector {
	return metrics[event.Mute]{ms.list(), prometheus.NewDesc("pipesteward_muted", "1 for each mute in force, by its scope: all, or rule:NAME, project:GLOB and channel:NAME.", []string{"scope"}, nil)}
}
