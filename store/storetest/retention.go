package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
)

const day = 24 * time.Hour

// reopenWith opens the store again, as a process with other settings does.
func (f *fixture) reopenWith(t failer, r store.Retention) {
	t.Helper()
	f.retention = r
	f.reopen(t)
}

// testShorterRetention: what is older is hidden at once, in each list by its own time to live,
// and what comes then removes it.
func testShorterRetention(t *testing.T, f *fixture) {
	const old = 40
	for i := range old {
		ok(t, "Note", f.Note(t.Context(), fmt.Sprint("old-", i), nil))
	}
	f.append(t, "short log", "old", "", 10)
	f.append(t, "long log", "old", "", 10)
	f.advance(8 * day)
	ok(t, "Note", f.Note(t.Context(), "new", nil))
	f.append(t, "short log", "new", "", 10)

	week := store.Retention{Journal: 7 * day, Logs: map[string]time.Duration{"short log": day, "long log": 60 * day}}
	f.reopenWith(t, week)
	ids, _ := f.entries(t, "", 100)
	same(t, "the journal of a week", ids, []string{"new"})
	entry, err := f.Entry(t.Context(), "old-0")
	ok(t, "Entry", err)
	same(t, "an old entry by its id", entry, nil)
	same(t, "the log of a day", f.appended(t, "short log"), []string{"new="})
	same(t, "the log of 60 days", f.appended(t, "long log"), []string{"old="})

	for i := range old { // each removes some that are old
		ok(t, "Note", f.Note(t.Context(), fmt.Sprint("newer-", i), nil))
	}
	f.append(t, "short log", "newer", "", 10)
	f.reopenWith(t, store.Retention{})
	ids, _ = f.entries(t, "", 1000)
	same(t, "entries that were not removed", len(ids), old+1)
	same(t, "the log, from which they were removed", f.appended(t, "short log"), []string{"newer=", "new="})
	f.advance(23 * day)
	same(t, "the log with the default again", f.appended(t, "long log"), nil)
}

// testLongerRetention: what is there when the next entry comes, and that, stay for longer.
func testLongerRetention(t *testing.T, f *fixture) {
	ok(t, "Note", f.Note(t.Context(), "a", nil))
	f.append(t, "log", "a", "", 10)
	f.advance(29 * day)
	f.reopenWith(t, store.Retention{Journal: 90 * day})
	ok(t, "Note", f.Note(t.Context(), "b", nil))
	f.append(t, "log", "b", "", 10)
	f.advance(60 * day)
	ids, _ := f.entries(t, "", 10)
	same(t, "entries after 89 days", ids, []string{"b", "a"})
	same(t, "the log, which lives as long", f.appended(t, "log"), []string{"b=", "a="})
	f.advance(day)
	ids, _ = f.entries(t, "", 10)
	same(t, "entries after 90 days", ids, []string{"b"})
	same(t, "the log", f.appended(t, "log"), []string{"b="})
}
