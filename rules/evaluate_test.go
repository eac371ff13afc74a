package rules_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// load loads valid rules.
func load(t testing.TB, text string) *rules.Rules {
	t.Helper()
	rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return rs
}

// condition loads one rule that notifies if the condition is true.
func condition(t testing.TB, on, text string) *rules.Rules {
	t.Helper()
	return load(t, fmt.Sprintf("version: 1\nrules:\n  - name: r\n    on: %s\n    if: |\n      %s\n    notify: [{channel: ci}]\n", on, text))
}

// facts returns its fields and counts the requests.
type facts struct {
	log       string
	err       error
	requested map[string]int
	details   event.Details
}

func (f *facts) count(what string) {
	if f.requested == nil {
		f.requested = map[string]int{}
	}
	f.requested[what]++
}

func (f *facts) Log(context.Context, event.Event) (string, error) {
	f.count("log")
	return f.log, f.err
}

func (f *facts) Jobs(_ context.Context, e event.Event) ([]event.Job, error) {
	f.count("jobs")
	return []event.Job{e.Job, {ID: 799, Name: "lint", Status: "running"}}, f.err
}

func (f *facts) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	f.count("bridges")
	return []event.Bridge{{
		ID: 800, Name: "trigger", Stage: "deploy", Status: "failed", FailureReason: "api_failure", AllowFailure: true, URL: "https://gitlab.example.com/-/jobs/800",
		Downstream: event.Downstream{ID: 71, Status: "failed", FailedJobs: []event.Job{{ID: 810, Name: "smoke", Status: "failed"}}},
	}}, f.err
}

func (f *facts) Details(context.Context, event.Event) (event.Details, error) {
	f.count("details")
	return f.details, f.err
}

func (f *facts) MergeRequestDetails(context.Context, event.Event) (event.MergeRequestDetails, error) {
	f.count("merge_request_details")
	return event.MergeRequestDetails{MergeRequest: event.MergeRequest{IID: 7, State: "opened"}, Labels: []string{"urgent"}, Author: event.Author{Username: "ann"}, ApprovalsLeft: 1}, f.err
}

func (f *facts) OnDefault(context.Context, event.Event) (event.OnDefault, error) {
	f.count("on_default")
	return event.OnDefault{Failed: true, Status: "failed", FailureReason: "script_failure", SinceSHA: "abc123"}, f.err
}

func (f *facts) Tests(context.Context, event.Event) ([]event.FailedTest, error) {
	f.count("tests")
	return []event.FailedTest{{Name: "signs in", Suite: "login", RecentFailures: 4}, {Name: "with glpat-" + strings.Repeat("x1", 10), RecentFailures: 3}}, f.err
}

func (f *facts) Superseded(context.Context, event.Event) (bool, error) {
	f.count("superseded")
	return true, f.err
}

var _ expression.Facts = (*facts)(nil)

