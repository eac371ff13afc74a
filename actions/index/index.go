// Package index finds decisions in the journal: by rule, outcome, project, a text and more.
//
// It has a short head of each of the newest decisions in memory, in each replica, so that a
// search reads of the store what is new and the entries that it shows, and no others:
//
//	Build ──────► heads of the newest MaxHeads entries, once at the start, in the background
//	refresh ────► heads of the entries that were added, and again of those that were amended
//	Find ───────► refresh, then filter the heads, then read the entries of the page by id
//
// Older entries, and all entries while Build reads, are found by reading the journal, maxScan
// entries for a request at most. Both ways filter heads.
//
// A head takes 0.5 KB of memory where names and texts are of ordinary lengths, so that the
// index takes 100 MB at most, and less where less is decided while the journal keeps it.
package index

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// MaxHeads is how many decisions the index of a replica has at most, the newest.
	MaxHeads = 200_000
	// refreshEvery is how often the index follows the journal between requests, so that a
	// request has little to read.
	refreshEvery = 5 * time.Second
	// rereadEvery is how often all entries are read again. Only that notices what a replica
	// of a version without the feed of amendments has amended, during an upgrade.
	rereadEvery = time.Hour
	// pageSize is how many entries are read at a time, and pause how long the store is left
	// alone after each of the pages in the background.
	pageSize = 500
	pause    = 10 * time.Millisecond
	// maxScan is how many entries a request reads of the journal at most, besides those that
	// the index knows; one with a rare filter continues with the next request.
	maxScan = 5000
)

// Journal is the part of the store that has the journal.
type Journal interface {
	Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error)
	EntriesOf(ctx context.Context, ids ...string) ([]store.Entry, error)
	Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error)
}

// Config is what New needs; all of it is required.
type Config struct {
	Journal  Journal
	Kept     time.Duration // how long the journal keeps entries
	MaxHeads int           // how many decisions the index has at most
	Now      func() time.Time
	Log      *slog.Logger
}

// Index is the index of the journal. It is safe for concurrent use.
type Index struct {
	Config

	// turn has a value while the heads are brought up to date, so that what is read of an
	// entry never replaces what was read later. It guards the fields up to refreshed.
	turn      chan struct{}
	newest    uint64        // the place of the newest entry that was read
	mark      string        // up to which amendments were read
	reread    time.Time     // when all entries were last read
	refreshed uint64        // the number of the last refresh that succeeded
	refreshes atomic.Uint64 // how many have begun
	failed    bool          // the last refresh in the background

	mu    sync.RWMutex
	heads []head // by their places, oldest first
	built bool   // the index has all of the newest entries
	whole bool   // there are no older entries than the index has
}

// New returns an index that is empty, and finds decisions by reading the journal, until
// Build has returned.
func New(cfg Config) *Index { return &Index{Config: cfg, turn: make(chan struct{}, 1)} }

// begin waits for the turn to bring the index up to date, which end ends. Its error is that of
// ctx: others may wait for a store that does not answer.
func (x *Index) begin(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *Index) end() { <-x.turn }

