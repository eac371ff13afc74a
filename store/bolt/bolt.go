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
	// lockPatience is how long Open waits for a process that just ends.
	lockPatience = 500 * time.Millisecond
	// maxGroup bounds how many writes share a commit.
	maxGroup = 1024
	// purgeAtLeast of what expired is removed in a commit, and more where
	// more was added.
	purgeAtLeast = 16
)

// BoltOptions are the settings of a Bolt.
type Options struct {
	Now        func() time.Time // the store's clock; required
	DedupeTTL  time.Duration    // how long an id is remembered, from its Put; 0: DefaultDedupeTTL
	JournalTTL time.Duration    // how long an entry is kept; 0: DefaultJournalTTL
	MaxSize    int              // bytes that the file may grow to; 0: what the disk holds
}

// Bolt is a Store in one file, for one process at a time.
//
// One goroutine commits. It gathers the writes that wait and makes them one
// transaction with one sync to disk, so that many writers share its cost; a
// lone writer does not wait for company. A group that fails is run again one
// by one, so that each write has its own answer.
//
// What expired is not there for readers, and is removed a few at a time by
// the commits that follow.
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

	queued store.Notifier // when a record was queued

	broken atomic.Pointer[error] // why the file can't be used any more; nil: it can
	damage chan error            // what Damaged returns
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, or makes it (mode 0600; its
// directory must be there). Records that the last process had leased are due
// at once: the lock on the file proves that it is gone.
func Open(path string, o Options) (b *Store, err error) {
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
			b, err = nil, fmt.Errorf("store: %s is damaged (%v): bring back a copy, or move it away to start with an empty store", path, r)
		}
	}()

	info, statErr := os.Stat(path)
	if statErr == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil, fmt.Errorf("store: %s is empty, and no store is: bring back a copy, or delete it to start with an empty store", path)
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
		err = prepare(db)
	}
	var shown int64 // what the clock showed last
	if err == nil {
		info, err = os.Stat(path)
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			if v := tx.Bucket(metaBucket).Get(clockKey); len(v) == 8 {
				shown = int64(binary.BigEndian.Uint64(v))
			}
			return nil
		})
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}

	b = &Store{
		db:         db,
		file:       info,
		clock:      newSteadyClock(o.Now, shown),
		damage:     make(chan error, 1),
		dedupeTTL:  o.DedupeTTL,
		journalTTL: o.JournalTTL,
		writes:     make(chan *write),
		closing:    make(chan struct{}),
		committed:  make(chan struct{}),
	}
	go b.commitLoop()
	return b, nil
}

// openError says what to do when bbolt could not open the file.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("store: %s is open in another process: stop that one, or give this one another file", path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: the directory of %s does not exist: create it first", path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch), errors.Is(err, bbolterrors.ErrChecksum):
		return fmt.Errorf("store: %s is no store, or a damaged one (%w): give another file, or move this one away to start with an empty store", path, err)
	}
	return fmt.Errorf("store: open %s: %w", path, err)
}

// syncDir makes a new file's name durable. Windows has no such call.
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

// prepare makes the buckets of a new file, checks those of an old one, and
// takes the records back that the last process had leased.
func prepare(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d: bring back a copy, or move it away to start with an empty store", errDamaged, info.Size(), tx.Size())
		}
		if first, _ := tx.Cursor().First(); first == nil {
			if err := create(tx); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return errors.New("it belongs to another program: give another file")
		}
		if v := string(meta.Get(formatKey)); v != formatVersion {
			return fmt.Errorf("it has format %q, and this program reads format %q: use the version that wrote it", v, formatVersion)
		}
		// A file from before there were tallies has no bucket for them.
		if _, err := tx.CreateBucketIfNotExists(talliesBucket); err != nil {
			return err
		}
		return endLeases(newBoltTx(tx, 0, 0))
	})
}

func create(tx *bbolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(formatKey, []byte(formatVersion))
}

// Close implements Store. A second Close does nothing.
func (b *Store) Close() error {
	b.closeOnce.Do(func() {
		close(b.closing)
		<-b.committed
		if b.broken.Load() == nil { // else bbolt's locks may be held for ever
			b.closeErr = b.db.Close()
		}
	})
	return b.closeErr
}

// pingSize is more than a Put of an ordinary record needs, so that a store
// that Ping finds in order has room for it.
const pingSize = 64 << 10

// present returns an error when the file is not at its path any more: what is
// written then is lost with this process.
func (b *Store) present() error {
	path := b.db.Path()
	switch info, err := os.Stat(path); {
	case err != nil:
		return fmt.Errorf("store: %s is not there any more (%w): put it back if it was moved, and restart; its records are lost if it was deleted", path, err)
	case !os.SameFile(info, b.file):
		return fmt.Errorf("store: %s was replaced by another file while it was open: restart, to use the one that is there now", path)
	}
	return nil
}

// Ping implements Store: it writes, and waits for the disk.
func (b *Store) Ping(ctx context.Context) error {
	select {
	case <-b.closing:
		return store.ErrClosed
	default:
	}
	return b.write(ctx, func(t *boltTx) error {
		return t.put(t.meta, pingKey, make([]byte, pingSize))
	})
}
