package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/explain"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/reads"
)

// hookRules read all parts of an event, so that the note names all that is unknown.
const hookRules = `
version: 1
rules:
  - {name: all-of-a-job, on: job, if: 'toJSON([pipeline.upstream, job, user]) != ""', actions: [retry]}
  - {name: all-of-a-pipeline, on: pipeline, if: 'toJSON([pipeline, user]) != ""', actions: [retry_pipeline]}
  - {name: no-more, on: pipeline, if: 'pipeline.status == "failed"', actions: [retry_pipeline]}
`

// hookCase is a GitLab of a version with a pipeline that has a value for each field that
// a hook can have, but for those that exclude each other.
type hookCase struct {
	*testing.T
	gitlab *gitlabtest.Server
	rules  string
	job    gitlabtest.Job
}

func newHookCase(t *testing.T, version string, tag bool) hookCase {
	t.Helper()
	at := time.Date(2026, 11, 27, 12, 0, 0, 123456789, time.UTC)
	gl := gitlabtest.Start(t, gitlabtest.Options{
		Now: func() time.Time { return at }, Version: version, Person: gitlabtest.User{ID: 7, Username: "ada", Name: "Ada"},
	})
	project := gl.AddProject(gitlabtest.Project{Path: "platform/tools/shop", Name: "The Shop", DefaultBranch: "trunk", ProtectedRefs: []string{"feature"}, ProtectedTags: []string{"v*"}})
	var up, p gitlabtest.Pipeline
	if tag {
		up.Ref, p.Ref, p.Tag, p.User = "trunk", "v1", true, gitlabtest.User{ID: 8, Username: "bob", Name: "Bob", Email: "bob@example.com"}
	} else { // which the child pipeline has as well
		up.MergeRequest = &gitlabtest.MergeRequest{IID: 4, Title: "Mend", SourceBranch: "feature", TargetBranch: "trunk"}
	}
	upstream := gl.AddPipeline(project.ID, up, gitlabtest.Job{Name: "trigger", Bridge: true})
	p.Name, p.Message, p.Variables = "nightly", "Mend it\n\nReally.\n", []gitlabtest.Variable{{Key: "A", Value: "b"}}
	p.TriggeredBy = gl.Latest(upstream.ID, "trigger").ID
	pipeline := gl.AddPipeline(project.ID, p, gitlabtest.Job{
		Name: "deploy", Stage: "deploy", When: "delayed", AllowFailure: true, Environment: gitlabtest.Environment{Name: "staging", Action: "start", Tier: "staging"},
		Runner: gitlabtest.Runner{ID: 5, Description: "runner-1", Type: "instance_type", Tags: []string{"docker", "linux"}},
	})
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		at = at.Add(1500 * time.Millisecond)
	}
	job := gl.Latest(pipeline.ID, "deploy")
	_, err := gl.Play(job.ID)
	step(err)
	gl.Run(job.ID)
	step(nil)
	gl.Finish(job.ID, "failed", "runner_system_failure")
	step(nil)
	job, err = gl.Retry(job.ID)
	step(err)
	gl.Run(job.ID)
	step(nil)
	gl.Finish(job.ID, "failed", "script_failure")
	env := environment{T: t, dir: t.TempDir()}
	return hookCase{t, gl, env.write("rules.yaml", hookRules), gl.Latest(pipeline.ID, "deploy")}
}

// explain returns what explain prints as JSON.
func (c hookCase) explain(args ...string) explain.Explained {
	c.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"pipesteward", "explain", "--json", "--rules", c.rules, "--gitlab-url", c.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken}, args...)
	if code := run(c.Context(), args, &stdout, &stderr); code != 0 {
		c.Fatalf("exit status %d: %s", code, &stderr)
	}
	var e explain.Explained
	if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
		c.Fatal(err)
	}
	return e
}

// both returns the event of the hook that GitLab would send, and that of --job.
func (c hookCase) both(kind string) (hook, api explain.Explained) {
	c.Helper()
	body, page := c.gitlab.JobHookBody(c.job.ID), c.job.WebURL
	if kind == event.KindPipeline {
		body, page = c.gitlab.PipelineHookBody(c.job.PipelineID), fmt.Sprintf("%s/platform/tools/shop/-/pipelines/%d", c.gitlab.URL(), c.job.PipelineID)
	}
	env := environment{T: c.T, dir: filepath.Dir(c.rules)}
	return c.explain("--event", env.write("body.json", string(body))), c.explain("--job", page)
}

// values returns the values in JSON by path; those in a list share one, which ends in [].
func values(t *testing.T, e event.Event) map[string]string {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var add func(path string, value any)
	add = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, item := range v {
				add(strings.TrimPrefix(path+"."+name, "."), item)
			}
		case []any:
			for _, item := range v {
				add(path+"[]", item)
			}
		default:
			all[path] += fmt.Sprint(v) + "\n"
		}
	}
	add("", root)
	return all
}

