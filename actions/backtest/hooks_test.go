package backtest_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
)

// live is a GitLab in which things happen, each of which a hook reports.
type live struct {
	*testing.T
	gitlab *gitlabtest.Server
	now    time.Time
	hooks  []event.Event // of what ended, in order
}

// hook adds the event of a hook's body.
func (l *live) hook(body []byte) {
	l.Helper()
	e, err := webhook.Decode(body, l.gitlab.URL())
	if err != nil {
		l.Fatal(err)
	}
	e.Meta.ReceivedAt = l.now
	if e.Meta.Kind == event.KindJob { // retries_count counts GitLab's own retry too early, which `serve` corrects
		e.Job.Attempt = 0
		for _, run := range l.gitlab.Jobs(e.Pipeline.ID) {
			if run.Name == e.Job.Name && run.ID <= e.Job.ID {
				e.Job.Attempt++
			}
		}
	}
	l.hooks = append(l.hooks, e)
}

// end runs the latest run of a job for a minute, and ends it.
func (l *live) end(pipeline int64, name, status, reason string) {
	l.Helper()
	id := l.gitlab.Latest(pipeline, name).ID
	l.now = l.now.Add(10 * time.Second)
	l.gitlab.Run(id)
	l.now = l.now.Add(time.Minute)
	l.gitlab.Finish(id, status, reason)
	l.hook(l.gitlab.JobHookBody(id))
	if status := l.gitlab.Pipeline(pipeline).Status; event.Ended(status) {
		l.hook(l.gitlab.PipelineHookBody(pipeline))
	}
}

// again has a person retry the latest run of a job after some time.
func (l *live) again(pipeline int64, name string, after time.Duration) {
	l.Helper()
	l.now = l.now.Add(after)
	if _, err := l.gitlab.Retry(l.gitlab.Latest(pipeline, name).ID); err != nil {
		l.Fatal(err)
	}
}

// TestRebuiltAsHooksReport: the events that are rebuilt are those that hooks reported, in their
// order, but for the fields that a backtest says it does not know.
func TestRebuiltAsHooksReport(t *testing.T) {
	t.Parallel()
	l := &live{T: t, now: start.Add(time.Hour)}
	l.gitlab = gitlabtest.Start(t, gitlabtest.Options{Now: func() time.Time { return l.now }})
	project := l.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", DefaultBranch: "trunk"})
	jobs := []gitlabtest.Job{
		{Name: "build", Stage: "build"}, {Name: "rspec", Stage: "test"}, {Name: "flaky", Stage: "test", AllowFailure: true}, {Name: "deploy", Stage: "deploy"},
	}

	one := l.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Name: "Nightly", Message: "Change the shop\n\nAt last.\n"}, jobs...)
	l.end(one.ID, "build", "failed", "runner_system_failure") // ends the pipeline
	l.again(one.ID, "build", time.Hour)
	l.end(one.ID, "build", "success", "")
	l.end(one.ID, "flaky", "failed", "script_failure")
	l.end(one.ID, "rspec", "failed", stuck) // ends it again
	l.again(one.ID, "rspec", time.Minute)
	l.end(one.ID, "rspec", "failed", "script_failure") // and again
	l.again(one.ID, "rspec", 24*time.Hour)
	l.end(one.ID, "rspec", "success", "")
	l.end(one.ID, "deploy", "success", "") // and for the last time

	two := l.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: 9, Title: "Feature", SourceBranch: "feature", TargetBranch: "trunk"}}, jobs[:2]...)
	l.end(two.ID, "build", "canceled", "")
	l.again(two.ID, "build", time.Hour)
	l.end(two.ID, "build", "success", "")
	l.end(two.ID, "rspec", "success", "")

	three := l.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "v1", Tag: true}, gitlabtest.Job{Name: "rspec", AutoRetry: 2})
	l.end(three.ID, "rspec", "failed", stuck) // and GitLab runs it again at once
	l.end(three.ID, "rspec", "success", "")

	gl, err := gitlab.New(gitlab.Config{BaseURL: l.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: func() time.Time { return l.now }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := gl.Project(t.Context(), "platform/shop")
	if err != nil {
		t.Fatal(err)
	}
	reader := history.Reader{GitLab: gl, Dir: t.TempDir(), Now: func() time.Time { return l.now }, Sleep: gitlab.Sleep, Say: func(line string) { t.Log(line) }, Unusable: func(file string, why error) { t.Error(file, why) }}
	from := start.Add(-backtest.Reach)
	pipelines, err := reader.Pipelines(context.WithoutCancel(t.Context()), p, from, func(time.Time, int) {})
	if err != nil {
		t.Fatal(err)
	}
	b, err := backtest.New(backtest.Config{Projects: []backtest.Project{{Project: p, Pipelines: pipelines, Read: from}}, Since: start, Until: until, Events: gl})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fieldsOf(t, l.hooks), fieldsOf(t, b.Rebuilt())); diff != "" {
		t.Errorf("events (-of hooks +rebuilt):\n%s", diff)
	}
}

// fieldsOf returns events as JSON has them, without the fields that a backtest says it does
// not know, and without their ids, which follow from how they came.
func fieldsOf(t *testing.T, events []event.Event) (all []any) {
	t.Helper()
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		unknown := append(backtest.UnknownFields(e.Meta.Kind, event.MergeRequestIID(e) != 0), "event.id", "event.source")
		if e.Meta.Kind == event.KindPipeline && event.MergeRequestIID(e) != 0 {
			unknown = append(unknown, "pipeline.jobs[].ref") // as that of the pipeline
		}
		for _, path := range unknown {
			remove(fields, strings.Split(strings.ReplaceAll(path, "[]", ""), "."))
		}
		all = append(all, fields)
	}
	return all
}

// remove removes a field, of each element where a part of its path is a list.
func remove(from any, path []string) {
	switch of := from.(type) {
	case []any:
		for _, item := range of {
			remove(item, path)
		}
	case map[string]any:
		if len(path) == 1 {
			delete(of, path[0])
			return
		}
		remove(of[path[0]], path[1:])
	}
}
