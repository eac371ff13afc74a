package recent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/recent"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// fixture is a store with a clock, and what replicas log.
type fixture struct {
	*testing.T
	*bolt.Store
	clock *storetest.Clock
	log   bytes.Buffer

	mu      sync.Mutex
	appends int
	failing bool
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, clock: storetest.NewClock()}
	var err error
	if f.Store, err = bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: f.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

var errStore = errors.New("the store is away")

func (f *fixture) Append(ctx context.Context, key, id string, body []byte, most int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.appends++; f.failing {
		return errStore
	}
	return f.Store.Append(ctx, key, id, body, most)
}

func (f *fixture) fails(failing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = failing
}

func (f *fixture) replica() *recent.Log {
	return recent.New(f, "log", f.clock.Now, slog.New(slog.NewTextHandler(&f.log, nil)))
}

// items returns all items that a replica sees, each as subject=item, oldest first.
func (f *fixture) items(l *recent.Log) (all []string) {
	f.Helper()
	err := l.Each(f.Context(), func(subject string, item []byte) bool {
		all = append(all, subject+"="+string(item))
		return true
	})
	if err != nil && !errors.Is(err, errStore) {
		f.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func (f *fixture) want(l *recent.Log, want ...string) {
	f.Helper()
	if diff := cmp.Diff(want, f.items(l)); diff != "" {
		f.Errorf("items (-want +got):\n%s", diff)
	}
}

func TestItemsOfAllReplicas(t *testing.T) {
	f := newFixture(t)
	one, two := f.replica(), f.replica()
	f.want(one)
	one.Add("a", []byte("1"))
	f.want(two) // one has not flushed it
	f.want(one, "a=1")
	f.want(two, "a=1")
	two.Add("b", []byte(`{"n":`), []byte("2"), []byte("}"))
	one.Add("a", []byte("3"))
	f.want(two, "a=1", `b={"n":2}`)
	f.want(one, `b={"n":2}`, "a=1", "a=3")         // one's block has the newest item
	f.want(f.replica(), `b={"n":2}`, "a=1", "a=3") // a new process
	n := 0
	if err := one.Each(t.Context(), func(string, []byte) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("visited %d items, %v, want one", n, err)
	}
}

// However few items come, a block is full before there is another one, and it is
// written only if there is something new.
func TestFewItemsFillABlock(t *testing.T) {
	f := newFixture(t)
	l := f.replica()
	for i := range 100 {
		l.Add("a", fmt.Append(nil, i))
		for range 3 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, _, err := f.Appended(t.Context(), "log", "", 10)
	if err != nil || len(entries) != 1 || f.appends != 100 {
		t.Errorf("%d blocks after %d writes, %v, want one after 100", len(entries), f.appends, err)
	}
	f.clock.Advance(7 * time.Hour) // a block is filled for a limited time
	l.Add("a", []byte("later"))
	if got := len(f.items(l)); got != 101 {
		t.Errorf("%d items, want 101", got)
	}
	if entries, _, err = f.Appended(t.Context(), "log", "", 10); err != nil || len(entries) != 2 {
		t.Errorf("%d blocks, %v, want two", len(entries), err)
	}
}

// What is kept is bounded, in the store and in memory, and the newest is kept.
func TestBounds(t *testing.T) {
	f := newFixture(t)
	l := f.replica()
	item := []byte(strings.Repeat("x", 1000))
	add := func(n int) {
		for i := range n {
			l.Add(strconv.Itoa(i), item)
		}
	}
	count := func() (n int, last string) {
		t.Helper()
		err := l.Each(t.Context(), func(subject string, _ []byte) bool {
			if n++; n == 1 {
				last = subject
			}
			return true
		})
		if err != nil && !errors.Is(err, errStore) {
			t.Fatal(err)
		}
		return n, last
	}
	for range 36 {
		add(1000)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, last := count(); n < 30_000 || n > 34_000 || last != "999" {
		t.Errorf("%d items of 36,000 are kept, the last is %s, want some 32,000 with the last", n, last)
	}
	f.fails(true)
	add(5_000)
	if n, last := count(); n < 1_500 || n > 2_500 || last != "4999" {
		t.Errorf("%d items of 5,000 are in memory, the last is %s, want some 2,000 with the last", n, last)
	}
	f.fails(false)
	l.Add("large", bytes.Repeat([]byte("y"), 1<<20))
	if n, last := count(); n < 30_000 || last != "large" {
		t.Errorf("%d items, the last is %s, after the store is back, want a large one", n, last)
	}
}

// Run writes what was added before it ends, and logs an outage of the store once.
func TestRun(t *testing.T) {
	f := newFixture(t)
	l := f.replica()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	f.fails(true)
	for range 3000 { // more than blocks may wait
		l.Add("a", bytes.Repeat([]byte("x"), 1000))
	}
	await.Until(t, "Run has met the outage", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.appends > 0
	}, f.log.String)
	f.fails(false)
	l.Add("last", []byte("one"))
	cancel()
	<-ended
	items := f.items(f.replica())
	if len(items) == 0 || items[len(items)-1] != "last=one" {
		t.Errorf("%d items after the end of Run, want the last one among them", len(items))
	}
	if !strings.Contains(f.log.String(), "items were not kept") {
		t.Errorf("the log does not say that items were lost:\n%s", &f.log)
	}
}

// Items are added, written and read at the same time.
func TestAtTheSameTime(t *testing.T) {
	f := newFixture(t)
	l := f.replica()
	const adders, each = 4, 2000
	var wg sync.WaitGroup
	for i := range adders {
		wg.Go(func() {
			for n := range each {
				l.Add(strconv.Itoa(i), fmt.Append(nil, n, " ", strings.Repeat("z", 200)))
				if n%100 == 0 {
					if err := l.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_ = f.items(l)
		}
	})
	wg.Wait()
	seen := map[string]int{}
	for _, item := range f.items(l) {
		subject, rest, _ := strings.Cut(item, "=")
		if want := fmt.Sprint(seen[subject], " "); !strings.HasPrefix(rest, want) {
			t.Fatalf("item %.20q of %s, want %q", rest, subject, want)
		}
		seen[subject]++
	}
	for i := range adders {
		if n := seen[strconv.Itoa(i)]; n != each {
			t.Errorf("%d items of %d, want %d", n, i, each)
		}
	}
}

var _ recent.Store = store.Store(nil)

// TestBlocksAreInTheOrderOfTheirNewestItem: also where a block that was begun long ago gets
// another item, and where more blocks than are read at first are between.
func TestBlocksAreInTheOrderOfTheirNewestItem(t *testing.T) {
	f := newFixture(t)
	quiet, busy := f.replica(), f.replica()
	add := func(l *recent.Log, subject string, size int) {
		f.clock.Advance(time.Second)
		l.Add(subject, bytes.Repeat([]byte("x"), size))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	add(quiet, "first", 1)
	for range 100 {
		add(busy, "between", 100<<10)
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		last := f.clock.Now()
		err := busy.EachBlock(t.Context(), func(newest time.Time, items iter.Seq2[string, []byte]) bool {
			if newest.After(last) {
				t.Errorf("a block of %v follows one of %v", newest, last)
			}
			last = newest
			for subject := range items {
				got = append(got, subject)
			}
			return true
		})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v, subjects (-want +got):\n%s", err, diff)
		}
	}
	between := slices.Repeat([]string{"between"}, 100)
	check(append(slices.Clone(between), "first")...)
	add(quiet, "last", 1)
	check(append([]string{"last", "first"}, between...)...)
}
