package redis

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// inFlight is how many scripts of one kind are under way at a time: while
	// Redis works on one, the next is written and the last one's answer read.
	inFlight = 2
	// maxGather bounds how many records, and maxGatherSize how many bytes of
	// them, calls share a script with. A call that is larger goes alone.
	maxGather     = 256
	maxGatherSize = 1 << 20
)

// gatherer makes one script of the calls of a kind that wait, so that many
// writers share what a script costs; a lone one waits for nobody. Its
// goroutines live as long as calls wait.
type gatherer struct {
	redis  *Store
	script string
	args   []any // before those of the calls

	mu      sync.Mutex
	waiting []*gathered
	flying  int
	flights sync.WaitGroup
}

// gathered is a call's part of a script.
type gathered struct {
	ctx     context.Context
	keys    []string
	args    []any
	size    int           // bytes in all records
	numbers int           // how many the script returns for it
	done    chan struct{} // closed when the next two are set
	reply   []int64
	err     error
}

// addRecords adds copies of the records, as enqueue of lib.lua wants them:
// their owner may change them when it gives up.
func (g *gathered) addRecords(prefix string, records []store.Record) {
	for _, r := range records {
		g.keys = append(g.keys, prefix+"id:"+r.ID)
		g.args = append(g.args, r.ID, r.Kind, micros(r.After), bytes.Clone(r.Body))
		g.size += len(r.Body)
	}
}

// run has the part sent, and waits for its reply or until ctx ends: then it
// may still be sent.
func (g *gatherer) run(ctx context.Context, part *gathered) ([]int64, error) {
	part.ctx, part.done = ctx, make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, part)
	if g.flying < inFlight {
		g.flying++
		g.flights.Go(g.fly)
	}
	g.mu.Unlock()
	select {
	case <-part.done:
		return part.reply, part.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly sends what waits until nothing does.
func (g *gatherer) fly() {
	for group := g.take(); len(group) > 0; group = g.take() {
		reply, err := g.send(group)
		for _, part := range group {
			if part.err = err; err == nil {
				part.reply, reply = reply[:part.numbers], reply[part.numbers:]
			}
			close(part.done)
		}
	}
}

// take returns what waits and was not given up, up to the bounds. Nothing:
// the caller's flight ends.
func (g *gatherer) take() []*gathered {
	// The callers that the last flight answered come in again: else groups
	// are half as large.
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	var group []*gathered
	n, size := 0, 0
	for i, part := range g.waiting {
		if part.ctx.Err() != nil {
			continue
		}
		n, size = n+1+len(part.keys), size+part.size
		if len(group) > 0 && (n > maxGather || size > maxGatherSize) {
			g.waiting = g.waiting[i:]
			return group
		}
		group = append(group, part)
	}
	g.waiting = nil
	if len(group) == 0 {
		g.flying--
	}
	return group
}

// send runs the script for all of the group.
func (g *gatherer) send(group []*gathered) ([]int64, error) {
	keys := append([]string(nil), g.redis.queue...)
	args := append([]any(nil), g.args...)
	numbers := 0
	for _, part := range group {
		keys, args, numbers = append(keys, part.keys...), append(args, part.args...), numbers+part.numbers
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	reply, err := g.redis.eval(ctx, g.script, keys, args...).Int64Slice()
	if err == nil && len(reply) != numbers {
		err = fmt.Errorf("%d numbers for %d", len(reply), numbers)
	}
	return reply, err
}
