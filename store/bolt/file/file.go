// Package file is the file of a store, which bbolt reads and writes. It may turn out to be
// damaged, and it may be removed or replaced while it is open.
package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// lockPatience is how long Open waits for the lock of a process that is ending.
const lockPatience = 500 * time.Millisecond

// File is an open file.
type File struct {
	*bbolt.DB
	info   os.FileInfo           // of the file that was opened
	broken atomic.Pointer[error] // why the file can't be used any more; nil: it can
	damage chan error            // what Damaged returns

	copying chan struct{} // has room for the one copy
}

// Open opens the file at path, or creates it (mode 0600; its directory must exist), and
// prepares it for use. maxSize is its greatest size in bytes; 0: there is none. Errors say
// what an operator has to do.
func Open(path string, maxSize int, prepare func(*bbolt.DB) error) (f *File, err error) {
	// In a damaged file bbolt panics, or faults where the file is too short;
	// then it cannot be closed either, and stays locked by this process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, damaged(path, r)
		}
	}()

	info, statErr := os.Stat(path)
	if statErr == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil, fmt.Errorf("store: %s is empty, which no store is: restore a backup, or delete it to start with an empty store", path)
	}
	db, info, err := openAt(path, bbolt.Options{MaxSize: maxSize, InitialMmapSize: mapped(info)})
	if err != nil {
		return nil, err
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		err = prepare(db)
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return &File{DB: db, info: info, damage: make(chan error, 1), copying: make(chan struct{}, 1)}, nil
}

// damaged returns the error of a file in which bbolt has panicked.
func damaged(path string, reason any) error {
	return fmt.Errorf("store: %s is damaged (%v): restore a backup, or move it away to start with an empty store", path, reason)
}

// openAt opens the file at path and locks it. While it waited for the lock, the process that
// had it may have put another file in its place: then openAt opens that one.
func openAt(path string, o bbolt.Options) (*bbolt.DB, os.FileInfo, error) {
	for {
		var opened *os.File
		o.Timeout, o.FreelistType = lockPatience, bbolt.FreelistMapType
		o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			opened, err = os.OpenFile(name, flag, mode)
			return opened, err
		}
		db, err := bbolt.Open(path, 0o600, &o)
		if err != nil {
			return nil, nil, openError(path, err)
		}
		info, err := opened.Stat()
		if err == nil {
			var there os.FileInfo
			if there, err = os.Stat(path); err == nil && os.SameFile(info, there) {
				return db, info, nil
			}
		}
		if closeErr := db.Close(); err != nil && !errors.Is(err, fs.ErrNotExist) || closeErr != nil {
			return nil, nil, fmt.Errorf("store: open %s: %w", path, errors.Join(err, closeErr))
		}
	}
}

// mapped returns how many bytes of address space a large file gets at first, 0 for what it
// needs: when it needs more, its writer has to wait for all readers, and a backup reads for
// long. Windows would make the file as large.
func mapped(info os.FileInfo) int {
	const large, more = 16 << 20, 1 << 30
	if info == nil || info.Size() < large || strconv.IntSize < 64 || runtime.GOOS == "windows" {
		return 0
	}
	return int(info.Size()) + more
}

// openError returns what an operator has to do about an error of bbolt.Open.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("store: %s is %w: stop that process, or use another file", path, store.ErrInUse)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: the directory of %s does not exist: create it first", path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch), errors.Is(err, bbolterrors.ErrChecksum):
		return fmt.Errorf("store: %s is no store, or it is damaged (%w): use another file, or move this one away to start with an empty store", path, err)
	}
	return fmt.Errorf("store: open %s: %w", path, err)
}

// syncDir makes the name of a new file durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Present returns an error if the file is no longer at its path: what is written
// to it then is lost when this process ends.
func (f *File) Present() error {
	path := f.Path()
	switch info, err := os.Stat(path); {
	case err != nil:
		return fmt.Errorf("store: %s is gone (%w): if it was moved, move it back and restart; if it was deleted, its records are lost", path, err)
	case !os.SameFile(info, f.info):
		return fmt.Errorf("store: %s was replaced by another file while it was open: restart to use the new one", path)
	}
	return nil
}

// Guarded runs a function that uses the file. Where the file is damaged, bbolt
// panics, or faults if the file is too short, and can't be used or closed after
// that: then Guarded reports it to Damaged, and returns an error from now on.
func (f *File) Guarded(run func() error) (err error) {
	if broken := f.broken.Load(); broken != nil {
		return *broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: %s: %w (%v): stop, and restore a backup, or move it away to start with an empty store", f.Path(), format.ErrDamaged, r)
			if f.broken.CompareAndSwap(nil, &err) {
				f.damage <- err
			}
		}
	}()
	return run()
}

// Broken reports whether the file can't be used, or closed, any more.
func (f *File) Broken() bool { return f.broken.Load() != nil }

// Damaged returns a channel that receives an error when the file turns out to be
// damaged while it is in use. Then the process must end: nothing else helps.
func (f *File) Damaged() <-chan error { return f.damage }

// Describe says where the file is, how large it is, and how much room is left on its disk.
func (f *File) Describe() (store.Description, error) {
	info, err := os.Stat(f.Path())
	if err != nil {
		return store.Description{}, err
	}
	return store.Description{Backend: "bbolt", Place: f.Path(), Used: info.Size(), Free: diskFree(filepath.Dir(f.Path()))}, nil
}
