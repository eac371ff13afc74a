package storetest

import (
	"fmt"
	"slices"
	"strconv"
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
		same(t, "entry "+want.ID, []any{got.ID, string(got.Body), got.At}, []any{want.ID, string(want.Body), want.At})
	}
	f.advance(store.DefaultJournalTTL)
	for _, id := range []string{"a", "unknown"} {
		got, err := f.Entry(ctx, id)
		ok(t, "Entry", err)
		if got != nil {
			t.Errorf("entry %+v, want none", got)
		}
	}
}
