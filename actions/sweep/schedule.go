package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// checkEvery is the time between two checks which schedule rules are due.
	checkEvery = 20 * time.Second
	// missedAfter is how late a run counts as missed: no replica was running when it
	// was due.
	missedAfter = 5 * time.Minute
	// scheduleTTL is how long the store keeps up to when a schedule was checked:
	// longer than the rarest one, each leap year, needs.
	scheduleTTL = 5 * 366 * 24 * time.Hour
)

// ScheduleStore is the part of the store that a Scheduler uses.
type ScheduleStore interface {
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
	Queued(ctx context.Context, ids ...string) (bool, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) ([]byte, error)
}

// Scheduler puts the runs of schedule rules into the queue when they are due.
// Every replica has one: a run's id includes its time, so that the queue takes it
// once.
type Scheduler struct {
	Store ScheduleStore
	Rules func() *rules.Rules
	Now   func() time.Time
	Log   *slog.Logger
}

// scheduled is the state of a schedule.
type scheduled struct {
	At  time.Time `json:"at"`           // up to when it was checked
	Run string    `json:"run,omitzero"` // the last run's id
}

// Run checks the schedules again and again until ctx is done.
func (s *Scheduler) Run(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		if err := s.Check(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "the schedules can't be checked; they are checked again soon", store.Outage(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Check queues the runs that are due.
func (s *Scheduler) Check(ctx context.Context) error {
	for _, rule := range s.Rules().Scheduled() {
		if err := s.check(ctx, rule); err != nil {
			return fmt.Errorf("rule %q: %w", rule.Name, err)
		}
	}
	return nil
}

func (s *Scheduler) check(ctx context.Context, rule rules.Scheduled) error {
	// A rule with another cron is another schedule, and begins now.
	key := keys.Schedule(rule.Name, rule.Schedule.Cron, rule.Schedule.Timezone)
	now := s.Now().UTC()
	value, err := s.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	var last scheduled
	if value == nil {
		return s.save(ctx, key, scheduled{At: now})
	}
	if err := json.Unmarshal(value, &last); err != nil {
		return s.save(ctx, key, scheduled{At: now})
	}
	due := rule.Schedule.Last(last.At, now)
	if due.IsZero() {
		return nil
	}
	next := scheduled{At: now, Run: last.Run}
	busy := false
	if last.Run != "" {
		if busy, err = s.Store.Queued(ctx, last.Run); err != nil {
			return err
		}
	}
	switch missed := now.Sub(due) > missedAfter; {
	case busy:
		s.Log.WarnContext(ctx, "a run of a schedule rule is skipped: the one before is still in progress", "rule", rule.Name, "due", due, "run", last.Run)
	case missed && rule.Schedule.Missed == rules.MissedSkip:
		s.Log.WarnContext(ctx, "a run of a schedule rule was missed, and is skipped as the rule demands", "rule", rule.Name, "due", due)
	default:
		next.Run = keys.SweepRun(rule.Name, due)
		if err := s.put(ctx, event.Sweep{ID: next.Run, Rule: rule.Name, Verbs: rule.Verbs, Due: due.UTC()}, missed); err != nil {
			return err
		}
	}
	return s.save(ctx, key, next)
}

func (s *Scheduler) put(ctx context.Context, run event.Sweep, missed bool) error {
	body, err := json.Marshal(run)
	if err != nil {
		return err
	}
	added, err := s.Store.Put(ctx, store.Record{ID: run.ID, Kind: event.RecordSweep, Body: body})
	if err == nil && added[0] {
		s.Log.InfoContext(ctx, "a schedule rule runs", "rule", run.Rule, "action", run.Verb(), "due", run.Due, "missed", missed)
	}
	return err
}

func (s *Scheduler) save(ctx context.Context, key string, at scheduled) error {
	value, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return s.Store.Set(ctx, key, value, scheduleTTL)
}
