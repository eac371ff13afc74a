// Package audit records the changes that people make to running servers: who paused,
// resumed, requeued, dropped or reloaded what or had missed events found, and when. All replicas share the list.
package audit

import (
	"context"
	"encoding/json"
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
	// claimTTL is how long a replica that died keeps others from recording changes.
	claimTTL = 10 * time.Second
	// maxText bounds each text of a change, in bytes: longer ones are cut.
	maxText = 4 * event.MaxText
)

// Store is the part of the store that a Log uses.
type Store interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Log is the list of changes.
type Log struct {
	Store Store
	Now   func() time.Time
}

// Record adds a change, made now, to the list. It is durable when Record returns nil.
func (l Log) Record(ctx context.Context, c event.Change) error {
	c.At = l.Now().UTC()
	for _, text := range []*string{&c.Target, &c.By, &c.From, &c.Reason} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), maxText)], "")
	}
	err := store.AwaitClaim(ctx, l.Store, keys.Changes, claimTTL, func() error {
		all, err := l.List(ctx)
		if err != nil {
			return err
		}
		all = slices.Insert(all, 0, c)
		value, err := json.Marshal(all[:min(len(all), Capacity)])
		if err != nil {
			return err
		}
		return l.Store.Set(ctx, keys.Changes, value, kept)
	})
	if err != nil {
		return fmt.Errorf("list of changes: %w", err)
	}
	return nil
}

// List returns the changes, newest first. A list that can't be read is as if it were
// empty: the next change starts a new one.
func (l Log) List(ctx context.Context) ([]event.Change, error) {
	value, err := l.Store.Get(ctx, keys.Changes)
	if err != nil {
		return nil, err
	}
	all := []event.Change{}
	if len(value) > 0 && json.Unmarshal(value, &all) != nil {
		all = []event.Change{}
	}
	return all, nil
}
