package pause

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// kept is how long the store keeps a list: practically forever.
const kept = 10 * 365 * 24 * time.Hour

// Store is the part of the store that the lists use.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Change(ctx context.Context, c store.Changes) error
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
	all, _, err := l.read(ctx)
	return all, err
}

// read is all with the value that the store has of them, also of a list that can't be decoded.
func (l list[T]) read(ctx context.Context) (all []T, value []byte, err error) {
	value, err = l.store.Get(ctx, l.key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", l.key, err)
	}
	all = []T{}
	if len(value) > 0 {
		if err := json.Unmarshal(value, &all); err != nil {
			return nil, value, fmt.Errorf("%w: %w", l.unreadable, err)
		}
	}
	return slices.DeleteFunc(all, func(item T) bool { return item.Ended(l.now()) }), value, nil
}

// add adds an item, in place of one with the same identity, which it returns. If may
// returns an error about that one, or with more than most items, it changes nothing and
// returns that error, or full. As those below, it records the change c in the same step.
func (l list[T]) add(ctx context.Context, c event.Change, item T, may func(old T) error, most int, full error) (replaced *T, err error) {
	err = l.change(ctx, c, func(all []T) ([]T, error) {
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

// errAbsent is the error of a change that removes an item which is not there.
var errAbsent = errors.New("the list has no such item")

// remove removes the item with the identity, and returns it; nil if there was none: then
// nothing is recorded. The target of the change is the item's scope.
func (l list[T]) remove(ctx context.Context, c event.Change, identity string) (removed *T, err error) {
	all, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	_, found := without(all, identity)
	if found == nil {
		return nil, nil
	}
	c.Target = (*found).Scope()
	err = l.change(ctx, c, func(all []T) (rest []T, err error) {
		if rest, removed = without(all, identity); removed == nil {
			return nil, errAbsent
		}
		return rest, nil
	})
	if err != nil && !errors.Is(err, errAbsent) {
		return nil, err
	}
	return removed, nil
}

// clear removes all items, also those that can't be read, and returns those that could be.
func (l list[T]) clear(ctx context.Context, c event.Change) (removed []T, err error) {
	err = l.make(ctx, c, func() (before, after []byte, err error) {
		removed, before, err = l.read(ctx)
		if errors.Is(err, l.unreadable) {
			err = nil
		}
		return before, nil, err
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

// change replaces the items.
func (l list[T]) change(ctx context.Context, c event.Change, to func([]T) ([]T, error)) error {
	return l.make(ctx, c, func() (before, after []byte, err error) {
		all, before, err := l.read(ctx)
		if err != nil {
			return nil, nil, err
		}
		if all, err = to(all); err != nil {
			return nil, nil, err
		}
		after, err = json.Marshal(all)
		return before, after, err
	})
}

// make replaces the list's value as it is before by the one after, and records the change, in
// one step. It calls replace again if another replica has changed the list meanwhile.
func (l list[T]) make(ctx context.Context, c event.Change, replace func() (before, after []byte, err error)) error {
	return audit.Log{Store: l.store, Now: l.now}.Make(ctx, c, func(record store.Changes) error {
		before, after, err := replace()
		if err != nil {
			return err
		}
		record.Values = append(record.Values, store.Value{Key: l.key, Value: after, TTL: kept})
		record.Expect = append(record.Expect, store.Expected{Key: l.key, Value: before})
		if err := l.store.Change(ctx, record); err != nil {
			return fmt.Errorf("%s: %w", l.key, err)
		}
		return nil
	})
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