func TestConditions(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		on, text string
		want     bool
	}{
		{"job", `job.status == "failed"`, yes},
		{"job", `failed_with("stuck_or_timeout_failure")`, yes},
		{"job", `failed_with("api_failure", "stuck_or_timeout_failure")`, yes},
		{"job", `failed_with("api_failure")`, no},
		{"job", `not failed_with("api_failure") and project.path startsWith "platform/"`, yes},
		{"job", `job.failure_class == "stuck" and job.failure_class != "script"`, yes},
		{"job", `job.id in [700, 701]`, yes},
		{"job", `job.status in ["pending", "failed"] and superseded()`, yes},
		{"pipeline", `superseded() and pipeline.status == "manual"`, yes},
		{"job", `job.id == 700 and job.attempt < 2`, yes},
		{"job", `"docker" in job.runner.tags`, yes},
		{"job", `glob(project.path, "platform/*") and glob(job.ref, "{main,release/**}")`, yes},
		{"job", `glob(project.path, "plat*")`, no}, // * does not match across /
		{"job", `age(job.finished_at) >= duration("10m") and age(job.finished_at) < duration("1d")`, yes},
		{"job", `age(job.started_at) > duration("1d")`, no}, // not started: age 0
		{"job", `now() == event.received_at and job.finished_at < now()`, yes},
		{"job", `pipeline.variables.NIGHTLY == "1" and pipeline.variables.OTHER == ""`, yes},
		{"job", `merge_request.iid == 0 and merge_request.title == "" and commit.title == ""`, yes},
		{"job", `job.name matches "^rspec \\d+/\\d+$"`, yes},
		{"job", `log() contains "No space left on device"`, yes},
		{"job", `any(jobs(), .name == "lint" and .status == "running")`, yes},
		{"job", `any(bridges(), .downstream.status == "failed")`, yes},
		{"job", `"gpu" in details().tag_list and details().name == "rspec 1/3"`, yes},
		{"job", `on_default().failed and on_default().status == job.status and on_default().since_sha[:3] == "abc"`, yes},
		{"job", `all(tests(), .recent_failures >= 3) and len(tests()) > 0`, yes},
		{"job", `all(tests(), .recent_failures >= 4)`, no},
		{"job", `any(tests(), .name == "with [masked]")`, yes},
		{"pipeline", `pipeline.status == "manual" and all(pipeline.jobs, .stage != "test" or .status == "success")`, yes},
		{"pipeline", `pipeline.ref == project.default_branch and count(pipeline.jobs, .manual) == 2`, yes},
		{"pipeline", `none(pipeline.jobs, .status == "manual")`, no},
		{"pipeline", `pipeline.status != ""`, yes},
		{"job", `"urgent" in merge_request_details().labels and merge_request_details().author.username == "ann"`, yes},
		{"pipeline", `merge_request_details().state == "opened" and merge_request_details().approvals_left == 1 and not merge_request_details().draft`, yes},
	} {
		t.Run(c.text, func(t *testing.T) {
			e := fixture.JobEvent()
			if c.on == "pipeline" {
				e = fixture.PipelineEvent()
			}
			gitlab := &facts{log: "x\nNo space left on device\n", details: event.Details{Job: e.Job, TagList: []string{"gpu"}}}
			decisions, errs := condition(t, c.on, c.text).Evaluate(t.Context(), e, gitlab)
			if len(errs) > 0 {
				t.Fatalf("Evaluate: %v", errs)
			}
			if got := len(decisions) == 1; got != c.want {
				t.Errorf("matched = %v, want %v", got, c.want)
			}
		})
	}
}

// TestFailedWithCoversNewerNames checks that a rule for an old GitLab matches
// events of a new one.
func TestFailedWithCoversNewerNames(t *testing.T) {
	for old, newer := range map[string][]string{
		"stuck_or_timeout_failure": {"stuck_or_timeout_failure", "stuck_pending_with_matching_runners", "stuck_pending_no_matching_runners", "no_updates_running", "no_updates_canceling"},
		"job_execution_timeout":    {"job_execution_timeout", "server_timeout_running", "server_timeout_canceling"},
		"runner_system_failure":    {"runner_system_failure", "runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted"},
		"script_failure":           {"script_failure", "runner_configuration_error"},
	} {
		rs := condition(t, "job", fmt.Sprintf("failed_with(%q)", old))
		for _, reason := range newer {
			e := fixture.JobEvent()
			e.Job.FailureReason = reason
			if decisions, _ := rs.Evaluate(t.Context(), e, &facts{}); len(decisions) != 1 {
				t.Errorf("failed_with(%q) did not match %s", old, reason)
			}
			e.Job.Status = "success"
			if decisions, _ := rs.Evaluate(t.Context(), e, &facts{}); len(decisions) != 0 {
				t.Errorf("failed_with(%q) matched a success", old)
			}
		}
	}
}

