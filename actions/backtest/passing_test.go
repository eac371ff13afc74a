package backtest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// passingLogs records of which jobs the logs are read, and has none.
type passingLogs struct {
	mu   sync.Mutex
	read []int64
}

func (l *passingLogs) PassingLog(_ context.Context, _, job int64) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = append(l.read, job)
	return "", errors.New("404 Not Found")
}

// TestReadPassing: the logs of the newest runs of each job that passed are read, and no others.
func TestReadPassing(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	var want []int64
	for n := range 5 {
		at := time.Duration(n+1) * time.Hour
		of := p.pipeline(at)
		for _, name := range []string{"build", "rspec"} {
			if id := p.run(of, name, "success", "", at, time.Minute).ID; n >= 3 {
				want = append(want, id)
			}
		}
		p.run(of, "lint", "failed", "script_failure", at, time.Minute)
	}
	b, err := backtest.New(backtest.Config{
		Projects: []backtest.Project{{Project: gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop"}}, Pipelines: p.pipelines, Read: start.Add(-backtest.Reach)}},
		Since:    start, Until: until,
	})
	if err != nil {
		t.Fatal(err)
	}
	logs := &passingLogs{}
	if err := b.ReadPassing(t.Context(), 2, logs); err != nil {
		t.Fatal(err)
	}
	slices.Sort(logs.read)
	if diff := cmp.Diff(want, logs.read); diff != "" {
		t.Errorf("logs that were read (-want +got):\n%s", diff)
	}
}
