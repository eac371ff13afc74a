package pause

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Mutes are the mutes in force, which all replicas share. They survive restarts.
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

// Mute puts a mute in force, in place of one with the same scope.
func (ms Mutes) Mute(ctx context.Context, m event.Mute) error {
	m.Since, m.Until = ms.Now().UTC(), m.Until.UTC()
	if err := m.Check(m.Since); err != nil {
		return err
	}
	err := ms.list().add(ctx, m, event.MaxMutes, event.ErrManyMutes)
	if err == nil {
		until(ms.Log, m.Until).Warn("muted", "scope", m.Scope(), "by", m.By, "reason", m.Reason)
	}
	return err
}

// Unmute ends the mute of the scope, and reports whether there was one.
func (ms Mutes) Unmute(ctx context.Context, scope, by string) (found bool, err error) {
	found, err = ms.list().remove(ctx, scope)
	if found {
		ms.Log.Warn("unmuted", "scope", scope, "by", by)
	}
	return found, err
}

// UnmuteAll ends all mutes, also those that can't be read, and returns how many there
// were.
func (ms Mutes) UnmuteAll(ctx context.Context, by string) (n int, err error) {
	if n, err = ms.list().clear(ctx); err != nil {
		return 0, err
	}
	ms.Log.Warn("unmuted", "scope", "every mute", "by", by, "mutes", n)
	return n, nil
}

// NewMuteMetrics returns a collector of the mutes in force.
func NewMuteMetrics(ms Mutes) prometheus.Collector {
	return metrics[event.Mute]{ms.list(), prometheus.NewDesc("pipesteward_muted", "1 for each mute in force, by its scope: all, or rule:NAME, project:GLOB and channel:NAME.", []string{"scope"}, nil)}
}