func TestDecisions(t *testing.T) {
	const text = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions:
      - retry: {max_attempts: 4, delay: 30s}
  - name: retry-anything
    on: job
    if: job.status == "failed"
    actions: [retry]
  - name: stop-the-rest
    on: job
    if: job.status == "failed"
    actions:
      - cancel: {jobs: 'filter(jobs(), .status == "running")', force: true}
    stop: true
  - name: never-reached
    on: job
    actions: [erase]
  - name: deploy
    on: pipeline
    actions:
      - play:
          jobs: filter(pipeline.jobs, .manual)
          delay: 1m
          variables: {RELEASE: "{{ pipeline.sha }}-{{ job.name }}", STATIC: x}
    dry_run: true
`
	rs := load(t, text)

	got, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := []event.Decision{
		{
			Key: "retry:https://gitlab.example.com:7:700:failed", Rule: "retry-stuck", AlsoWantedBy: []string{"retry-anything"},
			Action: event.Action{Verb: "retry", MaxAttempts: 4, Delay: event.Duration(30 * time.Second), Backoff: "exponential", MaxDelay: event.Duration(10 * time.Minute)},
		},
		{Key: "cancel:https://gitlab.example.com:7:799:running", Rule: "stop-the-rest", Action: event.Action{Verb: "cancel", Force: true}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event.Decision{}, "Event", "RulesHash", "Explanation")); diff != "" {
		t.Errorf("decisions on a job (-want +got):\n%s", diff)
	}
	if got[1].Job.Name != "lint" || got[1].Project.ID != 7 {
		t.Errorf("the decision's job is %q of project %d, want the job to act on", got[1].Job.Name, got[1].Project.ID)
	}

	got, errs = rs.Evaluate(t.Context(), fixture.PipelineEvent(), &facts{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	play := func(id int64, name string) event.Decision {
		return event.Decision{
			Key: fmt.Sprintf("play:https://gitlab.example.com:7:%d:manual:703:dry", id), Rule: "deploy", DryRun: true,
			Action: event.Action{Verb: "play", Delay: event.Duration(time.Minute), Wait: event.WaitNone, Variables: map[string]string{"RELEASE": "abc-" + name, "STATIC": "x"}},
		}
	}
	want = []event.Decision{play(702, "deploy-staging"), play(703, "deploy-production")}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event.Decision{}, "Event", "RulesHash", "Explanation")); diff != "" {
		t.Errorf("decisions on a pipeline (-want +got):\n%s", diff)
	}
}

func TestDryRun(t *testing.T) {
	text := func(defaults, rule string) string {
		return fmt.Sprintf("version: 1\ndefaults: {%s}\nrules: [{name: r, on: job, actions: [retry], %s}]\n", defaults, rule)
	}
	for _, c := range []struct {
		name, text string
		options    rulefile.Options
		want       bool
	}{
		{"nowhere", text("", ""), rulefile.Options{}, false},
		{"on the rule", text("", "dry_run: true"), rulefile.Options{}, true},
		{"in defaults", text("dry_run: true", ""), rulefile.Options{}, true},
		{"in defaults, not on the rule", text("dry_run: true", "dry_run: false"), rulefile.Options{}, false},
		{"YAML's other words for true", text("", "dry_run: TRUE"), rulefile.Options{}, true},
		{"on the command line", text("", "dry_run: false"), rulefile.Options{DryRun: true}, true},
	} {
		rs, err := rulefile.Load(c.options, rulefile.Source{Name: "r.yaml", Data: []byte(c.text)})
		if err != nil {
			t.Fatal(err)
		}
		decisions, _ := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{})
		if decisions[0].DryRun != c.want {
			t.Errorf("%s: dry run = %v, want %v", c.name, decisions[0].DryRun, c.want)
		}
	}
}

// TestConfirmOfSeveralRules checks that a play which several rules want is confirmed if any
// of them has `confirm`: as the first of those says.
func TestConfirmOfSeveralRules(t *testing.T) {
	const plain, confirmed, elsewhere = "jobs: [deploy-production]", `jobs: [deploy-production], confirm: "#releases", confirm_within: 4h`, `jobs: [deploy-production], confirm: "#ops"`
	for _, c := range []struct {
		name  string
		plays []string
		want  string
	}{
		{"none has it", []string{plain, plain}, ""},
		{"the first", []string{confirmed, plain}, "#releases 4h"},
		{"the second", []string{plain, confirmed}, "#releases 4h"},
		{"both", []string{plain, confirmed, elsewhere}, "#releases 4h"},
	} {
		var text strings.Builder
		text.WriteString("version: 1\nrules:\n")
		for i, play := range c.plays {
			fmt.Fprintf(&text, "  - {name: r%d, on: pipeline, actions: [play: {%s}]}\n", i, play)
		}
		rs := load(t, text.String())
		decisions, errs := rs.Evaluate(t.Context(), fixture.PipelineEvent(), &facts{})
		if len(errs) > 0 || len(decisions) != 1 {
			t.Fatalf("%s: decisions %v, %v", c.name, decisions, errs)
		}
		got := ""
		if a := decisions[0].Action; a.Confirm != "" {
			got = a.Confirm + " " + a.ConfirmWithin.String()
		}
		if got != c.want {
			t.Errorf("%s: confirmed in %q, want %q", c.name, got, c.want)
		}
	}
}

// TestConfirmNowhere checks that a play which must be confirmed in a channel whose name
// comes to nothing is not played unasked: its rule fails.
func TestConfirmNowhere(t *testing.T) {
	for _, channel := range []string{"{{ merge_request.title }}", "#{{ merge_request.title }}", "{{ '   ' }}", "{{ pipeline.variables['CHANNEL'] }}"} {
		rs := load(t, fmt.Sprintf("version: 1\nrules: [{name: r, on: pipeline, actions: [play: {jobs: [deploy-production], confirm: %q}]}]\n", channel))
		e := fixture.PipelineEvent()
		e.MergeRequest.Title, e.Pipeline.Variables = "", nil
		decisions, errs := rs.Evaluate(t.Context(), e, &facts{})
		if len(decisions) != 0 || len(errs) != 1 {
			t.Errorf("%s: decisions %+v, errors %v", channel, decisions, errs)
		}
	}
}

// TestFactsAreRequestedOnceAndOnlyWhenReached checks that facts are requested
// only when an expression reaches them, and once per event.
func TestFactsAreRequestedOnceAndOnlyWhenReached(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: cheap-first, on: job, if: 'job.status == "success" and log() contains "x"', actions: [retry]}
  - {name: one, on: job, if: 'job.status == "failed" and log() contains "x"', actions: [retry]}
  - {name: two, on: job, if: 'log() contains "y"', actions: [retry]}
`)
	gitlab := &facts{log: "y"}
	if _, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), gitlab); len(errs) > 0 {
		t.Fatal(errs)
	}
	if diff := cmp.Diff(map[string]int{"log": 1}, gitlab.requested); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestFailingExpressions checks that a rule with a failing expression does not