// Run builds the index and follows the journal until ctx is done.
func (x *Index) Run(ctx context.Context) {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		x.report(ctx, x.follow(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// follow brings the index up to date, also with what requests do not read.
func (x *Index) follow(ctx context.Context) error {
	if err := x.begin(ctx); err != nil {
		return err
	}
	due := x.Now().Sub(x.reread) >= rereadEvery
	x.end()
	switch {
	case !x.isBuilt():
		return x.Build(ctx)
	case due:
		return errors.Join(x.rereadAll(ctx), x.refresh(ctx))
	}
	return x.refresh(ctx)
}

// report logs that the index can't be brought up to date, once.
func (x *Index) report(ctx context.Context, err error) {
	if err != nil && !x.failed && ctx.Err() == nil {
		x.Log.WarnContext(ctx, "the index of decisions can't be read from the store", store.Outage(err))
	}
	x.failed = err != nil
}

// Build reads the newest entries, with pauses. Until it returns, what was added and amended
// meanwhile is missing, and Find does not use the index.
func (x *Index) Build(ctx context.Context) error {
	_, mark, err := x.Journal.Amended(ctx, "", 0) // first, so that what is amended while it reads is read again
	if err != nil {
		return err
	}
	var heads []head // newest first
	newest, whole := uint64(0), true
	err = x.eachPage(ctx, func(cursor string) (next string, err error) {
		entries, next, err := x.Journal.Entries(ctx, cursor, min(pageSize, x.MaxHeads-len(heads)))
		for _, e := range entries {
			newest = max(newest, e.Seq)
			if h, ok := x.headOf(e); ok {
				heads = append(heads, h)
			}
		}
		if next != "" && len(heads) >= x.MaxHeads {
			next, whole = "", false
		}
		return next, err
	})
	if err != nil {
		return err
	}
	slices.Reverse(heads)

	if err := x.begin(ctx); err != nil {
		return err
	}
	defer x.end()
	x.newest, x.mark, x.reread = newest, mark, x.Now()
	x.set(heads, false, whole)
	if err := x.readChanges(ctx); err != nil {
		return err
	}
	x.set(x.heads, true, x.whole) // not before it has what was changed meanwhile
	return nil
}

// rereadAll reads all entries of the index again, with pauses.
func (x *Index) rereadAll(ctx context.Context) error {
	oldest := x.oldest()
	return x.eachPage(ctx, func(cursor string) (next string, err error) {
		if err := x.begin(ctx); err != nil {
			return "", err
		}
		defer x.end()
		entries, next, err := x.Journal.Entries(ctx, cursor, pageSize)
		x.replace(entries)
		if len(entries) > 0 && entries[len(entries)-1].Seq <= oldest {
			next = ""
		}
		if err == nil && next == "" {
			x.reread = x.Now()
		}
		return next, err
	})
}

// eachPage calls read with the cursor of each page, with pauses, until there is no next one.
func (x *Index) eachPage(ctx context.Context, read func(cursor string) (next string, err error)) error {
	for cursor := ""; ; {
		next, err := read(cursor)
		if err != nil || next == "" {
			return err
		}
		cursor = next
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// refresh brings the index up to date, unless it is not built. Those who wait for their turn
// share the first refresh that begins after their calls.
func (x *Index) refresh(ctx context.Context) error {
	before := x.refreshes.Load()
	if err := x.begin(ctx); err != nil {
		return err
	}
	defer x.end()
	if !x.isBuilt() || x.refreshed > before {
		return nil
	}
	number := x.refreshes.Add(1)
	switch err := x.readChanges(ctx); {
	case errors.Is(err, store.ErrAmendmentsMissed):
		x.set(nil, false, false)
	case err != nil:
		return err
	}
	x.refreshed = number
	return nil
}

// readChanges reads what was added and amended since it was last called.
func (x *Index) readChanges(ctx context.Context) error {
	if err := x.readAdded(ctx); err != nil {
		return err
	}
	return x.readAmended(ctx)
}

// readAdded reads the entries that are newer than the newest one that was read. Most often
// there are none.
func (x *Index) readAdded(ctx context.Context) error {
	var added []head // newest first
	newest := x.newest
	for cursor, n, known := "", 1, false; !known; n = pageSize {
		entries, next, err := x.Journal.Entries(ctx, cursor, n)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if known = e.Seq <= x.newest; known {
				break
			}
			newest = max(newest, e.Seq)
			if h, ok := x.headOf(e); ok {
				added = append(added, h)
			}
		}
		cursor, known = next, known || next == ""
	}
	slices.Reverse(added)
	x.newest = newest

	x.mu.Lock()
	defer x.mu.Unlock()
	x.heads = append(x.heads, added...)
	x.removeOldest()
	return nil
}

// removeOldest removes the heads of entries that have expired, and what exceeds MaxHeads.
func (x *Index) removeOldest() {
	expired := x.Now().Add(-x.Kept).UnixMicro()
	n := sort.Search(len(x.heads), func(i int) bool { return x.heads[i].at > expired })
	if most := len(x.heads) - x.MaxHeads; most > n {
		n, x.whole = most, false
	}
	clear(x.heads[:n]) // what they refer to
	x.heads = x.heads[n:]
}

// readAmended reads the entries that were amended since the mark.
func (x *Index) readAmended(ctx context.Context) error {
	for {
		ids, next, err := x.Journal.Amended(ctx, x.mark, pageSize)
		if err != nil || next == x.mark {
			return err
		}
		slices.Sort(ids)
		entries, err := x.Journal.EntriesOf(ctx, slices.Compact(ids)...)
		if err != nil {
			return err
		}
		x.replace(entries)
		x.mark = next
	}
}

// replace replaces the heads of those of the entries that the index has.
func (x *Index) replace(entries []store.Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		i, found := slices.BinarySearchFunc(x.heads, e.Seq, func(h head, seq uint64) int { return cmp.Compare(h.seq, seq) })
		if !found {
			continue
		}
		if h, ok := x.headOf(e); ok {
			x.heads[i] = h
		}
	}
}

func (x *Index) set(heads []head, built, whole bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heads, x.built, x.whole = heads, built, whole
}

func (x *Index) isBuilt() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.built
}

// oldest returns the place of the oldest entry that the index has, 0 if it has none.
func (x *Index) oldest() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.heads) == 0 {
		return 0
	}
	return x.heads[0].seq
}
