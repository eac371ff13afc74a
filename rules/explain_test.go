package rules_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name      string
		on        string
		condition string
		facts     facts
		want      string
		requested []string
	}{
		{"a comparison", "job", `job.name == "lint"`, facts{}, "no* `job.name == \"lint\"` job.name=\"rspec 1/3\"", nil},
		{"operands exchanged", "job", `3 > job.attempt`, facts{}, "yes* `3 > job.attempt` job.attempt=1", nil},
		{"both operands", "job", `job.ref != project.default_branch`, facts{}, "no* `job.ref != project.default_branch` job.ref=\"main\" project.default_branch=\"main\"", nil},
		{
			"and, the second decides", "job", `job.status == "failed" and job.tag and log() contains "x"`,
			facts{},
			"no* and(yes `job.status == \"failed\"` job.status=\"failed\"; no* `job.tag`; - `log() contains \"x\"`)", nil,
		},
		{
			"or, the second decides", "job", `job.tag || job.status == "failed" || job.manual`,
			facts{},
			"yes* or(no `job.tag`; yes* `job.status == \"failed\"` job.status=\"failed\"; - `job.manual`)", nil,
		},
		{"or, none", "job", `job.tag or job.manual`, facts{}, "no* or(no* `job.tag`; no* `job.manual`)", nil},
		{
			"not", "job", `not (job.tag or job.status in ["failed", "canceled"])`,
			facts{},
			"no* not(yes* or(no `job.tag`; yes* `job.status in [\"failed\", \"canceled\"]` job.status=\"failed\"))", nil,
		},
		{
			"failed_with", "job", `failed_with("runner_system_failure")`,
			facts{},
			"no* `failed_with(\"runner_system_failure\")` job.status=\"failed\" job.failure_reason=\"stuck_or_timeout_failure\"", nil,
		},
		{
			"a log is not shown", "job", `log() contains "No space left"`,
			facts{log: "hush-hush\nNo space left"},
			"yes* `log() contains \"No space left\"` log()=a text of length 23",
			[]string{"log()"},
		},
		{
			"nor a part of it", "job", `split(log(), "\n")[0] == "x"`,
			facts{log: "hush-hush\nx"},
			"no* `split(log(), \"\\n\")[0] == \"x\"` split(log(), \"\\n\")[0]=a text of length 9",
			[]string{"log()"},
		},
		{
			"nor an excerpt of it, and the request is for the log", "job", `log_excerpt(5) contains "No space left" and superseded()`,
			facts{log: "hush-hush\nNo space left"},
			"yes* and(yes* `log_excerpt(5) contains \"No space left\"` log_excerpt(5)=a text of length 23; yes* `superseded()`)",
			[]string{"log()", "superseded()"},
		},
		{
			"variables may be secrets", "job", `pipeline.variables.NIGHTLY == "x" or len(keys(pipeline.variables)) > 1 or job.name in values(pipeline.variables)`,
			facts{},
			"no* or(no* `pipeline.variables.NIGHTLY == \"x\"` pipeline.variables.NIGHTLY=a text of length 1; " +
				"no* `len(keys(pipeline.variables)) > 1` len(keys(pipeline.variables))=1 pipeline.variables=hidden; " +
				"no* `job.name in values(pipeline.variables)` job.name=\"rspec 1/3\" values(pipeline.variables)=a text of length 1 pipeline.variables=hidden)", nil,
		},
		{
			"an error", "job", `job.status == "failed" and log() != ""`,
			facts{err: errors.New("no such log")},
			"error* and(yes `job.status == \"failed\"` job.status=\"failed\"; error* `log() != \"\"` no such log)",
			[]string{"log()"},
		},
		{
			"a function of a value", "job", `age(job.finished_at) > duration("1h")`,
			facts{},
			"no* `age(job.finished_at) > duration(\"1h\")` age(job.finished_at)=10m", nil,
		},
		{"glob", "job", `glob(project.path, "platform/*")`, facts{}, "yes* `glob(project.path, \"platform/*\")` project.path=\"platform/shop\"", nil},
		{
			"a list, and which of it", "pipeline", `any(pipeline.jobs, .status == "success")`,
			facts{},
			"yes* `any(pipeline.jobs, .status == \"success\")` pipeline.jobs=rspec (success), deploy-staging (manual), deploy-production (manual)" +
				" filter(pipeline.jobs, .status == \"success\")=rspec (success)", nil,
		},
		{
			"all of a list, and which are not", "pipeline", `all(pipeline.jobs, .stage == "deploy" or .manual)`,
			facts{},
			"no* `all(pipeline.jobs, .stage == \"deploy\" or .manual)` pipeline.jobs=rspec (success), deploy-staging (manual), deploy-production (manual)" +
				" filter(pipeline.jobs, not (.stage == \"deploy\" or .manual))=rspec (success)", nil,
		},
		{
			"a count", "pipeline", `count(pipeline.jobs, .status == "manual") > 5`,
			facts{},
			"no* `count(pipeline.jobs, .status == \"manual\") > 5` count(pipeline.jobs, .status == \"manual\")=2 pipeline.jobs=rspec (success), deploy-staging (manual), deploy-production (manual) filter(pipeline.jobs, .status == \"manual\")=deploy-staging (manual), deploy-production (manual)", nil,
		},
		{
			"let", "job", `let n = job.attempt; n > 0 and job.status == "failed"`,
			facts{},
			"yes* `let n = job.attempt; n > 0 and job.status == \"failed\"` job.attempt=1 job.status=\"failed\"", nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := load(t, fmt.Sprintf("version: 1\nrules: [{name: r, on: %s, if: '%s', notify: [{channel: c}]}]\n", c.on, c.condition))
			e := fixture.JobEvent()
			if c.on == "pipeline" {
				e = fixture.PipelineEvent()
			}
			v := rs.Explain(t.Context(), e, &c.facts)[0]
			if diff := cmp.Diff(c.want, fixture.FormatPart(v.Explanation.If)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.requested, v.Explanation.Requested); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExplainIsEvaluate checks that an explanation has the same result as the
// condition, and sends no other requests to GitLab.
func TestExplainIsEvaluate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events(true).Draw(t, "event")
		text := conditions(e.Meta.Kind, 4).Draw(t, "condition")
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: fmt.Appendf(nil, "version: 1\nrules: [{name: r, on: %s, if: %q, notify: [{channel: ci}]}]\n", e.Meta.Kind, text)})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		gitlab, want := &facts{err: rapid.SampledFrom([]error{nil, errors.New("down")}).Draw(t, "error")}, &facts{}
		*want = *gitlab
		decisions, errs := rs.Evaluate(t.Context(), e, want)
		v := rs.Explain(t.Context(), e, gitlab)[0]
		result := map[bool]string{true: event.PartTrue, false: event.PartFalse}[len(decisions) > 0]
		if len(errs) > 0 {
			result = event.PartError
		}
		if v.Explanation.If.Result != result {
			t.Fatalf("%s: explained as %s, but it is %s: %s", text, v.Explanation.If.Result, result, fixture.FormatPart(v.Explanation.If))
		}
		if diff := cmp.Diff(decisions, v.Decisions); diff != "" {
			t.Fatalf("%s: decisions (-Evaluate +Explain):\n%s", text, diff)
		}
		if diff := cmp.Diff(want.requested, gitlab.requested); diff != "" {
			t.Fatalf("%s: requests (-Evaluate +Explain):\n%s", text, diff)
		}
	})
}

