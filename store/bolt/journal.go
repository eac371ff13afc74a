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
	before, err := parseCursor(cursor)
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
func (s *Store) Entry(ctx context.Context, id string) (entry *store.Entry, err error) {
	if err := store.CheckEntry(id); err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *txn) (err error) {
		entry, err = t.journal.get(t, id, s.retention.OfJournal())
		return err
	})
	return entry, err
}
