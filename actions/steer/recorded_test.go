package steer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// dying is the store of a process that dies before or after one of its writes: that write and
// the later ones fail.
type dying struct {
	store.Store
	left   int  // writes before that one
	before bool // it dies before its effect
	died   bool
}

var errDied = errors.New("the process has died")

func (d *dying) write(do func() error) error {
	if d.died || d.left == 0 && d.before {
		d.died = true
		return errDied
	}
	err := do()
	if d.left == 0 {
		d.died = true
		return errDied
	}
	d.left--
	return err
}

func (d *dying) Change(ctx context.Context, c store.Changes) error {
	return d.write(func() error { return d.Store.Change(ctx, c) })
}

func (d *dying) Requeue(ctx context.Context, id string, c store.Changes) error {
	return d.write(func() error { return d.Store.Requeue(ctx, id, c) })
}

func (d *dying) Drop(ctx context.Context, id string, c store.Changes) error {
	return d.write(func() error { return d.Store.Drop(ctx, id, c) })
}

func (d *dying) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return d.write(func() error { return d.Store.Set(ctx, key, value, ttl) })
}

func (d *dying) Put(ctx context.Context, records ...store.Record) (added []bool, err error) {
	err = d.write(func() error { added, err = d.Store.Put(ctx, records...); return err })
	return added, err
}

func (d *dying) Amend(ctx context.Context, id string, body []byte) error {
	return d.write(func() error { return d.Store.Amend(ctx, id, body) })
}

// contents is what changes in a store: what is in force, and what is in the queue.
type contents struct {
	Pauses []event.Pause
	Mutes  []event.Mute
	Depth  store.Depth
}

func contentsOf(h *actionstest.Harness) (c contents) {
	h.Helper()
	var errs [3]error
	c.Pauses, errs[0] = h.Pauses().List(h.Context())
	c.Mutes, errs[1] = h.Mutes().List(h.Context())
	c.Depth, errs[2] = h.DB.Depth(h.Context())
	if err := errors.Join(errs[:]...); err != nil {
		h.Fatal(err)
	}
	return c
}

