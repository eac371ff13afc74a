package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// dead lists the buried records, newest first.
func (f *fixture) dead(t failer) []store.DeadRecord {
	t.Helper()
	dead, next, err := f.Dead(t.Context(), "", 100)
	ok(t, "Dead", err)
	same(t, "cursor at the end", next, "")
	return dead
}

// records lists the records of the queue, soonest first.
func (f *fixture) records(t failer) []store.QueuedRecord {
	t.Helper()
	records, next, err := f.Records(t.Context(), "", 100)
	ok(t, "Records", err)
	same(t, "cursor at the end", next, "")
	return records
}

// bury puts a record, leases it and buries it.
func (f *fixture) bury(t failer, r store.Record) {
	t.Helper()
	f.put(t, r)
	ok(t, "Bury", f.Bury(t.Context(), f.leaseOne(t, time.Minute), "reason of "+r.ID))
}

func recordIDs(records []store.QueuedRecord) []string {
	var ids []string
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

func testRecordsOrder(t *testing.T, f *fixture) {
	same(t, "empty queue", len(f.records(t)), 0)
	f.put(t, record("first"))
	first := f.leaseOne(t, 2*time.Hour)
	soon, late := record("soon"), record("late")
	soon.After, late.After = time.Hour, 3*time.Hour
	f.put(t, late, record("due"), soon)
	got := f.records(t)
	same(t, "records", recordIDs(got), []string{"due", "soon", "first", "late"})
	for _, r := range got {
		same(t, "record", []any{r.Kind, string(r.Body)}, []any{"event", "body of " + r.ID})
		if r.ID == "first" {
			same(t, "a leased record", []any{r.Attempt, r.Due, r.Expires, r.Next()}, []any{1, first.Due, first.Expires, first.Expires})
		} else {
			same(t, "a record that is not leased", []any{r.Attempt, r.Expires, r.Next()}, []any{0, time.Time{}, r.Due})
		}
	}
	if d := got[1].Due.Sub(got[0].Due); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("the second is due %v after the first, want 1h", d)
	}
	first.Body = []byte("saved")
	ok(t, "Defer", f.Defer(t.Context(), first, 100*time.Hour))
	got = f.records(t)
	same(t, "records, one of them deferred", recordIDs(got), []string{"due", "soon", "late", "first"})
	same(t, "a deferred record", []any{got[3].Attempt, string(got[3].Body), got[3].Expires}, []any{1, "saved", time.Time{}})
	f.reopen(t)
	same(t, "records after a restart", recordIDs(f.records(t)), []string{"due", "soon", "late", "first"})
}

