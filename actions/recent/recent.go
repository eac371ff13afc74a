// Package recent keeps the newest items of one kind, such as what the rules made of
// each event, of all replicas, for people to look at.
//
// Items are cheap to add: they are copied to memory, and written to the store within
// a second, many at a time, compressed. They are lossy: a process that is killed
// loses those of its last second, and no more are kept than fit into the log.
//
//	Add ──► the open block ──► full blocks ──► flush: each block is an entry
//	        (of maxBlock)      (a few)         of the store's log, which keeps maxBlocks
//
// A flush also writes the open block, under the id under which the next flush
// replaces it, so that blocks are full however few items come. The store has the blocks
// in the order of their last flush. To find an item, all blocks are read: they are
// bounded, and nothing has to be indexed for each event.
package recent

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// maxBlock is the size of a block before compression, in bytes; one item may be
	// larger. Blocks of events take about an eighth of that in the store.
	maxBlock = 128 << 10
	// maxBlocks is how many blocks the store keeps: 32 MiB before compression.
	maxBlocks = 256
	// maxFull is how many full blocks wait for a flush at most: then items are lost.
	maxFull = 16
	// flushEvery is how often items are written.
	flushEvery = time.Second
	// maxAge is how long one block is filled at most: its entry in the store expires
	// by its last item.
	maxAge = 6 * time.Hour
	// maxUnpacked bounds what is read of one block, in bytes.
	maxUnpacked = 64 << 20
	// stopTimeout bounds the last flush.
	stopTimeout = time.Second
	// firstBlocks is how many blocks are read at first. If they are not enough, all
	// are read at once: between two pages, a flush could move one.
	firstBlocks = 32
)

// Store is the part of the store that has the blocks.
type Store interface {
	Append(ctx context.Context, key, id string, body []byte, most int) error
	Appended(ctx context.Context, key, cursor string, n int) (entries []store.Entry, next string, err error)
}

// Log is a log of the newest items. It is safe for concurrent use.
type Log struct {
	store Store
	key   string
	now   func() time.Time
	log   *slog.Logger
	full  chan struct{} // receives when a block is full

	mu   sync.Mutex
	open *block
	rest []*block // full ones, oldest first
	lost int      // items that were dropped since the last flush

	flushing sync.Mutex
	failed   bool // the last flush
}

// block is a block of items in memory.
type block struct {
	id    string
	since time.Time
	lines []byte // each item: its subject, a tab, the item, a newline
	items int
	saved int // bytes of lines that the store has
}

// New returns the log of a key.
func New(s Store, key string, now func() time.Time, log *slog.Logger) *Log {
	return &Log{store: s, key: key, now: now, log: log, full: make(chan struct{}, 1)}
}

// Add adds an item, which has no newline. Its subject, by which it is found, has
// neither a tab nor a newline. Add never blocks.
func (l *Log) Add(subject string, item ...[]byte) {
	size := len(subject) + 2
	for _, part := range item {
		size += len(part)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.open != nil && (len(l.open.lines)+size > maxBlock || now.Sub(l.open.since) > maxAge) {
		l.rest, l.open = append(l.rest, l.open), nil
		if len(l.rest) > maxFull {
			l.lost += l.rest[0].items
			l.rest = slices.Delete(l.rest, 0, 1)
		}
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
	if l.open == nil {
		l.open = &block{id: rand.Text(), since: now, lines: make([]byte, 0, max(size, 4<<10))}
	}
	b := l.open
	b.lines = append(append(b.lines, subject...), '\t')
	for _, part := range item {
		b.lines = append(b.lines, part...)
	}
	b.lines = append(b.lines, '\n')
	b.items++
}

// Run writes the items to the store until ctx is done, and then those that are left.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			l.reportFlush(l.Flush(last))
			cancel()
			return
		case <-l.full:
		case <-ticker.C:
		}
		l.reportFlush(l.Flush(ctx))
	}
}

// reportFlush logs that items can't be written, once, and how many were lost when
// they can be again.
func (l *Log) reportFlush(err error) {
	switch {
	case err != nil && !l.failed:
		l.log.Warn("what was seen lately can't be written to the store", "key", l.key, store.Outage(err))
	case err == nil:
		l.mu.Lock()
		lost := l.lost
		l.lost = 0
		l.mu.Unlock()
		if lost > 0 {
			l.log.Warn("items were not kept: they came faster than the store takes them", "key", l.key, "lost", lost)
		}
	}
	l.failed = err != nil
}

