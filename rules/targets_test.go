package rules_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
)

// described formats decisions in the order in which they are made.
func described(decisions []event.Decision) []string {
	var all []string
	for _, d := range decisions {
		s := d.Action.Verb + " " + d.Job.Name
		if d.Bridge {
			s += " (bridge)"
		}
		if d.Missing {
			s += " (missing)"
		}
		if d.AfterSuccess != "" {
			s += " after " + d.AfterSuccess
		}
		all = append(all, s)
	}
	return all
}

// TestJobsByName checks which jobs a list in `jobs` selects, in which order. The
// bridge "trigger" has failed.
func TestJobsByName(t *testing.T) {
	jobs := []event.Job{
		{ID: 1, Name: "rspec 1/2", Status: "failed"},
		{ID: 2, Name: "rspec 2/2", Status: "success"},
		{ID: 3, Name: "build: [linux, arm]", Status: "manual"},
		{ID: 4, Name: "deploy-staging", Status: "manual"},
		{ID: 5, Name: "deploy-production", Status: "scheduled"},
		{ID: 6, Name: "migrate", Status: "running"},
		{ID: 7, Name: "lint", Status: "canceling"},
		{ID: 8, Name: "docs", Status: "skipped"},
	}
	for _, c := range []struct {
		action  string
		want    []string
		bridges int // requests
	}{
		{`play: {jobs: [deploy-staging]}`, []string{"play deploy-staging"}, 0},
		{`play: {jobs: [deploy-production, deploy-staging]}`, []string{"play deploy-production", "play deploy-staging"}, 0},
		{`play: {jobs: ["deploy-*", deploy-staging]}`, []string{"play deploy-staging", "play deploy-production"}, 1},
		{`play: {jobs: [deploy-production, "*"]}`, []string{"play deploy-production", "play build: [linux, arm]", "play deploy-staging"}, 1},
		{`play: {jobs: ["build: [linux, arm]"]}`, []string{"play build: [linux, arm]"}, 0},
		{`play: {jobs: ["build: [*"]}`, []string{"play build: [linux, arm]"}, 1},
		{`play: {jobs: ["deploy-{staging,test}"]}`, []string{"play deploy-staging"}, 1},
		{`play: {jobs: ["deploy-stagin?"]}`, []string{"play deploy-staging"}, 1},
		{`play: {jobs: [rspec, deploy-staging]}`, []string{"play rspec (missing)", "play deploy-staging"}, 1},
		{`play: {jobs: ["nothing-*"]}`, nil, 1},
		{`play: {jobs: [migrate]}`, nil, 0}, // it runs
		{`play: {jobs: [migrate, deploy-staging], wait: success}`, []string{"play deploy-staging after migrate"}, 0},
		{`play: {jobs: ["rspec 2/2", deploy-staging, deploy-production], wait: success}`, []string{"play deploy-staging", "play deploy-production after deploy-staging"}, 0},
		{`play: {jobs: [backup, deploy-staging], wait: success}`, []string{"play backup (missing)", "play deploy-staging after backup"}, 1},
		{`retry: {jobs: ["rspec *"]}`, []string{"retry rspec 1/2"}, 1}, // * is any text, slashes included
		{`retry: {jobs: [trigger]}`, []string{"retry trigger (bridge)"}, 1},
		{`retry: {jobs: ["*"]}`, []string{"retry rspec 1/2", "retry trigger (bridge)"}, 1},
		{`cancel: {jobs: ["*"]}`, []string{"cancel deploy-production", "cancel migrate"}, 0},
		{`cancel: {jobs: [lint], force: true}`, []string{"cancel lint"}, 0},
		{`cancel: {jobs: [trigger]}`, []string{"cancel trigger (missing)"}, 0},
		{`erase: {jobs: ["*"], older_than: 0s}`, []string{"erase rspec 1/2", "erase rspec 2/2"}, 0},
	} {
		t.Run(c.action, func(t *testing.T) {
			e := fixture.PipelineEvent()
			e.Pipeline.Jobs = jobs
			gitlab := &facts{}
			decisions, errs := load(t, "version: 1\nrules: [{name: r, on: pipeline, actions: [{"+c.action+"}]}]").Evaluate(t.Context(), e, gitlab)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(c.want, described(decisions)); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
			if n := gitlab.requested["bridges"]; n != c.bridges {
				t.Errorf("trigger jobs were requested %d times, want %d", n, c.bridges)
			}
		})
	}
}

