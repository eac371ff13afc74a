package bolt

import (
	"context"
	"os"
	"path/filepath"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/file"
)

// Describe implements store.Store.
func (s *Store) Describe(context.Context) (store.Description, error) {
	path := s.db.Path()
	info, err := os.Stat(path)
	if err != nil {
		return store.Description{}, err
	}
	return store.Description{
		Backend: "bbolt",
		Place:   path,
		Used:    info.Size(),
		Free:    file.DiskFree(filepath.Dir(path)),
	}, nil
}
