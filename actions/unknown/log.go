package unknown

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// maxEntries is how many entries the store keeps.
	maxEntries = 10_000
	// page is how many are read at a time.
	page = 500
)

// Store is the part of the store that has the entries.
type Store interface {
	Append(ctx context.Context, key, id string, body []byte, most int) error
	Appended(ctx context.Context, key, cursor string, n int) (entries []store.Entry, next string, err error)
}

// Log has the failed jobs that no class covers, of all replicas. It is safe for concurrent
// use.
type Log struct {
	Store Store

	mu    sync.Mutex
	words map[string][]string // of the lines that were in the store when it was read last
}

// entry is a failed job, or how the retry of one ended.
type entry struct {
	Job     int64     `json:"job"`
	Line    string    `json:"line,omitzero"` // "": of a retry
	At      time.Time `json:"at"`            // when the job ended
	Name    string    `json:"name,omitzero"`
	URL     string    `json:"url,omitzero"`
	Project string    `json:"project,omitzero"`
	// ProjectID is the id of the project.
	ProjectID int64  `json:"project_id,omitzero"`
	Runner    string `json:"runner,omitzero"`
	Reason    string `json:"reason,omitzero"`
	Passed    bool   `json:"passed,omitzero"` // the retry did
}

// Failed keeps the job of an event, of whose log a line says the most. A job is kept once.
func (l *Log) Failed(ctx context.Context, e event.Event, line string) error {
	runner := e.Job.Runner.Description
	if runner == "" && e.Job.Runner.ID != 0 {
		runner = fmt.Sprint("#", e.Job.Runner.ID)
	}
	return l.add(ctx, keys.Unclassified, "failed", e.Meta.Instance, entry{
		Job: e.Job.ID, Line: line, At: endOf(e), Name: e.Job.Name, URL: e.Job.URL, Project: e.Project.Path, ProjectID: e.Project.ID, Runner: runner, Reason: e.Job.FailureReason,
	})
}

// Retried keeps how the job of an event ended, if retry, which made the job, was of a job
// that no class covers. retry may be nil.
func (l *Log) Retried(ctx context.Context, e event.Event, retry *event.Outcome) error {
	if retry == nil || e.Job.Status == "canceled" || retry.Job.FailureClass != event.ClassOf(retry.Job.FailureReason) {
		return nil
	}
	return l.add(ctx, keys.Unclassified, "retried", e.Meta.Instance, entry{Job: retry.Job.ID, At: endOf(e), Passed: e.Job.Status == "success"})
}

// NotRead keeps that the log of the event's job, which failed, was not read.
func (l *Log) NotRead(ctx context.Context, e event.Event) error {
	return l.add(ctx, keys.NotRead, "failed", e.Meta.Instance, entry{Job: e.Job.ID, At: endOf(e), Project: e.Project.Path, ProjectID: e.Project.ID})
}

// endOf returns when the job of an event ended, as far as that is known.
func endOf(e event.Event) time.Time {
	if e.Job.FinishedAt.IsZero() {
		return e.Meta.ReceivedAt.UTC()
	}
	return e.Job.FinishedAt.UTC()
}

func (l *Log) add(ctx context.Context, key, kind, instance string, e entry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return l.Store.Append(ctx, key, fmt.Sprintf("%s:%s:%d", kind, instance, e.Job), body, maxEntries)
}

// entries returns the entries of a log of the store, newest first.
func (l *Log) entries(ctx context.Context, key string) (all []entry, err error) {
	for cursor := ""; ; {
		some, next, err := l.Store.Appended(ctx, key, cursor, page)
		if err != nil {
			return nil, err
		}
		for _, s := range some {
			var e entry
			if err := json.Unmarshal(s.Body, &e); err != nil {
				return nil, fmt.Errorf("a failed job that was kept can't be read: %w", err)
			}
			all = append(all, e)
		}
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}
