package bolt

import (
	"bytes"
	"context"

	"github.com/pipesteward/pipesteward/store"
)

// Note implements store.Journal.
func (s *Store) Note(ctx context.Context, id string, body []byte) error {
	return s.writeEntry(ctx, id, body, keepPresent)
}

// Amend implements store.Journal.
func (s *Store) Amend(ctx context.Context, id string, body []byte) error {
	return s.writeEntry(ctx, id, body, replacePresent)
}

func (s *Store) writeEntry(ctx context.Context, id string, body []byte, present present) error {
	if err := store.CheckEntry(id); err != nil {
		return err
	}
	body = bytes.Clone(body)
	return s.write(ctx, func(t *txn) error { return t.journal.write(t, id, body, present, s.retention.OfJournal()) })
}

// Entries implements store.Journal.
func (s *Store) Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error) {
	before, err := store.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	err = s.view(ctx, func(t *txn) (err error) {
		entries, next, err = t.journal.list(t, before, n, s.retention.OfJournal())
		return err
	})
	return entries, next, err
}

// Entry implements store.Journal.
func (s *Store) Entry(ctx context.Context, id string) (*store.Entry, error) {
	return store.First(s.EntriesOf(ctx, id))
}

// EntriesOf implements store.Journal.
func (s *Store) EntriesOf(ctx context.Context, ids ...string) (entries []store.Entry, err error) {
	if err := store.CheckEntries(ids); err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *txn) (err error) {
		entries, err = t.journal.of(t, ids, s.retention.OfJournal())
		return err
	})
	return entries, err
}

// Amended implements store.Journal.
func (s *Store) Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error) {
	err = s.view(ctx, func(*txn) (err error) { // which tells whether the store is open
		ids, next, err = s.amendments.After(mark, n)
		return err
	})
	return ids, next, err
}
