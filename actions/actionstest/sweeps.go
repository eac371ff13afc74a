package actionstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// Day is 24 hours.
const Day = 24 * time.Hour

// OldJob returns a job that ended so long ago, with a log of 1,000 bytes.
func (h *Harness) OldJob(name string, ago time.Duration) gitlabtest.Job {
	at := h.Now().Add(-ago)
	return gitlabtest.Job{Name: name, Status: "success", CreatedAt: at, StartedAt: at, FinishedAt: at, Log: strings.Repeat("x", 1000)}
}

// Sweep queues a run of a schedule rule.
func (h *Harness) Sweep(rule string) {
	h.Helper()
	run := event.Sweep{ID: fmt.Sprintf("sweep:%s:%d", rule, h.Now().UnixNano()), Rule: rule, Due: h.Now()}
	body, err := json.Marshal(run)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.DB.Put(h.Context(), store.Record{ID: run.ID, Kind: event.RecordSweep, Body: body}); err != nil {
		h.Fatal(err)
	}
}

// ErasedJobs returns the names of the jobs of a project that GitLab has erased, sorted.
func (h *Harness) ErasedJobs(project gitlabtest.Project) []string {
	var names []string
	for _, r := range h.GitLab.Requests() {
		var in, job int64
		_, err := fmt.Sscanf(r.Path, "/projects/%d/jobs/%d/erase", &in, &job)
		if err == nil && in == project.ID && r.Status == http.StatusCreated {
			names = append(names, h.GitLab.Job(job).Name)
		}
	}
	slices.Sort(names)
	return names
}

// LastSweep returns the outcome of the newest run in the journal.
func (h *Harness) LastSweep() event.Outcome {
	h.Helper()
	for _, o := range h.Outcomes() {
		if o.Sweep.ID != "" {
			return o
		}
	}
	h.Fatal("no run of a schedule rule is in the journal")
	return event.Outcome{}
}

// Sweeper returns a Sweeper apart from the runner.
func (h *Harness) Sweeper() sweep.Sweeper {
	h.Helper()
	gl, err := gitlab.New(gitlab.Config{BaseURL: h.GitLab.URL(), Token: gitlabtest.DefaultToken, Now: h.Now})
	if err != nil {
		h.Fatal(err)
	}
	return sweep.Sweeper{
		GitLab: gl, Rules: h.Rules.Load, Now: h.Now, Pauses: h.Pauses(),
		Save: func(context.Context, event.Sweep) error { return nil },
	}
}

// OldJobs adds a project with n old jobs, of which two thirds are to be erased.
func (h *Harness) OldJobs(n int) {
	p := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	h.GitLab.AddOldJobs(p.ID, gitlabtest.OldJobs{Count: n, PerPipeline: 10, Job: func(i int) gitlabtest.Job {
		if i%3 == 0 {
			return h.OldJob("young", Day)
		}
		return h.OldJob("rspec", 100*Day)
	}})
}
