package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store/bolt/format"
)

const (
	// CompactFrom is how many bytes must be free for serve to compact a file: a smaller one
	// is no burden.
	CompactFrom = 64 << 20
	// progressEach is the time between two calls about the progress of a compaction.
	progressEach = 10 * time.Second
	// compactBatch is how many bytes are copied in a transaction.
	compactBatch = 8 << 20
)

// ErrNotCompacted is the error of a compaction that left the file as it was, and in order.
var ErrNotCompacted = errors.New("store: the file could not be compacted, and is as it was")

// Compaction is what Compact does.
type Compaction struct {
	Before  int64 // bytes of the file
	Free    int64 // bytes of it that hold nothing
	Written int64 // bytes of the file that takes its place, so far
}

// Compact puts a copy without free space in the place of the file at path, if at least half
// of it and at least so many bytes are free: bbolt uses free space again, and never returns
// it. So it copies no more than it frees. It calls progress when it begins, and then every
// ten seconds; progress may be nil. A Compaction of 0 bytes: there was nothing to do.
//
// The file is locked meanwhile. At each step the path names a whole file: the copy is
// checked and on disk before it is renamed, and what a crash leaves of it, the next
// compaction removes. After ErrNotCompacted, which a full disk causes, the file can be used;
// after another error it can't.
func Compact(path string, least int64, progress func(Compaction)) (c Compaction, err error) {
	// As in Open: a damaged file makes bbolt panic.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			c, err = Compaction{}, damaged(path, r)
		}
	}()
	path, err = filepath.EvalSymlinks(path) // the link stays
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil // Open creates it
	}
	if err != nil {
		return c, fmt.Errorf("store: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return c, nil // Open says what is wrong
	}
	db, info, err := openAt(path, bbolt.Options{})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }() // a second time does nothing
	temporary := path + ".compacted"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%w: %w", ErrNotCompacted, err)
	}
	found := Compaction{Before: info.Size(), Free: info.Size()}
	stats := db.Stats()
	err = db.View(func(tx *bbolt.Tx) error {
		found.Free -= tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(db.Info().PageSize)
		return format.Check(tx)
	})
	if err != nil || found.Free < least || found.Free < found.Before/2 {
		return c, nil // of another format: Open says it
	}
	if err := copyTo(temporary, db, info.Mode().Perm(), found, progress); err != nil {
		return c, fmt.Errorf("%w: %w", ErrNotCompacted, errors.Join(err, os.Remove(temporary)))
	}
	// Where open files can be renamed, the old one stays locked until the new one is there.
	if runtime.GOOS == "windows" {
		if err := db.Close(); err != nil {
			return c, fmt.Errorf("%w: %w", ErrNotCompacted, err)
		}
	}
	if err := os.Rename(temporary, path); err != nil {
		return c, fmt.Errorf("%w: %w", ErrNotCompacted, errors.Join(err, os.Remove(temporary)))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return c, fmt.Errorf("store: %s was compacted, and its directory can't be written to disk: %w", path, err)
	}
	after, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("store: %w", err)
	}
	found.Written = after.Size()
	return found, nil
}

// copyTo makes a new file with what a store has, and returns when it is checked and on disk.
func copyTo(path string, from *bbolt.DB, mode os.FileMode, c Compaction, progress func(Compaction)) (err error) {
	to, err := bbolt.Open(path, mode, &bbolt.Options{Timeout: lockPatience, FreelistType: bbolt.FreelistMapType, NoSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	defer reported(path, c, progress)()
	if err := bbolt.Compact(to, from, compactBatch); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return to.View(checked)
}

// reported calls progress until the function that it returns is called.
func reported(path string, c Compaction, progress func(Compaction)) (end func()) {
	if progress == nil {
		return func() {}
	}
	progress(c)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEach)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				if info, err := os.Stat(path); err == nil {
					c.Written = info.Size()
				}
				progress(c)
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
}

// checked returns the first fault of a file in which nobody writes.
func checked(tx *bbolt.Tx) (first error) {
	for err := range tx.Check() { // all of them: else its goroutine stays
		if first == nil {
			first = fmt.Errorf("%w: %w", format.ErrDamaged, err)
		}
	}
	if first != nil {
		return first
	}
	return format.Check(tx)
}

// Sizes returns how many bytes the file has, and how many of them hold nothing.
func (f *File) Sizes() (size, free int64, err error) {
	info, err := os.Stat(f.Path())
	if err != nil {
		return 0, 0, err
	}
	var used int64
	err = f.Guarded(func() error {
		stats := f.Stats()
		return f.View(func(tx *bbolt.Tx) error {
			used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(f.Info().PageSize)
			return nil
		})
	})
	return info.Size(), max(0, info.Size()-used), err
}
