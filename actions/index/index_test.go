package index_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// kept is how long the journal keeps entries.
const kept = 24 * time.Hour

// journal is a journal that can lose its feed of amendments.
type journal struct {
	store.Store
	missed atomic.Bool  // Amended does not know what was amended
	hidden atomic.Bool  // Amended knows of no amendment, as those of old versions
	read   atomic.Int64 // how many entries were read
}

func openJournal(tb testing.TB, now func() time.Time) *journal {
	tb.Helper()
	db, err := bolt.Open(filepath.Join(tb.TempDir(), "journal.db"), bolt.Options{Now: now, Retention: store.Retention{Journal: kept}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return &journal{Store: db}
}

func (j *journal) Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error) {
	switch {
	case mark != "" && j.missed.Load():
		return nil, "", store.ErrAmendmentsMissed
	case mark != "" && j.hidden.Load():
		return nil, mark, nil
	}
	return j.Store.Amended(ctx, mark, n)
}

func (j *journal) Entries(ctx context.Context, cursor string, n int) (entries []store.Entry, next string, err error) {
	entries, next, err = j.Store.Entries(ctx, cursor, n)
	j.read.Add(int64(len(entries)))
	return entries, next, err
}

func (j *journal) EntriesOf(ctx context.Context, ids ...string) ([]store.Entry, error) {
	entries, err := j.Store.EntriesOf(ctx, ids...)
	j.read.Add(int64(len(entries)))
	return entries, err
}

// write adds a decision to the journal, or replaces it.
func (j *journal) write(tb reporter, o event.Outcome) {
	body, err := json.Marshal(o)
	if err == nil {
		err = j.Amend(context.Background(), o.ID, body)
	}
	if err != nil {
		tb.Error(err)
	}
}

// reporter is a test, also in other goroutines than its own.
type reporter interface{ Error(args ...any) }

func newIndex(j index.Journal, now func() time.Time, maxHeads int) *index.Index {
	return index.New(index.Config{Journal: j, Kept: kept, MaxHeads: maxHeads, Now: now, Log: slog.New(slog.DiscardHandler)})
}

// find returns the ids of all pages, which are full but where the index does not reach.
func find(tb reporter, x *index.Index, q event.DecisionQuery, full bool) (ids []string) {
	q.Limit = max(q.Limit, 1)
	for {
		page, next, err := x.Find(context.Background(), q)
		if err != nil {
			tb.Error(err)
		}
		for _, e := range page {
			ids = append(ids, e.ID)
		}
		if next == "" {
			return ids
		}
		if len(page) > q.Limit || full && len(page) < q.Limit {
			tb.Error(fmt.Sprintf("a page of %d has %d decisions and a next one", q.Limit, len(page)))
		}
		q.Cursor = next
	}
}

// drawOutcome draws a decision with an id, of few rules, projects and so on.
func drawOutcome(t *rapid.T, id string) (o event.Outcome) {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	o.ID, o.Rule = id, one("rule", "retry-stuck", "Retry-Stuck", "play")
	o.AlsoWantedBy = rapid.SliceOfN(rapid.SampledFrom([]string{"play", "late"}), 0, 2).Draw(t, "also wanted by")
	o.Action.Verb, o.Result = one("verb", event.VerbRetry, event.VerbPlay), one("result", "", event.ResultDone, event.ResultSkipped)
	o.Project.ID = rapid.Int64Range(0, 3).Draw(t, "project")
	o.Project.Path = "Group/p" + strconv.FormatInt(o.Project.ID, 10)
	o.Pipeline.ID, o.Job.ID = rapid.Int64Range(1, 3).Draw(t, "pipeline"), rapid.Int64Range(0, 3).Draw(t, "job")
	o.Pipeline.Ref, o.Job.Ref = one("pipeline's ref", "main", "release"), one("job's ref", "", "main")
	o.Job.Name, o.Reason, o.Job.FailureReason, o.Job.FailureClass = one("name", "rspec", "Größe"), one("reason", "", "Not NOW"), one("failure", "", "stuck"), one("class", "", "runner")
	o.Commit.Title, o.User.Username, o.MergeRequest.Title, o.By.Name = one("commit", "", "Mend"), one("user", "ann", "bob"), one("title", "", "Draft"), one("by", "", "Ada")
	return o
}

func drawQuery(t *rapid.T, now time.Time) event.DecisionQuery {
	some := func(what string, of ...string) string {
		return rapid.SampledFrom(append(of, make([]string, 2*len(of))...)).Draw(t, what)
	}
	return event.DecisionQuery{
		Rule: some("of rule", "retry-stuck", "play", "late", "none"), Verb: some("of verb", event.VerbRetry), Result: some("of result", event.ResultDone), Waiting: some("waiting", "yes") != "",
		Project: some("of project", "group/p1", "group/*", "group", "2"), Pipeline: max(0, rapid.Int64Range(-5, 3).Draw(t, "of pipeline")), Job: max(0, rapid.Int64Range(-5, 3).Draw(t, "of job")),
		Ref: some("of ref", "main", "release"), Text: some("text", "STUCK", "größe", "not now", "mend", "ann", "draft", "ada", "GROUP/P2", "runner", "d-1", "nowstuck"),
		Since: now.Add(-rapid.SampledFrom([]time.Duration{time.Hour, 10 * time.Hour, 1000 * time.Hour}).Draw(t, "since")), Limit: rapid.IntRange(1, 8).Draw(t, "limit"),
	}
}

// selects says of a whole decision what the index says of its head.
func selects(q event.DecisionQuery, o *event.Outcome) bool {
	ref, contains := cmp.Or(o.Job.Ref, o.Pipeline.Ref), false
	for _, text := range []string{
		o.ID, o.Project.Path, o.Rule, o.Job.Name, o.Reason, o.Job.FailureReason, o.Job.FailureClass, ref, o.Commit.Title, o.User.Username, o.MergeRequest.Title, o.By.Name,
	} {
		contains = contains || strings.Contains(strings.ToLower(text), strings.ToLower(q.Text))
	}
	return contains && (q.Rule == "" || q.Rule == o.Rule || slices.Contains(o.AlsoWantedBy, q.Rule)) && (q.Verb == "" || q.Verb == o.Action.Verb) &&
		(q.Result == "" || q.Result == o.Result) && (!q.Waiting || o.Result == "") &&
		(q.Project == "" || event.MatchesProject(q.Project, o.Project.Path) || q.Project == strconv.FormatInt(o.Project.ID, 10)) &&
		(q.Pipeline == 0 || q.Pipeline == o.Pipeline.ID) && (q.Job == 0 || q.Job == o.Job.ID) && (q.Ref == "" || q.Ref == ref)
}

// TestFindsWhatTheJournalHas: whatever was decided, amended, has expired or was missed, and
// whether the index is built, reaches all of the journal or a part, a search finds what a
// reader of the whole journal does.
func TestFindsWhatTheJournalHas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := storetest.NewClock()
		j := openJournal(t, clock.Now)
		defer j.Close()
		behind := rapid.SampledFrom([]time.Duration{0, 2 * time.Hour}).Draw(rt, "how far the index's clock is behind the store's")
		x := newIndex(j, func() time.Time { return clock.Now().Add(-behind) }, rapid.SampledFrom([]int{1, 5, 1000}).Draw(rt, "heads"))
		build := func(rt *rapid.T) {
			if err := x.Build(rt.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		decided := 0
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				q := drawQuery(rt, clock.Now())
				entries, _, err := j.Store.Entries(rt.Context(), "", 1000)
				if err != nil {
					rt.Fatal(err)
				}
				var want []string
				for _, e := range entries {
					var o event.Outcome
					if err := json.Unmarshal(e.Body, &o); err != nil {
						rt.Fatal(err)
					}
					if !e.At.Before(q.Since) && selects(q, &o) {
						want = append(want, o.ID)
					}
				}
				if diff := gocmp.Diff(want, find(rt, x, q, false)); diff != "" {
					rt.Fatalf("%+v finds (-want +got):\n%s", q, diff)
				}
			},
			"decide": func(rt *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(rt, "n") {
					j.write(rt, drawOutcome(rt, fmt.Sprint("d-", decided)))
					decided++
				}
			},
			"amend": func(rt *rapid.T) {
				if decided > 0 { // it may have expired, and is a new entry then
					j.write(rt, drawOutcome(rt, fmt.Sprint("d-", rapid.IntRange(0, decided-1).Draw(rt, "which"))))
				}
			},
			"pass": func(rt *rapid.T) {
				clock.Advance(rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, kept / 2}).Draw(rt, "time"))
			},
			"build": build,
			"miss amendments": func(rt *rapid.T) {
				j.missed.Store(true)
				find(rt, x, event.DecisionQuery{}, false)
				j.missed.Store(false)
			},
		})
	})
}