// TestChangesAreRecorded: a process that dies before or after any write of a change leaves
// neither the change nor its record, or both. The record says who made it, from where and why.
func TestChangesAreRecorded(t *testing.T) {
	t.Parallel()
	ann := event.Actor{By: "ann", From: "192.0.2.1", Reason: "INC-42"}
	dead := func(h *actionstest.Harness) string {
		if _, err := h.DB.Put(h.Context(), store.Record{ID: "event:1", Kind: event.RecordEvent, Body: []byte("{}")}); err != nil {
			h.Fatal(err)
		}
		leases, err := h.DB.Lease(h.Context(), 1, time.Minute)
		if err != nil || len(leases) != 1 {
			h.Fatal(leases, err)
		}
		if err := h.DB.Bury(h.Context(), &leases[0], "a bug"); err != nil {
			h.Fatal(err)
		}
		return "event:1"
	}
	paused := func(h *actionstest.Harness) string {
		_, err1 := h.Pauses().Pause(h.Context(), event.Pause{Project: "Shop"}, false, "")
		_, err2 := h.Mutes().Mute(h.Context(), event.Mute{Channel: "CI"}, false, "")
		if err := errors.Join(err1, err2); err != nil {
			h.Fatal(err)
		}
		return ""
	}
	for _, c := range []struct {
		name   string
		before func(h *actionstest.Harness) (id string) // nil: nothing is there
		change func(ctx context.Context, id string, s *steer.Steerer, ps pause.Pauses, ms pause.Mutes) error
		want   event.Change // without who; a Target of "" is the id
	}{
		{"pause", nil, func(ctx context.Context, _ string, _ *steer.Steerer, ps pause.Pauses, _ pause.Mutes) error {
			_, err := ps.Pause(ctx, event.Pause{By: ann.By, Reason: ann.Reason}, false, ann.From)
			return err
		}, event.Change{Action: event.ChangePause, Target: "all"}},
		{"resume", paused, func(ctx context.Context, _ string, _ *steer.Steerer, ps pause.Pauses, _ pause.Mutes) error {
			_, err := ps.Resume(ctx, event.Pause{Project: "shop"}, ann)
			return err
		}, event.Change{Action: event.ChangeResume, Target: "project:Shop"}},
		{"resume all", paused, func(ctx context.Context, _ string, _ *steer.Steerer, ps pause.Pauses, _ pause.Mutes) error {
			_, err := ps.ResumeAll(ctx, ann)
			return err
		}, event.Change{Action: event.ChangeResume, Target: "every pause"}},
		{"mute", nil, func(ctx context.Context, _ string, _ *steer.Steerer, _ pause.Pauses, ms pause.Mutes) error {
			_, err := ms.Mute(ctx, event.Mute{By: ann.By, Reason: ann.Reason}, false, ann.From)
			return err
		}, event.Change{Action: event.ChangeMute, Target: "all"}},
		{"unmute", paused, func(ctx context.Context, _ string, _ *steer.Steerer, _ pause.Pauses, ms pause.Mutes) error {
			_, err := ms.Unmute(ctx, event.Mute{Channel: "CI"}, ann)
			return err
		}, event.Change{Action: event.ChangeUnmute, Target: "channel:CI"}},
		{"unmute all", paused, func(ctx context.Context, _ string, _ *steer.Steerer, _ pause.Pauses, ms pause.Mutes) error {
			_, err := ms.UnmuteAll(ctx, ann)
			return err
		}, event.Change{Action: event.ChangeUnmute, Target: "every mute"}},
		{"requeue of a dead record", dead, func(ctx context.Context, id string, s *steer.Steerer, _ pause.Pauses, _ pause.Mutes) error {
			_, err := s.Requeue(ctx, id, ann)
			return err
		}, event.Change{Action: event.ChangeRequeue}},
		{"requeue of a failed decision", func(h *actionstest.Harness) string {
			refusedRetry(h)
			return h.Only().ID
		}, func(ctx context.Context, id string, s *steer.Steerer, _ pause.Pauses, _ pause.Mutes) error {
			_, err := s.Requeue(ctx, id, ann)
			return err
		}, event.Change{Action: event.ChangeRequeue}},
		{"drop", dead, func(ctx context.Context, id string, s *steer.Steerer, _ pause.Pauses, _ pause.Mutes) error {
			return s.Drop(ctx, id, ann)
		}, event.Change{Action: event.ChangeDrop}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			made := 0
			for step, died := 0, true; died; step++ { // even ones die before a write, odd ones after it
				h := actionstest.New(t, actionstest.RetryRules)
				id := ""
				if c.before != nil {
					id = c.before(h)
				}
				was, listed := contentsOf(h), audited(h)
				db := &dying{Store: h.DB, left: step / 2, before: step%2 == 0}
				log := slog.New(slog.DiscardHandler)
				err := c.change(t.Context(), id, &steer.Steerer{Store: db, Maker: h.Runner, Now: h.Now, Log: log},
					pause.Pauses{Store: db, Now: h.Now, Log: log}, pause.Mutes{Store: db, Now: h.Now, Log: log})
				if died = db.died; died != (err != nil) {
					t.Fatalf("step %d: error %v, and the process has died: %t", step, err, died)
				}
				changed, all := !cmp.Equal(was, contentsOf(h)), audited(h)
				if recorded := len(all) > len(listed); recorded != changed {
					t.Errorf("step %d: changed %t, recorded %t: %+v", step, changed, recorded, all)
				}
				if changed {
					made++
					want := c.want
					want.At, want.By, want.From = h.Now().UTC(), ann.By, ann.From
					want.Reason = ann.Reason
					if want.Target == "" {
						want.Target = id
					}
					if diff := cmp.Diff(want, all[0]); diff != "" {
						t.Errorf("step %d: the record (-want +got):\n%s", step, diff)
					}
				}
			}
			if made < 2 { // after the last write, and without a death
				t.Errorf("the change is made in %d of the steps, want more", made)
			}
		})
	}
}

// audited returns the list of changes.
func audited(h *actionstest.Harness) []event.Change {
	h.Helper()
	all, err := h.Audit().List(h.Context())
	if err != nil {
		h.Fatal(fmt.Errorf("the list of changes: %w", err))
	}
	return all
}