// testRecordsPaging pages through records of which many are due at the same time, and
// whose ids differ in length and in bytes that sort differently in some locales, while
// others come and go.
func testRecordsPaging(t *testing.T, f *fixture) {
	var all []store.Record
	for i := range 40 {
		r := record(fmt.Sprintf("%s%d", []string{"a", "B", "-", "_", "é"}[i%5], i))
		r.After = time.Duration(i/10) * time.Hour
		all = append(all, r)
	}
	f.put(t, all...)
	f.lease(t, 5, 90*time.Minute) // of those that are due
	var want []string
	for _, r := range f.records(t) {
		want = append(want, r.ID)
	}
	same(t, "number of records", len(want), len(all))
	for _, size := range []int{1, 3, 7, 39, 40, 41} {
		var got, left []string
		cursor, pages := "", 0
		for {
			records, next, err := f.Records(t.Context(), cursor, size)
			ok(t, "Records", err)
			if len(records) == 0 || len(records) > size || pages > 10*len(all) {
				t.Fatalf("page %d of %d has %d records", pages, size, len(records))
			}
			got = append(got, recordIDs(records)...)
			pages++
			// What comes and goes meanwhile moves nothing.
			come := fmt.Sprintf("come-%d-%d", size, pages)
			f.put(t, record(come))
			if pages%2 == 0 || next == "" {
				ok(t, "Drop", f.Drop(t.Context(), come, store.Changes{}))
			} else {
				left = append(left, come)
			}
			if next == "" {
				break
			}
			cursor = next
		}
		for _, id := range left {
			ok(t, "Drop", f.Drop(t.Context(), id, store.Changes{}))
		}
		got = slices.DeleteFunc(got, func(id string) bool { return id[:1] == "c" })
		same(t, fmt.Sprintf("records in pages of %d", size), got, want)
	}
	// The record that a cursor stands for may be gone.
	records, next, err := f.Records(t.Context(), "", 1)
	ok(t, "Records", err)
	ok(t, "Drop", f.Drop(t.Context(), records[0].ID, store.Changes{}))
	rest, _, err := f.Records(t.Context(), next, 100)
	ok(t, "Records", err)
	if slices.Contains(recordIDs(rest), records[0].ID) || len(rest) < len(all)-1 {
		t.Errorf("after a dropped record follow %q", recordIDs(rest))
	}
	for _, n := range []int{0, -1} {
		records, next, err := f.Records(t.Context(), "", n)
		ok(t, "Records", err)
		same(t, "records of n", []any{len(records), next}, []any{0, ""})
	}
	for _, cursor := range []string{"x", "-1", "0 ", "1.", ".YQ", "\x00", "99999999999999999999999"} {
		_, _, err := f.Records(t.Context(), cursor, 1)
		wantErr(t, fmt.Sprintf("cursor %q", cursor), err, store.ErrBadCursor)
		_, _, err = f.Dead(t.Context(), cursor, 1)
		wantErr(t, fmt.Sprintf("cursor %q of Dead", cursor), err, store.ErrBadCursor)
	}
}

func testDeadPaging(t *testing.T, f *fixture) {
	const n = 70
	var want []string
	for i := range n {
		f.bury(t, record(strconv.Itoa(i)))
		f.advance(time.Minute)
		want = slices.Insert(want, 0, strconv.Itoa(i))
	}
	for _, size := range []int{1, 30, 50, 51, n - 1, n, n + 1} {
		var got []string
		for cursor := ""; ; {
			dead, next, err := f.Dead(t.Context(), cursor, size)
			ok(t, "Dead", err)
			if len(dead) == 0 || len(dead) > size {
				t.Fatalf("a page of %d has %d records", size, len(dead))
			}
			for _, d := range dead {
				got = append(got, d.ID)
			}
			if cursor = next; next == "" {
				break
			}
		}
		same(t, fmt.Sprintf("dead records in pages of %d", size), got, want)
	}
	for _, n := range []int{0, -1} {
		dead, next, err := f.Dead(t.Context(), "", n)
		ok(t, "Dead", err)
		same(t, "dead records of n", []any{len(dead), next}, []any{0, ""})
	}
}

// testLargePages: a page ends with the record whose body makes it large.
func testLargePages(t *testing.T, f *fixture) {
	for _, id := range []string{"a", "b", "c"} {
		r := record(id)
		r.Body = make([]byte, store.MaxPage/2)
		f.bury(t, r)
		f.advance(time.Minute)
		r.ID, r.After = "later "+id, time.Hour
		f.put(t, r)
	}
	records, next, err := f.Records(t.Context(), "", 100)
	ok(t, "Records", err)
	dead, deadNext, err := f.Dead(t.Context(), "", 100)
	ok(t, "Dead", err)
	same(t, "records", []any{len(records), next != "", len(dead), deadNext != ""}, []any{2, true, 2, true})
	records, next, err = f.Records(t.Context(), next, 100)
	ok(t, "Records", err)
	dead, deadNext, err = f.Dead(t.Context(), deadNext, 100)
	ok(t, "Dead", err)
	same(t, "records of the next page", []any{len(records), next, len(dead), deadNext}, []any{1, "", 1, ""})
}

