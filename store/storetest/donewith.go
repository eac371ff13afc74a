package storetest

import (
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// allChanges has each kind of change, with name in all ids and keys.
func allChanges(name string) store.Changes {
	return store.Changes{
		Next:   []store.Record{record("next of " + name)},
		Note:   []store.Entry{{ID: "noted by " + name, Body: []byte("a")}, {ID: "noted before", Body: []byte("not replaced")}},
		Amend:  []store.Entry{{ID: "amended by " + name, Body: []byte("b")}, {ID: "amended before", Body: []byte("replaced")}},
		Values: []store.Value{{Key: "value of " + name, Value: []byte("c"), TTL: time.Hour}, {Key: "set before", Value: nil, TTL: 2 * time.Hour}},
	}
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
	f.put(t, record("work"))
	return f.leaseOne(t, time.Minute)
}

func testDoneWith(t *testing.T, f *fixture) {
	l := f.prepareChanges(t)
	c := allChanges("it")
	ok(t, "DoneWith", f.DoneWith(t.Context(), l, c))
	for _, b := range [][]byte{c.Next[0].Body, c.Note[0].Body, c.Amend[1].Body, c.Values[0].Value} {
		clear(b)
	}
	f.reopen(t)
	f.wantDepth(t, store.Depth{Due: 1})
	next := f.leaseOne(t, time.Minute)
	same(t, "next", []string{next.ID, string(next.Body)}, []string{"next of it", "body of next of it"})
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

	ok(t, "DoneWith nothing", f.DoneWith(t.Context(), f.leaseOne(t, time.Minute), store.Changes{}))
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
	f.wantDepth(t, store.Depth{Due: n / 2})
	bodies := f.bodies(t)
	for i, l := range leases {
		same(t, "entry of "+l.ID, bodies["noted by "+l.ID] == "a", i%2 == 0)
		same(t, "value of "+l.ID, string(f.get(t, "value of "+l.ID)) == "c", i%2 == 0)
	}
	for _, l := range f.lease(t, n, time.Hour) {
		same(t, "body", string(l.Body), "body of "+l.ID)
	}
}