// match, that the error is returned with its cause, and that other rules are
// evaluated.
func TestFailingExpressions(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: asks, on: job, if: 'log() contains "x"', actions: [retry], stop: true}
  - {name: divides, on: job, if: '1 % (job.attempt - 1) == 0', actions: [retry]}
  - {name: selects, on: job, actions: [cancel: {jobs: '[jobs()[9]]'}]}
  - {name: works, on: job, actions: [erase]}
`)
	down := errors.New("GitLab is down")
	decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{err: down})
	if len(decisions) != 1 || decisions[0].Rule != "works" {
		t.Errorf("decisions %v, want the one of works", decisions)
	}
	var parts []string
	for _, err := range errs {
		parts = append(parts, err.Rule+"/"+err.Part)
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	}
	if diff := cmp.Diff([]string{"asks/if", "divides/if", "selects/cancel.jobs"}, parts); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if !errors.Is(errs[0], down) {
		t.Errorf("error %v does not wrap the fact's", errs[0])
	}
}

func TestNotices(t *testing.T) {
	rs := load(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: r
    on: job
    actions: [retry]
    notify:
      - when: [gave_up]
        text: "Gave up on <{{ job.url }}|{{ job.name }}> after {{ job.attempt }}: {{ job.finished_at }} {{ {\"a\": 1.50} }} {{ 'a}}b' }} {{ 2.50 }}{{ job.started_at }}."
      - channel: "#noise"
      - when: [skipped]
        text: "{{ jobs() }}"
`)
	o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "r"}}
	o.Job.URL, o.Job.Name = "https://g/-/jobs/1", "<!channel>"
	escape := strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace
	for _, c := range []struct {
		result string
		want   []event.Notice
		errs   int
	}{
		{event.ResultGaveUp, []event.Notice{
			{Address: slack("#ci"), Rules: []string{"r"}, Text: `Gave up on <https://g/-/jobs/1|&lt;!channel&gt;> after 1: 2026-11-22T11:50:00Z {"a":1.5} a}}b 2.5.`},
			{Address: slack("#noise"), Rules: []string{"r"}},
		}, 0},
		{event.ResultDone, []event.Notice{{Address: slack("#noise"), Rules: []string{"r"}}}, 0},
		{event.ResultDeferred, nil, 0},
		{event.ResultSkipped, []event.Notice{{Address: slack("#ci"), Rules: []string{"r"}}}, 1}, // the text fails: the default text is sent
	} {
		o.Result = c.result
		got, errs := rs.Notices(t.Context(), o, &facts{err: errors.New("down")}, anywhere(escape))
		if diff := cmp.Diff(c.want, got, butGroup); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.result, diff)
		}
		if len(errs) != c.errs {
			t.Errorf("%s: errors %v, want %d", c.result, errs, c.errs)
		}
		if got := rs.Notifies(o); got != (len(c.want) > 0) {
			t.Errorf("%s: Notifies is %t", c.result, got)
		}
	}
	o.Result, o.AlsoWantedBy = event.ResultDone, []string{"r"}
	if o.Rule = "gone since"; !rs.Notifies(o) {
		t.Error("Notifies is false where another rule notifies")
	}
	o.AlsoWantedBy = nil
	if rs.Notifies(o) {
		t.Error("Notifies is true of a rule that is gone")
	}
	if got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(escape)); got != nil || errs != nil {
		t.Errorf("a rule that is gone notifies %v, %v", got, errs)
	}
}