// TestJobsByNameOnAJobEvent checks that a list selects among the jobs of the
// event's pipeline, and that an error of the request is the rule's.
func TestJobsByNameOnAJobEvent(t *testing.T) {
	rs := load(t, "version: 1\nrules: [{name: r, on: job, actions: [cancel: {jobs: [lint, rubocop]}]}]")
	decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{})
	if diff := cmp.Diff([]string{"cancel lint", "cancel rubocop (missing)"}, described(decisions)); diff != "" || len(errs) > 0 {
		t.Errorf("errors %v, decisions (-want +got):\n%s", errs, diff)
	}
	_, errs = rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{err: errors.New("out of order")})
	if len(errs) != 1 || errs[0].Error() != `rule "r": cancel.jobs: out of order` {
		t.Errorf("errors %v, want that of the request", errs)
	}
}

// TestMissingJobIsOneDecision checks that a pipeline whose events come again and
// again has one decision about a job that it does not have.
func TestMissingJobIsOneDecision(t *testing.T) {
	rs := load(t, "version: 1\nrules: [{name: r, on: pipeline, actions: [play: {jobs: [deploy]}]}]")
	keys := map[string]bool{}
	for _, status := range []string{"running", "success"} {
		e := fixture.PipelineEvent()
		e.Pipeline.Status = status
		decisions, _ := rs.Evaluate(t.Context(), e, &facts{})
		for _, d := range decisions {
			keys[d.Key] = true
		}
	}
	if len(keys) != 1 {
		t.Errorf("keys %v, want one", keys)
	}
}

// TestManyNamesOnManyJobs checks that a list of globs on a huge pipeline is
// refused before it takes long.
func TestManyNamesOnManyJobs(t *testing.T) {
	var names []string
	for i := range 1_000 {
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("job-%d-*", i)))
	}
	e := fixture.PipelineEvent()
	for i := range 5_000 {
		e.Pipeline.Jobs = append(e.Pipeline.Jobs, event.Job{ID: int64(i), Name: fmt.Sprintf("job-%d", i)})
	}
	_, errs := load(t, "version: 1\nrules: [{name: r, on: pipeline, actions: [cancel: {jobs: ["+strings.Join(names, ", ")+"]}]}]").Evaluate(t.Context(), e, &facts{})
	if len(errs) != 1 {
		t.Errorf("errors %v, want one", errs)
	}
}

const optOut = `
version: 1
rules:
  - {name: sandboxes, on: job, if: 'glob(project.path, "platform/*")', stop: true}
  - {name: retries, on: job, if: 'job.status == "failed"', actions: [retry]}
`

// TestStopAlone checks that a rule that only stops keeps later rules from what it
// matches, decides nothing and says so.
func TestStopAlone(t *testing.T) {
	rs := load(t, optOut)
	inside, outside := fixture.JobEvent(), fixture.JobEvent()
	outside.Project.Path = "tools/shop"
	for name, c := range map[string]struct {
		e    event.Event
		want []string
	}{
		"it matches":  {inside, nil},
		"it does not": {outside, []string{"retry rspec 1/3"}},
	} {
		decisions, errs := rs.Evaluate(t.Context(), c.e, &facts{})
		if diff := cmp.Diff(c.want, described(decisions)); diff != "" || len(errs) > 0 {
			t.Errorf("%s: errors %v, decisions (-want +got):\n%s", name, errs, diff)
		}
	}
	verdicts := rs.Explain(t.Context(), inside, &facts{})
	if v := verdicts[0]; v.Result != rules.VerdictMatched || !v.Stops || len(v.Decisions) != 0 {
		t.Errorf("verdict on the rule that stops: %+v", v)
	}
	if v, want := verdicts[1], `stopped by rule "sandboxes", which matched and has `+"`stop: true`"; v.Result != rules.VerdictNotReached || v.Reason != want {
		t.Errorf("verdict on the rule behind it: %s, %q, want %q", v.Result, v.Reason, want)
	}
}

// TestStopAloneWantsNoEvents checks that events which only a rule that stops may
// match are not worth storing.
func TestStopAloneWantsNoEvents(t *testing.T) {
	rs := load(t, optOut)
	e := fixture.JobEvent()
	for status, want := range map[string]bool{"failed": true, "running": false, "created": false} {
		e.Job.Status = status
		if got := rs.Wants(e); got != want {
			t.Errorf("Wants a job that is %s = %v, want %v", status, got, want)
		}
		if got := rs.Without([]string{"another"}).Wants(e); got != want {
			t.Errorf("without another rule, Wants a job that is %s = %v, want %v", status, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { rs.Wants(e) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
