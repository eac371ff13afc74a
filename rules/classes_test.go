package rules_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const diskFull = "version: 1\ndefaults: {channel: ci}\nclasses:\n  - {name: disk-full, log: \"No space left on device\"}\n  - {name: flaky-network, log: \"(?i)connection (reset|refused)\", doc: not ours}\nrules:\n"

func TestClassOfTheLog(t *testing.T) {
	final, later := errors.New("404"), passing{errors.New("down")}
	for name, c := range map[string]struct {
		status, log string
		err         error
		want        string // job.failure_class
		requested   int
		fails       string
	}{
		"matches":                        {"failed", "cp: No space left on device", nil, "disk-full", 1, ""},
		"the first that matches":         {"failed", "Connection reset\nNo space left on device", nil, "disk-full", 1, ""},
		"matches another":                {"failed", "Connection Refused", nil, "flaky-network", 1, ""},
		"matches none":                   {"failed", "no such file", nil, "stuck", 1, ""},
		"did not fail":                   {"success", "No space left on device", nil, "", 0, ""},
		"there will never be a log":      {"failed", "", final, "stuck", 1, ""},
		"the log can be requested later": {"failed", "", later, "", 1, "down"},
	} {
		t.Run(name, func(t *testing.T) {
			e := fixture.JobEvent()
			if e.Job.Status = c.status; c.status != "failed" {
				e.Job.FailureReason, e.Job.FailureClass = "", ""
			}
			rs := load(t, diskFull+"  - {name: r, on: job, if: job.failure_class == job.failure_class, notify: [{text: '{{ job.failure_class }}'}]}\n")
			gitlab := &facts{log: c.log, err: c.err}
			decisions, errs := rs.Evaluate(t.Context(), e, gitlab)
			if gitlab.requested["log"] != c.requested {
				t.Errorf("the log was requested %d times, want %d", gitlab.requested["log"], c.requested)
			}
			if c.fails != "" {
				if len(errs) != 1 || !event.Transient(errs[0]) || !strings.Contains(errs[0].Error(), c.fails) {
					t.Errorf("errors %v, want one that passes: %s", errs, c.fails)
				}
				return
			}
			if len(errs) > 0 || len(decisions) != 1 {
				t.Fatalf("%d decisions, %v", len(decisions), errs)
			}
			sent, errs := rs.Notices(t.Context(), event.Outcome{Decision: decisions[0], Result: event.ResultDone}, gitlab, anywhere(func(s string) string { return s }))
			if diff := cmp.Diff([]event.Notice{{Address: slack("ci"), Rules: []string{"r"}, Text: c.want}}, sent, butGroup); diff != "" || len(errs) > 0 {
				t.Errorf("%v (-want +got):\n%s", errs, diff)
			}
		})
	}
}

// TestRetriesHaveTheirClass checks that decisions contain the class that
// budgets and the breaker use.
func TestRetriesHaveTheirClass(t *testing.T) {
	for name, c := range map[string]struct {
		text, rule string
		log        string
		err        error
		want       []string // classes of the decisions' jobs
		requested  int
		fails      string
	}{
		"without a condition":        {diskFull, "{on: job, actions: [retry]}", "No space left on device", nil, []string{"disk-full"}, 1, ""},
		"requested by the condition": {diskFull, "{on: job, if: job.failure_class == \"disk-full\", actions: [retry]}", "No space left on device", nil, []string{"disk-full"}, 1, ""},
		"the condition's jobs":       {diskFull, "{on: job, actions: [retry: {jobs: 'filter(jobs(), true)'}]}", "No space left on device", nil, []string{"disk-full", ""}, 1, ""},
		"no log":                     {diskFull, "{on: job, actions: [retry]}", "", errors.New("404"), []string{"stuck"}, 1, ""},
		"no log yet":                 {diskFull, "{on: job, actions: [retry]}", "", passing{errors.New("down")}, nil, 1, `rule "r": retry.class: down`},
		"no retry":                   {diskFull, "{on: job, actions: [erase: {older_than: 0s}]}", "No space left on device", nil, []string{"stuck"}, 0, ""},
		"no match":                   {diskFull, "{on: job, if: job.attempt > 1, actions: [retry]}", "No space left on device", nil, nil, 0, ""},
		"no classes in the rules":    {"version: 1\nrules:\n", "{on: job, if: job.failure_class == \"stuck\", actions: [retry]}", "No space left on device", nil, []string{"stuck"}, 0, ""},
		"a pipeline's jobs":          {diskFull, "{on: pipeline, actions: [retry: {jobs: 'filter(pipeline.jobs, .status == \"success\")'}]}", "No space left on device", nil, []string{""}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, gitlab := fixture.JobEvent(), &facts{log: c.log, err: c.err}
			if strings.Contains(c.rule, "on: pipeline") {
				e = fixture.PipelineEvent()
			}
			decisions, errs := load(t, c.text+"  - "+strings.Replace(c.rule, "{", "{name: r, ", 1)+"\n").Evaluate(t.Context(), e, gitlab)
			var got []string
			for _, d := range decisions {
				got = append(got, d.Job.FailureClass)
			}
			if diff := cmp.Diff(c.want, got, butGroup); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
			if gitlab.requested["log"] != c.requested {
				t.Errorf("the log was requested %d times, want %d", gitlab.requested["log"], c.requested)
			}
			if (c.fails == "") != (len(errs) == 0) || c.fails != "" && (errs[0].Error() != c.fails || !event.Transient(errs[0])) {
				t.Errorf("errors %v, want %q", errs, c.fails)
			}
		})
	}
}