// TestNoticesOfSeveralRules checks that two rules with one action both notify,
// and each channel once.
func TestNoticesOfSeveralRules(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: a, on: job, actions: [retry], notify: [{channel: "#a", text: "from a"}]}
  - {name: b, on: job, actions: [retry], notify: [{channel: "#b", text: "from b"}, {channel: "#a", text: "too late"}]}
`)
	decisions, _ := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{})
	got, errs := rs.Notices(t.Context(), event.Outcome{Decision: decisions[0], Result: event.ResultDone}, &facts{}, anywhere(strings.ToUpper))
	if diff := cmp.Diff([]event.Notice{{Address: slack("#a"), Rules: []string{"a", "b"}, Text: "from a"}, {Address: slack("#b"), Rules: []string{"b"}, Text: "from b"}}, got, butGroup); diff != "" || errs != nil {
		t.Errorf("notices (-want +got):\n%s%v", diff, errs)
	}
}

// TestActionsFollowEachOther checks that an action of a rule waits for the
// preceding one.
func TestActionsFollowEachOther(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - name: r
    on: job
    actions:
      - cancel: {jobs: 'jobs()'}
      - play: {jobs: 'filter(jobs(), false)'}
      - erase
`)
	decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{})
	if len(errs) > 0 || len(decisions) != 3 {
		t.Fatalf("decisions %v, %v", decisions, errs)
	}
	if diff := cmp.Diff([]string{decisions[0].Key, decisions[1].Key}, decisions[2].After); diff != "" || decisions[1].After != nil {
		t.Errorf("after (-want +got):\n%s%v", diff, decisions[1].After)
	}
}

