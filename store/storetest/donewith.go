package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/store"
)

// allChanges has each kind of change, with name in all ids and keys.
func allChanges(name string) store.Changes {
	return store.Changes{
		Next: []store.Record{
			noted("next of "+name, "noted by "+name, "a"), noted("second next of "+name, "noted before", "not replaced"), noted("put before", "of a record put before", ""),
		},
		Amend:  []store.Entry{{ID: "amended by " + name, Body: []byte("b")}, {ID: "amended before", Body: []byte("replaced")}},
		Values: []store.Value{{Key: "value of " + name, Value: []byte("c"), TTL: time.Hour}, {Key: "set before", Value: nil, TTL: 2 * time.Hour}},
	}
}

// noted returns a record with a note, due an hour after any other.
func noted(id, entry, body string) store.Record {
	r := record(id)
	r.After, r.Note = time.Hour, &store.Entry{ID: entry, Body: []byte(body)}
	return r
}

func (f *fixture) bodies(t failer) map[string]string {
	t.Helper()
	entries, _, err := f.Entries(t.Context(), "", 1000)
	ok(t, "Entries", err)
	bodies := map[string]string{}
	for _, e := range entries {
		bodies[e.ID] = string(e.Body)
	}
	return bodies
}

func (f *fixture) prepareChanges(t failer) *store.Lease {
	t.Helper()
	ok(t, "Note", f.Note(t.Context(), "noted before", []byte("old")))
	ok(t, "Note", f.Note(t.Context(), "amended before", []byte("old")))
	ok(t, "Set", f.Set(t.Context(), "set before", []byte("old"), time.Hour))
	f.put(t, record("put before"))
	ok(t, "Done", f.Done(t.Context(), f.leaseOne(t, time.Minute)))
	f.put(t, record("work"))
	return f.leaseOne(t, time.Minute)
}

func testPutNotes(t *testing.T, f *fixture) {
	r := noted("a", "of a", "first")
	same(t, "added", f.put(t, r, record("b"), noted("c", "of c", "")), []bool{true, true, true})
	clear(r.Note.Body)
	same(t, "added again", f.put(t, noted("a", "of a again", ""), noted("d", "of a", "second")), []bool{false, true})
	ids, _ := f.entries(t, "", 10)
	same(t, "entries", ids, []string{"of c", "of a"})
	same(t, "bodies", f.bodies(t), map[string]string{"of a": "first", "of c": ""})
}

func testDoneWith(t *testing.T, f *fixture) {
	l := f.prepareChanges(t)
	c := allChanges("it")
	ok(t, "DoneWith", f.DoneWith(t.Context(), l, c))
	for _, b := range [][]byte{c.Next[0].Body, c.Next[0].Note.Body, c.Amend[1].Body, c.Values[0].Value} {
		clear(b)
	}
	f.reopen(t)
	f.wantDepth(t, store.Depth{Waiting: 2})
	same(t, "id of the record", f.put(t, record("work")), []bool{false})
	ids, _ := f.entries(t, "", 10)
	same(t, "entries", ids, []string{"amended by it", "noted by it", "amended before", "noted before"})
	same(t, "bodies", f.bodies(t), map[string]string{"amended by it": "b", "noted by it": "a", "amended before": "replaced", "noted before": "old"})
	same(t, "value", string(f.get(t, "value of it")), "c")
	if v := f.get(t, "set before"); v == nil || len(v) > 0 {
		t.Errorf("the value that was set before: %#v, want an empty one", v)
	}
	f.advance(time.Hour)
	if v := f.get(t, "value of it"); v != nil {
		t.Errorf("an expired value: %q", v)
	}
	if f.get(t, "set before") == nil {
		t.Error("a value has the time to live of another")
	}

	for _, l := range f.lease(t, 10, time.Minute) {
		same(t, "body", string(l.Body), "body of "+l.ID)
		ok(t, "DoneWith nothing", f.DoneWith(t.Context(), &l, store.Changes{}))
	}
	f.wantDepth(t, store.Depth{})
}

func testDoneWithLost(t *testing.T, f *fixture) {
	l := f.prepareChanges(t)
	f.advance(time.Minute)
	f.leaseOne(t, time.Hour)
	wantErr(t, "DoneWith", f.DoneWith(t.Context(), l, allChanges("it")), store.ErrLeaseLost)
	f.wantDepth(t, store.Depth{Leased: 1})
	same(t, "the id of what was not put", f.put(t, record("next of it")), []bool{true})
	same(t, "bodies", f.bodies(t), map[string]string{"amended before": "old", "noted before": "old"})
	same(t, "value", string(f.get(t, "set before")), "old")
	if v := f.get(t, "value of it"); v != nil {
		t.Errorf("a value was set without the lease: %q", v)
	}
}

