package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules"
)

func TestWants(t *testing.T) {
	for _, c := range []struct {
		on, text string
		want     string // statuses of many that are wanted
	}{
		{"job", `true`, "failed success running"},
		{"job", `failed_with("api_failure")`, "failed"},
		{"job", `failed_with("api_failure") or failed_with("script_failure") and log() contains "x"`, "failed"},
		{"job", `job.status in ["failed", "success"] and job.name == "x"`, "failed success"},
		{"job", `"failed" == job.status or job.status == "running"`, "failed running"},
		{"job", `job.status == "failed" or job.name == "x"`, "failed success running"},
		{"job", `job.status != "failed"`, "failed success running"},
		{"job", `not (job.status == "failed")`, "failed success running"},
		{"job", `job.failure_reason == "api_failure"`, "failed"},
		{"job", `job.failure_class in ["runner", "stuck"]`, "failed"},
		{"job", `job.failure_reason == ""`, "failed success running"},
		{"job", `pipeline.status == "failed"`, "failed success running"},
		{"job", `job.status == "failed" and job.status == "success"`, ""},
		{"pipeline", `pipeline.status == "failed"`, "failed"},
		{"pipeline", `any(pipeline.jobs, .status == "failed")`, "failed success running"},
	} {
		rs := condition(t, c.on, c.text)
		var got []string
		for _, status := range []string{"failed", "success", "running"} {
			e := rules.Event{Meta: rules.Meta{Kind: c.on}}
			e.Job.Status, e.Pipeline.Status = status, status
			if rs.Wants(e) {
				got = append(got, status)
			}
			for _, other := range []string{rules.KindJob, rules.KindPipeline, rules.KindSchedule} {
				if e.Meta.Kind = other; other != c.on && rs.Wants(e) {
					t.Errorf("%s: a rule on %s wants a %s event", c.text, c.on, other)
				}
			}
		}
		if diff := cmp.Diff(strings.Fields(c.want), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", c.text, c.on, diff)
		}
	}
}

// An event that a rule matches is never one that Wants lets go: it would be
// lost.
func TestWantsNeverLosesAnEvent(t *testing.T) {
	statuses := []string{"failed", "success", "running", "pending"}
	reasons := []string{"", "api_failure", "script_failure", "stuck_or_timeout_failure", "no_updates_running"}
	quoted := func(values []string) *rapid.Generator[string] {
		return rapid.Map(rapid.SampledFrom(values), func(s string) string { return fmt.Sprintf("%q", s) })
	}
	listed := func(values []string) *rapid.Generator[string] {
		return rapid.Map(rapid.SliceOfN(quoted(values), 1, 3), func(s []string) string { return "[" + strings.Join(s, ", ") + "]" })
	}
	var condition func(depth int) *rapid.Generator[string]
	condition = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			form := rapid.IntRange(0, 14).Draw(t, "form")
			if depth == 0 {
				form %= 9
			}
			part := func() string { return condition(depth-1).Draw(t, "part") }
			switch form {
			case 0:
				return "job.status == " + quoted(statuses).Draw(t, "status")
			case 1:
				return quoted(statuses).Draw(t, "status") + " != job.status"
			case 2:
				return "job.status in " + listed(statuses).Draw(t, "statuses")
			case 3:
				return "job.status not in " + listed(statuses).Draw(t, "statuses")
			case 4:
				return "job.failure_reason in " + listed(reasons).Draw(t, "reasons")
			case 5:
				return "job.failure_reason == " + quoted(reasons).Draw(t, "reason")
			case 6:
				return "failed_with(" + quoted(reasons[1:]).Draw(t, "reason") + ")"
			case 7:
				return "pipeline.status == " + quoted(statuses).Draw(t, "status")
			case 8:
				return `job.name startsWith "x"`
			case 9, 10:
				return "(" + part() + " and " + part() + ")"
			case 11, 12:
				return "(" + part() + " or " + part() + ")"
			case 13:
				return "not (" + part() + ")"
			default:
				return "(" + part() + " ? " + part() + " : " + part() + ")"
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		text := condition(3).Draw(t, "condition")
		rs, err := rules.Load(rules.Options{}, rules.Source{Name: "r.yaml", Data: []byte("version: 1\nrules:\n  - name: r\n    on: job\n    if: |\n      " + text + "\n    actions: [cancel]\n")})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		e := rules.Event{Meta: rules.Meta{Kind: rules.KindJob}}
		e.Job.Status = rapid.SampledFrom(statuses).Draw(t, "status")
		e.Job.Name = rapid.SampledFrom([]string{"x1", "y1"}).Draw(t, "name")
		e.Pipeline.Status = rapid.SampledFrom(statuses).Draw(t, "pipeline status")
		if e.Job.Status == "failed" {
			e.Job.FailureReason = rapid.SampledFrom(reasons).Draw(t, "reason")
		}
		decisions, errs := rs.Evaluate(t.Context(), e, &facts{})
		if len(errs) > 0 {
			t.Fatalf("%s: %v", text, errs)
		}
		if len(decisions) > 0 && !rs.Wants(e) {
			t.Fatalf("%s: matches %+v, which is not wanted", text, e)
		}
	})
}
