package bolt

import (
	"context"
	"io"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/file"
)

// ErrBackupRuns is returned if another backup is not done in time.
var ErrBackupRuns = file.ErrCopyRuns

// Backup returns a copy of the store as it is after the last commit, and its length in bytes.
// The caller closes it. How fast the caller reads does not matter to the store: see
// file.File.Copy.
func (s *Store) Backup(ctx context.Context) (io.ReadCloser, int64, error) {
	return s.db.Copy(ctx, s.closing)
}

// Sizes returns how many bytes the file has, and how many of them hold nothing.
func (s *Store) Sizes() (size, free int64, err error) { return s.db.Sizes() }

// Describe implements store.Store.
func (s *Store) Describe(context.Context) (store.Description, error) { return s.db.Describe() }
