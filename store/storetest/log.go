package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

func (f *fixture) append(t failer, key, id, body string, most int) {
	t.Helper()
	ok(t, "Append", f.Append(t.Context(), key, id, []byte(body), most))
}

// appended lists all entries of a log, newest first, each as id=body.
func (f *fixture) appended(t failer, key string) (all []string) {
	t.Helper()
	for cursor := ""; ; {
		entries, next, err := f.Appended(t.Context(), key, cursor, 2)
		ok(t, "Appended", err)
		for _, e := range entries {
			all = append(all, e.ID+"="+string(e.Body))
		}
		if cursor = next; cursor == "" {
			return all
		}
	}
}

func testLog(t *testing.T, f *fixture) {
	same(t, "a log that nobody appended to", f.appended(t, "log"), nil)
	body := []byte("first")
	ok(t, "Append", f.Append(t.Context(), "log", "a", body, 3))
	clear(body)
	f.append(t, "another log", "a", "of another log", 3)
	f.advance(time.Hour)
	f.append(t, "log", "b", "", 3)
	f.append(t, "log", "a", "replaced, and longer", 3)
	same(t, "entries", f.appended(t, "log"), []string{"a=replaced, and longer", "b="})
	f.advance(time.Hour)
	f.append(t, "log", "b", "", 3)
	same(t, "entries", f.appended(t, "log"), []string{"b=", "a=replaced, and longer"})
	entries, _, err := f.Appended(t.Context(), "log", "", 2)
	ok(t, "Appended", err)
	if d := entries[0].At.Sub(entries[1].At); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("b was appended %v after a, want 1h", d)
	}
	same(t, "another log", f.appended(t, "another log"), []string{"a=of another log"})
	ids, _ := f.entries(t, "", 10)
	same(t, "entries of the journal", len(ids), 0)
	for _, n := range []int{0, -1} {
		entries, _, err := f.Appended(t.Context(), "log", "", n)
		ok(t, "Appended", err)
		same(t, "entries of n", len(entries), 0)
	}
	_, _, err = f.Appended(t.Context(), "log", "x", 1)
	wantErr(t, "a cursor that is none", err, store.ErrBadCursor)
}

func testLogKeepsTheNewest(t *testing.T, f *fixture) {
	for i := range 20 {
		f.append(t, "log", strconv.Itoa(i), "", 5)
	}
	same(t, "the newest", f.appended(t, "log"), []string{"19=", "18=", "17=", "16=", "15="})
	f.append(t, "log", "16", "replaced", 5)
	same(t, "one that is there", f.appended(t, "log"), []string{"16=replaced", "19=", "18=", "17=", "15="})
	f.append(t, "log", "3", "again", 5)
	same(t, "one that was removed", f.appended(t, "log"), []string{"3=again", "16=replaced", "19=", "18=", "17="})
	f.append(t, "log", "17", "the oldest", 5)
	same(t, "the oldest", f.appended(t, "log"), []string{"17=the oldest", "3=again", "16=replaced", "19=", "18="})
	f.append(t, "log", "20", "", 2)
	same(t, "fewer", f.appended(t, "log"), []string{"20=", "17=the oldest"})
	f.append(t, "log", "21", "", 3)
	same(t, "more", f.appended(t, "log"), []string{"21=", "20=", "17=the oldest"})
}

func testLogTTL(t *testing.T, f *fixture) {
	for _, id := range []string{"a", "b", "c"} {
		f.append(t, "log", id, "", 3)
	}
	f.advance(store.DefaultJournalTTL - time.Hour)
	f.append(t, "log", "d", "", 3)
	f.append(t, "log", "b", "lives longer for that", 3)
	f.advance(time.Hour)
	same(t, "when the others expired", f.appended(t, "log"), []string{"b=lives longer for that", "d="})
	f.append(t, "log", "c", "anew", 4)
	f.append(t, "log", "e", "", 4)
	same(t, "appended anew", f.appended(t, "log"), []string{"e=", "c=anew", "b=lives longer for that", "d="})
	f.advance(store.DefaultJournalTTL)
	same(t, "all expired", f.appended(t, "log"), nil)
}

func testLogContention(t *testing.T, f *fixture) {
	const writers, each, most = 8, 50, 40
	together(t, writers, func(i int) (bool, error) {
		for n := range each {
			if err := f.Append(t.Context(), "log", fmt.Sprint(i, "-", n), nil, most); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	all := f.appended(t, "log")
	same(t, "entries", len(all), most)
	for i := range writers { // those of one writer are in its order
		var own []string
		for _, e := range all {
			var writer, n int
			if _, err := fmt.Sscanf(e, "%d-%d=", &writer, &n); err != nil {
				t.Fatalf("entry %q: %v", e, err)
			}
			if writer == i {
				own = append(own, fmt.Sprintf("%03d", n))
			}
		}
		if !slices.IsSortedFunc(own, func(a, b string) int { return cmp.Compare(b, a) }) {
			t.Errorf("entries of one writer are not newest first: %v", own)
		}
	}
}

func testLogRestart(t *testing.T, f *fixture) {
	f.append(t, "log", "a", "kept", 3)
	f.append(t, "log", "b", "", 3)
	f.reopen(t)
	f.append(t, "log", "c", "", 2)
	same(t, "after a restart", f.appended(t, "log"), []string{"c=", "b="})
	f.append(t, "log", "long", string(make([]byte, 1<<20)), 2)
	f.reopen(t)
	entries, _, err := f.Appended(t.Context(), "log", "", 1)
	ok(t, "Appended", err)
	same(t, "bytes of a long body", len(entries[0].Body), 1<<20)
}
