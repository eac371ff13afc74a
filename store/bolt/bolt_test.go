package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestBolt(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
		return storetest.Backend{
			Open: func(r store.Retention) (store.Store, error) {
				return bolt.Open(path, bolt.Options{Now: clock.Now, Retention: r})
			},
			Advance: clock.Advance,
		}
	})
}

func open(t *testing.T, path string, o bolt.Options) *bolt.Store {
	t.Helper()
	if o.Now == nil {
		o.Now = storetest.NewClock().Now
	}
	s, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func depth(t *testing.T, s *bolt.Store) store.Depth {
	t.Helper()
	d, err := s.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBoltFull(t *testing.T) {
	for _, bodySize := range []int{1_000, 10_000, 100_000} {
		t.Run(fmt.Sprintf("bodies of %d bytes", bodySize), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			o := bolt.Options{MaxSize: 1 << 20}
			s := open(t, path, o)
			put := func(i int) error {
				_, err := s.Put(t.Context(), store.Record{ID: strconv.Itoa(i), Body: bytes.Repeat([]byte("x"), bodySize)})
				return err
			}
			n := 0
			var err error
			for ; err == nil; n++ {
				err = put(n)
			}
			n-- // the last was refused
			if !strings.Contains(err.Error(), "cannot grow") {
				t.Errorf("error of a full store: %v", err)
			}

			// Nothing is lost, and a refused record left nothing behind.
			want := store.Depth{Due: n}
			if got := depth(t, s); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, o)
			if got := depth(t, s); got != want {
				t.Errorf("reopened: %+v, want %+v", got, want)
			}

			// A full store can be worked off, and then takes records again.
			for range n/2 + 1 {
				leases, err := s.Lease(t.Context(), 1, time.Hour)
				if err != nil || len(leases) != 1 {
					t.Fatalf("Lease of a full store: %v, %v", leases, err)
				}
				if len(leases[0].Body) != bodySize {
					t.Errorf("a body of %d bytes", len(leases[0].Body))
				}
				if err := s.Done(t.Context(), &leases[0]); err != nil {
					t.Fatalf("Done of a full store: %v", err)
				}
			}
			if err := put(n); err != nil {
				t.Errorf("Put when there is space again: %v", err)
			}
		})
	}
}

// TestBoltFullIsReadable: people can look at a full store, also while lazy writes can't be
// committed, and see what was stored before.
func TestBoltFullIsReadable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "test.db"), bolt.Options{MaxSize: 1 << 20})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), "log", "entry", make([]byte, 2<<20), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), store.Record{ID: "b"}); err == nil || !strings.Contains(err.Error(), "cannot grow") {
		t.Fatalf("Put in a full store: %v", err)
	}
	if got, want := depth(t, s), (store.Depth{Due: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if records, _, err := s.Records(t.Context(), "", 10); err != nil || len(records) != 1 {
		t.Errorf("Records of a full store: %v, %v", records, err)
	}
	if queued, _, err := s.Find(t.Context(), "a"); err != nil || queued == nil {
		t.Errorf("Find in a full store: %v, %v", queued, err)
	}
	// Without the large entry, all that is left can be committed by Close.
	if err := s.Append(t.Context(), "log", "small", nil, 1); err != nil {
		t.Fatal(err)
	}
}

// TestBoltFailureAlone puts a record that never fits beside many that do.
func TestBoltFailureAlone(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "test.db"), bolt.Options{MaxSize: 1 << 20})
	var wg sync.WaitGroup
	for i := range 64 {
		r := store.Record{ID: strconv.Itoa(i), Body: []byte("small")}
		if i%8 == 0 {
			r.Body = make([]byte, 4<<20)
		}
		wg.Go(func() {
			added, err := s.Put(t.Context(), r)
			if large := len(r.Body) > 5; large != (err != nil) || large == slices.Contains(added, true) {
				t.Errorf("Put of %d bytes: %v, %v", len(r.Body), added, err)
			}
		})
	}
	wg.Wait()
	if got, want := depth(t, s), (store.Depth{Due: 56}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestBoltLeasedAreDueAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}, store.Record{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lease(t.Context(), 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, bolt.Options{})
	if got, want := depth(t, s), (store.Depth{Due: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestBoltPurges looks into the file: what expired must not stay in it.
func TestBoltPurges(t *testing.T) {
	ctx := t.Context()
	clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{Now: clock.Now, DedupeTTL: time.Hour, Retention: store.Retention{Journal: time.Hour}})
	const n = 100
	for i := range n {
		key := strconv.Itoa(i)
		for what, err := range map[string]error{
			"Note": s.Note(ctx, key, nil),
			"Set":  s.Set(ctx, key, nil, time.Hour),
			"Hold": s.Hold(ctx, key, time.Hour),
			"Claim": func() error {
				_, err := s.Claim(ctx, key, "me", time.Hour)
				return err
			}(),
			"Tally": func() error {
				_, err := s.Tally(ctx, "tally", store.Seen{ID: key, Group: key}, time.Hour)
				_, err2 := s.Tally(ctx, key, store.Seen{ID: key}, time.Hour)
				return errors.Join(err, err2)
			}(),
			"Take": func() error {
				_, _, err := s.Take(ctx, store.Bucket{Key: key, Rate: store.Rate{Limit: 1, Per: time.Hour}})
				return err
			}(),
			"Put": func() error {
				_, err := s.Put(ctx, store.Record{ID: key})
				return err
			}(),
		} {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	leases, err := s.Lease(ctx, n, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range leases[1:] {
		if err := s.Done(ctx, &leases[1+i]); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(time.Hour)
	for range n { // writes, which purge
		if err := s.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Done(ctx, &leases[0]); err != nil { // its id is to be forgotten too
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if got := b.Stats().KeyN; got != 0 && string(name) != "pipesteward" {
				t.Errorf("bucket %s: %d keys are left", name, got)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
