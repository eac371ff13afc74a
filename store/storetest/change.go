package storetest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// prepareForChange has what allChanges is about, but no record that its next ones replace.
func (f *fixture) prepareForChange(t failer) store.Changes {
	t.Helper()
	ok(t, "Note", f.Note(t.Context(), "noted before", []byte("old")))
	ok(t, "Note", f.Note(t.Context(), "amended before", []byte("old")))
	ok(t, "Set", f.Set(t.Context(), "set before", []byte("old"), time.Hour))
	c := allChanges("it")
	c.Expect = []store.Expected{{Key: "set before", Value: []byte("old")}, {Key: "value of it"}}
	return c
}

func testChange(t *testing.T, f *fixture) {
	c := f.prepareForChange(t)
	ok(t, "Change", f.Change(t.Context(), c))
	for _, b := range [][]byte{c.Next[0].Body, c.Next[0].Note.Body, c.Amend[1].Body, c.Values[0].Value} {
		clear(b)
	}
	f.reopen(t)
	f.wantDepth(t, store.Depth{Waiting: len(c.Next)})
	same(t, "bodies", f.bodies(t), map[string]string{
		"amended by it": "b", "noted by it": "a", "of a record put before": "", "amended before": "replaced", "noted before": "old",
	})
	same(t, "value", string(f.get(t, "value of it")), "c")
	f.advance(time.Hour)
	for _, l := range f.lease(t, 10, time.Minute) {
		same(t, "body", string(l.Body), "body of "+l.ID)
	}
	ok(t, "Change of nothing", f.Change(t.Context(), store.Changes{}))
}

// testChangeRefused: a Change that can't put a record or does not find what it expects changes
// nothing.
func testChangeRefused(t *testing.T, f *fixture) {
	c := f.prepareForChange(t)
	want := map[string]string{"amended before": "old", "noted before": "old"}
	unchanged := func(what string, depth store.Depth) {
		t.Helper()
		f.wantDepth(t, depth)
		same(t, "bodies after "+what, f.bodies(t), want)
		same(t, "value after "+what, string(f.get(t, "set before")), "old")
		if v := f.get(t, "value of it"); v != nil {
			t.Errorf("a value was set by %s: %q", what, v)
		}
	}
	other := c
	other.Expect = []store.Expected{{Key: "set before", Value: []byte("new")}}
	wantErr(t, "Change that expects another value", f.Change(t.Context(), other), store.ErrChanged)
	unchanged("a Change that expects another value", store.Depth{})

	last := c.Next[len(c.Next)-1]
	f.put(t, record(last.ID))
	wantErr(t, "Change with the record of a queued id", f.Change(t.Context(), c), store.ErrKnown)
	wantErr(t, "Change with both", f.Change(t.Context(), other), store.ErrKnown)
	l := f.leaseOne(t, time.Minute)
	ok(t, "Done", f.Done(t.Context(), l))
	wantErr(t, "Change with the record of a remembered id", f.Change(t.Context(), c), store.ErrKnown)
	unchanged("a Change with the record of a remembered id", store.Depth{})

	f.advance(store.DefaultDedupeTTL)
	c.Expect = nil // the value has expired, too
	ok(t, "Change with the record of a forgotten id", f.Change(t.Context(), c))
}

// testChangeContention: of those that have read the same value, one changes it; and of those
// with the same record, one puts it.
func testChangeContention(t *testing.T, f *fixture) {
	changes := map[error]func(i int) store.Changes{
		store.ErrChanged: func(i int) store.Changes {
			return store.Changes{
				Values: []store.Value{{Key: "counter", Value: []byte(strconv.Itoa(i)), TTL: time.Hour}}, Expect: []store.Expected{{Key: "counter"}},
			}
		},
		store.ErrKnown: func(int) store.Changes { return store.Changes{Next: []store.Record{record("once")}} },
	}
	for refusal, c := range changes {
		same(t, "changed", together(t, 50, func(i int) (bool, error) {
			err := f.Change(t.Context(), c(i))
			if errors.Is(err, refusal) {
				return false, nil
			}
			return true, err
		}), 1)
	}
	f.wantDepth(t, store.Depth{Due: 1})
}