// TestExplainedEventIsThatOfTheHook: the event that --job makes from the API is the one
// of the hook that the same GitLab sends, but for what the API does not tell. A field
// that either of them gains must be in both or in that list.
func TestExplainedEventIsThatOfTheHook(t *testing.T) {
	t.Parallel()
	own := []string{"event.id", "event.received_at"} // of each delivery
	for _, version := range []string{"15.0.0", "16.2.0", "17.0.0", "18.0.0", "19.1.0"} {
		for _, kind := range []string{event.KindJob, event.KindPipeline} {
			for _, tag := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/tag=%t", version, kind, tag), func(t *testing.T) {
					c := newHookCase(t, version, tag)
					hook, api := c.both(kind)
					unknown := gitlab.NotInAPI(api.Event)
					if kind == event.KindJob && version < "17" { // its Job Hooks do not tell it either
						unknown = slices.DeleteFunc(unknown, func(field string) bool { return field == "pipeline.upstream" })
					}
					ofHook, ofAPI := values(t, hook.Event), values(t, api.Event)
					var differ []string
					for path := range ofHook {
						if ofHook[path] != ofAPI[path] {
							differ = append(differ, path)
						}
					}
					for path := range ofAPI {
						if _, ok := ofHook[path]; !ok {
							differ = append(differ, path)
						}
					}
					for _, path := range differ {
						listed := func(field string) bool { return reads.Has([]string{path}, field) }
						if !slices.ContainsFunc(slices.Concat(own, unknown), listed) {
							t.Errorf("%s: the hook has %q, the API %q", path, ofHook[path], ofAPI[path])
						}
					}
					for _, field := range unknown {
						if !reads.Has(differ, field) {
							t.Errorf("%s is known from the API: the list says that it is not", field)
						}
						if api := fieldsBelow(ofAPI, field); len(api) > 0 {
							t.Errorf("%s is not in the hook alone: the API has %q", field, api)
						}
					}
				})
			}
		}
	}
}

// fieldsBelow returns the paths of a field's parts.
func fieldsBelow(all map[string]string, field string) []string {
	return slices.Collect(func(yield func(string) bool) {
		for path := range all {
			if reads.Has([]string{path}, field) && !yield(path) {
				return
			}
		}
	})
}

// TestEventsHaveAllFieldsButAbsent: the events of the newest hooks and of schedule rules
// have each field, but for those that event.Absent lists.
func TestEventsHaveAllFieldsButAbsent(t *testing.T) {
	t.Parallel()
	for _, kind := range event.Kinds {
		found := map[string]string{}
		for _, tag := range []bool{false, true} {
			c := newHookCase(t, "19.1.0", tag)
			e := c.visited()
			if kind != event.KindSchedule {
				hook, _ := c.both(kind)
				e = hook.Event
			}
			maps.Copy(found, values(t, e))
		}
		isAbsent := func(field string) bool {
			return slices.ContainsFunc(event.Absent[kind], func(absent string) bool { return reads.Has([]string{field}, absent) })
		}
		for _, field := range leaves("", reflect.TypeFor[event.Event]()) {
			has := reads.Has(slices.Collect(maps.Keys(found)), field)
			if !has && !isAbsent(field) && !slices.Contains(elsewhere[kind], field) {
				t.Errorf("%s events have no %s: decode it, or list it in event.Absent", kind, field)
			}
			if has && isAbsent(field) {
				t.Errorf("%s events have %s, which event.Absent lists", kind, field)
			}
		}
	}
}

// elsewhere has, by kind, fields that events have from elsewhere. GitLab sends no Job
// Hook of waiting jobs and of trigger jobs: catch-up finds them. A sweep adds the project,
// and whether the ref is protected. These jobs neither wait nor are trigger jobs, and who
// retried them shows no e-mail address.
var elsewhere = map[string][]string{
	event.KindJob:      {"job.manual", "job.bridge"},
	event.KindPipeline: {"pipeline.jobs[].bridge"},
	event.KindSchedule: {"project.name", "project.default_branch", "pipeline.protected_ref", "job.manual", "user.email"},
}

// visited returns the event of the job for schedule rules.
func (c hookCase) visited() event.Event {
	c.Helper()
	client, err := gitlab.New(gitlab.Config{BaseURL: c.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: time.Now})
	if err != nil {
		c.Fatal(err)
	}
	job, err := client.Job(c.Context(), c.job.ProjectID, c.job.ID)
	if err != nil {
		c.Fatal(err)
	}
	return client.Event(job, event.SourceSchedule)
}

// leaves returns the paths of all fields of a struct type.
func leaves(path string, of reflect.Type) []string {
	switch {
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
		return leaves(path+"[]", of.Elem())
	case of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]():
		return []string{path}
	}
	var all []string
	for field := range of.Fields() {
		all = append(all, leaves(strings.TrimPrefix(path+"."+field.Tag.Get("expr"), "."), field.Type)...)
	}
	return all
}

// TestExplainNamesWhatIsUnknown: the note names what the rules for this kind of event
// read, and nothing else.
func TestExplainNamesWhatIsUnknown(t *testing.T) {
	t.Parallel()
	c := newHookCase(t, "19.1.0", false)
	for _, tt := range []struct {
		kind string
		want []explain.UnknownField
	}{
		{event.KindJob, []explain.UnknownField{
			{Field: "job.runner.tags", Rules: []string{"all-of-a-job"}},
			{Field: "job.environment", Rules: []string{"all-of-a-job"}},
			{Field: "pipeline.upstream", Rules: []string{"all-of-a-job"}},
			{Field: "user.email", Rules: []string{"all-of-a-job"}},
		}},
		{event.KindPipeline, []explain.UnknownField{
			{Field: "pipeline.variables", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.protected_ref", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.upstream", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.jobs[].manual", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.jobs[].delayed", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.jobs[].runner.tags", Rules: []string{"all-of-a-pipeline"}},
			{Field: "pipeline.jobs[].environment", Rules: []string{"all-of-a-pipeline"}},
			{Field: "user.email", Rules: []string{"all-of-a-pipeline"}},
		}},
	} {
		hook, api := c.both(tt.kind)
		if diff := cmp.Diff(tt.want, api.Unknown); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.kind, diff)
		}
		if len(hook.Unknown) > 0 {
			t.Errorf("of the hook's event, %v is unknown", hook.Unknown)
		}
	}
}
