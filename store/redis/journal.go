package redis

import (
	"context"
	"slices"
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
	switch seq, err := store.ParseCursor(cursor); {
	case err != nil:
		return nil, "", err
	case seq != 0:
		before = cursor
	}
	n = min(max(n, 0), maxReply)
	list, err := r.runList(ctx, "entries", keys, before, n+1, micros(ttl)) // one more, which shows whether there are more
	if err != nil {
		return nil, "", err
	}
	for len(list.rest) > 0 && len(entries) < n {
		entries = append(entries, list.entry())
	}
	if len(list.rest) > 0 && n > 0 {
		next = entries[n-1].Cursor()
	}
	return entries, next, nil
}

// entry reads an entry: its id, its time and its body. No two entries of a list have the
// same time, which is their order.
func (l *replyList) entry() store.Entry {
	id, at := l.string(), l.number()
	return store.Entry{ID: id, Seq: uint64(at), At: fromMicros(at), Body: []byte(l.string())}
}

// Entry implements store.Journal.
func (r *Store) Entry(ctx context.Context, id string) (*store.Entry, error) {
	return store.First(r.EntriesOf(ctx, id))
}

// EntriesOf implements store.Journal, with a script for each maxReply ids.
func (r *Store) EntriesOf(ctx context.Context, ids ...string) (entries []store.Entry, err error) {
	if err := store.CheckEntries(ids); err != nil {
		return nil, err
	}
	for some := range slices.Chunk(ids, maxReply) {
		args := []any{micros(r.retention.OfJournal())}
		for _, id := range some {
			args = append(args, id)
		}
		list, err := r.runList(ctx, "entriesof", r.journal, args...)
		if err != nil {
			return nil, err
		}
		for len(list.rest) > 0 {
			entries = append(entries, list.entry())
		}
	}
	return entries, nil
}

// Amended implements store.Journal. A mark is the id of an amendment in the stream.
func (r *Store) Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error) {
	list, err := r.runList(ctx, "amended", r.journal, mark, min(max(n, 0), maxReply))
	if err != nil {
		return nil, "", err
	}
	if next = list.string(); next == "" {
		return nil, "", store.ErrAmendmentsMissed
	}
	for len(list.rest) > 0 {
		ids = append(ids, list.string())
	}
	return ids, next, nil
}