// TestFindsAnEntryOnce: a decision that is added again after its entry has expired is found
// once, although the index, whose clock is behind the store's, has both entries.
func TestFindsAnEntryOnce(t *testing.T) {
	clock := storetest.NewClock()
	j := openJournal(t, clock.Now)
	x := newIndex(j, func() time.Time { return clock.Now().Add(-time.Hour) }, 10)
	if err := x.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "other", "first"} {
		o := event.Outcome{}
		o.ID = id
		j.write(t, o)
		for _, limit := range []int{1, 10} {
			found := find(t, x, event.DecisionQuery{Limit: limit}, true)
			if found[0] != id || slices.Contains(found[1:], id) {
				t.Errorf("found %q in pages of %d, want %q first and once", found, limit, id)
			}
		}
		clock.Advance(kept / 2)
	}
}

// TestFindReadsLittle: once it is built, the index reads what is new and what it returns,
// its pages are full, and it has more of them only if more match.
func TestFindReadsLittle(t *testing.T) {
	j := openJournal(t, time.Now)
	const n = 1300
	for i := range n {
		o := event.Outcome{Result: event.ResultDone}
		o.ID, o.Rule, o.Job.ID = fmt.Sprint("d-", i), fmt.Sprint("rule-", i%100), int64(i)
		j.write(t, o)
	}
	whole, bounded := newIndex(j, time.Now, n), newIndex(j, time.Now, n-600)
	for _, x := range []*index.Index{whole, bounded} {
		if err := x.Build(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		index *index.Index
		query event.DecisionQuery
		want  int
		reads int64 // at most
	}{
		{"the newest", whole, event.DecisionQuery{Limit: n}, n, n + 1},
		{"a rare one", whole, event.DecisionQuery{Rule: "rule-7", Limit: 4}, 13, 13 + 4},
		{"exactly one page", whole, event.DecisionQuery{Rule: "rule-7", Limit: 13}, 13, 13 + 1},
		{"the oldest", whole, event.DecisionQuery{Job: 0, Text: "d-0"}, 1, 1 + 1},
		{"none", whole, event.DecisionQuery{Rule: "none"}, 0, 1},
		{"none since then", whole, event.DecisionQuery{Since: time.Now()}, 0, 1},
		{"the oldest that the index has", bounded, event.DecisionQuery{Job: 600, Since: time.Now().Add(-time.Hour), Limit: 1}, 1, 1 + 1 + 700},
		{"what is older than the index", bounded, event.DecisionQuery{Rule: "rule-7", Limit: 20}, 13, 1 + 7 + 600},
		{"all in pages that the index has and has not", bounded, event.DecisionQuery{Limit: 99}, n, 14 + n + 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := j.read.Load()
			if ids := find(t, tc.index, tc.query, tc.index == whole); len(ids) != tc.want {
				t.Errorf("found %d, want %d: %.200q", len(ids), tc.want, ids)
			}
			if reads := j.read.Load() - before; reads > tc.reads {
				t.Errorf("read %d entries, want at most %d", reads, tc.reads)
			}
		})
	}
	if page, next, err := newIndex(j, time.Now, n).Find(t.Context(), event.DecisionQuery{Limit: n}); len(page) != n || next != "" || err != nil {
		t.Errorf("without the index, a page of all has %d decisions, and the next is %q: %v", len(page), next, err)
	}
	if _, _, err := whole.Find(t.Context(), event.DecisionQuery{Cursor: "x", Limit: 1}); err == nil {
		t.Error("no error for a cursor that is none")
	}
}

