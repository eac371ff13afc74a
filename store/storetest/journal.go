package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func testEntriesOrder(t *testing.T, f *fixture) {
	ids, next := f.entries(t, "", 10)
	same(t, "empty journal", ids, []string(nil))
	same(t, "its cursor", next, "")
	for _, id := range []string{"b", "c", "a"} {
		ok(t, "Note", f.Note(t.Context(), id, []byte("body of "+id)))
	}
	f.advance(time.Hour)
	ok(t, "Note", f.Note(t.Context(), "last", nil))
	entries, next, err := f.Entries(t.Context(), "", 10)
	ok(t, "Entries", err)
	same(t, "cursor at the end", next, "")
	same(t, "entries", len(entries), 4)
	for i, id := range []string{"last", "a", "c", "b"} {
		same(t, "id", entries[i].ID, id)
	}
	same(t, "body", string(entries[1].Body), "body of a")
	same(t, "empty body", len(entries[0].Body), 0)
	if d := entries[0].At.Sub(entries[1].At); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("the last was noted %v after the others, want 1h", d)
	}
	for i, e := range entries[1:] {
		if e.Seq >= entries[i].Seq || e.Seq == 0 {
			t.Errorf("the place of %s is %d, after %d", e.ID, e.Seq, entries[i].Seq)
		}
		following, _ := f.entries(t, entries[i].Cursor(), 1)
		same(t, "the entry at the cursor of the one before", following, []string{e.ID})
	}
}

func testEntriesPaging(t *testing.T, f *fixture) {
	const n = 25
	var want []string
	for i := range n {
		id := strconv.Itoa(i)
		ok(t, "Note", f.Note(t.Context(), id, nil))
		want = append([]string{id}, want...)
	}
	for _, size := range []int{1, 4, 5, 24, 25, 26} {
		var got []string
		cursor, pages := "", 0
		for {
			ids, next := f.entries(t, cursor, size)
			if len(ids) == 0 || len(ids) > size || len(got) > 10*n {
				t.Fatalf("a page of %d has %d entries after %d others", size, len(ids), len(got))
			}
			got = append(got, ids...)
			pages++
			// What comes while someone pages moves nothing.
			ok(t, "Note", f.Note(t.Context(), fmt.Sprintf("new-%d-%d", size, pages), nil))
			ok(t, "Amend", f.Amend(t.Context(), "7", []byte("amended")))
			if next == "" {
				break
			}
			cursor = next
		}
		got = slices.DeleteFunc(got, func(id string) bool { return len(id) > 3 }) // of earlier rounds
		same(t, fmt.Sprintf("entries in pages of %d", size), got, want)
	}
	for _, n := range []int{0, -1} {
		ids, _ := f.entries(t, "", n)
		same(t, "entries of n", len(ids), 0)
	}
	for _, cursor := range []string{"x", "-1", "0 ", "\x00", "99999999999999999999999"} {
		_, _, err := f.Entries(t.Context(), cursor, 1)
		wantErr(t, fmt.Sprintf("cursor %q", cursor), err, store.ErrBadCursor)
	}
}

func testNoteAmend(t *testing.T, f *fixture) {
	ctx := t.Context()
	body := func(id string) string {
		t.Helper()
		entries, _, err := f.Entries(ctx, "", 10)
		ok(t, "Entries", err)
		i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.ID == id })
		if i < 0 {
			t.Fatalf("no entry %q", id)
		}
		return string(entries[i].Body)
	}
	ok(t, "Note", f.Note(ctx, "a", []byte("first")))
	ok(t, "Note", f.Note(ctx, "b", nil))
	before, _, err := f.Entries(ctx, "", 10)
	ok(t, "Entries", err)

	f.advance(time.Hour)
	ok(t, "Note", f.Note(ctx, "a", []byte("second")))
	same(t, "body after a second Note", body("a"), "first")
	ok(t, "Amend", f.Amend(ctx, "a", []byte("amended, and longer")))
	same(t, "body after Amend", body("a"), "amended, and longer")
	ok(t, "Amend", f.Amend(ctx, "c", []byte("added")))
	same(t, "body of what Amend added", body("c"), "added")
	ok(t, "Amend", f.Amend(ctx, "b", nil))

	after, _, err := f.Entries(ctx, "", 10)
	ok(t, "Entries", err)
	same(t, "entries", len(after), 3)
	for i, e := range before {
		same(t, "place of an amended entry", after[i+1].ID, e.ID)
		same(t, "time of an amended entry", after[i+1].At, e.At)
	}
}

