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
	"syscall"
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

// write is one call that changes something. Its run may be called twice, so
// it sets its results anew each time, and it uses nothing that its caller
// may change after giving up.
type write struct {
	run    func(*boltTx) error
	result chan error
}

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

// write has the committing goroutine run the function and waits until what
// it did is on disk. When ctx ends first, it may still come to pass.
func (b *Store) write(ctx context.Context, run func(*boltTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{run: run, result: make(chan error, 1)}
	select {
	case b.writes <- w:
	case <-b.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// view runs the function on what is committed.
func (b *Store) view(ctx context.Context, run func(*boltTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := b.guarded(func() error {
		return b.db.View(func(tx *bbolt.Tx) error { return run(b.begin(tx)) })
	})
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// commitLoop is the committing goroutine.
func (b *Store) commitLoop() {
	defer close(b.committed)
	for {
		select {
		case first := <-b.writes:
			b.commit(b.gather(first))
		case <-b.closing:
			return
		}
	}
}

// gather adds the writes that wait already. It yields as long as that brings
// more, so that the writers that the last commit answered come in again: else
// groups are half as large. It waits for nobody.
func (b *Store) gather(first *write) []*write {
	group := []*write{first}
	for had := 0; had < len(group); {
		had = len(group)
		runtime.Gosched()
		group = b.drain(group)
	}
	return group
}

// drain adds the writes that wait to the group, up to maxGroup.
func (b *Store) drain(group []*write) []*write {
	for len(group) < maxGroup {
		select {
		case w := <-b.writes:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit runs the writes as one transaction, or, when that fails, each as
// its own, and answers them all.
func (b *Store) commit(group []*write) {
	err := b.update(group)
	for i, w := range group {
		if err != nil && len(group) > 1 {
			w.result <- b.update(group[i : i+1])
			continue
		}
		w.result <- err
	}
}

var errUnchanged = errors.New("store: nothing to commit")

// update runs the writes as one transaction.
func (b *Store) update(group []*write) error {
	if err := b.present(); err != nil {
		return err
	}
	var queued bool
	err := b.guarded(func() error { return b.db.Update(b.apply(group, &queued)) })
	switch {
	case err == nil && queued:
		b.queued.Notify()
	case errors.Is(err, errUnchanged):
		return nil
	case errors.Is(err, bbolterrors.ErrMaxSizeReached), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("store: %s has no room to grow, and nothing was changed (%w): make room on its disk", b.db.Path(), err)
	}
	return err
}

// apply returns the transaction of the writes, which sets whether records were
// queued.
func (b *Store) apply(group []*write, queued *bool) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		t := b.begin(tx)
		for _, w := range group {
			if err := w.run(t); err != nil {
				return err
			}
		}
		if !t.changed {
			return errUnchanged // spares the sync to disk
		}
		*queued = t.queued
		return errors.Join(t.put(t.meta, clockKey, numberKey(uint64(t.now))), t.purgeExpired(), t.purgeEntries(b.journalTTL))
	}
}

// guarded runs something on the file. bbolt panics where the file is damaged,
// or faults where it is too short, and can't be used or closed after that: then
// Damaged tells it, and this and all later calls return an error.
func (b *Store) guarded(run func() error) (err error) {
	if broken := b.broken.Load(); broken != nil {
		return *broken
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: %s: %w (%v): stop, and bring back a copy, or move it away to start with an empty store", b.db.Path(), errDamaged, r)
			if b.broken.CompareAndSwap(nil, &err) {
				b.damage <- err
			}
		}
	}()
	return run()
}

// Damaged returns a channel that gives an error when the file is found to be
// damaged while it is in use: the process must end, and nothing else helps.
func (b *Store) Damaged() <-chan error { return b.damage }

// boltTx is a transaction: its buckets, its time and what it changed.
type boltTx struct {
	now  int64 // Unix nanoseconds
	lead int64 // by how much now is ahead of the process's clock, in nanoseconds

	meta, records, bodies, due, dead, entries, entryIDs, expiring, expiry, tallies *bbolt.Bucket

	changed bool
	queued  bool // a record is due sooner than it was
	added   int  // to expiring and entries
}

// begin makes a boltTx at the time that the store's clock shows.
func (b *Store) begin(tx *bbolt.Tx) *boltTx {
	now, lead := b.clock.now()
	return newBoltTx(tx, now, lead)
}

func newBoltTx(tx *bbolt.Tx, now, lead int64) *boltTx {
	t := &boltTx{
		now:      now,
		lead:     lead,
		meta:     tx.Bucket(metaBucket),
		records:  tx.Bucket(recordsBucket),
		bodies:   tx.Bucket(bodiesBucket),
		due:      tx.Bucket(dueBucket),
		dead:     tx.Bucket(deadBucket),
		entries:  tx.Bucket(entriesBucket),
		entryIDs: tx.Bucket(entryIDsBucket),
		expiring: tx.Bucket(expiringBucket),
		expiry:   tx.Bucket(expiryBucket),
		tallies:  tx.Bucket(talliesBucket),
	}
	for _, b := range []*bbolt.Bucket{t.records, t.bodies, t.due, t.dead, t.entries, t.expiry} {
		b.FillPercent = 0.9 // they grow at their end, where no page needs room for more
	}
	return t
}

// shown converts a stored time to the process's clock: it is as long ago, or to
// come, by either.
func (t *boltTx) shown(at int64) time.Time { return time.Unix(0, at-t.lead).UTC() }

func (t *boltTx) put(bucket *bbolt.Bucket, key, value []byte) error {
	t.changed = true
	return bucket.Put(key, value)
}

func (t *boltTx) delete(bucket *bbolt.Bucket, key []byte) error {
	t.changed = true
	return bucket.Delete(key)
}

// lookup returns what was kept under tag and key and when it expires or
// expired; ok is false when nothing was. The payload lies in the file's
// memory: it is good as long as the transaction.
func (t *boltTx) lookup(tag byte, key string) (payload []byte, expires int64, ok bool) {
	v := t.expiring.Get(expiringKey(tag, key))
	if len(v) < 8 {
		return nil, 0, false
	}
	return v[8:], int64(binary.BigEndian.Uint64(v)), true
}

// keep puts payload under tag and key until expires.
func (t *boltTx) keep(tag byte, key string, payload []byte, expires int64) error {
	if err := t.forget(tag, key); err != nil {
		return err
	}
	return t.add(tag, key, payload, expires)
}

// add puts payload under tag and key, where nothing is, until expires.
func (t *boltTx) add(tag byte, key string, payload []byte, expires int64) error {
	k := expiringKey(tag, key)
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(payload)), uint64(expires))
	if err := t.put(t.expiring, k, append(v, payload...)); err != nil {
		return err
	}
	t.added++
	return t.put(t.expiry, expiryKey(expires, k), nil)
}

// forget removes what was kept under tag and key.
func (t *boltTx) forget(tag byte, key string) error {
	_, expires, ok := t.lookup(tag, key)
	if !ok {
		return nil
	}
	k := expiringKey(tag, key)
	if err := t.delete(t.expiry, expiryKey(expires, k)); err != nil {
		return err
	}
	return t.delete(t.expiring, k)
}

// purgeExpired removes some of what expired: more than was added, so that it
// never falls behind.
func (t *boltTx) purgeExpired() error {
	var old [][]byte
	atMost := purgeAtLeast + 2*t.added
	c := t.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(old) < atMost; k, _ = c.Next() {
		if int64(binary.BigEndian.Uint64(k)) > t.now {
			break
		}
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		tag, key := k[8], string(k[9:])
		if tag == tagTally {
			purged, err := t.purgeTally(key, atMost)
			if err != nil {
				return err
			}
			atMost -= purged
			continue
		}
		if err := t.delete(t.expiry, k); err != nil {
			return err
		}
		if seq, _, ok := t.lookup(tag, key); tag == tagID && ok && t.records.Get(seq) != nil {
			continue // Done removes it
		}
		if err := t.delete(t.expiring, k[8:]); err != nil {
			return err
		}
	}
	return nil
}

func expiringKey(tag byte, key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), tag), key...)
}

func expiryKey(expires int64, k []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(k)), uint64(expires))
	return append(b, k...)
}
