package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/bolt/file"
)

// compactEnv makes the test binary compact the file it names.
const compactEnv = "PIPESTEWARD_TEST_COMPACT"

// mostlyFree makes a file of which most is free, with 200 records of 1,000 bytes.
func mostlyFree(t *testing.T, path string) {
	t.Helper()
	s := open(t, path, bolt.Options{Now: time.Now})
	fill(t, s, 200)
	long := make([]byte, 1<<20)
	for i := range 8 {
		if err := s.Append(t.Context(), "log", strconv.Itoa(i), long, 100); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ping(t.Context()); err != nil { // commits them
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), "log", "last", nil, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantWhole opens the store at path and wants the records of mostlyFree, and its log.
func wantWhole(t *testing.T, path string) {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	records, _, err := s.Records(t.Context(), "", 1000)
	if err != nil || len(records) != 200 || len(records[0].Body) != 1000 {
		t.Errorf("%d records, %v, want 200 of 1,000 bytes", len(records), err)
	}
	entries, _, err := s.Appended(t.Context(), "log", "", 10)
	if err != nil || len(entries) != 1 || entries[0].ID != "last" {
		t.Errorf("entries %v, %v, want the last one", entries, err)
	}
	added, err := s.Put(t.Context(), store.Record{ID: "record-007", Kind: "event"})
	if err != nil || added[0] {
		t.Errorf("a record that is there is put again: %v, %v", added, err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestCompact: a file that is mostly free shrinks and keeps what it has, its mode and the
// link to it; one that is not stays as it is.
func TestCompact(t *testing.T) {
	linked, path := filepath.Join(t.TempDir(), "real.db"), filepath.Join(t.TempDir(), "test.db")
	if err := os.Symlink(linked, path); err != nil {
		t.Skip("no links here:", err)
	}
	if c, err := file.Compact(path, 1, nil); err != nil || c.Before != 0 {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	mostlyFree(t, path)
	before := sizeOf(t, path)
	if c, err := file.Compact(path, file.CompactFrom, nil); err != nil || c.Before != 0 || sizeOf(t, path) != before {
		t.Errorf("a small file: %+v, %v", c, err)
	}
	if err := os.WriteFile(linked+".compacted", []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []file.Compaction
	c, err := file.Compact(path, 1<<20, func(c file.Compaction) { seen = append(seen, c) })
	if err != nil || c.Before != before || c.Free < 8<<20 || c.Written != sizeOf(t, path) || c.Written > before/4 {
		t.Errorf("%+v of %d bytes, %v", c, before, err)
	}
	if len(seen) != 1 || seen[0].Written != 0 || seen[0].Before != before {
		t.Errorf("the progress is %+v", seen)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(linked), "*")); err != nil || len(left) != 1 {
		t.Errorf("files %q, %v", left, err)
	}
	wantWhole(t, path)
	if c, err := file.Compact(path, 0, nil); err != nil || c.Before != 0 {
		t.Errorf("once more: %+v, %v", c, err)
	}
}

// TestCompactFails: the file stays as it is where there is no place for a copy, and where a
// process has it open.
func TestCompactFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	mostlyFree(t, path)
	before := sizeOf(t, path)
	if err := os.MkdirAll(filepath.Join(path+".compacted", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Compact(path, 1<<20, nil); !errors.Is(err, file.ErrNotCompacted) {
		t.Errorf("with something in the place of the copy: %v", err)
	}
	if err := os.RemoveAll(path + ".compacted"); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, bolt.Options{Now: time.Now})
	if _, err := file.Compact(path, 1<<20, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("of a file that is open: %v", err)
	}
	if err := s.Close(); err != nil || sizeOf(t, path) != before {
		t.Errorf("%d bytes, before %d, %v", sizeOf(t, path), before, err)
	}
	wantWhole(t, path)
}

// TestCompactKilled kills a process that compacts, later and later, until it is done before:
// the file is whole each time, the old one or the new one.
func TestCompactKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	mostlyFree(t, path)
	for after := time.Duration(0); ; after = after*5/4 + time.Millisecond {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), compactEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it begins
			t.Fatal(err)
		}
		killer := time.AfterFunc(after, func() { _ = child.Process.Kill() })
		_, _ = io.Copy(io.Discard, out)
		err = child.Wait()
		killer.Stop()
		wantWhole(t, path)
		if err == nil {
			break
		}
	}
	if size := sizeOf(t, path); size > 4<<20 {
		t.Errorf("%d bytes after the compaction", size)
	}
}

// compactAndExit compacts a file, and prints that it begins.
func compactAndExit(path string) {
	_, err := file.Compact(path, 1, func(file.Compaction) { fmt.Print(".") })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(".") // also where it was done before
	os.Exit(0)
}

// TestOpenReplaced: who waits for the lock of a file in whose place another one comes opens
// that one. If the wait is over before, it is repeated.
func TestOpenReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	for {
		first := open(t, path, bolt.Options{Now: time.Now})
		next := path + ".next"
		other := open(t, next, bolt.Options{Now: time.Now})
		fill(t, other, 1)
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		var second *bolt.Store
		opened := make(chan error, 1)
		go func() {
			var err error
			second, err = bolt.Open(path, bolt.Options{Now: time.Now})
			opened <- err
		}()
		select { // until it waits, or not: both may be seen
		case err := <-opened:
			opened <- err
		case <-time.After(50 * time.Millisecond):
		}
		if err := errors.Join(os.Rename(next, path), first.Close()); err != nil {
			t.Fatal(err)
		}
		err := <-opened
		if errors.Is(err, store.ErrInUse) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = second.Close() }()
		if there, err := second.Queued(t.Context(), "record-000"); err != nil || !there {
			t.Errorf("the record of the new file is there: %t, %v", there, err)
		}
		if _, err := second.Put(t.Context(), store.Record{ID: "new", Kind: "event"}); err != nil {
			t.Error(err)
		}
		return
	}
}

// TestSizes: the metrics know how much of the file is free.
func TestSizes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	mostlyFree(t, path)
	s := open(t, path, bolt.Options{Now: time.Now})
	size, free, err := s.Sizes()
	if err != nil || size != sizeOf(t, path) || free < 8<<20 || free > size {
		t.Errorf("%d bytes free of %d, %v", free, size, err)
	}
}