func testFind(t *testing.T, f *fixture) {
	find := func(id string) (queued, dead string) {
		t.Helper()
		q, d, err := f.Find(t.Context(), id)
		ok(t, "Find", err)
		if q != nil {
			queued = fmt.Sprint(q.ID, " ", q.Kind, " ", string(q.Body), " ", q.Attempt, " leased: ", !q.Expires.IsZero())
		}
		if d != nil {
			dead = fmt.Sprint(d.ID, " ", d.Kind, " ", string(d.Body), " ", d.Reason)
		}
		return queued, dead
	}
	want := func(what, id, queued, dead string) {
		t.Helper()
		gotQueued, gotDead := find(id)
		same(t, what, []string{gotQueued, gotDead}, []string{queued, dead})
	}
	want("an unknown id", "a", "", "")
	f.put(t, record("a"))
	want("a due record", "a", "a event body of a 0 leased: false", "")
	l := f.leaseOne(t, time.Minute)
	want("a leased record", "a", "a event body of a 1 leased: true", "")
	ok(t, "Bury", f.Bury(t.Context(), l, "first"))
	want("a dead record", "a", "", "a event body of a first")
	f.advance(store.DefaultDedupeTTL)
	f.put(t, record("a"))
	want("a record that is dead and in the queue", "a", "a event body of a 0 leased: false", "")
	ok(t, "Bury", f.Bury(t.Context(), f.leaseOne(t, time.Minute), "second"))
	want("a record that died twice", "a", "", "a event body of a second")
	f.put(t, record("b"))
	ok(t, "Done", f.Done(t.Context(), f.leaseOne(t, time.Minute)))
	want("a record that is done", "b", "", "")
}

func testRequeue(t *testing.T, f *fixture) {
	f.put(t, record("a"))
	for range 3 {
		l := f.leaseOne(t, time.Minute)
		l.Body = []byte("saved")
		ok(t, "Defer", f.Defer(t.Context(), l, time.Hour))
		f.advance(time.Hour)
	}
	old := f.leaseOne(t, time.Minute)
	ok(t, "Bury", f.Bury(t.Context(), old, "reason"))
	f.bury(t, record("b"))
	f.advance(store.DefaultDedupeTTL - time.Hour)

	ok(t, "Requeue", f.Requeue(t.Context(), "a", store.Changes{}))
	f.wantDepth(t, store.Depth{Due: 1, Dead: 1})
	f.reopen(t)
	l := f.leaseOne(t, time.Minute)
	same(t, "record", []any{l.ID, l.Kind, string(l.Body), l.Attempt}, []any{"a", "event", "saved", 1})
	wantErr(t, "Done by an owner before", f.Done(t.Context(), old), store.ErrLeaseLost)
	ok(t, "Done", f.Done(t.Context(), l))
	f.advance(2 * time.Hour)
	same(t, "an id is remembered from its Requeue on", f.put(t, record("a"), record("b")), []bool{false, true})
	f.advance(store.DefaultDedupeTTL)
	same(t, "and not for longer", f.put(t, record("a")), []bool{true})
	f.lease(t, 10, 100*time.Hour)

	// The last of several is put back.
	for _, body := range []string{"first", "second"} {
		r := record("again")
		r.Body = []byte(body)
		f.bury(t, r)
		f.advance(store.DefaultDedupeTTL)
	}
	ok(t, "Requeue", f.Requeue(t.Context(), "again", store.Changes{}))
	wantErr(t, "Requeue while it is queued", f.Requeue(t.Context(), "again", store.Changes{}), store.ErrQueued)
	ended := make(chan error, 1)
	same(t, "dead records that are left", []string{f.dead(t)[0].ID, f.dead(t)[1].ID}, []string{"again", "b"})
	l = f.leaseAgain(t, "again")
	same(t, "body", string(l.Body), "second")
	ok(t, "Done", f.Done(t.Context(), l))
	go func() { ended <- f.Wait(t.Context(), 24*time.Hour) }()
	ok(t, "Requeue", f.Requeue(t.Context(), "again", store.Changes{}))
	ok(t, "Wait and Requeue", <-ended)
	same(t, "body", string(f.leaseAgain(t, "again").Body), "first")
}

// leaseAgain leases the record with the id, and all others that are due.
func (f *fixture) leaseAgain(t failer, id string) *store.Lease {
	t.Helper()
	for _, l := range f.lease(t, 100, time.Minute) {
		if l.ID == id {
			return &l
		}
	}
	t.Fatalf("%s is not due", id)
	return nil
}

