package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// childEnv makes the test binary putUntilKilled to the file it names.
const childEnv = "PIPESTEWARD_TEST_PUT_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		putUntilKilled(path)
	}
	goleak.VerifyTestMain(storetest.InMemory(m))
}

func TestBolt(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
		return storetest.Backend{
			Open:    func() (store.Store, error) { return bolt.Open(path, bolt.Options{Now: clock.Now}) },
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
			if !strings.Contains(err.Error(), "no room") {
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
				t.Errorf("Put when there is room again: %v", err)
			}
		})
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

func TestBoltSecondOpener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	first := open(t, path, bolt.Options{})
	o := bolt.Options{Now: time.Now}
	_, err := bolt.Open(path, o)
	if err == nil || !strings.Contains(err.Error(), path+" is open in another process") {
		t.Errorf("second opener: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, o)
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

func TestBoltNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	open(t, path, bolt.Options{})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("file mode %v, want 0600", info.Mode())
	}
}

func TestBoltOpenErrors(t *testing.T) {
	now := storetest.NewClock().Now
	// good makes a store with something in it.
	good := func(t *testing.T, path string) {
		s := open(t, path, bolt.Options{})
		for i := range 200 {
			if _, err := s.Put(t.Context(), store.Record{ID: strconv.Itoa(i), Body: make([]byte, 2000)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write := func(text []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := func(bucket, key, value string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte(bucket))
				if err != nil {
					return err
				}
				return b.Put([]byte(key), []byte(value))
			})
		}
	}
	// spoil makes a store and overwrites its file from an offset on.
	spoil := func(from int64, with byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			good(t, path)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(bytes.Repeat([]byte{with}, int(info.Size()-from)), from); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(size int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			good(t, path)
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	page := int64(os.Getpagesize())
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"text", write([]byte("rules: []\n")), "is no store"},
		{"zeros", write(make([]byte, 1<<20)), "is no store"},
		{"long text", write(bytes.Repeat([]byte("rules: []\n"), 10_000)), "is no store"},
		{"another program's bbolt file", foreign("users", "k", "v"), "belongs to another program"},
		{"format of the future", func(t *testing.T, path string) {
			good(t, path)
			foreign("pipesteward", "format", "7")(t, path)
		}, `format "7", and this program reads format "1"`},
		{"overwritten with zeros behind its meta pages", spoil(2*page, 0), "is damaged"},
		{"overwritten with ones behind its meta pages", spoil(2*page, 0xff), "is damaged"},
		{"overwritten at all", spoil(0, 0xff), "is no store"},
		{"cut off in the middle", cut(40 * page), "is damaged"},
		{"cut off after its meta pages", cut(2 * page), "is damaged"},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			tc.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := bolt.Open(path, bolt.Options{Now: now})
			if err == nil {
				t.Fatal(errors.Join(errors.New("no error"), s.Close()))
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q, want one with the path and %q", err, tc.want)
			}
			after, _ := os.ReadFile(path)
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}

	t.Run("directory missing", func(t *testing.T) {
		_, err := bolt.Open(filepath.Join(t.TempDir(), "none", "test.db"), bolt.Options{Now: now})
		if err == nil || !strings.Contains(err.Error(), "does not exist: create it") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no clock", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		if _, err := bolt.Open(path, bolt.Options{}); err == nil {
			t.Error("no error")
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file: %v, want %v", err, fs.ErrNotExist)
		}
	})
}

// edit changes a closed store's file.
func edit(t *testing.T, path string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBoltWithoutTallies opens a file from before there were tallies.
func TestBoltWithoutTallies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{})
	if _, err := s.Put(t.Context(), store.Record{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("tallies")) })

	s = open(t, path, bolt.Options{})
	if got, want := depth(t, s), (store.Depth{Due: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	count, err := s.Tally(t.Context(), "key", store.Seen{ID: "a"}, time.Hour)
	if want := (store.Count{Members: 1, Groups: 1, Position: 1}); err != nil || count != want {
		t.Errorf("Tally: %+v, %v, want %+v", count, err, want)
	}
}

// TestBoltPurges looks into the file: what expired must not stay in it.
func TestBoltPurges(t *testing.T) {
	ctx := t.Context()
	clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{Now: clock.Now, DedupeTTL: time.Hour, JournalTTL: time.Hour})
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
				_, err := s.Take(ctx, key, store.Rate{Limit: 1, Per: time.Hour})
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

// TestBoltKilled kills a process that puts, again and again, and looks that
// every record is there whose Put had returned.
func TestBoltKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	acked := map[string]bool{}
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acked[lines.Text()] = true
			if len(acked) == before+300 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || len(acked) < before+300 {
			t.Fatalf("the child ended by itself (%v) after %d puts", err, len(acked)-before)
		}
	}
	s := open(t, path, bolt.Options{Now: time.Now})
	leases, err := s.Lease(t.Context(), 1_000_000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if string(l.Body) != "body of "+l.ID {
			t.Errorf("record %s came back with the body %q", l.ID, l.Body)
		}
		delete(acked, l.ID)
	}
	if len(acked) > 0 {
		t.Errorf("%d records are lost whose Put had returned", len(acked))
	}
}

// putUntilKilled puts records from many goroutines and prints the id of each
// whose Put returned.
func putUntilKilled(path string) {
	s, err := bolt.Open(path, bolt.Options{Now: time.Now})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if _, err := s.Put(context.Background(), store.Record{ID: id, Body: []byte("body of " + id)}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(id)
			}
		})
	}
	wg.Wait()
}