// TestPlayedJobsWaitForEachOther checks that with `wait: success` each job
// waits for the preceding job, and the first one for the preceding action.
func TestPlayedJobsWaitForEachOther(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - name: r
    on: pipeline
    actions:
      - cancel: {jobs: 'filter(pipeline.jobs, .name == "rspec")'}
      - play: {jobs: 'concat(filter(pipeline.jobs, .manual), filter(pipeline.jobs, .name == "rspec"))', wait: success}
      - erase: {jobs: 'filter(pipeline.jobs, .name == "rspec")'}
`)
	decisions, errs := rs.Evaluate(t.Context(), fixture.PipelineEvent(), &facts{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	const key = "%s:https://gitlab.example.com:7:%d:%s"
	cancel := fmt.Sprintf(key, "cancel", 701, "success")
	staging, production := fmt.Sprintf(key, "play", 702, "manual:703"), fmt.Sprintf(key, "play", 703, "manual:703")
	last := fmt.Sprintf(key, "play", 701, "success:703")
	type turn struct {
		Key          string
		After        []string
		AfterSuccess string
	}
	var got []turn
	for _, d := range decisions {
		got = append(got, turn{d.Key, d.After, d.AfterSuccess})
	}
	want := []turn{
		{cancel, nil, ""},
		{staging, []string{cancel}, ""},
		{production, []string{staging}, "deploy-staging"},
		{last, []string{production}, "deploy-production"},
		{fmt.Sprintf(key, "erase", 701, "success"), []string{staging, production, last}, ""},
	}
	if diff := cmp.Diff(want, got, butGroup); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

// TestBridges checks that trigger jobs can be retried and played only.
func TestBridges(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: retries, on: pipeline, actions: [retry: {jobs: 'filter(bridges(), .status == "failed")'}]}
  - {name: plays, on: pipeline, actions: [play: {jobs: 'concat(pipeline.jobs[2:], bridges())'}]}
  - {name: cancels, on: pipeline, actions: [cancel: {jobs: 'concat(pipeline.jobs, bridges())'}]}
`)
	decisions, errs := rs.Evaluate(t.Context(), fixture.PipelineEvent(), &facts{})
	if len(errs) != 1 || errs[0].Rule != "cancels" || !strings.Contains(errs[0].Error(), "trigger jobs") {
		t.Errorf("errors %v, want one of cancels", errs)
	}
	type target struct {
		Rule, Verb string
		Bridge     bool
		Job        event.Job
	}
	var got []target
	for _, d := range decisions {
		got = append(got, target{d.Rule, d.Action.Verb, d.Bridge, d.Job})
	}
	trigger := event.Job{
		ID: 800, Name: "trigger", Stage: "deploy", Status: "failed", FailureReason: "api_failure", FailureClass: event.ClassAPI,
		AllowFailure: true, Bridge: true, Attempt: 1, Ref: "main", URL: "https://gitlab.example.com/-/jobs/800",
	}
	want := []target{
		{"retries", "retry", true, trigger},
		{"plays", "play", false, event.Job{ID: 703, Name: "deploy-production", Stage: "deploy", Status: "manual", Manual: true}},
		{"plays", "play", true, trigger},
	}
	if diff := cmp.Diff(want, got, butGroup); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

// TestPipelineActions checks that a pipeline that ends again may be acted on
// again, and that two events about the same end result in one decision.
func TestPipelineActions(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: p, on: pipeline, actions: [retry_pipeline, cancel_pipeline: {}]}
  - {name: j, on: job, actions: [cancel_pipeline: null]}