func testNoteContention(t *testing.T, f *fixture) {
	together(t, 32, func(i int) (bool, error) {
		if i%2 == 0 {
			return true, f.Amend(t.Context(), "same", []byte("amended"))
		}
		return true, f.Note(t.Context(), "same", []byte("amended"))
	})
	ids, _ := f.entries(t, "", 10)
	same(t, "entries", ids, []string{"same"})
}

func testEntriesTTL(t *testing.T, f *fixture) {
	ctx := t.Context()
	ok(t, "Note", f.Note(ctx, "a", nil))
	ok(t, "Note", f.Note(ctx, "b", nil))
	f.advance(store.DefaultJournalTTL - time.Hour)
	ok(t, "Note", f.Note(ctx, "c", nil))
	ok(t, "Amend", f.Amend(ctx, "a", []byte("does not live longer for that")))
	ids, cursor := f.entries(t, "", 1)
	same(t, "before the time to live ends", ids, []string{"c"})
	f.advance(time.Hour)
	ids, next := f.entries(t, cursor, 10)
	same(t, "older than the time to live", ids, []string(nil))
	same(t, "cursor", next, "")
	ok(t, "Amend", f.Amend(ctx, "b", nil))
	ok(t, "Note", f.Note(ctx, "a", []byte("new")))
	entries, _, err := f.Entries(ctx, "", 10)
	ok(t, "Entries", err)
	same(t, "entries", len(entries), 3)
	same(t, "noted anew", []string{entries[0].ID, string(entries[0].Body)}, []string{"a", "new"})
	same(t, "amended anew", entries[1].ID, "b")
	if d := entries[0].At.Sub(entries[2].At); d < time.Hour {
		t.Errorf("noted anew %v after an entry of an hour ago", d)
	}
}

func testEntry(t *testing.T, f *fixture) {
	ctx := t.Context()
	ok(t, "Note", f.Note(ctx, "a", []byte("first")))
	ok(t, "Note", f.Note(ctx, "b", nil))
	ok(t, "Amend", f.Amend(ctx, "a", []byte("amended")))
	entries, _, err := f.Entries(ctx, "", 10)
	ok(t, "Entries", err)
	for _, want := range entries {
		got, err := f.Entry(ctx, want.ID)
		ok(t, "Entry", err)
		if got == nil {
			t.Fatalf("Entry finds no %q", want.ID)
		}
		same(t, "entry "+want.ID, *got, want)
	}
	some, err := f.EntriesOf(ctx, "a", "unknown", "b")
	ok(t, "EntriesOf", err)
	same(t, "entries by their ids", some, []store.Entry{entries[1], entries[0]})
	none, err := f.EntriesOf(ctx)
	ok(t, "EntriesOf", err)
	same(t, "entries of no ids", len(none), 0)

	f.advance(store.DefaultJournalTTL)
	for _, id := range []string{"a", "unknown"} {
		got, err := f.Entry(ctx, id)
		ok(t, "Entry", err)
		if got != nil {
			t.Errorf("entry %+v, want none", got)
		}
	}
}

// amended returns the ids that Amended yields after a mark, in pages of n, and the last mark.
func (f *fixture) amended(t failer, mark string, n int) (all []string, last string) {
	t.Helper()
	for {
		ids, next, err := f.Amended(t.Context(), mark, n)
		ok(t, "Amended", err)
		if len(ids) > n || (len(ids) == 0) != (next == mark) {
			t.Fatalf("%d ids of %d, from the mark %q to %q", len(ids), n, mark, next)
		}
		if next == mark {
			return all, mark
		}
		all, mark = append(all, ids...), next
	}
}

// mark returns the mark of now.
func (f *fixture) mark(t failer) string {
	t.Helper()
	ids, mark, err := f.Amended(t.Context(), "", 10)
	ok(t, "Amended", err)
	same(t, "ids before the mark of now", len(ids), 0)
	return mark
}

