package bolt

import (
	"context"
	"os"
	"path/filepath"

	"github.com/pipesteward/pipesteward/store"
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
		Free:    diskFree(filepath.Dir(path)),
	}, nil
}
