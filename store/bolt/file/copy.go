package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
)

// ErrCopyRuns is returned if another copy is not closed in time: each takes as much space as
// the file.
var ErrCopyRuns = errors.New("store: another backup is being made: wait until it is done")

// Copy returns a copy of the file as it is after the last commit, and its length in bytes. The
// caller closes it. Copy waits until the last copy is closed. It ends early when ctx is done or
// closing is closed.
//
// The copy is a file beside this one, which is gone when it is closed, or when the process
// ends. It takes one read transaction for as long as the disk needs: writers go on meanwhile,
// and only the space that they free then can't be used again, so that the file may grow by it.
func (f *File) Copy(ctx context.Context, closing <-chan struct{}) (_ io.ReadCloser, size int64, err error) {
	select {
	case f.copying <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ErrCopyRuns
	case <-closing:
		return nil, 0, store.ErrClosed
	}
	done := func() { <-f.copying }
	defer func() {
		if err != nil {
			done()
		}
	}()
	path := f.Path() + ".backup"
	if used, _, err := f.Sizes(); err != nil {
		return nil, 0, err
	} else if free := diskFree(filepath.Dir(path)); free > 0 && free < used {
		return nil, 0, fmt.Errorf("store: a backup needs %d bytes beside %s for a while, and %d are free on its disk", used, f.Path(), free)
	}
	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, 0, err
	}
	c := &copied{File: to, done: done}
	if runtime.GOOS == "windows" { // where the name of an open file can't be removed
		c.remove = func() error { return os.Remove(path) }
	} else {
		err = os.Remove(path)
	}
	if err == nil {
		err = f.Guarded(func() error {
			return f.View(func(tx *bbolt.Tx) error {
				size = tx.Size()
				_, err := tx.WriteTo(&stoppable{to, ctx, closing})
				return err
			})
		})
	}
	if err == nil {
		_, err = to.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, c.release())
	}
	return c, size, nil
}

// copied is the file of a copy.
type copied struct {
	*os.File
	remove func() error // nil: it has no name any more
	done   func()
}

// Close implements io.Closer.
func (c *copied) Close() error {
	defer c.done()
	return c.release()
}

// release closes the file, and removes it.
func (c *copied) release() error {
	err := c.File.Close()
	if c.remove != nil {
		err = errors.Join(err, c.remove())
	}
	return err
}

// stoppable writes until a context is done or the store is closed.
type stoppable struct {
	w       io.Writer
	ctx     context.Context //nolint:containedctx // of the one call that it belongs to
	closing <-chan struct{}
}

// Write implements io.Writer.
func (s *stoppable) Write(b []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-s.closing:
		return 0, store.ErrClosed
	default:
		return s.w.Write(b)
	}
}
