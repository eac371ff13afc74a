// Package traced is a store whose queue carries the trace context of the work: a record
// that is put while a span is in progress remembers that span, and the lease of the record
// has it, on any replica. Both backends store it without knowing of it, as the last two
// members of the record's body, which is a JSON object:
//
//	{…,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","traced_at":1760000000000}
//
// So records of replicas without tracing can be read, and replicas without tracing can read
// these: they ignore the two, and lose them when they defer the record.
package traced

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/store"
)

// Store is a store that carries trace contexts.
type Store struct {
	store.Store
	now func() time.Time
}

var _ store.Store = (*Store)(nil)

// New returns a Store on top of another one.
func New(s store.Store, now func() time.Time) *Store { return &Store{s, now} }

// Put implements store.Queue. The records carry the span in progress in ctx.
func (s *Store) Put(ctx context.Context, records ...store.Record) ([]bool, error) {
	return s.Store.Put(ctx, s.carry(ctx, records)...)
}

// Done implements store.Queue, as Put does for next.
func (s *Store) Done(ctx context.Context, l *store.Lease, next ...store.Record) error {
	return s.Store.Done(ctx, l, s.carry(ctx, next)...)
}

// DoneWith implements store.Store, as Put does for the next records.
func (s *Store) DoneWith(ctx context.Context, l *store.Lease, c store.Changes) error {
	c.Next = s.carry(ctx, c.Next)
	return s.Store.DoneWith(ctx, l, c)
}

// Change implements store.Store, as Put does for the next records.
func (s *Store) Change(ctx context.Context, c store.Changes) error {
	c.Next = s.carry(ctx, c.Next)
	return s.Store.Change(ctx, c)
}

// Requeue implements store.Steering, as Put does for the next records.
func (s *Store) Requeue(ctx context.Context, id string, c store.Changes) error {
	c.Next = s.carry(ctx, c.Next)
	return s.Store.Requeue(ctx, id, c)
}

// Drop implements store.Steering, as Put does for the next records.
func (s *Store) Drop(ctx context.Context, id string, c store.Changes) error {
	c.Next = s.carry(ctx, c.Next)
	return s.Store.Drop(ctx, id, c)
}

// Lease implements store.Queue. The leases have the trace contexts of their records.
func (s *Store) Lease(ctx context.Context, n int, visibility time.Duration) ([]store.Lease, error) {
	leases, err := s.Store.Lease(ctx, n, visibility)
	for i := range leases {
		leases[i].Body, leases[i].Trace = cut(leases[i].Body)
	}
	return leases, err
}

// Extend implements store.Queue.
func (s *Store) Extend(ctx context.Context, l *store.Lease, visibility time.Duration) error {
	whole := *l
	whole.Body = join(l.Body, l.Trace)
	err := s.Store.Extend(ctx, &whole, visibility)
	l.Expires = whole.Expires
	return err
}

// Defer implements store.Queue. The record keeps its trace context.
func (s *Store) Defer(ctx context.Context, l *store.Lease, after time.Duration) error {
	whole := *l
	whole.Body = join(l.Body, l.Trace)
	return s.Store.Defer(ctx, &whole, after)
}

// carry returns the records with the span in progress.
func (s *Store) carry(ctx context.Context, records []store.Record) []store.Record {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() || len(records) == 0 {
		return records
	}
	t := store.Trace{Parent: fmt.Sprintf("00-%s-%s-%s", span.TraceID(), span.SpanID(), span.TraceFlags()), At: s.now()}
	records = slices.Clone(records)
	for i := range records {
		records[i].Body = join(records[i].Body, t)
	}
	return records
}

// What stands before, between and behind the two values, which have fixed lengths.
const (
	before     = `,"traceparent":"`
	between    = `","traced_at":`
	behind     = `}`
	parentSize = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	timeSize   = len("1760000000000") // milliseconds since 1970, until the year 2286
	size       = len(before) + parentSize + len(between) + timeSize + len(behind)
)

// join returns a body with a trace context. A body that is no JSON object with members
// stays as it is.
func join(body []byte, t store.Trace) []byte {
	if t.Parent == "" || len(body) <= len("{}") || body[0] != '{' || body[len(body)-1] != '}' {
		return body
	}
	joined := make([]byte, 0, len(body)+size)
	joined = append(joined, body[:len(body)-1]...)
	return fmt.Appendf(joined, "%s%s%s%d%s", before, t.Parent, between, t.At.UnixMilli(), behind)
}

// cut returns a body without its trace context, and that; zero if the body has none.
func cut(body []byte) ([]byte, store.Trace) {
	at := len(body) - size
	if at < 0 || !bytes.HasPrefix(body[at:], []byte(before)) {
		return body, store.Trace{}
	}
	values := body[at+len(before) : len(body)-len(behind)]
	parent, rest := values[:parentSize], values[parentSize:]
	since, found := bytes.CutPrefix(rest, []byte(between))
	millis, err := strconv.ParseInt(string(since), 10, 64)
	if !found || err != nil {
		return body, store.Trace{}
	}
	return append(body[:at:at], '}'), store.Trace{Parent: string(parent), At: time.UnixMilli(millis)}
}