// Flush writes the items to the store that it does not have. After an error it keeps
// them for the next time.
func (l *Log) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	for {
		b, lines, full := l.unsaved()
		if b == nil {
			return nil
		}
		packed, err := pack(lines)
		if err == nil {
			err = l.store.Append(ctx, l.key, b.id, packed, maxBlocks)
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		b.saved = len(lines)
		if full {
			l.rest = slices.DeleteFunc(l.rest, func(other *block) bool { return other == b })
		}
		l.mu.Unlock()
	}
}

// unsaved returns the first block that the store does not have as it is, and its
// lines; nil if it has all.
func (l *Log) unsaved() (b *block, lines []byte, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.rest) > 0:
		return l.rest[0], l.rest[0].lines, true
	case l.open != nil && l.open.saved < len(l.open.lines):
		return l.open, l.open.lines[:len(l.open.lines):len(l.open.lines)], false
	}
	return nil, nil, false
}

// EachBlock calls visit with the blocks of all replicas until visit returns false: each
// with its items, from the newest on, none of which was added after the time newest. The
// blocks come in the order of these times, from the newest on; only one that is flushed
// while EachBlock reads may come late. It sees the items of this process all, and those
// of others as of their last flush. After an error of the store, it has visited what it
// could read.
func (l *Log) EachBlock(ctx context.Context, visit func(newest time.Time, items iter.Seq2[string, []byte]) (more bool)) error {
	if err := l.Flush(ctx); err != nil {
		l.eachInMemory(visit)
		return err
	}
	visited := map[string]bool{}
	for _, n := range []int{firstBlocks, maxBlocks} {
		entries, next, err := l.store.Appended(ctx, l.key, "", n)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if visited[e.ID] {
				continue
			}
			visited[e.ID] = true
			lines, err := unpack(e.Body)
			if err != nil {
				return fmt.Errorf("block %s of %s: %w", e.ID, l.key, err)
			}
			if !visit(e.At, eachLine(lines)) {
				return nil
			}
		}
		if next == "" {
			break
		}
	}
	return nil
}

// Each calls visit with the items of all blocks until visit returns false. Items of two
// replicas are not in the order of their times. Else it is like EachBlock.
func (l *Log) Each(ctx context.Context, visit func(subject string, item []byte) (more bool)) error {
	return l.EachBlock(ctx, func(_ time.Time, items iter.Seq2[string, []byte]) bool {
		for subject, item := range items {
			if !visit(subject, item) {
				return false
			}
		}
		return true
	})
}

// eachInMemory calls visit with the blocks that are in memory.
func (l *Log) eachInMemory(visit func(newest time.Time, items iter.Seq2[string, []byte]) (more bool)) {
	l.mu.Lock()
	blocks := slices.Clone(l.rest)
	if l.open != nil {
		blocks = append(blocks, l.open)
	}
	var all [][]byte
	for _, b := range blocks {
		all = append(all, b.lines[:len(b.lines):len(b.lines)])
	}
	now := l.now()
	l.mu.Unlock()
	for _, lines := range slices.Backward(all) {
		if !visit(now, eachLine(lines)) {
			return
		}
	}
}

// eachLine returns the items of a block, each with its subject, from the newest on.
func eachLine(lines []byte) iter.Seq2[string, []byte] {
	return func(yield func(subject string, item []byte) bool) {
		for rest := lines; len(rest) > 0; {
			start := bytes.LastIndexByte(rest[:len(rest)-1], '\n') + 1
			subject, item, _ := bytes.Cut(rest[start:len(rest)-1], []byte{'\t'})
			if !yield(string(subject), item) {
				return
			}
			rest = rest[:start]
		}
	}
}

func pack(lines []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(lines)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func unpack(packed []byte) ([]byte, error) {
	lines, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxUnpacked))
	if err == nil && (len(lines) == 0 || lines[len(lines)-1] != '\n') {
		err = errors.New("it is cut short")
	}
	return lines, err
}
