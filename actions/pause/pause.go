// Package pause keeps the pauses in force, and stops actions that are paused, dry
// or no longer wanted at the moment of acting.
package pause

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// kept is how long the store keeps the pauses: practically forever.
	kept = 10 * 365 * 24 * time.Hour
	// claimTTL is how long a replica that died keeps others from changing the
	// pauses, and changeTimeout is how long a change waits for another one.
	claimTTL      = 10 * time.Second
	changeTimeout = 15 * time.Second
)

// Store is the part of the store that Pauses uses.
type Store interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Pauses are the pauses in force, which all replicas share. They survive
// restarts.
type Pauses struct {
	Store Store
	Now   func() time.Time
	Log   *slog.Logger
}

// List returns the pauses in force, oldest first.
func (ps Pauses) List(ctx context.Context) ([]event.Pause, error) {
	value, err := ps.Store.Get(ctx, keys.Pauses)
	if err != nil {
		return nil, fmt.Errorf("pauses: %w", err)
	}
	all := []event.Pause{}
	if len(value) > 0 {
		if err := json.Unmarshal(value, &all); err != nil {
			return nil, fmt.Errorf("%w: %w", event.ErrUnreadablePauses, err)
		}
	}
	return slices.DeleteFunc(all, func(p event.Pause) bool { return p.Ended(ps.Now()) }), nil
}

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
// have lasted longer.
func (ps Pauses) Pause(ctx context.Context, p event.Pause, replace bool) (replaced *event.Pause, err error) {
	p.Since, p.Until = ps.Now().UTC(), p.Until.UTC()
	if err := p.Check(p.Since); err != nil {
		return nil, err
	}
	err = ps.change(ctx, func(all []event.Pause) ([]event.Pause, error) {
		all, replaced = without(all, p)
		if replaced != nil && replaced.By != p.By && replaced.Outlasts(p) && !replace {
			return nil, &event.StateError{Reason: fmt.Sprintf("%s, since %s: the new pause would end earlier than that one, which another person made: "+
				"resume it first, or give parameter %q to replace it", replaced, replaced.Since.Format(time.RFC3339), "replace")}
		}
		all = append(all, p)
		if len(all) > event.MaxPauses {
			return nil, event.ErrManyPauses
		}
		return all, nil
	})
	if err == nil {
		log := ps.Log
		if !p.Until.IsZero() {
			log = log.With("until", p.Until)
		}
		if replaced != nil {
			log = log.With("replaced", replaced.String())
		}
		log.Warn("paused", "scope", p.Scope(), "by", p.By, "reason", p.Reason)
		return replaced, nil
	}
	return nil, err
}

// Resume ends the pause that has the scope of the given one, and returns it; nil if there
// was none.
func (ps Pauses) Resume(ctx context.Context, scope event.Pause, by string) (ended *event.Pause, err error) {
	err = ps.change(ctx, func(all []event.Pause) (rest []event.Pause, err error) {
		rest, ended = without(all, scope)
		return rest, nil
	})
	if err != nil {
		return nil, err
	}
	if ended != nil {
		ps.Log.Warn("resumed", "scope", ended.Scope(), "by", by)
	}
	return ended, nil
}

// ResumeAll ends all pauses, also those that can't be read, and returns those that could
// be.
func (ps Pauses) ResumeAll(ctx context.Context, by string) (ended []event.Pause, err error) {
	err = ps.alone(ctx, func() error {
		all, err := ps.List(ctx)
		if err != nil && !errors.Is(err, event.ErrUnreadablePauses) {
			return err
		}
		ended = all
		return ps.set(ctx, nil)
	})
	if err != nil {
		return nil, err
	}
	ps.Log.Warn("resumed", "scope", "every pause", "by", by, "pauses", len(ended))
	return ended, nil
}

// without returns the pauses but the one with the scope, and that one; nil if there is none.
func without(all []event.Pause, scope event.Pause) (rest []event.Pause, found *event.Pause) {
	for _, p := range all {
		if p.SameScope(scope) {
			found = &p
			continue
		}
		rest = append(rest, p)
	}
	return rest, found
}

// change replaces the pauses while no other replica changes them.
func (ps Pauses) change(ctx context.Context, to func([]event.Pause) ([]event.Pause, error)) error {
	return ps.alone(ctx, func() error {
		all, err := ps.List(ctx)
		if err != nil {
			return err
		}
		if all, err = to(all); err != nil {
			return err
		}
		value, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return ps.set(ctx, value)
	})
}

// alone calls do while no other replica changes the pauses.
func (ps Pauses) alone(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return store.AwaitClaim(ctx, ps.Store, keys.Pauses, claimTTL, do)
}

func (ps Pauses) set(ctx context.Context, value []byte) error {
	if err := ps.Store.Set(ctx, keys.Pauses, value, kept); err != nil {
		return fmt.Errorf("pauses: %w", err)
	}
	return nil
}

// metrics reads the pauses whenever metrics are read: any replica may have
// made one.
type metrics struct {
	pauses Pauses
	paused *prometheus.Desc
}

// NewMetrics returns a collector of the pauses in force.
func NewMetrics(ps Pauses) prometheus.Collector {
	return metrics{ps, prometheus.NewDesc("pipesteward_paused", "1 for each pause in force, by its scope: all, project:GLOB or rule:NAME.", []string{"scope"}, nil)}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.paused }

// Collect implements prometheus.Collector.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := m.pauses.List(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.paused, err)
		return
	}
	for _, p := range all {
		ch <- prometheus.MustNewConstMetric(m.paused, prometheus.GaugeValue, 1, p.Scope())
	}
}
