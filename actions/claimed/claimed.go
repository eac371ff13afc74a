// Package claimed has records in the store that one worker at a time writes, over all
// replicas: it claims the record, reads it, does something elsewhere that the record tells of,
// and writes it.
//
//	claim ─► load ─► renew the claim ─► a request ─► save ─► release
//
// A claim can expire before its worker is done: Renew, before a request that must not be
// repeated, finds out whether another worker has had the record meanwhile. The claim of a
// request that may take effect yet is kept until it expires, so that nobody looks too early for
// what the request did.
package claimed

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
)

// Again is when to try again where another worker has claimed the record.
const Again = time.Second

// ErrBusy is returned while another worker has claimed the record, and if one has changed it
// since it was loaded. Nothing is wrong then, so the queue's worker does not warn of it.
var ErrBusy error = &worker.LaterError{Err: errors.New("another worker has claimed it: tried again later"), After: Again}

// releaseFor is how long the store may take to release a claim once the process must stop.
const releaseFor = 5 * time.Second

// StoreError is the error of the store, or of a record that can't be read.
type StoreError struct{ Err error }

// Error is that of Err.
func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StoreError) Unwrap() error { return e.Err }

// State stores the records for all replicas. The store's guard implements it.
type State interface {
	// Get returns the value, or nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores a small value for ttl.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Claim claims key for owner, if nobody else has claimed it; the claim
	// expires after ttl. The owner renews its claim by claiming again.
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (claimed bool, err error)
	// Release ends the owner's claim, and no other's.
	Release(ctx context.Context, key, owner string) error
}

// Key says which record is claimed, and for how long.
type Key struct {
	Record, Claim string        // in the store
	ClaimFor      time.Duration // longer than one request and the steps after it may take
	KeepFor       time.Duration // how long the record is stored
}

// Record is a record while this worker has it claimed.
type Record struct {
	state State
	key   Key
	owner string // of the claim; another one each time
	known []byte // as it was read or saved last
}

// Do calls do while this worker has the record claimed. If its error declares, by a method
// MaybeDone, that a request may take effect yet, the claim is kept until it expires. Other errors
// are ErrBusy and a *StoreError.
func Do(ctx context.Context, state State, key Key, log *slog.Logger, do func(*Record) error) error {
	r := &Record{state: state, key: key, owner: rand.Text()}
	if err := r.claim(ctx); err != nil {
		return err
	}
	err := do(r)
	var e interface{ MaybeDone() bool }
	if errors.As(err, &e) && e.MaybeDone() {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseFor)
	defer cancel()
	if err := state.Release(ctx, key.Claim, r.owner); err != nil {
		log.WarnContext(ctx, "a record stays claimed until its claim expires", "key", key.Record, "wait", key.ClaimFor.String(), "error", err)
	}
	return err
}

// claim claims the record, or renews the claim.
func (r *Record) claim(ctx context.Context) error {
	claimed, err := r.state.Claim(ctx, r.key.Claim, r.owner, r.key.ClaimFor)
	switch {
	case err != nil:
		return &StoreError{err}
	case !claimed:
		return ErrBusy
	}
	return nil
}

// Renew renews the claim before a request that must not be repeated.
func (r *Record) Renew(ctx context.Context) error {
	if err := r.claim(ctx); err != nil {
		return err
	}
	value, err := r.state.Get(ctx, r.key.Record)
	switch {
	case err != nil:
		return &StoreError{err}
	case !bytes.Equal(value, r.known):
		return ErrBusy
	}
	return nil
}

// Load reads the record; if there is none, into stays as it is.
func (r *Record) Load(ctx context.Context, into any) error {
	value, err := r.state.Get(ctx, r.key.Record)
	if err != nil {
		return &StoreError{err}
	}
	if r.known = value; value == nil {
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return &StoreError{fmt.Errorf("the record %s is not JSON: %w", r.key.Record, err)}
	}
	return nil
}

// Save stores the record.
func (r *Record) Save(ctx context.Context, record any) error {
	value, err := json.Marshal(record)
	if err == nil {
		err = r.state.Set(ctx, r.key.Record, value, r.key.KeepFor)
	}
	if err != nil {
		return &StoreError{err}
	}
	r.known = value
	return nil
}
