package rules_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
)

const redMain = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: red-main
    on: pipeline
    if: pipeline.status in ["failed", "success"]
    notify:
      - state: pipeline.status == "failed"
        mention: ["@oncall"]
        text: "{{ project.path }} is red"
        resolved: "{{ project.path }} is green again"
      - {when: [done], channel: "#all"}
      - {state: pipeline.tag, channel: "#{{ pipeline.ref }}"}
`

func pipelineEvent(status string) event.Event {
	e := fixture.PipelineEvent()
	e.Pipeline.Status = status
	return e
}

// only evaluates the rules on an event and returns the only decision.
func only(t *testing.T, rs *rules.Rules, e event.Event) event.Decision {
	t.Helper()
	decisions, errs := rs.Evaluate(t.Context(), e, &facts{})
	if len(decisions) != 1 || errs != nil {
		t.Fatalf("decisions %+v, errors %v, want one", decisions, errs)
	}
	return decisions[0]
}

// TestStatesOfADecision: a decision has the value of each state in the rule's notify.
func TestStatesOfADecision(t *testing.T) {
	rs := load(t, redMain)
	var keys []string
	for status, red := range map[string]bool{"failed": true, "success": false} {
		d := only(t, rs, pipelineEvent(status))
		if len(d.States) != 2 || d.States[0].Value != red || d.States[1].Value || d.States[0].Entry == d.States[1].Entry || d.States[0].If != `pipeline.status == "failed"` {
			t.Errorf("%s: states %+v", status, d.States)
		}
		keys = append(keys, d.Key)
	}
	if keys[0] == keys[1] {
		t.Errorf("two values have the key %s", keys[0])
	}
	if decisions, _ := rs.Evaluate(t.Context(), pipelineEvent("running"), &facts{}); decisions != nil {
		t.Errorf("an event that says nothing of the state: %+v", decisions)
	}
	if got := rs.Summaries()[0].Notify; got[0].State != `pipeline.status == "failed"` || got[0].When != nil || got[1].State != "" {
		t.Errorf("summaries %+v", got)
	}
}

// TestStateOfAnUnchangedPipeline: an event that differs in the value of the state only is
// another decision.
func TestStateOfAnUnchangedPipeline(t *testing.T) {
	rs := load(t, `
version: 1
rules: [{name: r, on: pipeline, notify: [{channel: ci, state: 'any(pipeline.jobs, .status == "failed")'}]}]
`)
	e := pipelineEvent("running")
	before := only(t, rs, e)
	e.Pipeline.Jobs[0].Status = "failed"
	if after := only(t, rs, e); after.Key == before.Key || !after.States[0].Value {
		t.Errorf("%+v and %+v", before, after)
	}
}

// TestStateThatFails: a rule whose state can't be evaluated does not fire.
func TestStateThatFails(t *testing.T) {
	rs := load(t, `
version: 1
rules: [{name: r, on: job, notify: [{channel: ci, state: 'any(jobs(), .status == "failed")'}]}]
`)
	decisions, errs := rs.Evaluate(t.Context(), fixture.JobEvent(), &facts{err: errors.New("down")})
	if decisions != nil || len(errs) != 1 || errs[0].Part != "state" {
		t.Errorf("decisions %+v, errors %v", decisions, errs)
	}
	if !rs.Requests("jobs") {
		t.Error("the requests of a state are not seen")
	}
	if attempt := load(t, "version: 1\nrules: [{name: r, on: job, notify: [{channel: ci, state: job.attempt > 2}]}]\n"); !attempt.NeedsAttempt(fixture.JobEvent()) {
		t.Error("a state that reads job.attempt does not need it")
	}
}

// TestNoticesOfATurn: the notice of a state is sent when it turns, and only then.
func TestNoticesOfATurn(t *testing.T) {
	rs := load(t, redMain)
	all := event.Notice{Address: slack("#all"), Rules: []string{"red-main"}}
	began := event.Notice{Address: slack("#ci"), Rules: []string{"red-main"}, Mention: []string{"@oncall"}, Text: "platform/shop is red", Turn: event.StateBegan, Subject: "s"}
	resolved := event.Notice{Address: slack("#old"), Rules: []string{"red-main"}, Mention: []string{"@oncall"}, Text: "platform/shop is green again", Turn: event.StateResolved, Subject: "s"}
	for _, c := range []struct {
		name   string
		result string
		turn   func(states []event.State)
		want   []event.Notice
	}{
		{"unchanged", event.ResultDone, func([]event.State) {}, []event.Notice{all}},
		{"it turns true", event.ResultDone, func(s []event.State) { s[0].Turn, s[0].Subject = event.StateBegan, "s" }, []event.Notice{began, all}},
		{"it turns false", event.ResultDone, func(s []event.State) {
			s[0].Turn, s[0].Subject, s[0].To = event.StateResolved, "s", slack("#old")
		}, []event.Notice{resolved, all}},
		{"a dry run", event.ResultDryRun, func(s []event.State) { s[0].Turn, s[0].Subject = event.StateBegan, "s" }, []event.Notice{began}},
		{"another one turns, without a text", event.ResultDryRun, func(s []event.State) { s[1].Turn, s[1].Subject = event.StateBegan, "t" }, []event.Notice{
			{Address: slack("#main"), Rules: []string{"red-main"}, Turn: event.StateBegan, Subject: "t"},
		}},
		{"an entry that is gone", event.ResultDryRun, func(s []event.State) { s[0].Turn, s[0].Entry = event.StateBegan, "gone" }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := event.Outcome{Decision: only(t, rs, pipelineEvent("failed")), Result: c.result}
			c.turn(o.States)
			got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(func(s string) string { return s }))
			if diff := cmp.Diff(c.want, got, butGroup); diff != "" || errs != nil {
				t.Errorf("notices (-want +got):\n%s%v", diff, errs)
			}
		})
	}
}

// TestTwoStatesOfOneAddress: no turn is lost because another state of the rule has the
// same address.
func TestTwoStatesOfOneAddress(t *testing.T) {
	rs := load(t, `
