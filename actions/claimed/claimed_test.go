package claimed_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// unsureError is the error of a request that may take effect yet.
type unsureError struct{}

func (unsureError) Error() string   { return "no answer" }
func (unsureError) MaybeDone() bool { return true }

// TestDo: two workers do not write a record at the same time, whatever becomes of the first.
func TestDo(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := claimed.Key{Record: "note", Claim: "note:claim", ClaimFor: time.Minute, KeepFor: time.Hour}
	do := func(do func(r *claimed.Record) error) error {
		return claimed.Do(t.Context(), db, key, slog.New(slog.DiscardHandler), do)
	}
	add := func(r *claimed.Record) error {
		n := 0
		if err := r.Load(t.Context(), &n); err != nil {
			return err
		}
		return errors.Join(r.Renew(t.Context()), r.Save(t.Context(), n+1))
	}
	other := func() error { return do(add) }

	if err := do(func(r *claimed.Record) error { return errors.Join(add(r), other()) }); !errors.Is(err, claimed.ErrBusy) {
		t.Errorf("while the record is claimed: %v", err)
	}
	if err := other(); err != nil {
		t.Errorf("after it was released: %v", err)
	}
	if err := do(func(r *claimed.Record) error {
		var n int
		err := r.Load(t.Context(), &n)
		clock.Advance(key.ClaimFor)
		return errors.Join(err, other(), r.Renew(t.Context()))
	}); !errors.Is(err, claimed.ErrBusy) {
		t.Errorf("after the claim expired and another worker wrote the record: %v", err)
	}
	if err := do(func(r *claimed.Record) error { return errors.Join(add(r), r.Renew(t.Context())) }); err != nil {
		t.Errorf("after this worker wrote the record itself: %v", err)
	}
	if err := do(func(*claimed.Record) error { return unsureError{} }); !errors.Is(err, unsureError{}) {
		t.Error(err)
	}
	if err := other(); !errors.Is(err, claimed.ErrBusy) {
		t.Errorf("while a request may take effect: %v", err)
	}
	clock.Advance(key.ClaimFor)
	if err := do(func(r *claimed.Record) error {
		n := 0
		if err := r.Load(t.Context(), &n); err != nil || n != 4 {
			t.Errorf("the record has %d, %v, want 4", n, err)
		}
		return r.Save(t.Context(), "no number")
	}); err != nil {
		t.Error(err)
	}
	if err := other(); !errors.As(err, new(*claimed.StoreError)) {
		t.Errorf("a record that can't be read: %v", err)
	}
}