// TestRunFollows: the index is built in the background, again after it has missed amendments,
// and within an hour it has seen amendments that the store's feed does not have.
func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(t, time.Now)
		defer j.Close()
		o := event.Outcome{}
		write := func(id, result string) {
			o.ID, o.Result = id, result
			j.write(t, o)
		}
		for i := range 1200 {
			write(fmt.Sprint("d-", i), event.ResultDone)
		}
		x := newIndex(j, time.Now, 10_000)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { x.Run(ctx) })
		wants := func(what string, fast bool, result string, ids ...string) {
			t.Helper()
			before := j.read.Load()
			if diff := gocmp.Diff(ids, find(t, x, event.DecisionQuery{Result: result, Limit: 10}, false)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			if reads := j.read.Load() - before; (reads < 100) != fast {
				t.Errorf("%s: %d entries were read", what, reads)
			}
		}
		wants("before it is built", false, event.ResultFailed)
		time.Sleep(time.Second)
		write("d-0", event.ResultFailed)
		wants("once it is built", true, event.ResultFailed, "d-0")

		j.missed.Store(true)
		write("d-1", event.ResultFailed)
		wants("when amendments were missed", false, event.ResultFailed, "d-1", "d-0")
		j.missed.Store(false)
		time.Sleep(6 * time.Second)
		wants("once it is built again", true, event.ResultFailed, "d-1", "d-0")

		j.hidden.Store(true)
		write("d-2", event.ResultFailed)
		wants("when an old version has amended", true, event.ResultFailed, "d-1", "d-0")
		time.Sleep(time.Hour + 10*time.Second)
		wants("an hour later", true, event.ResultFailed, "d-2", "d-1", "d-0")
		time.Sleep(kept)
		wants("when all have expired", true, event.ResultFailed)
		cancel()
		running.Wait()
	})
}

