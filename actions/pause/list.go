package pause

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// kept is how long the store keeps a list: practically forever.
	kept = 10 * 365 * 24 * time.Hour
	// claimTTL is how long a replica that died keeps others from changing a list, and
	// changeTimeout is how long a change waits for another one.
	claimTTL      = 10 * time.Second
	changeTimeout = 15 * time.Second
)

// Store is the part of the store that the lists use.
type Store interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// scoped is an item of a list: a pause or a mute.
type scoped interface {
	Scope() string    // names it
	Identity() string // what no two items of a list have in common
	Ended(now time.Time) bool
}

// list is a list that all replicas share, and that survives restarts.
type list[T scoped] struct {
	store      Store
	now        func() time.Time
	key        string
	unreadable error // wraps the error of a list that can't be decoded
}

// all returns the items that have not ended, oldest first.
func (l list[T]) all(ctx context.Context) ([]T, error) {
	value, err := l.store.Get(ctx, l.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.key, err)
	}
	all := []T{}
	if len(value) > 0 {
		if err := json.Unmarshal(value, &all); err != nil {
			return nil, fmt.Errorf("%w: %w", l.unreadable, err)
		}
	}
	return slices.DeleteFunc(all, func(item T) bool { return item.Ended(l.now()) }), nil
}

// add adds an item, in place of one with the same identity, which it returns. If may
// returns an error about that one, or with more than most items, it changes nothing and
// returns that error, or full.
func (l list[T]) add(ctx context.Context, item T, may func(old T) error, most int, full error) (replaced *T, err error) {
	err = l.change(ctx, func(all []T) ([]T, error) {
		all, replaced = without(all, item.Identity())
		if replaced != nil {
			if err := may(*replaced); err != nil {
				return nil, err
			}
		}
		if all = append(all, item); len(all) > most {
			return nil, full
		}
		return all, nil
	})
	if err != nil {
		return nil, err
	}
	return replaced, nil
}

// remove removes the item with the identity, and returns it; nil if there was none.
func (l list[T]) remove(ctx context.Context, identity string) (removed *T, err error) {
	err = l.change(ctx, func(all []T) (rest []T, err error) {
		rest, removed = without(all, identity)
		return rest, nil
	})
	if err != nil {
		return nil, err
	}
	return removed, nil
}

// clear removes all items, also those that can't be read, and returns those that could be.
func (l list[T]) clear(ctx context.Context) (removed []T, err error) {
	err = l.alone(ctx, func() error {
		all, err := l.all(ctx)
		if err != nil && !errors.Is(err, l.unreadable) {
			return err
		}
		removed = all
		return l.set(ctx, nil)
	})
	return removed, err
}

// without returns the items but the one with the identity, and that one; nil if there is
// none.
func without[T scoped](all []T, identity string) (rest []T, found *T) {
	for _, item := range all {
		if item.Identity() == identity {
			found = &item
			continue
		}
		rest = append(rest, item)
	}
	return rest, found
}

// outlasted returns the error of a new item that would end earlier than an old one, which
// another person made; ends is what people do to end it.
func outlasted(old fmt.Stringer, since time.Time, what, ends string) error {
	return &event.StateError{Reason: fmt.Sprintf("%s, since %s: the new %s would end earlier than that one, which another person made: "+
		"%s it first, or give parameter %q to replace it", old, since.Format(time.RFC3339), what, ends, "replace")}
}

// change replaces the items while no other replica changes them.
func (l list[T]) change(ctx context.Context, to func([]T) ([]T, error)) error {
	return l.alone(ctx, func() error {
		all, err := l.all(ctx)
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
		return l.set(ctx, value)
	})
}

// alone calls do while no other replica changes the list.
func (l list[T]) alone(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return store.AwaitClaim(ctx, l.store, l.key, claimTTL, do)
}

func (l list[T]) set(ctx context.Context, value []byte) error {
	if err := l.store.Set(ctx, l.key, value, kept); err != nil {
		return fmt.Errorf("%s: %w", l.key, err)
	}
	return nil
}

// metrics reads a list whenever metrics are read: any replica may have changed it.
type metrics[T scoped] struct {
	list  list[T]
	gauge *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m metrics[T]) Describe(ch chan<- *prometheus.Desc) { ch <- m.gauge }

// Collect implements prometheus.Collector.
func (m metrics[T]) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	all, err := m.list.all(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.gauge, err)
		return
	}
	for _, item := range all {
		ch <- prometheus.MustNewConstMetric(m.gauge, prometheus.GaugeValue, 1, item.Scope())
	}
}