`)
	keys := func(e event.Event) []string {
		t.Helper()
		decisions, errs := rs.Evaluate(t.Context(), e, &facts{})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		var keys []string
		for _, d := range decisions {
			keys = append(keys, d.Key)
		}
		return keys
	}
	again := func(e event.Event, change func(*event.Event)) event.Event {
		change(&e)
		return e
	}
	p, j := fixture.PipelineEvent(), fixture.JobEvent()
	p.Pipeline.Status, p.Pipeline.FinishedAt = "failed", fixture.Noon
	both := func(end string) []string {
		const of = "_pipeline:https://gitlab.example.com:7:pipeline:70:failed:"
		return []string{"retry" + of + end, "cancel" + of + end}
	}
	first := fmt.Sprintf("703:%d", fixture.Noon.Unix())
	for _, c := range []struct {
		name  string
		event event.Event
		want  []string
	}{
		{"a pipeline", p, both(first)},
		{"reported twice", again(p, func(e *event.Event) { e.Meta.ID = "another delivery" }), both(first)},
		{"it ended again", again(p, func(e *event.Event) { e.Pipeline.FinishedAt = time.Unix(9, 0) }), both("703:9")},
		{"it runs again", again(p, func(e *event.Event) {
			e.Pipeline.Jobs, e.Pipeline.FinishedAt = []event.Job{{ID: 704}}, time.Unix(0, 0)
		}), both("704:0")},
		{"a job", j, []string{"cancel_pipeline:https://gitlab.example.com:7:pipeline:70:job:700:failed"}},
		{"another job", again(j, func(e *event.Event) { e.Job.ID = 701 }), []string{"cancel_pipeline:https://gitlab.example.com:7:pipeline:70:job:701:failed"}},
	} {
		if diff := cmp.Diff(c.want, keys(c.event)); diff != "" {
			t.Errorf("%s: keys (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestLogExcerpt checks that log_excerpt() and log() share one request.
func TestLogExcerpt(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: a, on: job, if: 'log() contains "disk" and log_excerpt(2) contains "disk" and log_excerpt() contains "full"', actions: [play: {variables: {WHY: "{{ log_excerpt(3) }}"}}], notify: [{channel: ci, text: "{{ log_excerpt(1) }}"}]}
  - {name: too-many, on: job, if: 'log_excerpt(job.attempt * 1000) == ""', actions: [erase]}
`)
	gitlab := &facts{log: "ERROR: disk full"}
	decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), gitlab)
	if len(decisions) != 1 || decisions[0].Action.Variables["WHY"] != "ERROR: disk full" || gitlab.requested["log"] != 1 {
		t.Errorf("decisions %v, requested %v, want one decision and one request", decisions, gitlab.requested)
	}
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "a number of lines from 1 to 100, not 1000") {
		t.Errorf("errors %v, want one of the number of lines", errs)
	}
	why := decisions[0].Explanation
	if shown := fmt.Sprint(why); strings.Contains(shown, "disk full") || !cmp.Equal(why.Requested, []string{"log()"}) {
		t.Errorf("the explanation shows the log, or not the request: %s", shown)
	}
	notices, errs := rs.Notices(t.Context(), event.Outcome{Decision: decisions[0], Result: event.ResultDone}, gitlab, anywhere(strings.ToLower))
	if diff := cmp.Diff([]event.Notice{{Address: slack("ci"), Rules: []string{"a"}, Text: "error: disk full"}}, notices, butGroup); diff != "" || errs != nil {
		t.Errorf("notices (-want +got):\n%s%v", diff, errs)
	}
}

