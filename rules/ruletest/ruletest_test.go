package ruletest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// testFiles contains files by name, and the events of their hooks.
type testFiles struct {
	files map[string]string
	hooks map[string]event.Event
}

var _ ruletest.Files = testFiles{}

func (f testFiles) Rules(path string) ([]rulefile.Source, error) {
	text, err := f.Log(path)
	if err != nil {
		return nil, err
	}
	return []rulefile.Source{{Name: path, Data: []byte(text)}}, nil
}

func (f testFiles) Hook(path string) (event.Event, error) {
	e, ok := f.hooks[path]
	if !ok {
		return e, fs.ErrNotExist
	}
	return e, nil
}

func (f testFiles) Log(path string) (string, error) {
	text, ok := f.files[path]
	if !ok {
		return "", fs.ErrNotExist
	}
	return text, nil
}

// TestLoadTestsReportsEveryMistake loads each file of testdata/brokentests,
// which is named for its mistakes. The expected errors are in the file beside
// it.
func TestLoadTestsReportsEveryMistake(t *testing.T) {
	files := testFiles{
		files: map[string]string{"rules.yaml": fixture.Read(t, "testdata/rules.yaml"), "broken.yaml": "version: 1\nrules: [{name: r, on: jobs}]\n"},
		hooks: map[string]event.Event{"job.json": fixture.JobEvent()},
	}
	golden.Each(t, "testdata/brokentests/*.yaml", func(t *testing.T, name string, data []byte) string {
		_, err := ruletest.Load(rulefile.Source{Name: name, Data: data}, files)
		var mistakes schema.FileErrors
		if !errors.As(err, &mistakes) {
			t.Fatalf("LoadTests returned %v, want FileErrors", err)
		}
		return mistakes.Error()
	})
}

// runTest runs the only test of a file on one rule.
func runTest(t *testing.T, rule, test string, hooks map[string]event.Event) ruletest.Result {
	t.Helper()
	return runOne(t, testFiles{
		files: map[string]string{
			"rules.yaml": "version: 1\ndefaults: {channel: c}\nrules:\n" + rule,
			"log.txt":    "in a file",
			"test.yaml":  "version: 1\nrules: [rules.yaml]\ntests:\n" + test,
		},
		hooks: hooks,
	})
}

func runOne(t interface {
	Helper()
	Fatalf(string, ...any)
	Context() context.Context
}, files testFiles,
) ruletest.Result {
	t.Helper()
	tests, err := ruletest.Load(rulefile.Source{Name: "test.yaml", Data: []byte(files.files["test.yaml"])}, files)
	if err != nil {
		t.Fatalf("LoadTests:\n%v", err)
	}
	if len(tests.All) != 1 {
		t.Fatalf("%d tests, want one", len(tests.All))
	}
	return tests.All[0].Run(t.Context())
}

