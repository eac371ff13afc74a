package sweep

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// stoppedTTL is how long the store keeps the progress of a run that was stopped.
const stoppedTTL = 7 * 24 * time.Hour

// ManualStore keeps the progress of runs by hand, and their outcomes.
type ManualStore interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Amend(ctx context.Context, id string, body []byte) error
}

// Display shows the progress of runs by hand.
type Display interface {
	// Continued shows that a run that was stopped is continued.
	Continued(run event.Sweep)
	// Begin returns a function that is called with each job of the run.
	Begin(run event.Sweep) func(Step)
	// Waits shows that the run waits because of the error.
	Waits(run event.Sweep, wait time.Duration, err error)
}

// Manual makes runs by hand. Sweeper says how, but for Save and Watch; a dry run
// queues nothing.
type Manual struct {
	Sweeper
	Store   ManualStore
	Display Display
	Restart bool // begin anew, also where a run was stopped
}

// Run makes a run of one rule, or continues the one that was stopped, and journals
// its outcome. Once ctx is done, it saves the progress and returns the run without an
// error.
func (m Manual) Run(ctx context.Context, rule rules.Scheduled) (event.Sweep, error) {
	run := event.Sweep{ID: keys.SweepRunByHand(rule.Name, m.Now()), Rule: rule.Name, Verbs: rule.Verbs}
	claimed, release, err := Claim(ctx, m.Store, rule.Name, rand.Text())
	switch {
	case err != nil:
		return run, err
	case release == nil:
		return run, errors.New("a run of it is under way, by `serve` or by hand: wait until that has ended, or for two minutes after it was killed")
	}
	defer release()
	if err := m.load(ctx, rule, &run); err != nil {
		return run, err
	}
	save := func(ctx context.Context, run event.Sweep) error { return m.save(ctx, rule, run) }
	s := m.Sweeper
	s.Save, s.Watch = save, m.Display.Begin(run)
	if rule.DryRun {
		s.Queue, s.Capacity = nil, nil
	}
	if rule.Schedule.Next(m.Now()).IsZero() && run.Began.IsZero() {
		run.Problem("", 0, fmt.Sprintf("the cron %q never comes: the rule runs by hand only", rule.Schedule.Cron))
	}
	for {
		err := s.Run(claimed, &run)
		switch {
		case err == nil:
			return run, m.end(ctx, rule, run)
		case ctx.Err() != nil:
			return run, save(context.WithoutCancel(ctx), run)
		case claimed.Err() != nil:
			return run, errors.New("another run has taken over, since the store did not hear of this one for two minutes")
		case !event.Transient(err):
			return run, err
		case event.Unavailable(err): // a person sees it now, and must act
			return run, errors.Join(err, save(ctx, run))
		}
		wait := worker.Backoff(err, run.Place.Tries+1)
		m.Display.Waits(run, wait, err)
		if err := save(ctx, run); err != nil && ctx.Err() == nil {
			return run, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// load reads the progress of the run that was stopped into run, if there is one.
func (m Manual) load(ctx context.Context, rule rules.Scheduled, run *event.Sweep) error {
	saved, err := m.Store.Get(ctx, keys.SweepByHand(rule.Name, rule.DryRun))
	if err != nil || len(saved) == 0 || m.Restart {
		return err
	}
	if err := json.Unmarshal(saved, run); err != nil {
		return fmt.Errorf("the progress of the sweep that was stopped can't be read (%w): begin anew with --restart", err)
	}
	m.Display.Continued(*run)
	return nil
}

// save saves the progress of a run.
func (m Manual) save(ctx context.Context, rule rules.Scheduled, run event.Sweep) error {
	body, err := json.Marshal(run)
	if err != nil {
		return err
	}
	return m.Store.Set(ctx, keys.SweepByHand(rule.Name, rule.DryRun), body, stoppedTTL)
}

// end journals a run that has ended, and forgets its progress.
func (m Manual) end(ctx context.Context, rule rules.Scheduled, run event.Sweep) error {
	o := Outcome(run, m.GitLab.Instance(), m.Now().UTC())
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return errors.Join(m.Store.Amend(ctx, o.ID, body), m.Store.Set(ctx, keys.SweepByHand(rule.Name, rule.DryRun), nil, time.Second))
}