func testAmended(t *testing.T, f *fixture) {
	ctx := t.Context()
	start := f.mark(t)
	ok(t, "Note", f.Note(ctx, "a", nil))
	ok(t, "Note", f.Note(ctx, "a", []byte("again")))
	ok(t, "Amend", f.Amend(ctx, "b", []byte("added")))
	f.put(t, store.Record{ID: "record", Note: &store.Entry{ID: "c"}})
	f.append(t, "log", "a", "first", 10)
	f.append(t, "log", "a", "second", 10)
	ids, next := f.amended(t, start, 10)
	same(t, "what was added only", ids, []string(nil))
	same(t, "the mark", next, start)

	ok(t, "Amend", f.Amend(ctx, "a", []byte("amended")))
	ok(t, "DoneWith", f.DoneWith(ctx, f.leaseOne(t, time.Hour), store.Changes{Amend: []store.Entry{{ID: "c"}, {ID: "d"}}, Next: []store.Record{record("dropped")}}))
	middle := f.mark(t)
	ok(t, "Drop", f.Drop(ctx, "dropped", store.Changes{Amend: []store.Entry{{ID: "b"}, {ID: "e"}}}))
	ok(t, "Amend", f.Amend(ctx, "a", []byte("amended")))
	for _, n := range []int{1, 3, 4, 5} {
		ids, next = f.amended(t, start, n)
		same(t, fmt.Sprintf("amendments in pages of %d", n), ids, []string{"a", "c", "b", "a"})
		same(t, "the last mark", next, f.mark(t))
	}
	ids, _ = f.amended(t, middle, 10)
	same(t, "amendments after a later mark", ids, []string{"b", "a"})
	for _, n := range []int{0, -1} {
		ids, next, err := f.Amended(ctx, start, n)
		ok(t, "Amended", err)
		same(t, "amendments of n", len(ids), 0)
		same(t, "the mark after none", next, start)
	}

	f.advance(store.DefaultJournalTTL)
	ok(t, "Amend", f.Amend(ctx, "a", []byte("added anew")))
	same(t, "the mark after what has expired was added", f.mark(t), next)
	for _, mark := range []string{"x", "-1", "0", "1-", "1-1", "5-0", "\x00"} {
		_, _, err := f.Amended(ctx, mark, 1)
		wantErr(t, fmt.Sprintf("mark %q", mark), err, store.ErrAmendmentsMissed)
	}
}

// testAmendedTooMuch: a mark is good until MaxAmendments follow it, and a mark that is not
// good is an error: also after a restart, which may or may not forget amendments.
func testAmendedTooMuch(t *testing.T, f *fixture) {
	ctx := t.Context()
	start := f.mark(t)
	ok(t, "Note", f.Note(ctx, "a", nil))
	batches := 0
	amend := func(times int) {
		t.Helper()
		for ; times > 0; batches++ {
			n := min(times, 500)
			f.put(t, record(strconv.Itoa(batches)))
			changes := store.Changes{Amend: make([]store.Entry, n)}
			for i := range changes.Amend {
				changes.Amend[i].ID = "a"
			}
			ok(t, "DoneWith", f.DoneWith(ctx, f.leaseOne(t, time.Hour), changes))
			times -= n
		}
	}
	count := func(mark string) int {
		ids, _ := f.amended(t, mark, 1000)
		return len(ids)
	}
	amend(1)
	first := f.mark(t)
	amend(store.MaxAmendments - 2)
	same(t, "amendments since the start", count(start), store.MaxAmendments-1)
	amend(1)
	same(t, "amendments since the first", count(first), store.MaxAmendments-1)
	amend(2000) // a backend may have some more
	for _, mark := range []string{start, first} {
		_, _, err := f.Amended(ctx, mark, 1)
		wantErr(t, "Amended, of which the first are forgotten", err, store.ErrAmendmentsMissed)
	}

	last := f.mark(t)
	f.reopen(t)
	ok(t, "Amend", f.Amend(ctx, "a", nil))
	ids, _, err := f.Amended(ctx, last, 10)
	if err != nil {
		wantErr(t, "the mark of an earlier process", err, store.ErrAmendmentsMissed)
	} else {
		same(t, "amendments since the earlier process", ids, []string{"a"})
	}
}

// testAmendedContention: who reads entries and then what was amended since, while others
// amend, has all of them as they are.
func testAmendedContention(t *testing.T, f *fixture) {
	ctx := t.Context()
	var ids []string
	for i := range 8 {
		ids = append(ids, strconv.Itoa(i))
		ok(t, "Note", f.Note(ctx, ids[i], []byte("0")))
	}
	mark := f.mark(t)
	seen := map[string]string{}
	var mu sync.Mutex
	read := func() error {
		mu.Lock()
		defer mu.Unlock()
		amended, next, err := f.Amended(ctx, mark, 1000)
		if err != nil {
			return err
		}
		mark = next
		entries, err := f.EntriesOf(ctx, amended...)
		for _, e := range entries {
			seen[e.ID] = string(e.Body)
		}
		return err
	}
	together(t, 16, func(i int) (bool, error) {
		id := ids[i%len(ids)]
		for k := range 20 {
			body := fmt.Sprintf("%d of %d", k, i)
			if err := f.Amend(ctx, id, []byte(body)); err != nil {
				return false, err
			}
			if err := read(); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	entries, err := f.EntriesOf(ctx, ids...)
	ok(t, "EntriesOf", err)
	for _, e := range entries {
		same(t, "what was seen of "+e.ID, seen[e.ID], string(e.Body))
	}
}