// TestLogsAreMasked checks that log excerpts in texts contain no tokens and no
// values of the pipeline's variables.
func TestLogsAreMasked(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: r, on: pipeline, actions: [cancel: {jobs: pipeline.jobs}], notify: [{channel: ci, text: "{{ log_excerpt(1) }}"}]}
`)
	e := fixture.PipelineEvent()
	e.Pipeline.Variables = map[string]string{"WHO": "hunter-hunter", "N": "1"}
	log := "\x1b[31;1mERROR: 1 login of hunter-hunter with glpat-AbCdEfGhIjKlMnOpQrSt failed\x1b[0;m"
	got, errs := rs.Notices(t.Context(), event.Outcome{Decision: event.Decision{Event: e, Rule: "r"}, Result: event.ResultDone}, &facts{log: log}, anywhere(strings.Clone))
	want := []event.Notice{{Address: slack("ci"), Rules: []string{"r"}, Text: "ERROR: 1 login of [masked] with [masked] failed"}}
	if diff := cmp.Diff(want, got, butGroup); diff != "" || errs != nil {
		t.Errorf("notices (-want +got):\n%s%v", diff, errs)
	}
}

// passing is a transient error.
type passing struct{ error }

func (passing) Again() (time.Duration, bool) { return 0, true }

// TestStopWaitsForItsFact checks that rules behind a `stop` wait while the
// condition of its rule may still become true because its request failed with
// a transient error.
func TestStopWaitsForItsFact(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: before, on: job, actions: [erase]}
  - {name: known, on: job, if: 'log() contains "KNOWN BUG"', notify: [{channel: ci}], stop: true}
  - {name: behind, on: job, actions: [retry]}
`)
	for _, c := range []struct {
		name  string
		facts *facts
		rules []string
	}{
		{"it passes", &facts{err: passing{errors.New("down")}}, []string{"before"}},
		{"it is final", &facts{err: errors.New("refused")}, []string{"before", "behind"}},
		{"it matches", &facts{log: "KNOWN BUG"}, []string{"before", "known"}},
		{"it does not match", &facts{}, []string{"before", "behind"}},
	} {
		decisions, _ := rs.Evaluate(t.Context(), fixture.JobEvent(), c.facts)
		var got []string
		for _, d := range decisions {
			got = append(got, d.Rule)
		}
		if diff := cmp.Diff(c.rules, got); diff != "" {
			t.Errorf("%s: rules that fired (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestNotificationKeys checks that two hooks about the same state result in
// one decision, and that a later state results in another.
func TestNotificationKeys(t *testing.T) {
	rs := load(t, "version: 1\nrules:\n  - {name: r, on: job, notify: [{channel: ci}]}\n  - {name: p, on: pipeline, notify: [{channel: ci}]}\n")
	id := func(e event.Event) string {
		decisions, _ := rs.Evaluate(t.Context(), e, &facts{})
		if len(decisions) != 1 || decisions[0].Action.Verb != event.VerbNotify {
			t.Fatalf("decisions %v, want one to notify", decisions)
		}
		return decisions[0].Key
	}
	for _, base := range []event.Event{fixture.JobEvent(), fixture.PipelineEvent()} {
		first := id(base)
		again := base
		again.Meta.ID, again.Meta.ReceivedAt = "another delivery", fixture.Noon.Add(time.Second)
		if id(again) != first {
			t.Errorf("%s: the same state has ids %s and %s", base.Meta.Kind, first, id(again))
		}
		later := base
		later.Job.Status, later.Pipeline.FinishedAt = "success", fixture.Noon
		if id(later) == first {
			t.Errorf("%s: a later state has the same id %s", base.Meta.Kind, first)
		}
	}
}

func TestWaitGrowsWithTheAttempt(t *testing.T) {
	exponential := event.Action{Delay: event.Duration(30 * time.Second), Backoff: event.BackoffExponential, MaxDelay: event.Duration(3 * time.Minute)}
	constant := event.Action{Delay: event.Duration(30 * time.Second), Backoff: event.BackoffConstant, MaxDelay: event.Duration(3 * time.Minute)}
	for _, c := range []struct {
		action  event.Action
		attempt int
		want    time.Duration
	}{
		{exponential, 1, 30 * time.Second},
		{exponential, 2, time.Minute},
		{exponential, 3, 2 * time.Minute},
		{exponential, 4, 3 * time.Minute},
		{exponential, 1000, 3 * time.Minute},
		{constant, 4, 30 * time.Second},
		{event.Action{}, 3, 0},
	} {
		if got := c.action.Pause(c.attempt); got != c.want {
			t.Errorf("%+v: wait before attempt %d is %v, want %v", c.action, c.attempt, got, c.want)
		}
	}
}

// TestJitter checks that the jitter of a retry is at most 10 % and the same on
// every call.
func TestJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := event.Decision{Key: rapid.String().Draw(t, "key"), Action: event.Action{Verb: event.VerbRetry, Delay: event.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "delay"))}}
		delay := time.Duration(d.Action.Delay)
		if pause := d.Pause(); pause < delay || pause > delay+delay/10 || pause != d.Pause() {
			t.Errorf("a delay of %s is a pause of %s, and then %s", delay, pause, d.Pause())
		}
		if d.Action.Verb = event.VerbPlay; d.Pause() != delay {
			t.Errorf("a play has a pause of %s, want its delay %s", d.Pause(), delay)
		}
	})
	pauses := map[time.Duration]bool{}
	for id := range 100 {
		pauses[event.Decision{Key: strconv.Itoa(id), Action: event.Action{Verb: event.VerbRetry, Delay: event.Duration(time.Minute)}}.Pause()] = true
	}
	if len(pauses) < 90 {
		t.Errorf("100 decisions have but %d pauses", len(pauses))
	}
}

// slack is the address of a channel.
func slack(channel string) event.Address {
	return event.Address{Receiver: event.ReceiverSlack, Channel: channel}
}