// TestClassIsRequestedOnlyWhenReached checks that an event sends no request if
// no condition reaches the class.
func TestClassIsRequestedOnlyWhenReached(t *testing.T) {
	gitlab := &facts{log: "No space left on device"}
	rs := load(t, diskFull+
		"  - {name: a, on: job, if: job.stage == \"build\" and job.failure_class == \"disk-full\", notify: [{}]}\n"+
		"  - {name: b, on: job, if: 'any(jobs(), .failure_class == \"script\")', notify: [{}]}\n")
	if _, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), gitlab); len(errs) > 0 || gitlab.requested["log"] > 0 {
		t.Errorf("%v, and the log was requested %d times", errs, gitlab.requested["log"])
	}
}

func TestClassesAreExplained(t *testing.T) {
	rs := load(t, diskFull+"  - {name: r, on: job, if: failed_with(\"stuck_or_timeout_failure\") and job.failure_class == \"flaky-network\", notify: [{}]}\n")
	why := rs.Explain(t.Context(), fixture.JobEvent(), &facts{log: "No space left on device"})[0].Explanation
	if diff := cmp.Diff([]string{"log()"}, why.Requested); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]event.Seen{{Text: "job.failure_class", Value: `"disk-full"`}}, why.If.Parts[1].Seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

// TestClassesOfAllFiles checks that rules may use the classes of any file,
// whatever the order of the files.
func TestClassesOfAllFiles(t *testing.T) {
	rs, err := rulefile.Load(rulefile.Options{},
		rulefile.Source{Name: "a.yaml", Data: []byte("version: 1\nlimits: {per_class: {disk-full: 3/1h}}\nrules: [{name: a, on: job, if: job.failure_class == \"disk-full\", actions: [retry]}]")},
		rulefile.Source{Name: "b.yaml", Data: []byte(diskFull + "  []")})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("api dependency disk-full flaky-network permission quota runner script stuck timeout unknown")
	if diff := cmp.Diff(want, rs.Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{log: "No space left on device"}); len(decisions) != 1 || len(errs) > 0 {
		t.Errorf("%d decisions, %v", len(decisions), errs)
	}
}

// TestIncludedClasses checks that the classes of a pack come behind those of the rule files,
// and that one with the name of a class there is left out.
func TestIncludedClasses(t *testing.T) {
	const included = "version: 1\ndefaults: {channel: ci}\nclasses:\n  include: [common]\n  define:\n    - {name: disk-full, log: the disk is full}\n    - {name: our-registry, log: 'registry[.]example[.]com.*503'}\nrules:\n"
	for log, want := range map[string]string{
		"$ npm ci\nnpm error code E503\n":                                      "npm-registry",
		"$ npm ci\nnpm error 503 Service Unavailable registry.example.com 503": "our-registry",
		"$ cp a b\ncp: error writing 'b': No space left on device\n":           "stuck",
		"$ make\nthe disk is full\nERROR: Job failed: exit code 1\n":           "disk-full",
		"$ npm ci\nnpm error code E503\n$ make\nnothing known\n":               "stuck",
	} {
		rs := load(t, included+"  - {name: r, on: job, if: job.failure_class == job.failure_class, actions: [retry]}\n")
		decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{log: log})
		if len(errs) > 0 || len(decisions) != 1 || decisions[0].Job.FailureClass != want {
			t.Errorf("%q: %+v, %v, want class %s", log, decisions, errs, want)
		}
	}
	one := load(t, included+"  []")
	if names := one.Classes(); len(slices.Compact(slices.Clone(names))) != len(names) || !slices.Contains(names, "npm-registry") {
		t.Errorf("classes %q", names)
	}
}

// TestUnclassified checks which failures are known to be of no class: those whose log was read
// anyway.
func TestUnclassified(t *testing.T) {
	const byClass = "{name: r, on: job, if: job.failure_class == \"disk-full\", notify: [{}]}"
	for name, c := range map[string]struct{ rules, status, log, want string }{
		"of no class":             {diskFull + "  - " + byClass, "failed", "$ a\nerror: early\n$ b\nerror: boom 7\nERROR: Job failed: exit code 1\n", "error: boom 7"},
		"of a class":              {diskFull + "  - " + byClass, "failed", "cp: No space left on device", ""},
		"of a class, by log()":    {diskFull + "  - {name: r, on: job, if: 'log() contains \"x\"', notify: [{}]}", "failed", "cp: No space left on device", ""},
		"of no class, by log()":   {diskFull + "  - {name: r, on: job, if: 'log() contains \"x\"', notify: [{}]}", "failed", "error: boom", "error: boom"},
		"no classes in the rules": {"version: 1\ndefaults: {channel: ci}\nrules:\n  - {name: r, on: job, if: 'log() contains \"x\"', notify: [{}]}", "failed", "error: boom", "error: boom"},
		"by a retry":              {diskFull + "  - {name: r, on: job, actions: [retry]}", "failed", "error: boom", "error: boom"},
		"a log that was not read": {diskFull + "  - {name: r, on: job, notify: [{}]}", "failed", "error: boom", ""},
		"an empty log":            {diskFull + "  - " + byClass, "failed", "", ""},
		"passed":                  {diskFull + "  - {name: r, on: job, if: 'log() contains \"x\"', notify: [{}]}", "success", "error: boom", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := fixture.JobEvent()
			if e.Job.Status = c.status; c.status != "failed" {
				e.Job.FailureReason, e.Job.FailureClass = "", ""
			}
			var trace rules.Trace
			gitlab := &facts{log: c.log}
			if _, errs := load(t, c.rules+"\n").EvaluateTraced(t.Context(), e, gitlab, &trace); len(errs) > 0 {
				t.Fatal(errs)
			}
			if trace.Unclassified != c.want || gitlab.requested["log"] > 1 {
				t.Errorf("the line is %q, want %q; the log was requested %d times", trace.Unclassified, c.want, gitlab.requested["log"])
			}
		})
	}
}
