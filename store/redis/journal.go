package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// Note implements store.Journal.
func (r *Store) Note(ctx context.Context, id string, body []byte) error {
	return r.writeEntry(ctx, id, body, false)
}

// Amend implements store.Journal.
func (r *Store) Amend(ctx context.Context, id string, body []byte) error {
	return r.writeEntry(ctx, id, body, true)
}

func (r *Store) writeEntry(ctx context.Context, id string, body []byte, replace bool) error {
	if err := store.CheckEntry(id); err != nil {
		return err
	}
	_, err := r.run(ctx, "note", r.journal, id, body, replace, micros(r.retention.OfJournal()))
	return err
}

// Entries implements store.Journal; it lists maxReply entries at most.
func (r *Store) Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error) {
	return r.listEntries(ctx, r.journal, cursor, n, r.retention.OfJournal())
}

// listEntries lists entries of the journal or of a log that are not older than ttl, by the
// keys of note.lua. The cursor is the time of the last entry that was listed: no two have
// the same time.
func (r *Store) listEntries(ctx context.Context, keys []string, cursor string, n int, ttl time.Duration) (entries []store.Entry, next string, err error) {
	before := "+inf"
	if cursor != "" {
		t, err := strconv.ParseUint(cursor, 10, 53)
		if err != nil || t == 0 {
			return nil, "", store.BadCursor(cursor)
		}
		before = cursor
	}
	n = min(max(n, 0), maxReply)
	list, err := r.runList(ctx, "entries", keys, before, n+1, micros(ttl)) // one more, which shows whether there are more
	if err != nil {
		return nil, "", err
	}
	for len(list.rest) > 0 && len(entries) < n {
		e := store.Entry{ID: list.string(), At: fromMicros(list.number()), Body: []byte(list.string())}
		entries = append(entries, e)
	}
	if len(list.rest) > 0 && n > 0 {
		next = strconv.FormatInt(entries[n-1].At.UnixMicro(), 10)
	}
	return entries, next, nil
}

// Entry implements store.Journal.
func (r *Store) Entry(ctx context.Context, id string) (*store.Entry, error) {
	if err := store.CheckEntry(id); err != nil {
		return nil, err
	}
	list, err := r.runList(ctx, "entry", r.journal, id, micros(r.retention.OfJournal()))
	if err != nil || len(list.rest) == 0 {
		return nil, err
	}
	return &store.Entry{ID: id, At: fromMicros(list.number()), Body: []byte(list.string())}, nil
}