// TestBackup: a backup has all that was committed before it, whatever is written meanwhile,
// one at a time, and leaves nothing behind.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	mostlyFree(t, path)
	s := open(t, path, bolt.Options{Now: time.Now})
	copied, size, err := s.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gaveUp, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, _, err := s.Backup(gaveUp); !errors.Is(err, bolt.ErrBackupRuns) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := s.Put(t.Context(), store.Record{ID: "later", Kind: "event"}); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(dir, "saved.db")
	write := func(w io.Writer) error {
		n, err := io.Copy(w, copied)
		if n != size {
			t.Errorf("%d bytes, want %d", n, size)
		}
		return err
	}
	if err := file.Save(saved, false, write); err != nil {
		t.Fatal(err)
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, saved)
	if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, _, err := s.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	if left, err := filepath.Glob(filepath.Join(dir, "*backup*")); err != nil || len(left) != 0 {
		t.Errorf("files %q are left, %v", left, err)
	}
}

// TestSave: what is no whole store is not put in place, and leaves what was there.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	path, saved := filepath.Join(dir, "test.db"), filepath.Join(dir, "saved.db")
	mostlyFree(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zeroed := append([]byte{}, whole...)
	clear(zeroed[8<<10 : len(zeroed)/2])
	broken := errors.New("broken off")
	for name, c := range map[string]struct {
		data []byte
		err  error
		says string
	}{
		"empty":        {nil, nil, "it is empty"},
		"cut short":    {whole[:len(whole)/16], nil, "damaged"},
		"zeroed":       {zeroed, nil, "damaged"},
		"text":         {[]byte(strings.Repeat("no store ", 10_000)), nil, "no store"},
		"broken off":   {whole[:1000], broken, "broken off"},
		"whole":        {whole, nil, ""},
		"whole, again": {whole, nil, ""},
	} {
		if err := os.WriteFile(saved, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		write := func(w io.Writer) error {
			_, err := w.Write(c.data)
			return errors.Join(err, c.err)
		}
		if err := file.Save(saved, false, write); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s, over a file: %v", name, err)
		}
		err := file.Save(saved, true, write)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if now, _ := os.ReadFile(saved); (string(now) == "before") != (c.says != "") {
			t.Errorf("%s: the file has %d bytes", name, len(now))
		}
	}
	if err := file.Save(dir, true, func(io.Writer) error { return nil }); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("over a directory: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("files %q are left, %v", left, err)
	}
}
