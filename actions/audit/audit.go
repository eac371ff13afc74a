// Package audit records the changes that people make to running servers: who paused,
// resumed, requeued, dropped or reloaded what or had missed events found, and when. All replicas share the list.
//
// What changes in the store is written together with its record, in one step: Log.Make. So
// after a crash or an error, the store has neither or both.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// Capacity is how many changes are kept: a further one replaces the oldest.
	Capacity = 500
	// kept is how long the store keeps the list: practically forever.
	kept = 10 * 365 * 24 * time.Hour
	// maxText bounds each text of a change, in bytes: longer ones are cut.
	maxText = 4 * event.MaxText
)

// Store is the part of the store that a Log uses.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Change(ctx context.Context, c store.Changes) error
}

// Log is the list of changes.
type Log struct {
	Store Store
	Now   func() time.Time
}

// Make makes a change now and adds it to the list, in one step: write gets the record of the
// change, which it writes together with what changes. If write returns store.ErrChanged,
// because others have changed the same meanwhile, it is called again: so it reads itself what
// it changes. After an error nothing is recorded.
func (l Log) Make(ctx context.Context, c event.Change, write func(record store.Changes) error) error {
	c.At = l.Now().UTC()
	for _, text := range []*string{&c.Target, &c.By, &c.From, &c.Reason} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), maxText)], "")
	}
	for {
		record, err := l.record(ctx, c)
		if err != nil {
			return fmt.Errorf("list of changes: %w", err)
		}
		if err := write(record); !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
}

// record returns what adds a change to the list.
func (l Log) record(ctx context.Context, c event.Change) (store.Changes, error) {
	before, err := l.Store.Get(ctx, keys.Changes)
	if err != nil {
		return store.Changes{}, err
	}
	all := slices.Insert(decode(before), 0, c)
	value, err := json.Marshal(all[:min(len(all), Capacity)])
	return store.Changes{
		Values: []store.Value{{Key: keys.Changes, Value: value, TTL: kept}},
		Expect: []store.Expected{{Key: keys.Changes, Value: before}},
	}, err
}

// Record adds a change to the list that was made now outside of the store. It is durable when
// Record returns nil.
func (l Log) Record(ctx context.Context, c event.Change) error {
	return l.Make(ctx, c, func(record store.Changes) error { return l.Store.Change(ctx, record) })
}

// List returns the changes, newest first. A list that can't be read is as if it were
// empty: the next change starts a new one.
func (l Log) List(ctx context.Context) ([]event.Change, error) {
	value, err := l.Store.Get(ctx, keys.Changes)
	if err != nil {
		return nil, err
	}
	return decode(value), nil
}

// decode returns the changes in a value, none if it can't be read.
func decode(value []byte) []event.Change {
	all := []event.Change{}
	if len(value) > 0 && json.Unmarshal(value, &all) != nil {
		all = []event.Change{}
	}
	return all
}
