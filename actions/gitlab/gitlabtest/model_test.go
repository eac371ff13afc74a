package gitlabtest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// statuses describes a pipeline in short: its own status and its jobs', by name.
func statuses(gl *gitlabtest.Server, pipelineID int64) string {
	words := []string{gl.Pipeline(pipelineID).Status + ":"}
	for _, j := range gl.Jobs(pipelineID) {
		word := j.Name + "=" + j.Status
		if j.Retried {
			word += "(retried)"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPipelineMovesOn(t *testing.T) {
	t.Parallel()
	three := []gitlabtest.Job{
		{Stage: "build", Name: "b"},
		{Stage: "test", Name: "t"},
		{Stage: "deploy", Name: "d", When: "manual"},
	}
	one := func(j gitlabtest.Job) []gitlabtest.Job {
		return []gitlabtest.Job{{Stage: "build", Name: "b", AllowFailure: j.AllowFailure}, j}
	}
	type step struct {
		do   func(gl *gitlabtest.Server, latest func(string) int64)
		want string
	}
	run := func(name string) func(*gitlabtest.Server, func(string) int64) {
		return func(gl *gitlabtest.Server, latest func(string) int64) { gl.Run(latest(name)) }
	}
	end := func(name, status string) func(*gitlabtest.Server, func(string) int64) {
		return func(gl *gitlabtest.Server, latest func(string) int64) { gl.Finish(latest(name), status, "") }
	}
	retry := func(name string) func(*gitlabtest.Server, func(string) int64) {
		return func(gl *gitlabtest.Server, latest func(string) int64) { _, _ = gl.Retry(latest(name)) }
	}
	play := func(name string) func(*gitlabtest.Server, func(string) int64) {
		return func(gl *gitlabtest.Server, latest func(string) int64) { _, _ = gl.Play(latest(name)) }
	}
	cancel := func(name string) func(*gitlabtest.Server, func(string) int64) {
		return func(gl *gitlabtest.Server, latest func(string) int64) { gl.Cancel(latest(name)) }
	}

	for _, tt := range []struct {
		name  string
		jobs  []gitlabtest.Job
		first string
		steps []step
	}{
		{"all goes well, and the manual job blocks until it is played", three, "pending: b=pending t=created d=created", []step{
			{run("b"), "running: b=running t=created d=created"},
			{end("b", "success"), "running: b=success t=pending d=created"},
			{run("t"), "running: b=success t=running d=created"},
			{end("t", "success"), "manual: b=success t=success d=manual"},
			{play("d"), "running: b=success t=success d=pending"},
			{run("d"), "running: b=success t=success d=running"},
			{end("d", "success"), "success: b=success t=success d=success"},
		}},
		{"a failure skips what follows, and its retry revives it", three, "pending: b=pending t=created d=created", []step{
			{run("b"), "running: b=running t=created d=created"},
			{end("b", "failed"), "failed: b=failed t=skipped d=skipped"},
			{retry("b"), "pending: b=failed(retried) t=created d=created b=pending"},
			{run("b"), "running: b=failed(retried) t=created d=created b=running"},
			{end("b", "success"), "running: b=failed(retried) t=pending d=created b=success"},
		}},
		{"a stuck job fails without having run", three, "pending: b=pending t=created d=created", []step{
			{end("b", "failed"), "failed: b=failed t=skipped d=skipped"},
		}},
		{"a job that may fail does not hold up the pipeline", one(gitlabtest.Job{Stage: "test", Name: "t", AllowFailure: true}), "pending: b=pending t=created", []step{
			{end("b", "failed"), "pending: b=failed t=pending"},
			{end("t", "failed"), "success: b=failed t=failed"},
		}},
		{"a cancelled job skips what follows", three, "pending: b=pending t=created d=created", []step{
			{cancel("b"), "canceled: b=canceled t=skipped d=skipped"},
		}},
		{"a manual job that may fail does not block", one(gitlabtest.Job{Stage: "test", Name: "t", When: "manual", AllowFailure: true}), "pending: b=pending t=created", []step{
			{end("b", "success"), "success: b=success t=manual"},
		}},
		{"a manual job that ran is played by a new run", one(gitlabtest.Job{Stage: "test", Name: "t", When: "manual"}), "pending: b=pending t=created", []step{
			{end("b", "success"), "manual: b=success t=manual"},
			{play("t"), "running: b=success t=pending"},
			{end("t", "failed"), "failed: b=success t=failed"},
			{play("t"), "running: b=success t=failed(retried) t=pending"},
		}},
		{"a delayed job is scheduled, and can be played", one(gitlabtest.Job{Stage: "test", Name: "t", When: "delayed"}), "pending: b=pending t=created", []step{
			{end("b", "success"), "scheduled: b=success t=scheduled"},
			{play("t"), "running: b=success t=pending"},
		}},
		{"on_failure runs after a failure", one(gitlabtest.Job{Stage: "test", Name: "t", When: "on_failure"}), "pending: b=pending t=created", []step{
			{end("b", "failed"), "running: b=failed t=pending"},
		}},
		{"on_failure is skipped after a success", one(gitlabtest.Job{Stage: "test", Name: "t", When: "on_failure"}), "pending: b=pending t=created", []step{
			{end("b", "success"), "success: b=success t=skipped"},
		}},
		{"always runs after a failure", one(gitlabtest.Job{Stage: "test", Name: "t", When: "always"}), "pending: b=pending t=created", []step{
			{end("b", "failed"), "running: b=failed t=pending"},
		}},
		{"GitLab's own retry comes at once, so often as it is told", []gitlabtest.Job{{Name: "t", AutoRetry: 1}}, "pending: t=pending", []step{
			{end("t", "failed"), "pending: t=failed(retried) t=pending"},
			{end("t", "failed"), "failed: t=failed(retried) t=failed"},
		}},
		{"one of the past stays as it is", []gitlabtest.Job{{Name: "t", Status: "failed"}, {Name: "u", Status: "success"}}, "failed: t=failed u=success", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gl, _ := start(t)
			p := gl.AddPipeline(gl.AddProject(gitlabtest.Project{Path: "g/p"}).ID, gitlabtest.Pipeline{}, tt.jobs...)
			latest := func(name string) int64 { return gl.Latest(p.ID, name).ID }
			if got := statuses(gl, p.ID); got != tt.first {
				t.Fatalf("at first:\n got %s\nwant %s", got, tt.first)
			}
			for i, s := range tt.steps {
				s.do(gl, latest)
				if got := statuses(gl, p.ID); got != s.want {
					t.Fatalf("after step %d:\n got %s\nwant %s", i+1, got, s.want)
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	gl, now := start(t)
	p := shop(gl)
	job := gl.Latest(p.ID, "compile")
	created := now.Now()
	now.Advance(10 * time.Second)
	gl.Run(job.ID)
	now.Advance(30 * time.Second)
	gl.Finish(job.ID, "failed", "script_failure")
	now.Advance(time.Hour)

	job = gl.Job(job.ID)
	want := []time.Time{created, created, created.Add(10 * time.Second), created.Add(40 * time.Second)}
	if diff := cmp.Diff(want, []time.Time{job.CreatedAt, job.QueuedAt, job.StartedAt, job.FinishedAt}); diff != "" {
		t.Error(diff)
	}
	if _, err := gl.Retry(job.ID); err != nil {
		t.Fatal(err)
	}
	p = gl.Pipeline(p.ID)
	if p.Status != "pending" || !p.FinishedAt.Equal(job.FinishedAt) {
		t.Errorf("the pipeline is %s and finished at %v: want pending, and the first finish kept", p.Status, p.FinishedAt)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	p := shop(gl)
	compile := gl.Latest(p.ID, "compile")
	_, retryErr := gl.Retry(compile.ID)
	_, playErr := gl.Play(compile.ID)
	for _, tt := range []struct {
		name string
		err  error
		want gitlabtest.RefusedError
	}{
		{"retry of a pending job", retryErr, gitlabtest.RefusedError{Status: 403, Message: "403 Forbidden - Job is not retryable"}},
		{"play of an automatic job", playErr, gitlabtest.RefusedError{Status: 400, Message: "400 Bad request - Unplayable Job"}},
		{"erase of a pending job", gl.Erase(compile.ID), gitlabtest.RefusedError{Status: 403, Message: "403 Forbidden - Job is not erasable!"}},
	} {
		var refusal *gitlabtest.RefusedError
		if !errors.As(tt.err, &refusal) || *refusal != tt.want || !strings.Contains(tt.err.Error(), tt.want.Message) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.err, &tt.want)
		}
	}
}

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	p := shop(gl)
	created := gl.Latest(p.ID, "rspec").ID
	for _, tt := range []struct {
		do   func()
		want string
	}{
		{func() { gl.Run(7) }, "there is no job 7"},
		{func() { gl.Run(created) }, "only a pending job can run"},
		{func() { gl.Finish(created, "success", "") }, "only a pending, running or canceling job can finish"},
		{func() { gl.Finish(gl.Latest(p.ID, "compile").ID, "done", "") }, "success, failed or canceled, not \"done\""},
		{func() { gl.Latest(p.ID, "nope") }, "has no job \"nope\""},
		{func() { gl.AddProject(gitlabtest.Project{}) }, "needs a path"},
		{func() { gl.AddProject(gitlabtest.Project{ID: p.ProjectID, Path: "x"}) }, "there is a project 1 already"},
		{func() { gl.AddPipeline(p.ProjectID, gitlabtest.Pipeline{}) }, "needs a job"},
		{func() { gl.AddHook(gitlabtest.Hook{SigningToken: "secret"}) }, "whsec_"},
		{func() { gl.Resend(7) }, "there is no delivery 7"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			defer func() {
				var text string
				switch p := recover().(type) {
				case string:
					text = p
				case error:
					text = p.Error()
				}
				if !strings.Contains(text, tt.want) {
					t.Errorf("panic %q, want %q", text, tt.want)
				}
			}()
			tt.do()
		})
	}
}

func TestListenRefusesBadOptions(t *testing.T) {
	t.Parallel()
	now := storetest.NewClock().Now
	for _, tt := range []struct {
		addr string
		o    gitlabtest.Options
		want string
	}{
		{"127.0.0.1:0", gitlabtest.Options{}, "Options.Now is required"},
		{"127.0.0.1:0", gitlabtest.Options{Now: now, Version: "new"}, `version "new": want one like 19.1.0`},
		{"127.0.0.1:none", gitlabtest.Options{Now: now}, "listen tcp"},
	} {
		_, err := gitlabtest.Listen(tt.addr, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %+v: got %v, want %q", tt.addr, tt.o, err, tt.want)
		}
	}
}

func TestGivenIDsAreKept(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	gl.AddProject(gitlabtest.Project{ID: 380, Path: "gitlab-org/gitlab-test"})
	gl.AddPipeline(380, gitlabtest.Pipeline{ID: 2366}, gitlabtest.Job{ID: 1977, Name: "test", Status: "failed", FailureReason: "stuck_or_timeout_failure"})
	again, err := gl.Retry(1977)
	if err != nil || again.ID != 1978 || again.PipelineID != 2366 || again.Status != "pending" {
		t.Errorf("retry gave %+v, %v", again, err)
	}
	older := gl.AddPipeline(380, gitlabtest.Pipeline{ID: 12}, gitlabtest.Job{ID: 5, Name: "test", Status: "success"})
	if got := gl.Jobs(older.ID)[0].ID; got != 5 {
		t.Errorf("the older job has id %d, want 5", got)
	}
}

// Whatever people, bots and runners do: of each name one run is the latest,
// ids grow, and a pipeline is complete only if its jobs are.
func TestAnythingGoes(t *testing.T) {
	t.Parallel()
	gl, _ := start(t)
	project := gl.AddProject(gitlabtest.Project{Path: "g/p"})
	rapid.Check(t, func(rt *rapid.T) {
		p := gl.AddPipeline(project.ID, gitlabtest.Pipeline{},
			gitlabtest.Job{Stage: "a", Name: "a1", AutoRetry: 1},
			gitlabtest.Job{Stage: "a", Name: "a2", AllowFailure: true},
			gitlabtest.Job{Stage: "b", Name: "b1", When: "manual"},
			gitlabtest.Job{Stage: "b", Name: "b2", When: "delayed", AllowFailure: true},
			gitlabtest.Job{Stage: "c", Name: "c1", When: "on_failure"},
			gitlabtest.Job{Stage: "c", Name: "c2", Bridge: true})
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			jobs := gl.Jobs(p.ID)
			j := jobs[rapid.IntRange(0, len(jobs)-1).Draw(rt, "job")]
			switch rapid.IntRange(0, 5).Draw(rt, "verb") {
			case 0:
				_, _ = gl.Retry(j.ID)
			case 1:
				_, _ = gl.Play(j.ID)
			case 2:
				gl.Cancel(j.ID)
			default:
				switch j.Status {
				case "pending":
					gl.Run(j.ID)
				case "running":
					gl.Finish(j.ID, rapid.SampledFrom([]string{"success", "failed", "canceled"}).Draw(rt, "status"), "")
				}
			}

			latest := map[string]int{}
			complete, lastID := true, int64(0)
			for _, j := range gl.Jobs(p.ID) {
				if j.ID <= lastID {
					rt.Fatalf("ids do not grow: %d after %d", j.ID, lastID)
				}
				lastID = j.ID
				if j.Retried {
					continue
				}
				latest[j.Name]++
				optional := j.AllowFailure && j.Status == "manual"
				complete = complete && (optional || slices.Contains([]string{"success", "failed", "canceled", "skipped"}, j.Status))
			}
			want := map[string]int{"a1": 1, "a2": 1, "b1": 1, "b2": 1, "c1": 1, "c2": 1}
			if diff := cmp.Diff(want, latest); diff != "" {
				rt.Fatalf("latest runs: %s", diff)
			}
			status := gl.Pipeline(p.ID).Status
			if slices.Contains([]string{"success", "failed", "canceled", "skipped"}, status) != complete {
				rt.Fatalf("pipeline is %s", statuses(gl, p.ID))
			}
		}
	})
}