version: 1
rules: [{name: r, on: pipeline, notify: [{channel: ci, state: pipeline.tag, text: a}, {channel: ci, state: not pipeline.tag, text: b}]}]
`)
	o := event.Outcome{Decision: only(t, rs, pipelineEvent("failed")), Result: event.ResultDone}
	for i := range o.States {
		o.States[i].Turn, o.States[i].Subject = event.StateBegan, o.States[i].Entry
	}
	if got, _ := rs.Notices(t.Context(), o, &facts{}, anywhere(func(s string) string { return s })); len(got) != 2 || got[0].Text != "a" || got[1].Text != "b" {
		t.Errorf("notices %+v", got)
	}
}

// TestStateIsOfItsEntry: a state is known by what it is of and where it goes, whatever its
// texts are and wherever it stands.
func TestStateIsOfItsEntry(t *testing.T) {
	entry := func(notify string) string {
		return only(t, load(t, "version: 1\nrules: [{name: r, on: pipeline, notify: ["+notify+"]}]\n"), pipelineEvent("failed")).States[0].Entry
	}
	const state = "channel: ci, state: pipeline.tag"
	was := entry("{" + state + "}")
	for _, c := range []struct {
		name, notify string
		same         bool
	}{
		{"another text", "{" + state + ", text: red, resolved: green, mention: [author]}", true},
		{"another entry before it", "{channel: other}, {" + state + "}", true},
		{"another channel", "{channel: other, state: pipeline.tag}", false},
		{"another state", "{channel: ci, state: not pipeline.tag}", false},
	} {
		if is := entry(c.notify); (is == was) != c.same {
			t.Errorf("%s: %s, was %s", c.name, is, was)
		}
	}
}

// TestWhatStatesNotifyOf: whether an outcome is notified of is open until its states are
// known, and known after that.
func TestWhatStatesNotifyOf(t *testing.T) {
	rs := load(t, "version: 1\nrules: [{name: r, on: pipeline, notify: [{channel: ci, state: pipeline.tag}]}]\n")
	for _, c := range []struct {
		name string
		set  func(o *event.Outcome)
		want bool
	}{
		{"not known yet", func(*event.Outcome) {}, true},
		{"unchanged", func(o *event.Outcome) { o.States[0].Since = fixture.Noon }, false},
		{"turned", func(o *event.Outcome) { o.States[0].Since, o.States[0].Turn = fixture.Noon, event.StateBegan }, true},
		{"skipped", func(o *event.Outcome) { o.Result = event.ResultSkipped }, false},
		{"without its entry", func(o *event.Outcome) { o.States[0].Entry = "gone" }, false},
		{"without its rule", func(o *event.Outcome) { o.Rule = "gone" }, false},
	} {
		o := event.Outcome{Decision: only(t, rs, pipelineEvent("failed")), Result: event.ResultDone}
		c.set(&o)
		if got := rs.Notifies(o); got != c.want {
			t.Errorf("%s: Notifies is %v", c.name, got)
		}
	}
}