// testDoneWithExpect: DoneWith makes all changes or none, by the values that it expects.
func testDoneWithExpect(t *testing.T, f *fixture) {
	l := f.prepareChanges(t)
	ok(t, "Set", f.Set(t.Context(), "empty", nil, time.Hour))
	ok(t, "Set", f.Set(t.Context(), "expires", []byte("old"), time.Minute))
	f.advance(time.Minute)
	ok(t, "Extend", f.Extend(t.Context(), l, 2*time.Hour))
	is := []store.Expected{{Key: "set before", Value: []byte("old")}, {Key: "empty", Value: []byte{}}, {Key: "expires"}, {Key: "never set"}}
	for _, other := range []store.Expected{
		{Key: "set before", Value: []byte("new")},
		{Key: "set before"},
		{Key: "set before", Value: []byte{}},
		{Key: "empty"},
		{Key: "expires", Value: []byte("old")},
		{Key: "never set", Value: []byte{}},
	} {
		c := allChanges("it")
		c.Expect = append(slices.Clone(is), other)
		wantErr(t, fmt.Sprintf("DoneWith that expects %+v", other), f.DoneWith(t.Context(), l, c), store.ErrChanged)
	}
	f.wantDepth(t, store.Depth{Leased: 1})
	same(t, "bodies", f.bodies(t), map[string]string{"amended before": "old", "noted before": "old"})
	same(t, "value", string(f.get(t, "set before")), "old")

	lost := *l
	lost.Token = "another"
	wantErr(t, "DoneWith without the lease", f.DoneWith(t.Context(), &lost, store.Changes{Expect: []store.Expected{{Key: "set before"}}}), store.ErrLeaseLost)
	c := allChanges("it")
	c.Expect = is
	ok(t, "DoneWith", f.DoneWith(t.Context(), l, c))
	same(t, "value", string(f.get(t, "value of it")), "c")
	f.wantDepth(t, store.Depth{Waiting: 2})
}

// testDoneWithExpectContention: of those that have read the same value, one changes it.
func testDoneWithExpectContention(t *testing.T, f *fixture) {
	const n = 50
	var records []store.Record
	for i := range n {
		records = append(records, record(strconv.Itoa(i)))
	}
	f.put(t, records...)
	leases := f.lease(t, n, time.Hour)
	same(t, "ended", together(t, n, func(i int) (bool, error) {
		err := f.DoneWith(t.Context(), &leases[i], store.Changes{
			Values: []store.Value{{Key: "counter", Value: []byte(leases[i].ID), TTL: time.Hour}}, Expect: []store.Expected{{Key: "counter"}},
		})
		if errors.Is(err, store.ErrChanged) {
			return false, nil
		}
		return true, err
	}), 1)
	f.wantDepth(t, store.Depth{Leased: n - 1})
}

// testDoneWithContention ends many leases at once, each with its own changes: no
// lease's changes get to another.
func testDoneWithContention(t *testing.T, f *fixture) {
	const n = 100
	var records []store.Record
	for i := range n {
		records = append(records, record(strconv.Itoa(i)))
	}
	f.put(t, records...)
	leases := f.lease(t, n, time.Hour)
	same(t, "ended", together(t, n, func(i int) (bool, error) {
		c := store.Changes{}
		if i%2 == 0 {
			c = allChanges(leases[i].ID)
		}
		return true, f.DoneWith(t.Context(), &leases[i], c)
	}), n)
	f.wantDepth(t, store.Depth{Waiting: n/2 + n/2 + 1})
	bodies := f.bodies(t)
	for i, l := range leases {
		same(t, "entry of "+l.ID, bodies["noted by "+l.ID] == "a", i%2 == 0)
		same(t, "value of "+l.ID, string(f.get(t, "value of "+l.ID)) == "c", i%2 == 0)
	}
	f.advance(time.Hour)
	for _, l := range f.lease(t, 2*n, time.Hour) {
		same(t, "body", string(l.Body), "body of "+l.ID)
	}
}

// drawChanges draws changes, and reports whether all values are as they expect them.
func (m *model) drawChanges(t *rapid.T) (c store.Changes, asExpected bool) {
	c = store.Changes{
		Next:   genRecords.Draw(t, "next"),
		Amend:  genEntries.Draw(t, "amend"),
		Values: genValues.Draw(t, "values"),
	}
	asExpected = true
	for range rapid.IntRange(0, 2).Draw(t, "expected") {
		key := genID.Draw(t, "expected key")
		e := store.Expected{Key: key}
		is, there := m.values[key]
		there = there && is.expires > m.now
		if there {
			e.Value = []byte(is.value)
		}
		if rapid.Bool().Draw(t, "wrong") {
			asExpected = false
			if there = !there; there {
				e.Value = []byte{}
			} else {
				e.Value = nil
			}
		}
		c.Expect = append(c.Expect, e)
	}
	return c, asExpected
}

// make makes the changes in the model.
func (m *model) make(c store.Changes) {
	m.enqueue(c.Next)
	for _, e := range c.Amend {
		m.amendEntry(e.ID, e.Body)
	}
	for _, v := range c.Values {
		m.values[v.Key] = modelValue{string(v.Value), m.now + v.TTL}
	}
}

func (m *model) change(t *rapid.T) {
	c, asExpected := m.drawChanges(t)
	err := m.Change(t.Context(), c)
	switch {
	case slices.ContainsFunc(c.Next, func(r store.Record) bool { return m.remembers(r.ID) }):
		wantErr(t, "Change", err, store.ErrKnown)
	case !asExpected:
		wantErr(t, "Change", err, store.ErrChanged)
	default:
		ok(t, "Change", err)
		m.make(c)
	}
}

func (m *model) doneWith(t *rapid.T) {
	c, asExpected := m.drawChanges(t)
	r := m.withLease(t, func(l *store.Lease) error {
		err := m.DoneWith(t.Context(), l, c)
		if !asExpected && !errors.Is(err, store.ErrLeaseLost) {
			wantErr(t, "DoneWith", err, store.ErrChanged)
			err = nil
		}
		return err
	})
	if r == nil || !asExpected {
		return
	}
	m.make(c) // while the id of this record is remembered
	delete(m.queue, r.id)
}
