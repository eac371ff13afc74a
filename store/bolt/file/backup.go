package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// CopyTo writes the file at path, which no process may have open to write, as it is after the
// last commit. size is called with the length before.
func CopyTo(w io.Writer, path string, size func(int64)) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, r)
		}
	}()
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	db, _, err := openAt(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if err := format.Check(tx); err != nil {
			return fmt.Errorf("store: %s: %w", path, err)
		}
		size(tx.Size())
		_, err := tx.WriteTo(w)
		return err
	})
}

// Save has write write a backup, and puts it at path (mode 0600) once it is on disk and was
// found to be a whole store. After an error, path is as it was. It replaces a file that is
// there only with overwrite; else the error is fs.ErrExist. It replaces nothing but files: the
// error is fs.ErrInvalid for a directory, a device or a pipe.
func Save(path string, overwrite bool, write func(io.Writer) error) (err error) {
	switch info, err := os.Stat(path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w", path, fs.ErrInvalid)
	case err == nil && !overwrite:
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".pipesteward-backup-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // which may have been done
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := verify(f.Name()); err != nil {
		return fmt.Errorf("the backup is not whole: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// verify returns an error unless the file at path is a whole store.
func verify(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w (%v)", format.ErrDamaged, r)
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fmt.Errorf("%w: it is empty", format.ErrDamaged)
	}
	db, _, err := openAt(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d", format.ErrDamaged, info.Size(), tx.Size())
		}
		return checked(tx)
	})
}
