package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/bolt/file"
)

// compactStore compacts a store that is a file, if much of that is free. Only serve does, at
// its start: a command of another user would make that user the file's owner.
func compactStore(setting string, log *slog.Logger) error {
	path, isFile := strings.CutPrefix(cmp.Or(setting, DefaultStore), "bolt:")
	if !isFile {
		return nil
	}
	began := time.Now()
	done, err := file.Compact(path, file.CompactFrom, func(c file.Compaction) {
		log.Info("the store's file is being compacted, and no delivery is taken until then", "file", path, "bytes_before", c.Before, "bytes_free", c.Free, "bytes_written", c.Written)
	})
	switch {
	case errors.Is(err, file.ErrNotCompacted):
		log.Warn("the store's file is mostly free space and can't be compacted: it is used as it is", "file", path, "error", err)
		return nil
	case err != nil:
		return err
	case done.Before > 0:
		log.Info("the store's file was compacted", "file", path, "bytes_before", done.Before, "bytes_written", done.Written, "took", time.Since(began))
	}
	return nil
}

// newStoreFileMetrics returns the metrics of a store that is a file; none for another one.
func newStoreFileMetrics(db store.Store) []prometheus.Collector {
	f, ok := db.(*bolt.Store)
	if !ok {
		return nil
	}
	gauge := func(name, help string, value func(size, free int64) int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			size, free, err := f.Sizes()
			if err != nil {
				return math.NaN()
			}
			return float64(value(size, free))
		})
	}
	return []prometheus.Collector{
		gauge("pipesteward_store_file_bytes", "Size of the store's file.", func(size, _ int64) int64 { return size }),
		gauge("pipesteward_store_file_free_bytes", "How much of the store's file holds nothing, and is used before the file grows.", func(_, free int64) int64 { return free }),
	}
}

// backups copies the store for the admin API.
type backups struct{ store.Store }

var _ admin.Backups = backups{}

// Backup implements admin.Backups.
func (b backups) Backup(ctx context.Context) (io.ReadCloser, int64, error) {
	f, ok := b.Store.(*bolt.Store)
	if !ok {
		return nil, 0, errRedisBackup
	}
	copied, size, err := f.Backup(ctx)
	if errors.Is(err, bolt.ErrBackupRuns) {
		err = &event.StateError{Reason: err.Error()}
	}
	return copied, size, err
}

// errRedisBackup says how the store is backed up where it is no file.
var errRedisBackup = fmt.Errorf("%w: the store is a Redis, which has its own backup: copy the directory appendonlydir of its volume while it is stopped, or a snapshot of the volume", admin.ErrNoBackup)

// CopyStore writes the store that a --store setting names, which no process may have open.
// size is called with its length in bytes before.
func CopyStore(w io.Writer, setting string, size func(int64)) error {
	if err := checkStore(setting); err != nil {
		return SettingErrors{{Setting: "store", Err: err, Malformed: true}}
	}
	path, isFile := strings.CutPrefix(setting, "bolt:")
	if !isFile {
		return errRedisBackup
	}
	return file.CopyTo(w, path, size)
}

// SaveBackup has write write a backup, and puts it at path once it is on disk and was found
// to be a whole store. The error is fs.ErrExist if path is there, unless overwrite is set.
func SaveBackup(path string, overwrite bool, write func(io.Writer) error) error {
	return file.Save(path, overwrite, write)
}
