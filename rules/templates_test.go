package rules_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
)

const templated = `
version: 1
defaults: {channel: "#ci"}
templates:
  gave_up: "{{ job.name }}: {{ outcome.result }} of {{ outcome.action }} by {{ outcome.rule }}, {{ outcome.reason }}; {{ outcome.by }}"
  done: {en: "done, now <{{ outcome.new_job_url }}|{{ outcome.new_job_id }}>", zh: "已完成 {{ job.name }}"}
  skipped: {zh: "已跳过 {{ job.name }}"}
  failed: "{{ jobs()[0].name }}"
  began: "{{ project.path }} turned"
  header: "{{ project.path }} of {{ user.name }}"
  context: "{{ commit.title }}"
  details: "{{ bridges()[0].name }}"
rules:
  - name: r
    on: job
    actions: [retry]
    notify:
      - {when: [done, gave_up, skipped, failed, recovered]}
      - {channel: "#zh", language: zh, when: [done, gave_up, skipped]}
      - {channel: "#own", when: [gave_up], text: "own {{ outcome.result }}"}
      - {channel: "#broken", when: [gave_up], text: "{{ jobs()[0].name }}"}
      - {commit: status, when: [done]}
  - name: erase
    on: schedule
    schedule: {cron: "@daily", projects: [a/b]}
    actions: [erase]
    notify: [{}]
  - {name: red, on: pipeline, notify: [{state: pipeline.status == "failed"}, {channel: "#own", state: pipeline.status == "failed", text: own}]}
`

