package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
)

// transactions returns how many transactions were committed to the file of a
// closed store.
func transactions(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// useGuards calls each method whose write is lazy.
func useGuards(t *testing.T, s store.Store, l *store.Lease) {
	t.Helper()
	_, _, err := s.Take(t.Context(), store.Bucket{Key: "rate", Rate: store.Rate{Limit: 1, Per: time.Hour}})
	_, err2 := s.Tally(t.Context(), "tally", store.Seen{ID: "a"}, time.Hour)
	_, err3 := s.Claim(t.Context(), "claim", "me", time.Hour)
	err4 := s.Extend(t.Context(), l, time.Hour)
	err5 := s.Release(t.Context(), "claim", "me")
	err6 := s.Append(t.Context(), "log", "a", []byte("entry"), 1)
	for _, err := range []error{err, err2, err3, err4, err5, err6} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// leaseOne leases the only record that is due.
func leaseOne(t *testing.T, s store.Store) *store.Lease {
	t.Helper()
	leases, err := s.Lease(t.Context(), 2, time.Hour)
	if err != nil || len(leases) != 1 {
		t.Fatalf("Lease: %v, %v, want one lease", leases, err)
	}
	return &leases[0]
}

// TestBoltLazyWrites: a lease and what guards change are committed with the next
// write that waits for the disk.
func TestBoltLazyWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := open(t, path, bolt.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	before := transactions(t, path)
	s := open(t, path, bolt.Options{})                                   // one
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil { // two
		t.Fatal(err)
	}
	l := leaseOne(t, s)
	for range 100 {
		useGuards(t, s, l)
	}
	if err := s.Done(t.Context(), l); err != nil { // three
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// More than 500 writes were lazy. Seconds may have passed meanwhile, and each
	// has a commit; one is made when too many wait.
	if got := transactions(t, path) - before; got < 3 || got > 100 {
		t.Errorf("%d transactions, want one for each of Open, Put and Done, and some more", got)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("the directory of a closed store has %v, %v, want one file", files, err)
	}
}

// TestBoltLazyWritesSurviveAFailure: a write that fails, for want of space or in
// another way, does not undo those that were answered before.
func TestBoltLazyWritesSurviveAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{MaxSize: 1 << 20})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	l := leaseOne(t, s)
	useGuards(t, s, l)
	if _, err := s.Put(t.Context(), store.Record{ID: "large", Body: make([]byte, 4<<20)}); err == nil {
		t.Fatal("Put of a body that does not fit: no error")
	}
	if _, wait, err := s.Take(t.Context(), store.Bucket{Key: "rate", Rate: store.Rate{Limit: 1, Per: time.Hour}}); err != nil || wait == 0 {
		t.Errorf("a token was given twice: wait %v, %v", wait, err)
	}
	if seen, err := s.Tallied(t.Context(), "tally", time.Hour); err != nil || len(seen) != 1 {
		t.Errorf("members of the tally %v, %v, want one", seen, err)
	}
	if entries, _, err := s.Appended(t.Context(), "log", "", 2); err != nil || len(entries) != 1 {
		t.Errorf("entries of the log %v, %v, want one", entries, err)
	}
	if leases, err := s.Lease(t.Context(), 1, time.Hour); err != nil || len(leases) != 0 {
		t.Errorf("leased twice: %v, %v", leases, err)
	}
	if err := s.Done(t.Context(), l); err != nil {
		t.Errorf("Done with the lease: %v", err)
	}
	if got := depth(t, s); got != (store.Depth{}) {
		t.Errorf("%+v, want an empty queue", got)
	}
}

// leaseEnv makes the test binary leaseAndWait with the file it names.
const leaseEnv = "PIPESTEWARD_TEST_LEASE_AND_WAIT"

// TestBoltAttemptsOfTheKilled kills processes that have leased a record: how
// often that was is known, though they committed nothing.
func TestBoltAttemptsOfTheKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{Now: time.Now})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const kills = 3
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), leaseEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil || !strings.HasPrefix(line, "leased a") {
			t.Fatalf("the child printed %q and ended with %v", line, err)
		}
	}
	s = open(t, path, bolt.Options{Now: time.Now})
	if l := leaseOne(t, s); l.Attempt != kills+1 {
		t.Errorf("attempt %d, want %d", l.Attempt, kills+1)
	}
}

// TestBoltAttemptsInTheStore: where the file for attempts can't be written, a lease
// is committed before Lease returns.
func TestBoltAttemptsInTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".attempts", 0o700); err != nil {
		t.Fatal(err)
	}
	leaseOne(t, s)
	committed, err := os.ReadFile(path) // what a process that dies now leaves
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "left.db")
	if err := os.WriteFile(left, committed, 0o600); err != nil {
		t.Fatal(err)
	}
	if l := leaseOne(t, open(t, left, bolt.Options{})); l.Attempt != 2 {
		t.Errorf("attempt %d after a lease that was committed, want 2", l.Attempt)
	}
}

// TestBoltManyLazyWrites: lazy writes that nothing commits are as many as there
// are, and all are there after a restart.
func TestBoltManyLazyWrites(t *testing.T) {
	const n = 2000
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range n / 8 {
				if _, err := s.Tally(t.Context(), "tally", store.Seen{ID: fmt.Sprint(g, i)}, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if seen, err := open(t, path, bolt.Options{}).Tallied(t.Context(), "tally", time.Hour); err != nil || len(seen) != n {
		t.Errorf("%d members, %v, want %d", len(seen), err, n)
	}
}

// TestBoltAttemptsOfAnotherStore: what a process left that used another file at
// the same path is not counted.
func TestBoltAttemptsOfAnotherStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	leaseOne(t, s)
	left, err := os.ReadFile(path + ".attempts")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, bolt.Options{})
	if _, err := s.Put(t.Context(), store.Record{ID: "another"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".attempts", append(left, "cut off"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, bolt.Options{})
	if l := leaseOne(t, s); l.Attempt != 1 {
		t.Errorf("attempt %d of a new record, want 1", l.Attempt)
	}
}

// leaseAndWait leases a record, says so, and waits to be killed.
func leaseAndWait(path string) {
	s, err := bolt.Open(path, bolt.Options{Now: time.Now})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leases, err := s.Lease(context.Background(), 1, time.Hour)
	if err != nil || len(leases) != 1 {
		fmt.Fprintln(os.Stderr, leases, err)
		os.Exit(1)
	}
	fmt.Println("leased", leases[0].ID)
	select {}
}
