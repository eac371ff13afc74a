package redis

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// maxInFlight is how many batches of one kind are in flight at a time: while
	// Redis works on one, the store sends the next and reads the last reply.
	maxInFlight = 2
	// maxBatchKeys is how many records and calls, and maxBatchSize how many bytes
	// of bodies a batch has at most. A larger call is a batch by itself.
	maxBatchKeys = 256
	maxBatchSize = 1 << 20
)

// batcher runs the calls of one kind that wait in one script, so that many
// writers share its cost; a lone call does not wait for others. Its goroutines
// end when no call waits.
type batcher struct {
	redis  *Store
	script string
	keys   []string // the keys after those of the queue and before those of the calls
	args   []any    // the arguments before those of the calls

	mu       sync.Mutex
	waiting  []*batchPart
	inFlight int
	sending  sync.WaitGroup
}

// batchPart is one call in a batch.
type batchPart struct {
	ctx     context.Context
	keys    []string
	args    []any
	size    int           // of the bodies of all records, in bytes
	numbers int           // how many numbers the script returns for the call
	done    chan struct{} // closed when reply and err are set
	reply   []int64
	err     error
}

// addRecords adds copies of the records, in the format of enqueue in lib.lua: the
// caller may change its own when it gives up.
func (b *batchPart) addRecords(prefix string, records []store.Record) {
	for _, r := range records {
		b.keys = append(b.keys, idKey(prefix, r.ID))
		note := store.Entry{}
		if r.Note != nil {
			note = *r.Note
		}
		b.args = append(b.args, r.ID, r.Kind, micros(r.After), bytes.Clone(r.Body), note.ID, bytes.Clone(note.Body))
		b.size += len(r.Body) + len(note.Body)
	}
}

// idKey returns the key that remembers an id.
func idKey(prefix, id string) string { return prefix + "id:" + id }

// run adds the part to a batch and waits for its reply. If ctx ends before, the
// part may still be sent.
func (b *batcher) run(ctx context.Context, part *batchPart) ([]int64, error) {
	part.ctx, part.done = ctx, make(chan struct{})
	b.mu.Lock()
	b.waiting = append(b.waiting, part)
	if b.inFlight < maxInFlight {
		b.inFlight++
		b.sending.Go(b.sendAll)
	}
	b.mu.Unlock()
	select {
	case <-part.done:
		return part.reply, part.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sendAll sends batches until no part waits.
func (b *batcher) sendAll() {
	for batch := b.next(); len(batch) > 0; batch = b.next() {
		reply, err := b.send(batch)
		for _, part := range batch {
			if part.err = err; err == nil {
				part.reply, reply = reply[:part.numbers], reply[part.numbers:]
			}
			close(part.done)
		}
	}
}

// next returns the next batch: parts that wait and whose callers did not give
// up. It is empty if there are none; then the caller must return.
func (b *batcher) next() []*batchPart {
	// The callers that got the last replies get a chance to come in again: else
	// batches are half as large.
	runtime.Gosched()
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*batchPart
	n, size := 0, 0
	for i, part := range b.waiting {
		if part.ctx.Err() != nil {
			continue
		}
		n, size = n+1+len(part.keys), size+part.size
		if len(batch) > 0 && (n > maxBatchKeys || size > maxBatchSize) {
			b.waiting = b.waiting[i:]
			return batch
		}
		batch = append(batch, part)
	}
	b.waiting = nil
	if len(batch) == 0 {
		b.inFlight--
	}
	return batch
}

// send runs the script for the batch.
func (b *batcher) send(batch []*batchPart) ([]int64, error) {
	keys := slices.Concat(b.redis.queue, b.keys)
	args := append([]any(nil), b.args...)
	numbers := 0
	for _, part := range batch {
		keys, args, numbers = append(keys, part.keys...), append(args, part.args...), numbers+part.numbers
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.redis.callTimeout)
	defer cancel()
	reply, err := b.redis.eval(ctx, b.script, keys, args...).Int64Slice()
	if err == nil && len(reply) != numbers {
		err = fmt.Errorf("the script returned %d numbers, not %d", len(reply), numbers)
	}
	return reply, err
}
