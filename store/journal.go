package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrAmendmentsMissed is returned by Amended if it can't tell what was amended since then.
var ErrAmendmentsMissed = errors.New("store: it is not known which entries were amended: read all of them")

// ErrBadCursor is returned for a cursor that the same list did not return.
var ErrBadCursor = errors.New("store: not a cursor of this list: start without a cursor")

// BadCursor returns ErrBadCursor with the cursor that a caller passed.
func BadCursor(cursor string) error {
	return fmt.Errorf("%w: %.40q", ErrBadCursor, cursor)
}

// Entry is one entry of the journal.
type Entry struct {
	ID   string
	Seq  uint64    // its place in the list, from 1: newer entries have greater ones; set by the store
	At   time.Time // when it was added, by the store's clock; set by the store
	Body []byte
}

// Cursor returns the cursor of the entries that follow it in its list.
func (e Entry) Cursor() string { return strconv.FormatUint(e.Seq, 10) }

// First returns the first one of the entries that a call has returned, nil if there is none.
func First(entries []Entry, err error) (*Entry, error) {
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return &entries[0], nil
}

// ParseCursor returns the Seq of the entry whose Cursor it is; 0 for "". It returns
// ErrBadCursor for a text that is no cursor.
func ParseCursor(cursor string) (seq uint64, err error) {
	if cursor == "" {
		return 0, nil
	}
	if seq, err = strconv.ParseUint(cursor, 10, 64); err != nil || seq == 0 {
		return 0, BadCursor(cursor)
	}
	return seq, nil
}

// Journal is the list of what was decided and what became of it. Entries
// expire when they are older than the journal's time to live.
type Journal interface {
	// Note adds an entry as the newest, unless there is one with its id.
	Note(ctx context.Context, id string, body []byte) error
	// Amend replaces the body of the entry with the id, and keeps its place in
	// the list and its time; if there is none, Amend adds it.
	Amend(ctx context.Context, id string, body []byte) error
	// Entries lists up to n entries, newest first, that follow the cursor (""
	// starts with the newest), and returns the next cursor, "" at the end.
	// Entries that are added meanwhile change nothing. It returns ErrBadCursor
	// for a cursor that is none.
	Entries(ctx context.Context, cursor string, n int) (entries []Entry, next string, err error)
	// Entry returns the entry with the id, nil if there is none.
	Entry(ctx context.Context, id string) (*Entry, error)
	// EntriesOf returns those of the entries with the ids that there are, in the order
	// of the ids.
	EntriesOf(ctx context.Context, ids ...string) ([]Entry, error)
	// Amended returns the ids of entries that were there and whose bodies were replaced
	// after a mark, up to n of them, an id perhaps several times, and the mark that
	// follows them. That is the mark itself when there are no more. For "" it returns
	// no ids and the mark of now. It returns ErrAmendmentsMissed for a mark after which it
	// may have forgotten some: one that MaxAmendments followed, one that the store has lost
	// with other data, and, of a backend for one process, one of an earlier process.
	Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error)
}

// MaxAmendments is from how many amendments on Amended may have forgotten the oldest.
const MaxAmendments = 10_000