func testRequeueOnce(t *testing.T, f *fixture) {
	f.bury(t, record("a"))
	requeued := together(t, 16, func(int) (bool, error) {
		err := f.Requeue(t.Context(), "a", store.Changes{})
		if errors.Is(err, store.ErrQueued) || errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
	same(t, "requeued", requeued, 1)
	f.wantDepth(t, store.Depth{Due: 1})
}

func testRequeueNotDead(t *testing.T, f *fixture) {
	waiting := record("waiting")
	waiting.After = time.Hour
	f.put(t, record("done"))
	ok(t, "Done", f.Done(t.Context(), f.leaseOne(t, time.Minute)))
	f.put(t, waiting, record("leased"))
	f.leaseOne(t, time.Hour)
	for id, want := range map[string]error{
		"unknown": store.ErrNotFound, "done": store.ErrNotFound, "waiting": store.ErrQueued, "leased": store.ErrQueued,
	} {
		wantErr(t, "Requeue of "+id, f.Requeue(t.Context(), id, store.Changes{}), want)
	}
	f.wantDepth(t, store.Depth{Waiting: 1, Leased: 1})
}

func testHasten(t *testing.T, f *fixture) {
	ctx := t.Context()
	waiting := record("waiting")
	waiting.After = 24 * time.Hour
	f.put(t, waiting, record("leased"))
	l := f.leaseOne(t, time.Minute)
	l.Body = []byte("saved")
	wantErr(t, "Hasten of a leased record", f.Hasten(ctx, "leased"), store.ErrLeased)
	wantErr(t, "Hasten of an unknown record", f.Hasten(ctx, "unknown"), store.ErrNotFound)
	ok(t, "Defer", f.Defer(ctx, l, time.Hour))
	f.wantDepth(t, store.Depth{Waiting: 2})

	ended := make(chan error, 1)
	go func() { ended <- f.Wait(ctx, 24*time.Hour) }()
	ok(t, "Hasten", f.Hasten(ctx, "leased"))
	ok(t, "Wait and Hasten", <-ended)
	ok(t, "Hasten of a due record", f.Hasten(ctx, "leased"))
	f.reopen(t)
	f.wantDepth(t, store.Depth{Due: 1, Waiting: 1})
	again := f.leaseOne(t, time.Minute)
	same(t, "record", []any{again.ID, string(again.Body), again.Attempt}, []any{"leased", "saved", 2})
	wantErr(t, "Done by the owner before", f.Done(ctx, l), store.ErrLeaseLost)
	f.advance(time.Minute)
	ok(t, "Hasten after the lease expired", f.Hasten(ctx, "leased"))
	ok(t, "Done with that lease", f.Done(ctx, again))
	wantErr(t, "Hasten of a record that is done", f.Hasten(ctx, "leased"), store.ErrNotFound)
	f.bury(t, record("dead"))
	wantErr(t, "Hasten of a dead record", f.Hasten(ctx, "dead"), store.ErrNotFound)
	f.wantDepth(t, store.Depth{Waiting: 1, Dead: 1})
}

func testDrop(t *testing.T, f *fixture) {
	ctx := t.Context()
	waiting := record("waiting")
	waiting.After = time.Hour
	f.bury(t, record("dead"))
	f.put(t, record("leased"))
	l := f.leaseOne(t, time.Minute)
	f.put(t, waiting, record("due"))
	wantErr(t, "Drop of a leased record", f.Drop(ctx, "leased", allChanges("a leased record")), store.ErrLeased)
	wantErr(t, "Drop of an unknown record", f.Drop(ctx, "unknown", allChanges("an unknown record")), store.ErrNotFound)
	f.wantDepth(t, store.Depth{Due: 1, Waiting: 1, Leased: 1, Dead: 1})
	for _, id := range []string{"waiting", "due", "dead"} {
		ok(t, "Drop of "+id, f.Drop(ctx, id, store.Changes{}))
		wantErr(t, "second Drop of "+id, f.Drop(ctx, id, store.Changes{}), store.ErrNotFound)
	}
	f.wantDepth(t, store.Depth{Leased: 1})
	f.advance(time.Minute)
	ok(t, "Drop after the lease expired", f.Drop(ctx, "leased", store.Changes{}))
	wantErr(t, "Done of a dropped record", f.Done(ctx, l), store.ErrLeaseLost)
	f.reopen(t)
	f.wantDepth(t, store.Depth{})
	same(t, "ids of dropped records", f.put(t, record("waiting"), record("due"), record("dead"), record("leased")), []bool{false, false, false, false})
	f.advance(store.DefaultDedupeTTL)
	same(t, "ids that are forgotten", f.put(t, record("waiting"), record("leased")), []bool{true, true})
	same(t, "entries", len(f.bodies(t)), 0)
	for _, l := range f.lease(t, 10, time.Minute) {
		same(t, "body", string(l.Body), "body of "+l.ID)
	}
}

// testSteeredWithChanges: the changes are made with the requeue or the drop, or neither is.
func testSteeredWithChanges(t *testing.T, f *fixture) {
	ctx := t.Context()
	ok(t, "Done", f.Done(ctx, f.prepareChanges(t)))
	f.bury(t, record("requeued"))
	f.bury(t, record("dead"))
	waiting := record("waiting")
	waiting.After = time.Hour
	f.put(t, waiting)
	steps := []struct {
		name string
		do   func(id string, c store.Changes) error
	}{
		{"waiting", func(id string, c store.Changes) error { return f.Drop(ctx, id, c) }},
		{"dead", func(id string, c store.Changes) error { return f.Drop(ctx, id, c) }},
		{"requeued", func(id string, c store.Changes) error { return f.Requeue(ctx, id, c) }},
	}
	for _, step := range steps {
		c := allChanges(step.name)
		c.Expect = []store.Expected{{Key: "never set", Value: []byte{}}}
		wantErr(t, "a change of "+step.name+" that expects what is not there", step.do(step.name, c), store.ErrChanged)
		wantErr(t, "a change of an unknown record", step.do("unknown", c), store.ErrNotFound)
	}
	f.wantDepth(t, store.Depth{Waiting: 1, Dead: 2})
	same(t, "bodies", f.bodies(t), map[string]string{"amended before": "old", "noted before": "old"})
	same(t, "value", string(f.get(t, "set before")), "old")

	for _, step := range steps {
		c := allChanges(step.name)
		c.Expect = []store.Expected{{Key: "never set"}, {Key: "value of " + step.name}}
		ok(t, "a change of "+step.name, step.do(step.name, c))
		clear(c.Amend[1].Body)
	}
	f.reopen(t)
	f.wantDepth(t, store.Depth{Due: 1, Waiting: 2 * len(steps)}) // the second next records have a note that is there
	bodies := f.bodies(t)
	for _, step := range steps {
		same(t, "entries of "+step.name, []string{bodies["noted by "+step.name], bodies["amended by "+step.name]}, []string{"a", "b"})
		same(t, "value", string(f.get(t, "value of "+step.name)), "c")
	}
	same(t, "an entry that was there", bodies["amended before"], "replaced")
}

// testDropOnce drops records while workers lease and end them: each is either done or
// dropped.
func testDropOnce(t *testing.T, f *fixture) {
	const n = 100
	var records []store.Record
	for i := range n {
		records = append(records, record(strconv.Itoa(i)))
	}
	f.put(t, records...)
	ended := together(t, 2*n, func(i int) (bool, error) {
		if i < n {
			err := f.Drop(t.Context(), strconv.Itoa(i), store.Changes{})
			if errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		}
		leases, err := f.Lease(t.Context(), 1, time.Hour)
		if err != nil || len(leases) == 0 {
			return false, err
		}
		return true, f.Done(t.Context(), &leases[0])
	})
	d, err := f.Depth(t.Context())
	ok(t, "Depth", err)
	same(t, "ended, and left", ended+d.Due+d.Leased, n)
}