// TestTemplates: the texts of `templates` stand in place of the default ones, but not of a
// rule's own; one that fails leaves the default text, and says so.
func TestTemplates(t *testing.T) {
	rs := load(t, templated)
	base := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "r"}}
	base.Job.Name, base.Action.Verb, base.Reason, base.Project.URL, base.User.Name = "<rspec>", event.VerbRetry, "a & b", "https://g/a", "Ann"
	base.Commit.Title = "title"
	status := event.Address{Receiver: event.ReceiverGitLab, Channel: event.ChannelCommit}
	head := func(n event.Notice) event.Notice {
		n.Rules, n.Header, n.Context = []string{"r"}, base.Project.Path+" of Ann", "title"
		return n
	}
	const details = `rule "r": templates.details: down`
	for _, c := range []struct {
		name   string
		change func(*event.Outcome)
		want   []event.Notice
		errs   []string
	}{
		{"the outcome is known", func(o *event.Outcome) { o.Result, o.By.Name = event.ResultGaveUp, "Sidney" }, []event.Notice{
			head(event.Notice{Address: slack("#ci"), Text: "&lt;rspec&gt;: gave_up of retry by r, a &amp; b; Sidney"}),
			head(event.Notice{Address: slack("#zh"), Language: event.Chinese, Text: "&lt;rspec&gt;: gave_up of retry by r, a &amp; b; Sidney"}),
			head(event.Notice{Address: slack("#own"), Text: "own gave_up"}),
			head(event.Notice{Address: slack("#broken"), Text: "&lt;rspec&gt;: gave_up of retry by r, a &amp; b; Sidney"}),
		}, []string{details, details, details, `rule "r": text: down`, details}},
		{"each language has its own, and GitLab gets the text alone", func(o *event.Outcome) { o.Result, o.NewJobID = event.ResultDone, 901 }, []event.Notice{
			head(event.Notice{Address: slack("#ci"), Text: "done, now <https://g/a/-/jobs/901|901>"}),
			head(event.Notice{Address: slack("#zh"), Language: event.Chinese, Text: "已完成 &lt;rspec&gt;"}),
			{Address: status, Rules: []string{"r"}, Text: "done, now <https://g/a/-/jobs/901|901>"},
		}, []string{details, details}},
		{"one language only", func(o *event.Outcome) { o.Result = event.ResultSkipped }, []event.Notice{
			head(event.Notice{Address: slack("#ci")}),
			head(event.Notice{Address: slack("#zh"), Language: event.Chinese, Text: "已跳过 &lt;rspec&gt;"}),
		}, []string{details, details}},
		{"none", func(o *event.Outcome) { o.Result = event.ResultRecovered }, []event.Notice{head(event.Notice{Address: slack("#ci")})}, []string{details}},
		{"one that fails", func(o *event.Outcome) { o.Result = event.ResultFailed }, []event.Notice{head(event.Notice{Address: slack("#ci")})}, []string{`rule "r": templates.failed: down`, details}},
		{"a run of a schedule rule", func(o *event.Outcome) { o.Result, o.Rule, o.Sweep.ID = event.ResultDone, "erase", "sweep:1" }, []event.Notice{
			{Address: slack("#ci"), Rules: []string{"erase"}},
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := base
			c.change(&o)
			got, errs := rs.Notices(t.Context(), o, &facts{err: errors.New("down")}, anywhere(strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;").Replace))
			if diff := cmp.Diff(c.want, got, butGroup); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
			var texts []string
			for _, err := range errs {
				texts = append(texts, err.Error())
			}
			if diff := cmp.Diff(c.errs, texts); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFromTemplates: a notice that no rule sends has the texts of `templates`, too; the
// message at the end of a pipeline, which is of no outcome, the header alone.
func TestFromTemplates(t *testing.T) {
	t.Parallel()
	rs := load(t, templated)
	o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), By: event.Requester{Name: "Sidney"}}, Result: event.ResultDone}
	o.Job.Name, o.User.Name = "<rspec>", "Ann"
	to := event.Notice{Address: slack("#zh"), Language: event.Chinese}
	got, errs := rs.FromTemplates(t.Context(), o, to, &facts{err: errors.New("down")}, strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace)
	want := to
	want.Text, want.Header = "已完成 &lt;rspec&gt;", o.Project.Path+" of Ann"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of a request (-want +got):\n%s", diff)
	}
	if len(errs) != 1 || errs[0].Part != "templates.details" || errs[0].Rule != "" {
		t.Errorf("errors %v", errs)
	}
	o.Result, to.Text, want.Text = "", "the end", "the end"
	got, errs = rs.FromTemplates(t.Context(), o, to, &facts{}, strings.Clone)
	if diff := cmp.Diff(want, got); diff != "" || len(errs) > 0 {
		t.Errorf("at the end of a pipeline (-want +got):\n%s%v", diff, errs)
	}
}

// A turn of a state has its template, too.
func TestTemplateOfATurn(t *testing.T) {
	rs := load(t, templated)
	o := event.Outcome{Decision: only(t, rs, pipelineEvent("failed")), Result: event.ResultDone}
	for i := range o.States {
		o.States[i].Turn, o.States[i].Subject = event.StateBegan, o.States[i].Entry
	}
	got, _ := rs.Notices(t.Context(), o, &facts{}, anywhere(strings.Clone))
	if len(got) != 2 || got[0].Text != o.Project.Path+" turned" || got[1].Text != "own" {
		t.Errorf("notices %+v", got)
	}
}

// What templates read is known as what the rules themselves read is.
func TestWhatTemplatesRead(t *testing.T) {
	t.Parallel()
	const rules = "rules: [{name: a, on: job, actions: [{retry: {backoff: constant}}], notify: [{channel: ci}]}, {name: b, on: job, actions: [erase]}]\n"
	rs := load(t, "version: 1\ntemplates: {gave_up: \"{{ job.attempt }} {{ bridges() }} {{ job.runner.tags }}\"}\n"+rules)
	if !rs.NeedsAttempt(fixture.JobEvent()) || !rs.Requests("bridges") {
		t.Error("what the template reads is not known")
	}
	if diff := cmp.Diff([]string{"a"}, rs.Readers(event.KindJob, "job.runner.tags")); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
	if rs := load(t, "version: 1\n"+rules); rs.NeedsAttempt(fixture.JobEvent()) || rs.Requests("bridges") {
		t.Error("it is read without the template")
	}
}
