// Package bolt is the store in one bbolt file, for one process at a time.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/pipesteward/pipesteward/store"
)

const (
	// lockPatience is how long Open waits for the lock of a process that is ending.
	lockPatience = 500 * time.Millisecond
	// purgeAtLeast is how many expired values, and how many expired entries, a
	// commit removes at most, besides twice as many as it added.
	purgeAtLeast = 16
)

// Options are the settings of a Store.
type Options struct {
	Now        func() time.Time // the store's clock; required
	DedupeTTL  time.Duration    // how long an id is remembered after its Put; 0: store.DefaultDedupeTTL
	JournalTTL time.Duration    // the time to live of journal entries; 0: store.DefaultJournalTTL
	MaxSize    int              // the greatest size of the file, in bytes; 0: no limit
}

// Store is a store.Store in one file, for one process at a time.
//
// One goroutine writes. It commits all writes that wait in one transaction with
// one sync to disk, so that many writers share its cost; a lone writer does not
// wait for others. If a batch fails, each of its writes is run and committed by
// itself, and has its own result.
//
// Some writes are lazy: they are answered before the commit, since nothing is
// lost if the process dies before it. They are committed with the next write
// that is not lazy, and at the latest within a second.
//
//	Lease, Extend  the records are due again when the process is gone;
//	               the number of attempts is in a file of its own, see attempts
//	Take, Tally    a few tokens or members are forgotten; the work that they
//	               were for was not committed either, and is repeated
//	Claim, Release the owner died with the process
//	Append         logs are for people to look at; no work depends on them
//
// Readers do not see what has expired; each commit removes a part of it.
type Store struct {
	db         *bbolt.DB
	file       os.FileInfo // of the file that was opened
	clock      *steadyClock
	dedupeTTL  time.Duration
	journalTTL time.Duration

	writes    chan *write
	closing   chan struct{} // closed by Close
	committed chan struct{} // closed when the committing goroutine has ended
	closeOnce sync.Once
	closeErr  error
	commitErr error // of the last commit, set before committed is closed

	attempts attempts       // used by the committing goroutine
	queued   store.Notifier // when a record was queued

	broken atomic.Pointer[error] // why the file can't be used any more; nil: it can
	damage chan error            // what Damaged returns
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, or creates it (mode 0600; its
// directory must exist). Records that the last process had leased are due at
// once: the lock on the file proves that this process has ended.
func Open(path string, o Options) (s *Store, err error) {
	if o.Now == nil {
		return nil, errors.New("store: the options have no clock: set Now")
	}
	if o.DedupeTTL == 0 {
		o.DedupeTTL = store.DefaultDedupeTTL
	}
	if o.JournalTTL == 0 {
		o.JournalTTL = store.DefaultJournalTTL
	}

	// In a damaged file bbolt panics, or faults where the file is too short;
	// then it cannot be closed either, and stays locked by this process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("store: %s is damaged (%v): restore a backup, or move it away to start with an empty store", path, r)
		}
	}()

	info, statErr := os.Stat(path)
	if statErr == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil, fmt.Errorf("store: %s is empty, which no store is: restore a backup, or delete it to start with an empty store", path)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      lockPatience,
		FreelistType: bbolt.FreelistMapType,
		MaxSize:      o.MaxSize,
		NoStatistics: true,
	})
	if err != nil {
		return nil, openError(path, err)
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		err = prepare(db, attemptsPath(path))
	}
	var last int64 // the store's time of the last commit
	if err == nil {
		info, err = os.Stat(path)
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			if v := tx.Bucket(metaBucket).Get(clockKey); len(v) == 8 {
				last = int64(binary.BigEndian.Uint64(v))
			}
			return nil
		})
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}

	s = &Store{
		db:         db,
		file:       info,
		clock:      newSteadyClock(o.Now, last),
		attempts:   attempts{path: attemptsPath(path)},
		damage:     make(chan error, 1),
		dedupeTTL:  o.DedupeTTL,
		journalTTL: o.JournalTTL,
		writes:     make(chan *write),
		closing:    make(chan struct{}),
		committed:  make(chan struct{}),
	}
	go s.commitLoop()
	return s, nil
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

// prepare creates the buckets of a new file, checks the format of an old one,
// and ends the leases of the last process.
func prepare(db *bbolt.DB, attempts string) error {
	err := db.Update(func(tx *bbolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d: restore a backup, or move it away to start with an empty store", errDamaged, info.Size(), tx.Size())
		}
		if first, _ := tx.Cursor().First(); first == nil {
			if err := create(tx); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return errors.New("it belongs to another program: use another file")
		}
		if v := string(meta.Get(formatKey)); v != formatVersion {
			return fmt.Errorf("it has format %q, and this program reads format %q: use the version that wrote it", v, formatVersion)
		}
		// The files of early versions have no buckets for tallies and logs.
		for _, name := range [][]byte{talliesBucket, logsBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		t := newTxn(tx)
		return errors.Join(recoverAttempts(t, attempts), endLeases(t))
	})
	if err != nil {
		return err
	}
	if err := os.Remove(attempts); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// attemptsPath returns the path of the file for attempts beside the store's.
func attemptsPath(path string) string { return path + ".attempts" }

func create(tx *bbolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(formatKey, []byte(formatVersion))
}

// Close implements store.Store. A second Close does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.committed
		s.closeErr = s.commitErr
		if s.broken.Load() != nil { // bbolt's locks may never be free
			s.closeErr = nil
			return
		}
		if s.commitErr == nil {
			s.closeErr = s.attempts.remove()
		}
		s.closeErr = errors.Join(s.closeErr, s.db.Close())
	})
	return s.closeErr
}

// pingSize is how many bytes Ping writes: more than the Put of an ordinary
// record, so that such a Put succeeds if Ping did.
const pingSize = 64 << 10

// present returns an error if the file is no longer at its path: what is written
// to it then is lost when this process ends.
func (s *Store) present() error {
	path := s.db.Path()
	switch info, err := os.Stat(path); {
	case err != nil:
		return fmt.Errorf("store: %s is gone (%w): if it was moved, move it back and restart; if it was deleted, its records are lost", path, err)
	case !os.SameFile(info, s.file):
		return fmt.Errorf("store: %s was replaced by another file while it was open: restart to use the new one", path)
	}
	return nil
}

// Ping implements store.Store: it writes, and waits for the disk.
func (s *Store) Ping(ctx context.Context) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	return s.write(ctx, func(t *txn) error {
		return t.put(t.meta, pingKey, make([]byte, pingSize))
	})
}
