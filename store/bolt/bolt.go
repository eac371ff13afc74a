// Package bolt is the store in one bbolt file, for one process at a time.
//
// The package has more than 2,000 lines because the methods of the store's contract share the
// transactions of one writer: what of it stands by itself is in the packages below it.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt/amendments"
	"github.com/pipesteward/pipesteward/store/bolt/attempts"
	"github.com/pipesteward/pipesteward/store/bolt/clock"
	"github.com/pipesteward/pipesteward/store/bolt/file"
	"github.com/pipesteward/pipesteward/store/bolt/format"
)

// purgeAtLeast is how many expired values, and how many expired entries, a commit
// removes at most, besides twice as many as it added.
const purgeAtLeast = 16

// Options are the settings of a Store.
type Options struct {
	Now       func() time.Time // the store's clock; required
	DedupeTTL time.Duration    // how long an id is remembered after its Put; 0: store.DefaultDedupeTTL
	Retention store.Retention  // of the journal and of logs
	MaxSize   int              // the greatest size of the file, in bytes; 0: no limit
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
	db        *file.File
	clock     *clock.Steady
	dedupeTTL time.Duration
	retention store.Retention

	writes    chan *write
	closing   chan struct{} // closed by Close
	committed chan struct{} // closed when the committing goroutine has ended
	closeOnce sync.Once
	closeErr  error
	commitErr error // of the last commit, set before committed is closed

	attempts   attempts.File    // used by the committing goroutine
	queued     store.Notifier   // when a record was queued
	amendments *amendments.Feed // of the journal, since the store was opened
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, or creates it (mode 0600; its
// directory must exist). Records that the last process had leased are due at
// once: the lock on the file proves that this process has ended.
func Open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		return nil, errors.New("store: the options have no clock: set Now")
	}
	if o.DedupeTTL == 0 {
		o.DedupeTTL = store.DefaultDedupeTTL
	}

	var last int64 // the store's time of the last commit
	db, err := file.Open(path, o.MaxSize, func(db *bbolt.DB) (err error) {
		last, err = prepare(db, attemptsPath(path))
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &Store{
		db:         db,
		clock:      clock.New(o.Now, last),
		attempts:   attempts.File{Path: attemptsPath(path)},
		amendments: amendments.New(store.MaxAmendments),
		dedupeTTL:  o.DedupeTTL,
		retention:  o.Retention,
		writes:     make(chan *write),
		closing:    make(chan struct{}),
		committed:  make(chan struct{}),
	}
	go s.commitLoop()
	return s, nil
}

// prepare creates the buckets of a new file, checks the format of an old one,
// ends the leases of the last process, and returns the store's time of the last commit.
func prepare(db *bbolt.DB, attemptsFile string) (last int64, err error) {
	err = db.Update(func(tx *bbolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d: restore a backup, or move it away to start with an empty store", format.ErrDamaged, info.Size(), tx.Size())
		}
		if first, _ := tx.Cursor().First(); first == nil {
			if err := create(tx); err != nil {
				return err
			}
		}
		if err := format.Check(tx); err != nil {
			return err
		}
		// The files of early versions have no buckets for tallies and logs.
		for _, name := range [][]byte{format.Tallies, format.Logs} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if v := tx.Bucket(format.Meta).Get(format.ClockKey); len(v) == 8 {
			last = int64(binary.BigEndian.Uint64(v))
		}
		t := newTxn(tx)
		return errors.Join(recoverAttempts(t, attemptsFile), endLeases(t))
	})
	if err != nil {
		return 0, err
	}
	if err := os.Remove(attemptsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return last, nil
}

// recoverAttempts sets the attempts that the last process saved in the file at
// path and did not commit.
func recoverAttempts(t *txn, path string) error {
	saved, err := attempts.Read(path)
	if err != nil {
		return err
	}
	for _, a := range saved {
		h, err := format.DecodeHeader(t.records.Get(format.NumberKey(a.Seq)))
		if err != nil || !a.Of(h.ID) || h.Attempt >= a.Number {
			continue // the record is done, unreadable or another one
		}
		h.Attempt = a.Number
		if err := t.put(t.records, format.NumberKey(a.Seq), h.Encode()); err != nil {
			return err
		}
	}
	return nil
}

// attemptsPath returns the path of the file for attempts beside the store's.
func attemptsPath(path string) string { return path + ".attempts" }

func create(tx *bbolt.Tx) error {
	for _, name := range format.Buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(format.Meta).Put(format.VersionKey, []byte(format.Version))
}

// Close implements store.Store. A second Close does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.committed
		s.closeErr = s.commitErr
		if s.db.Broken() { // bbolt's locks may never be free
			s.closeErr = nil
			return
		}
		if s.commitErr == nil {
			s.closeErr = s.attempts.Remove()
		}
		s.closeErr = errors.Join(s.closeErr, s.db.Close())
	})
	return s.closeErr
}

// pingSize is how many bytes Ping writes: more than the Put of an ordinary
// record, so that such a Put succeeds if Ping did.
const pingSize = 64 << 10

// Ping implements store.Store: it writes, and waits for the disk.
func (s *Store) Ping(ctx context.Context) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	return s.write(ctx, func(t *txn) error {
		return t.put(t.meta, format.PingKey, make([]byte, pingSize))
	})
}
