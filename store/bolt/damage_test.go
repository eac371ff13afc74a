package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// fill puts records into a store.
func fill(t *testing.T, s store.Store, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Put(t.Context(), store.Record{ID: fmt.Sprintf("record-%03d", i), Kind: "event", Body: []byte(strings.Repeat("x", 1000))}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBoltDamagedWhileOpen: damage that shows while the file is in use is an
// error of the call, of all that follow, and of Damaged; no panic.
func TestBoltDamagedWhileOpen(t *testing.T) {
	for name, value := range map[string]byte{"zeros": 0, "ones": 0xff} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			s, err := bolt.Open(path, bolt.Options{Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, 200)
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			page := int64(os.Getpagesize())
			if _, err := file.WriteAt([]byte(strings.Repeat(string([]byte{value}), int(info.Size()-2*page))), 2*page); err != nil {
				t.Fatal(err)
			}
			_ = file.Close()

			_, err = s.Lease(t.Context(), 10, time.Minute)
			if _, again := s.Put(t.Context(), store.Record{ID: "new", Kind: "event"}); err == nil || again == nil {
				t.Fatalf("lease: %v, put: %v, want errors", err, again)
			}
			select {
			case told := <-s.Damaged():
				if !strings.Contains(told.Error(), path) || !strings.Contains(told.Error(), "restore a backup") {
					t.Errorf("Damaged reports %v", told)
				}
			default:
				t.Error("Damaged reports nothing")
			}
			if err := s.Ping(t.Context()); err == nil {
				t.Error("Ping finds it in order")
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestBoltUnreadableRecord: a record whose header can't be read is buried, and
// the queue goes on, also where it was leased by a process that died.
func TestBoltUnreadableRecord(t *testing.T) {
	for _, leased := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "test.db")
		s, err := bolt.Open(path, bolt.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, 5)
		if leased {
			if _, err := s.Lease(t.Context(), 5, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			records := tx.Bucket([]byte("records"))
			k, _ := records.Cursor().First()
			return records.Put(k, []byte{1, 2, 3})
		})

		clock := storetest.NewClock()
		clock.Advance(time.Until(clock.Now()) * -1)
		clock.Advance(2 * time.Hour)
		if s, err = bolt.Open(path, bolt.Options{Now: clock.Now}); err != nil {
			t.Fatal(err)
		}
		leases, err := s.Lease(t.Context(), 10, time.Minute)
		if err != nil || len(leases) != 4 {
			t.Errorf("leased %t: %d leases, %v, want the 4 others", leased, len(leases), err)
		}
		dead, _, err := s.Dead(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || dead[0].ID != "record-000" || !strings.Contains(dead[0].Reason, "damaged") {
			t.Errorf("leased %t: dead records %+v, %v, want the unreadable one", leased, dead, err)
		}
		added, err := s.Put(t.Context(), store.Record{ID: "record-000", Kind: "event"})
		if err != nil || !added[0] {
			t.Errorf("leased %t: the unreadable record is put again: %v, %v", leased, added, err)
		}
		_ = s.Close()
	}
}

// TestBoltUnreadableDeadRecord: a dead record that can't be read is listed as
// one, and hides no others.
func TestBoltUnreadableDeadRecord(t *testing.T) {
	clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, bolt.Options{Now: clock.Now})
	fill(t, s, 2)
	leases, err := s.Lease(t.Context(), 2, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i := range leases {
		clock.Advance(time.Second)
		if err := s.Bury(t.Context(), &leases[i], "of no use"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		dead := tx.Bucket([]byte("dead"))
		k, _ := dead.Cursor().Last()
		return dead.Put(k, []byte{1, 2, 3})
	})
	s = open(t, path, bolt.Options{Now: clock.Now})
	dead, _, err := s.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 2 || !strings.Contains(dead[0].Reason, "damaged") || dead[1].Reason != "of no use" {
		t.Errorf("dead records %+v, %v, want one that can't be read and another", dead, err)
	}
}

// TestBoltFileIsThere: an empty file is none, and one that was removed or
// replaced while it was open is not ready.
func TestBoltFileIsThere(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(empty, bolt.Options{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "is empty, which no store is") {
		t.Errorf("an empty file: %v", err)
	}
	for name, c := range map[string]struct {
		do   func(path string) error
		want string
	}{
		"removed": {os.Remove, "is gone"},
		"moved":   {func(path string) error { return os.Rename(path, path+".old") }, "is gone"},
		"replaced": {func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("another"), 0o600))
		}, "was replaced by another file"},
	} {
		path := filepath.Join(dir, name+".db")
		s, err := bolt.Open(path, bolt.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: before: %v", name, err)
		}
		if err := c.do(path); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
		if _, err := s.Put(t.Context(), store.Record{ID: "lost", Kind: "event"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: put: %v, want …%s…", name, err, c.want)
		}
		_ = s.Close()
	}
}

// TestBoltClockSetBack: whatever waits for a time waits no longer when the clock
// is set back three hours meanwhile, with a restart or not.
func TestBoltClockSetBack(t *testing.T) {
	const wait, back = time.Minute, 3 * time.Hour
	for _, restart := range []bool{false, true} {
		for _, test := range []struct {
			name   string
			before func(ctx context.Context, s store.Store) error
			over   func(ctx context.Context, s store.Store) (bool, error)
		}{
			{
				"a delayed record",
				func(ctx context.Context, s store.Store) error {
					_, err := s.Put(ctx, store.Record{ID: "a", Kind: "k", After: wait})
					return err
				},
				func(ctx context.Context, s store.Store) (bool, error) {
					leases, err := s.Lease(ctx, 1, time.Hour)
					return len(leases) == 1, err
				},
			},
			{
				"a hold",
				func(ctx context.Context, s store.Store) error { return s.Hold(ctx, "gitlab", wait) },
				func(ctx context.Context, s store.Store) (bool, error) {
					_, left, err := s.Take(ctx, store.Bucket{Key: "gitlab", Rate: store.Rate{Limit: 10, Per: time.Second}})
					return left == 0, err
				},
			},
			{
				"a claim",
				func(ctx context.Context, s store.Store) error {
					_, err := s.Claim(ctx, "sweep", "dead", wait)
					return err
				},
				func(ctx context.Context, s store.Store) (bool, error) { return s.Claim(ctx, "sweep", "alive", wait) },
			},
			{
				"a lease",
				func(ctx context.Context, s store.Store) error {
					if _, err := s.Put(ctx, store.Record{ID: "a", Kind: "k"}); err != nil {
						return err
					}
					_, err := s.Lease(ctx, 1, wait)
					return err
				},
				func(ctx context.Context, s store.Store) (bool, error) {
					leases, err := s.Lease(ctx, 1, wait)
					return len(leases) == 1, err
				},
			},
			{
				"a rate",
				func(ctx context.Context, s store.Store) error {
					_, _, err := s.Take(ctx, store.Bucket{Key: "gitlab", Rate: store.Rate{Limit: 1, Per: wait}})
					return err
				},
				func(ctx context.Context, s store.Store) (bool, error) {
					_, left, err := s.Take(ctx, store.Bucket{Key: "gitlab", Rate: store.Rate{Limit: 1, Per: wait}})
					return left == 0, err
				},
			},
			{
				"a tally",
				func(ctx context.Context, s store.Store) error {
					_, err := s.Tally(ctx, "failures", store.Seen{ID: "1"}, wait)
					return err
				},
				func(ctx context.Context, s store.Store) (bool, error) {
					seen, err := s.Tallied(ctx, "failures", wait)
					return len(seen) == 0, err
				},
			},
			{
				"a value",
				func(ctx context.Context, s store.Store) error { return s.Set(ctx, "v", []byte("x"), wait) },
				func(ctx context.Context, s store.Store) (bool, error) {
					value, err := s.Get(ctx, "v")
					return value == nil, err
				},
			},
		} {
			if restart && test.name == "a lease" {
				continue // a restart ends all leases
			}
			t.Run(fmt.Sprintf("%s, restart %t", test.name, restart), func(t *testing.T) {
				clock, path := storetest.NewClock(), filepath.Join(t.TempDir(), "test.db")
				open := func() store.Store {
					s, err := bolt.Open(path, bolt.Options{Now: clock.Now})
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				s := open()
				defer func() { _ = s.Close() }()
				if err := test.before(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if restart {
					_ = s.Close()
				}
				clock.Advance(-back)
				if restart {
					s = open()
				}
				if err := s.Ping(t.Context()); err != nil { // serve uses its store each second
					t.Fatal(err)
				}
				for _, step := range []struct {
					after time.Duration
					over  bool
				}{{wait / 2, false}, {wait / 2, true}} {
					clock.Advance(step.after)
					if over, err := test.over(t.Context(), s); over != step.over || err != nil {
						t.Errorf("%s after the clock was set back: over %t, %v, want %t", step.after, over, err, step.over)
					}
				}
			})
		}
	}
}

// TestBoltTimesAfterClockSetBack: times are reported by the process's
// clock, by which it is as long ago as it was.
func TestBoltTimesAfterClockSetBack(t *testing.T) {
	clock := storetest.NewClock()
	s := open(t, filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: clock.Now})
	note := func(id string) {
		t.Helper()
		if err := s.Note(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	note("before")
	clock.Advance(time.Minute)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(-3 * time.Hour)
	note("after")
	now := clock.Now()
	entries, _, err := s.Entries(t.Context(), "", 10)
	if err != nil || len(entries) != 2 || !entries[0].At.Equal(now) || !entries[1].At.Equal(now.Add(-time.Minute)) {
		t.Errorf("entries %+v, %v, want one of %s and one a minute older", entries, err, now)
	}
}
