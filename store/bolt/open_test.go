package bolt_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

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

func TestBoltSecondOpener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	first := open(t, path, bolt.Options{})
	o := bolt.Options{Now: time.Now}
	_, err := bolt.Open(path, o)
	if err == nil || !strings.Contains(err.Error(), path+" is open in another process") || !errors.Is(err, store.ErrInUse) {
		t.Errorf("second opener: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, o)
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