// TestFindsItsOwnWrites: who has added or amended a decision finds it as it is, while others
// do the same and the index is built again and again.
func TestFindsItsOwnWrites(t *testing.T) {
	j := openJournal(t, time.Now)
	x := newIndex(j, time.Now, 10_000)
	var writers, builder sync.WaitGroup
	done := make(chan struct{})
	builder.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := x.Build(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 8 {
		writers.Go(func() {
			for i := range 25 {
				o := event.Outcome{}
				o.ID, o.Rule = fmt.Sprintf("d-%d-%d", w, i), fmt.Sprint("rule-", w)
				for _, o.Result = range []string{"", event.ResultDeferred, event.ResultDone} {
					j.write(t, o)
					found := find(t, x, event.DecisionQuery{Rule: o.Rule, Result: o.Result, Waiting: o.Result == "", Limit: 1000}, false)
					if !slices.Contains(found, o.ID) {
						t.Errorf("%s is not among those with the result %q: %q", o.ID, o.Result, found)
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	builder.Wait()
}

// slow is a journal whose feed of amendments answers once goOn is closed.
type slow struct {
	*journal
	goOn  chan struct{} // nil: at once
	calls atomic.Int64
}

func (s *slow) Amended(ctx context.Context, mark string, n int) (ids []string, next string, err error) {
	s.calls.Add(1)
	if s.goOn != nil {
		<-s.goOn
	}
	return s.journal.Amended(ctx, mark, n)
}

// TestRequestsWaitTogether: while the store is slow, a request waits no longer than it may,
// and those that wait do not send it the same one after the other.
func TestRequestsWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &slow{journal: openJournal(t, time.Now)}
		defer j.Close()
		x := newIndex(j, time.Now, 10_000)
		if err := x.Build(t.Context()); err != nil {
			t.Fatal(err)
		}
		j.goOn = make(chan struct{})
		j.calls.Store(0)
		o := event.Outcome{}
		o.ID = "d-1"
		var requests sync.WaitGroup
		for range 20 {
			requests.Go(func() { find(t, x, event.DecisionQuery{}, false) })
		}
		synctest.Wait()
		j.write(t, o)
		for range 20 {
			requests.Go(func() {
				if found := find(t, x, event.DecisionQuery{}, false); !slices.Contains(found, o.ID) {
					t.Errorf("a request after %s was added has found %q", o.ID, found)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := x.Find(ctx, event.DecisionQuery{Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request that may take a second: %v", err)
		}
		close(j.goOn)
		requests.Wait()
		if calls := j.calls.Load(); calls > 2 {
			t.Errorf("40 requests have read the feed of amendments %d times, want at most twice", calls)
		}
	})
}