// TestExplainEveryRule checks that each rule has a verdict, and that the
// decisions are those of Evaluate.
func TestExplainEveryRule(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: by-pipeline, on: pipeline, notify: [{channel: c}]}
  - {name: not-now, on: job, if: job.tag, actions: [retry], stop: true}
  - {name: cannot, on: job, if: log() contains "x", actions: [retry]}
  - {name: always, on: job, actions: [retry: {delay: 1m}]}
  - {name: last, on: job, if: job.status == "failed", actions: [cancel], stop: true}
  - {name: behind, on: job, actions: [erase]}
`)
	down := &facts{err: errors.New("GitLab is down")}
	var got []string
	var decisions []event.Decision
	for _, v := range rs.Explain(t.Context(), fixture.JobEvent(), down) {
		got = append(got, fmt.Sprintf("%s:%d %s: %s: %s", v.File, v.Line, v.Rule, v.Result, v.Reason))
		decisions = append(decisions, v.Decisions...)
	}
	want := []string{
		"rules.yaml:4 by-pipeline: other_kind: the event is a job's, and the rule is for pipeline events",
		"rules.yaml:5 not-now: not_matched: ",
		"rules.yaml:6 cannot: failed: if: GitLab is down",
		"rules.yaml:7 always: matched: ",
		"rules.yaml:8 last: matched: ",
		"rules.yaml:9 behind: not_reached: stopped by rule \"last\", which matched and has `stop: true`",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	evaluated, _ := rs.Evaluate(t.Context(), fixture.JobEvent(), down)
	if diff := cmp.Diff(evaluated, decisions); diff != "" {
		t.Errorf("decisions (-Evaluate +Explain):\n%s", diff)
	}
	if down.requested["log"] != 2 {
		t.Errorf("GitLab received %d requests, want once by each call", down.requested["log"])
	}
	if last := evaluated[1]; last.Explanation.If.Text != `job.status == "failed"` || len(last.RulesHash) != 64 {
		t.Errorf("the decision does not carry its explanation and the file's hash: %+v %q", last.Explanation, last.RulesHash)
	}
}