// TestTestEvents checks that an event has the values that the test sets, and
// otherwise those that GitLab would send.
func TestTestEvents(t *testing.T) {
	hooks := map[string]event.Event{"job.json": fixture.JobEvent(), "pipeline.json": fixture.PipelineEvent()}
	job := hooks["job.json"]
	job.Meta.Instance, job.Project.URL, job.Job.URL, job.Pipeline.URL = "", "https://gitlab.example.org/platform/shop", "https://gitlab.example.org/platform/shop/-/jobs/700", "https://gitlab.example.org/platform/shop/-/pipelines/70"
	hooks["linked.json"] = job
	const bare = "kind: job, job: {name: rspec, status: failed}"
	for _, c := range []struct {
		name      string
		event     string
		more      string // of the test
		condition string // true for the event
	}{
		{"a project", bare, "", `project.path == "group/project" and project.name == "project" and project.namespace == "group" and project.id > 0`},
		{"pages", bare, "", `project.url == "https://gitlab.example.com/group/project" and job.url == project.url + "/-/jobs/" + string(job.id) and pipeline.url == project.url + "/-/pipelines/" + string(pipeline.id)`},
		{"a branch", bare, "", `project.default_branch == "main" and pipeline.ref == "main" and job.ref == "main" and not job.tag`},
		{"a job", bare, "", `job.id > 0 and job.stage == "test" and job.attempt == 1`},
		{"a failed job has a reason", bare, "", `job.failure_reason == "unknown_failure" and job.failure_class == "unknown"`},
		{"a class follows from the reason", "kind: job, job: {name: rspec, status: failed, failure_reason: no_updates_running}", "", `job.failure_class == "stuck"`},
		{"where it came from", bare, "", `event.source == "webhook" and event.instance == "https://gitlab.example.com"`},
		{"and what it says itself", "kind: job, source: catch_up, instance: https://gl.example.com, project: {path: a/b/c}, job: {name: x, status: failed}", "", `event.source == "catch_up" and project.url == "https://gl.example.com/a/b/c" and project.namespace == "a/b" and project.name == "c"`},
		{"an instance follows from the project's page", "kind: job, project: {path: a/b, url: https://gl.example.com/a/b}, job: {name: x, status: failed}", "", `event.instance == "https://gl.example.com"`},
		{"a ref of the job alone", "kind: job, job: {name: x, status: failed, ref: v1, tag: true}", "", `pipeline.ref == "v1" and pipeline.tag`},
		{"a ref of the pipeline alone", "kind: job, pipeline: {ref: dev}, job: {name: x, status: failed}", "", `job.ref == "dev"`},
		{"values of all kinds", "kind: job, pipeline: {duration: 1.5, variables: {A: b, N: 1}, stages: [x, y]}, job: {name: x, status: failed, manual: true, id: 12, attempt: 2, runner: {shared: true, tags: [gpu]}}", "", `pipeline.duration == 1.5 and pipeline.variables.A == "b" and pipeline.variables.N == "1" and pipeline.stages == ["x", "y"] and job.manual and job.id == 12 and job.attempt == 2 and job.runner.shared and "gpu" in job.runner.tags`},

		{"a clock", bare, "", `now() == date("2026-01-01T12:00:00Z")`},
		{"a clock that it says", bare, "now: 2026-11-22T12:00:00+01:00", `now() == date("2026-11-22T11:00:00Z")`},
		{"a time", "kind: job, job: {name: x, status: failed, finished_at: 2025-12-31T12:00:00Z}", "", `age(job.finished_at) == duration("1d")`},
		{"how long ago", "kind: job, job: {name: x, status: failed, finished_at: 90d ago}", "", `age(job.finished_at) == duration("90d")`},
		{"how long before its clock", "kind: job, job: {name: x, status: failed, finished_at: 1h30m ago}", "now: 2026-11-22T12:00:00Z", `job.finished_at == date("2026-11-22T10:30:00Z")`},
		{"the clock of a hook is its last time", "hook: job.json", "", `now() == job.finished_at`},

		{"jobs of a pipeline", "kind: pipeline, pipeline: {status: failed, ref: dev, jobs: [{name: a, status: failed}, {name: b, status: manual, id: 1}, {name: c, status: manual, ref: x}]}", "", `map(pipeline.jobs, .id) == [2, 1, 3] and map(pipeline.jobs, .ref) == ["dev", "dev", "x"] and pipeline.jobs[0].failure_class == "unknown" and pipeline.jobs[1].url endsWith "/-/jobs/1"`},
		{"a pipeline has no job", "kind: pipeline, pipeline: {status: failed}, project: {default_branch: trunk}", "", `pipeline.ref == "trunk" and len(pipeline.jobs) == 0`},

		{"a hook", "hook: job.json", "", `job.id == 700 and project.path == "platform/shop" and user.username == "ada"`},
		{"a hook, but", "hook: job.json, job: {name: lint}, user: {username: bob}", "", `job.id == 700 and job.name == "lint" and user.username == "bob"`},
		{"a job of a hook that did not fail has no reason", "hook: job.json, job: {status: success}", "", `job.failure_reason == "" and job.failure_class == ""`},
		{"a class follows anew", "hook: job.json, job: {failure_reason: script_failure}", "", `job.failure_class == "script"`},
		{"a ref of both", "hook: job.json, pipeline: {ref: dev}", "", `job.ref == "dev"`},
		{"a hook's instance", "hook: linked.json", "", `event.instance == "https://gitlab.example.org"`},
		{"pages of another project", "hook: linked.json, project: {path: a/b}", "", `project.url == "https://gitlab.example.org/a/b" and job.url == project.url + "/-/jobs/700" and pipeline.url == project.url + "/-/pipelines/70" and project.namespace == "a"`},
		{"pages of another job", "hook: linked.json, job: {id: 5}, pipeline: {id: 6}", "", `job.url endsWith "/shop/-/jobs/5" and pipeline.url endsWith "/shop/-/pipelines/6"`},
		{"refs of the jobs of a hook", "hook: pipeline.json, pipeline: {ref: dev}", "", `all(pipeline.jobs, .ref == "dev") and len(pipeline.jobs) == 3`},

		{"a log", bare, "gitlab: {log: some text}", `log() == "some text"`},
		{"a log as the rules see it", bare, `gitlab: {log: "\e[31mERROR\e[0m of glpat-aaaaaaaaaaaaaaaaaaaa"}`, `log() startsWith "ERROR of " and not (log() contains "glpat-aaa") and log_excerpt(1) == log()`},
		{"a newer pipeline", bare, "gitlab: {superseded: true}", `superseded()`},
		{"no newer pipeline", bare, "gitlab: {superseded: false}", `not superseded()`},
		{"a log in a file", bare, "gitlab: {log: {file: log.txt}}", `log() == "in a file"`},
		{"the jobs of a pipeline hold the event's", bare, "gitlab: {jobs: [{name: lint, status: running}]}", `map(jobs(), .name) == ["rspec", "lint"] and jobs()[0].id == job.id and jobs()[1].id != job.id`},
		{"the event's job as the API has it", bare, "gitlab: {jobs: [{name: lint, status: running}, {name: rspec, status: failed, stage: build}]}", `len(jobs()) == 2 and jobs()[1].id == job.id and jobs()[1].stage == "build"`},
		{"details are the event's", bare, "gitlab: {details: {tag_list: [gpu], artifacts: [{filename: x.zip, size: 5}], erased_at: 1d ago}}", `details().name == "rspec" and details().id == job.id and details().tag_list == ["gpu"] and details().artifacts[0].size == 5 and age(details().erased_at) == duration("1d")`},
		{"what failed downstream", bare, "gitlab: {bridges: [{name: deploy, status: failed, downstream: {failed_jobs: [{name: smoke, status: failed, failure_reason: runner_system_failure}]}}]}", `let j = bridges()[0].downstream.failed_jobs[0]; j.name == "smoke" and j.failure_class == "runner" and j.attempt == 1 and j.id not in [0, job.id, bridges()[0].id]`},
		{"bridges", bare, "gitlab: {bridges: [{name: deploy, status: failed, downstream: {id: 7, status: failed}}]}", `bridges()[0].downstream.id == 7 and bridges()[0].id not in [0, job.id]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := "job"
			if strings.Contains(c.event, "pipeline.json") || strings.Contains(c.event, "kind: pipeline") {
				on = "pipeline"
			}
			rule := fmt.Sprintf("  - name: r\n    on: %s\n    if: |\n      %s\n    notify: [{}]\n", on, c.condition)
			test := fmt.Sprintf("  - name: t\n    event: {%s}\n    %s\n    expect: [{rule: r}]\n", c.event, c.more)
			if result := runTest(t, rule, test, hooks); !result.Passed() {
				t.Errorf("%s", strings.Join(append(result.Diff, result.Problems...), "\n"))
				for _, v := range result.Verdicts {
					t.Logf("%s: %s", v.Result, fixture.FormatPart(v.Explanation.If))
				}
			}
		})
	}
}

// TestWhatHappenedCanBeExpected checks that the reported actual decisions,
// pasted as expectations, make the test pass, whatever texts they contain.
func TestWhatHappenedCanBeExpected(t *testing.T) {
	const many = `version: 1
defaults: {channel: "#ci"}
rules:
  - {name: "all: of it", on: pipeline, actions: [{play: {jobs: pipeline.jobs, delay: 90s, variables: {A: "{{ job.name }}", B: "1"}, inputs: {x: "{{ job.stage }}"}}}, {cancel: {jobs: pipeline.jobs}}]}
  - {name: dry, on: pipeline, dry_run: true, actions: [{erase: {jobs: pipeline.jobs}}], notify: [{}]}
  - {name: "cancel too", on: pipeline, actions: [{cancel: {jobs: 'filter(pipeline.jobs, .stage == "test")'}}]}
  - {name: can't, on: pipeline, if: "len(jobs()) > 0", notify: [{}]}
  - {name: one by one, on: pipeline, actions: [{play: {jobs: 'filter(pipeline.jobs, .stage == "deploy")', wait: success, allow_stale: true}}, retry_pipeline]}
  - {name: tells, on: pipeline, notify: [{}]}
`
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"null", "true", "~", "a: b", "a #b", "- a", "{a}", " a ", "1.10", "0x1", "a, b", "é", "#", "'", "\"", "\\"}))
		names := rapid.SliceOfN(text, 1, 3).Draw(t, "names")
		failure := rapid.StringN(1, 20, -1).Draw(t, "error")
		var jobs []string
		for _, name := range names {
			jobs = append(jobs, fmt.Sprintf("{name: %q, status: manual, stage: %s}", name, rapid.SampledFrom([]string{"test", "deploy"}).Draw(t, "stage")))
		}
		run := func(expect []string) ruletest.Result {
			test := fmt.Sprintf("version: 1\nrules: [rules.yaml]\ntests:\n  - name: t\n    event: {kind: pipeline, pipeline: {status: failed, jobs: [%s]}}\n    gitlab: {jobs: {error: %q}}\n    expect: [%s]\n",
				strings.Join(jobs, ", "), failure, strings.Join(expect, ", "))
			return runOne(t, testFiles{files: map[string]string{"rules.yaml": many, "test.yaml": test}})
		}
		happened := run(nil)
		if len(happened.Diff) < 4 {
			t.Fatalf("got %q", happened.Diff)
		}
		var expect []string
		for _, line := range happened.Diff {
			entry, ok := strings.CutPrefix(line, "+ ")
			if !ok {
				t.Fatalf("nothing was expected, and the diff says %q", line)
			}
			expect = append(expect, entry)
		}
		if again := run(expect); !again.Passed() {
			t.Errorf("expected %q, and got\n%s", expect, strings.Join(slices.Concat(again.Diff, again.Problems), "\n"))
		}
	})
}

// TestExpectedParameters checks that a test can expect each parameter, and
// fails if the value differs.
func TestExpectedParameters(t *testing.T) {
	const given = "    event: {kind: pipeline, pipeline: {status: failed, jobs: [{name: a, status: failed, failure_reason: api_failure}, {name: b, status: failed, failure_reason: api_failure}]}}\n    gitlab: {bridges: [{name: a, status: failed, failure_reason: api_failure}, {name: b, status: failed}]}\n"
	for _, c := range []struct {
		action, right, wrong string
		got                  string // reported where wrong was expected
	}{
		{"retry: {jobs: pipeline.jobs, max_attempts: 4}", "max_attempts: 4", "max_attempts: 3", "max_attempts: 4"},
		{"retry: {jobs: pipeline.jobs, allow_stale: true}", "allow_stale: true", "allow_stale: false", "allow_stale: true"},
		{"retry: {jobs: pipeline.jobs, min_pass_rate: 7%}", "min_pass_rate: 7%", "min_pass_rate: none", "min_pass_rate: 7%"},
		{"retry: {jobs: pipeline.jobs}", "min_pass_rate: none", "min_pass_rate: 20%", "min_pass_rate: none"},
		{"retry: {jobs: pipeline.jobs, delay: 60s}", "delay: 1m", "delay: 2m", "delay: 1m"},
		{"retry: {jobs: pipeline.jobs}", "class: api", "class: runner", "class: api"},
		{"retry: {jobs: bridges()}", "max_attempts: 3", "class: api", `class: "api, unknown"`},
		{"play: {jobs: pipeline.jobs, wait: success}", "wait: success", "wait: none", "wait: success"},
		{"play: {jobs: pipeline.jobs}", "wait: none, allow_stale: false", "wait: success", "wait: none"},
		{"play: {jobs: pipeline.jobs, confirm: '#deploys-{{ project.name }}'}", "confirm: '#deploys-project', confirm_within: 24h", "confirm: none", `confirm: "#deploys-project"`},
		{"play: {jobs: pipeline.jobs, confirm: '#deploys', confirm_within: 2h}", "confirm_within: 2h", "confirm_within: 1h", "confirm_within: 2h"},
		{"play: {jobs: pipeline.jobs}", "confirm: none", `confirm: "#deploys"`, "confirm: none"},
		{"play: {jobs: pipeline.jobs, variables: {A: 1}}", "variables: {A: 1}, inputs: {}", "variables: {}", `variables: {A: "1"}`},
		{"cancel: {jobs: pipeline.jobs, force: true}", "force: true", "force: false", "force: true"},
		{"erase: {jobs: pipeline.jobs, older_than: 7d, artifacts: true}", "older_than: 1w, artifacts: true", "older_than: 1d", "older_than: 1w"},
		{"erase: {jobs: pipeline.jobs}", "artifacts: false", "artifacts: true", "artifacts: false"},
	} {
		t.Run(c.action, func(t *testing.T) {
			run := func(expected string) ruletest.Result {
				return runTest(t, "  - {name: r, on: pipeline, actions: [{"+c.action+"}]}\n", "  - name: t\n"+given+"    expect: [{rule: r, jobs: [a, b], "+expected+"}]\n", nil)
			}
			if result := run(c.right); !result.Passed() {
				t.Errorf("%s: %q", c.right, result.Diff)
			}
			verb, _, _ := strings.Cut(c.action, ":")
			want := []string{
				"- {rule: r, action: " + verb + ", jobs: [a, b], " + c.wrong + "}",
				"+ {rule: r, action: " + verb + ", jobs: [a, b], " + c.got + "}",
			}
			if diff := cmp.Diff(want, run(c.wrong).Diff); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.wrong, diff)
			}
		})
	}
}

// TestTestSchema checks that the schema accepts the files that load.
func TestTestSchema(t *testing.T) {
	refuses := fixture.Editor(t, ruletest.Schema)
	example := fixture.Read(t, "../../rules.example.test.yaml")
	if err := refuses(example); err != nil {
		t.Errorf("the example: %v", err)
	}
	for _, change := range [][2]string{
		{"expect:", "expects:"},
		{"status: failed", "status: passed"},
		{"kind: job", "kind: jobs"},
		{"delay: 30s", "delay: soon"},
		{"tells:", "tell:"},
		{"{error:", "{err:"},
		{"event:", "evnt:"},
	} {
		changed := strings.Replace(example, change[0], change[1], 1)
		if changed == example || refuses(changed) == nil {
			t.Errorf("%q in place of %q is not refused", change[1], change[0])
		}
	}
}

// TestStatesOfATest: a test expects what is sent if the state turns, by the value that the
// event gives it.
func TestStatesOfATest(t *testing.T) {
	const rule = "  - {name: red, on: pipeline, notify: [{state: pipeline.status == \"failed\", text: red, resolved: green}, {channel: all, state: pipeline.tag}]}\n"
	for _, c := range []struct {
		name, status, tells string
		diff                []string
	}{
		{"it turns true", "failed", "{began: [{channel: c, text: red}], resolved: [{channel: all, text: \"\"}]}", nil},
		{"it turns false", "success", "{began: [], resolved: [{text: green}, {channel: all}]}", nil},
		{"an outcome", "success", "{done: []}", nil},
		{"the other turn", "success", "{began: [{text: red}]}", []string{
			"- {rule: red, action: notify, tells: {began: red}}", "+ {rule: red, action: notify, tells: {began: []}}",
		}},
		{"another text", "failed", "{began: [{text: read}]}", []string{
			"- {rule: red, action: notify, tells: {began: read}}", "+ {rule: red, action: notify, tells: {began: red}}",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runTest(t, rule, "  - {name: t, event: {kind: pipeline, pipeline: {status: "+c.status+"}}, expect: [{rule: red, tells: "+c.tells+"}]}\n", nil)
			if diff := cmp.Diff(c.diff, got.Diff); diff != "" || len(got.Problems) > 0 {
				t.Errorf("diff (-want +got):\n%s%v", diff, got.Problems)
			}
		})
	}
}

// TestExpectedNotifications: a test compares what it says of a notification, and fails if that
// differs.
func TestExpectedNotifications(t *testing.T) {
	const rules = `
receivers: [{name: ops, discord: {url: "https://discord.com/api/webhooks/1/token"}}]
defaults: {channel: c, quiet: {from: "20:00", to: "07:00", except: [failed]}}
rules:
  - name: r
    on: job
    actions: [retry]
    dry_run: true
    notify: [{channel: "x-{{ project.namespace }}", mention: [author, "@oncall"]}, {receiver: ops, when: [gave_up], quiet: false, mention: ["7"]}]
`
	for _, c := range []struct{ right, wrong, got string }{
		{`dry_run: [{channel: x-a}]`, `dry_run: [{channel: x-b}]`, `dry_run: [{channel: x-a}]`}, // by default, `when` has it
		{`done: [{mention: [author, "@oncall"]}]`, `done: [{mention: []}]`, `done: [{channel: x-a, text: "", mention: [author, "@oncall"]}]`},
		{`done: [{quiet: true}]`, `done: [{quiet: false}]`, `done: [{channel: x-a, text: "", quiet: true}]`},
		{`failed: [{quiet: false}]`, `failed: [{text: "", quiet: true}]`, `failed: [{text: "", quiet: false}]`},
		{`failed: [{group: true}]`, `failed: [{text: "", group: false}]`, `failed: [{text: "", group: true}]`},
		{
			`gave_up: [{channel: x-a, quiet: true}, {receiver: ops, quiet: false, mention: ["7"]}]`, `gave_up: [{channel: x-a}, {channel: ops}]`,
			`gave_up: [{channel: x-a}, {receiver: ops}]`,
		},
	} {
		t.Run(c.right, func(t *testing.T) {
			run := func(tells string) []string {
				result := runOne(t, testFiles{files: map[string]string{
					"rules.yaml": "version: 1\n" + rules,
					"test.yaml":  "version: 1\nrules: [rules.yaml]\ntests: [{name: t, event: {kind: job, project: {path: a/b}, job: {name: j, status: failed}}, expect: [{rule: r, tells: {" + tells + "}}]}]\n",
				}})
				return append(result.Diff, result.Problems...)
			}
			if diff := run(c.right); len(diff) > 0 {
				t.Errorf("%s: %q", c.right, diff)
			}
			if diff := run(c.wrong); len(diff) < 2 || !strings.Contains(diff[0], c.wrong) || !strings.Contains(diff[1], c.got) {
				t.Errorf("%s: %q, want %s", c.wrong, diff, c.got)
			}
		})
	}
}

// TestTemplatesOfATest: the texts of `templates` are compared as a rule's own are, and the
// other parts of a message where the test names them.
func TestTemplatesOfATest(t *testing.T) {
	const rule = "  - {name: r, on: job, actions: [retry], notify: [{}]}\ntemplates: {gave_up: \"{{ job.name }} gave up\", header: \"{{ project.path }}\"}\n"
	for _, c := range []struct {
		name, tells string
		diff        []string
	}{
		{"the text", "{gave_up: rspec gave up, done: \"\"}", nil},
		{"the header", "{gave_up: [{header: group/project}]}", nil},
		{"all parts", "{gave_up: [{text: rspec gave up, header: group/project, context: \"\", details: \"\"}]}", nil},
		{"another text", "{gave_up: x}", []string{
			"- {rule: r, action: retry, tells: {gave_up: x}}", "+ {rule: r, action: retry, tells: {gave_up: rspec gave up}}",
		}},
		{"another header", "{done: [{header: x}]}", []string{
			"- {rule: r, action: retry, tells: {done: [{header: x}]}}",
			"+ {rule: r, action: retry, tells: {done: [{channel: c, text: \"\", header: group/project}]}} # \"\" is the default text",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runTest(t, rule, "  - {name: t, event: {kind: job, job: {name: rspec, status: failed}}, expect: [{rule: r, tells: "+c.tells+"}]}\n", nil)
			if diff := cmp.Diff(c.diff, got.Diff); diff != "" || len(got.Problems) > 0 {
				t.Errorf("diff (-want +got):\n%s%v", diff, got.Problems)
			}
		})
	}
}

// FuzzLoadTests checks that an arbitrary test file is read or refused without
// a panic.
func FuzzLoadTests(f *testing.F) {
	names, err := filepath.Glob("testdata/brokentests/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "../../rules.example.test.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	example, err := os.ReadFile("../../rules.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	files := testFiles{
		files: map[string]string{"rules.example.yaml": string(example), "rules.yaml": string(example)},
		hooks: map[string]event.Event{"job.json": fixture.JobEvent()},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tests, err := ruletest.Load(rulefile.Source{Name: "rules.example.test.yaml", Data: data}, files)
		if err != nil {
			return
		}
		for _, test := range tests.All {
			test.Run(t.Context())
		}
	})
}

// TestClassesInRuleTests checks that a test with a log has the class of the
// log, and that a test may omit the log only if no rule reads the class.
func TestClassesInRuleTests(t *testing.T) {
	const diskFull = "version: 1\nclasses: [{name: disk-full, log: No space left on device}]\nrules:\n"
	const reads, retries = diskFull + `  - {name: r, on: job, if: job.failure_class == "disk-full", actions: [retry]}`, diskFull + `  - {name: r, on: job, actions: [retry]}`
	const event = "{name: t, event: {kind: job, job: {name: rspec, status: failed, failure_reason: script_failure}}, "
	for name, c := range map[string]struct{ rules, test, problem string }{
		"log":                                {reads, "gitlab: {log: No space left on device}, expect: [{rule: r, class: disk-full}]}", ""},
		"another log":                        {reads, "gitlab: {log: all is well}, expect: []}", ""},
		"no log, and a rule reads the class": {reads, "expect: []}", "it calls log()"},
		"no log, and none does":              {retries, "expect: [{rule: r, class: script}]}", ""},
		"a log that will never be had":       {reads, "gitlab: {log: {error: 404}}, expect: []}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			result := runOne(t, testFiles{files: map[string]string{
				"rules.yaml": c.rules,
				"test.yaml":  "version: 1\nrules: [rules.yaml]\ntests:\n  - " + event + c.test,
			}})
			if problems := strings.Join(result.Problems, "\n"); (c.problem == "") != result.Passed() || !strings.Contains(problems, c.problem) {
				t.Errorf("problems %q, want %q; %v", problems, c.problem, result.Diff)
			}
		})
	}
}
