package backtest_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// busy is a GitLab whose project has many jobs, ten in each pipeline; a tenth fail, and half
// of those are run again.
type busy struct{ jobs int }

func (busy) Instance() string { return "https://gitlab.example.com" }

func (g busy) JobsPage(_ context.Context, project int64, cursor string, _ ...string) (jobs []gitlab.Job, next string, err error) {
	from := g.jobs
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from); err != nil {
			return nil, "", err
		}
	}
	for id := from; id > max(0, from-100); id-- {
		n := id / 10
		at := start.Add(time.Duration(n) * 7 * 24 * time.Hour / time.Duration(g.jobs/10+1))
		job := gitlab.Job{ProjectID: project, Pipeline: event.Pipeline{ID: int64(n + 1), IID: int64(n), Ref: fmt.Sprintf("feature-%d", n%200), SHA: fmt.Sprintf("%040d", n), Status: "success", Source: "push", URL: "https://gitlab.example.com/platform/shop/-/pipelines/1", CreatedAt: at}}
		job.Details = event.Details{Job: event.Job{
			ID: int64(id), Name: fmt.Sprintf("rspec %d/9", id%9), Stage: "test", Status: "success", Ref: job.Pipeline.Ref, URL: fmt.Sprintf("https://gitlab.example.com/platform/shop/-/jobs/%d", id),
			CreatedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(time.Minute), Duration: 59, QueuedDuration: 1,
			Runner: event.Runner{ID: 5, Description: "shared-runner-5.example.com", Type: "instance_type", Shared: true},
		}, TagList: []string{"docker", "linux"}, Artifacts: []event.Artifact{{FileType: "trace", FileFormat: "raw", Filename: "job.log", Size: 12345}}}
		if id%9 == 0 && id%10 < 9 {
			job.Status, job.FailureReason, job.FailureClass = "failed", stuck, event.ClassStuck
		}
		job.User = event.User{ID: 7, Username: "ada", Name: "Ada Lovelace"}
		job.Commit = event.Commit{SHA: job.Pipeline.SHA, Title: "Change the colour of the shop", Message: "Change the colour of the shop\n\nIt was green before, and customers did not like that.\n", AuthorName: "Ada Lovelace", AuthorEmail: "ada@example.com"}
		jobs = append(jobs, job)
	}
	if from > 100 {
		next = strconv.Itoa(from - 100)
	}
	return jobs, next, nil
}

func (busy) Log(context.Context, int64, int64) (gitlab.Log, error) { return gitlab.Log{}, nil }

// BenchmarkBacktest loads 100,000 jobs from the cache, and runs rules over them.
func BenchmarkBacktest(b *testing.B) {
	const jobs = 100_000
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(`
version: 1
rules:
  - {name: sandbox, on: job, if: 'glob(project.path, "sandbox/**")', stop: true}
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure") and not superseded()', actions: [retry: {max_attempts: 3, delay: 30s}]}
  - {name: retry-runner, on: job, if: 'failed_with("runner_system_failure")', actions: [retry]}
  - {name: all-passed, on: job, if: 'job.status == "failed" and all(jobs(), .status == "success" or .name == job.name)', notify: [{channel: ci}]}
  - {name: red, on: pipeline, if: 'pipeline.status in ["failed", "success"]', notify: [{channel: ci}]}
`)})
	if err != nil {
		b.Fatal(err)
	}
	reader := history.Reader{GitLab: busy{jobs}, Dir: b.TempDir(), Now: func() time.Time { return until.Add(48 * time.Hour) }, Sleep: gitlab.Sleep, Say: func(line string) { b.Error(line) }, Unusable: func(file string, why error) { b.Error(file, why) }}
	from := start.Add(-backtest.Reach)
	project := gitlab.Project{Project: event.Project{ID: 7, Path: "platform/shop", DefaultBranch: "main"}}
	read := func() []*history.Pipeline {
		all, err := reader.Pipelines(b.Context(), project, from, func(time.Time, int) {})
		if err != nil {
			b.Fatal(err)
		}
		return all
	}
	read()
	gl, err := gitlab.New(gitlab.Config{BaseURL: "https://gitlab.example.com", Anonymous: true, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	var loading, running time.Duration
	for b.Loop() {
		began := time.Now()
		pipelines := read()
		loading += time.Since(began)
		began = time.Now()
		past, err := backtest.New(backtest.Config{Projects: []backtest.Project{{Project: project, Pipelines: pipelines, Read: from}}, Since: start, Until: until, Events: gl, NativeRetry: 5 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		report, err := past.Run(b.Context(), loaded)
		if err != nil || report.Runs != jobs {
			b.Fatalf("%d runs of %d: %v", report.Runs, jobs, err)
		}
		running += time.Since(began)
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB/heap")
		runtime.KeepAlive(past)
		b.ReportMetric(float64(report.Total.Would), "retries")
	}
	b.ReportMetric(loading.Seconds()/float64(b.N), "s/loading")
	b.ReportMetric(running.Seconds()/float64(b.N), "s/running")
}
