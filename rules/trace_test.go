package rules_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// TestTrace: an evaluation says of each rule that it ran what came of it.
func TestTrace(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: by-pipeline, on: pipeline, notify: [{channel: c}]}
  - {name: another-project, on: job, if: project.path == "a/b", actions: [retry]}
  - {name: not-now, on: job, if: job.tag, actions: [retry], stop: true}
  - {name: cannot, on: job, if: log() contains "x", actions: [retry]}
  - {name: nobody, on: job, actions: [retry: {jobs: 'filter(jobs(), .name == "x")'}]}
  - {name: newer, on: job, actions: [cancel]}
  - {name: last, on: job, if: job.status == "failed", actions: [retry], stop: true}
  - {name: behind, on: job, actions: [erase]}
`)
	var trace rules.Trace
	gitlab := &facts{err: errors.New("down")}
	decisions, errs := rs.Without([]string{rs.Rule("newer").Identity}).EvaluateTraced(t.Context(), fixture.JobEvent(), gitlab, &trace)
	want := rules.Trace{
		Steps: []rules.Step{
			{Rule: "not-now", Result: rules.VerdictNotMatched},
			{Rule: "cannot", Result: rules.VerdictFailed, Reason: "if: down"},
			{Rule: "nobody", Result: rules.VerdictFailed, Reason: "retry.jobs: down"},
			{Rule: "newer", Result: rules.StepNewer},
			{Rule: "last", Result: rules.VerdictMatched},
		},
		StoppedBy: "last",
	}
	if diff := cmp.Diff(want, trace); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	if len(decisions) != 1 || len(errs) != 2 {
		t.Errorf("%d decisions and %d errors, want 1 and 2", len(decisions), len(errs))
	}
	trace = rules.Trace{}
	rs.EvaluateTraced(t.Context(), fixture.JobEvent(), &facts{}, &trace)
	if s := trace.Steps[2]; s.Result != rules.VerdictMatched || s.Reason != "it found no job to act on" {
		t.Errorf("a rule without a job: %+v", s)
	}
}

// TestTraceIsExplained: Explain has the same result for each rule that the trace has.
func TestTraceIsExplained(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events(true).Draw(t, "event")
		text := []byte("version: 1\nrules:\n")
		for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
			text = fmt.Appendf(text, "  - {name: r%d, on: %s, if: %q, notify: [{channel: ci}], stop: %t}\n", i, e.Meta.Kind, conditions(e.Meta.Kind, 2).Draw(t, "condition"), rapid.Bool().Draw(t, "stop"))
		}
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: text})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		gitlab := &facts{err: rapid.SampledFrom([]error{nil, errors.New("down")}).Draw(t, "error")}
		var trace rules.Trace
		rs.EvaluateTraced(t.Context(), e, gitlab, &trace)
		steps := map[string]string{}
		for _, s := range trace.Steps {
			steps[s.Rule] = s.Result
		}
		for _, v := range rs.Explain(t.Context(), e, gitlab) {
			result, ran := steps[v.Rule]
			switch {
			case ran && result != v.Result:
				t.Fatalf("%s%s is %s in the trace, and explained as %s", text, v.Rule, result, v.Result)
			case !ran && v.Result == rules.VerdictNotReached && trace.StoppedBy == "", !ran && (v.Result == rules.VerdictMatched || v.Result == rules.VerdictFailed):
				t.Fatalf("%s%s is not in the trace, and explained as %s", text, v.Rule, v.Result)
			}
		}
	})
}

// TestFingerprint: rules have the fingerprint of others if they are the same.
func TestFingerprint(t *testing.T) {
	const one, two = "  - {name: a, on: job, actions: [retry]}\n", "  - {name: b, on: job, if: job.tag, actions: [retry]}\n"
	of := func(text string) string { return load(t, "version: 1\nrules:\n"+text).Fingerprint() }
	same := of(one + two)
	for text, want := range map[string]bool{
		"  # a comment\n" + one + two: true,
		two + one:                     false,
		one:                           false,
		one + two + "    # end\n":     true,
		one + "  - {name: b, on: job, if: not job.tag, actions: [retry]}\n": false,
	} {
		if got := of(text) == same; got != want {
			t.Errorf("%s has the same fingerprint: %t, want %t", text, got, want)
		}
	}
}
