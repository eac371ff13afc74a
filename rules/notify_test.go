package rules_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
)

// TestChannelOfANotice: the values in a channel are written as Slack writes channels.
func TestChannelOfANotice(t *testing.T) {
	for _, c := range []struct {
		name, channel, namespace, want string
		fails                          bool
	}{
		{"a name", `"#ci"`, "Platform", "#ci", false},
		{"an id", "C024BE91L", "Platform", "C024BE91L", false},
		{"the author", "author", "Platform", event.ChannelAuthor, false},
		{"a value in it", `"#ci-{{ project.namespace }}"`, "platform", "#ci-platform", false},
		{"a subgroup", `"#ci-{{ project.namespace }}"`, "Platform Team/Web.App", "#ci-platform-team-web-app", false},
		{"letters of other languages", `"#ci-{{ project.namespace }}"`, "平台/Größe", "#ci-平台-größe", false},
		{"an id by a condition", `"{{ project.namespace == 'platform' ? 'C024BE91L' : 'ci' }}"`, "platform", "C024BE91L", false},
		{"markup", `"#ci-{{ project.namespace }}"`, "<!channel>", "#ci-channel", false},
		{"more than names have", `"#ci-{{ project.namespace }}"`, strings.Repeat("x", 80), "", true},
		{"nothing", `"{{ project.namespace }}"`, "!", "", true},
		{"an expression that fails", `"#ci-{{ jobs()[0].name }}"`, "platform", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := load(t, "version: 1\nrules: [{name: r, on: job, actions: [retry], notify: [{channel: "+c.channel+"}]}]\n")
			o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "r"}, Result: event.ResultDone}
			o.Project.Namespace = c.namespace
			got, errs := rs.Notices(t.Context(), o, &facts{err: errors.New("down")}, anywhere(func(string) string { return "escaped" }))
			if diff := cmp.Diff([]event.Notice{{Address: slack(c.want), Rules: []string{"r"}}}, got, butGroup); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
			if (len(errs) > 0) != c.fails {
				t.Errorf("errors %v", errs)
			}
		})
	}
}

// TestLabelsOfLinks: a value in the label of a link is one short line, so that it is a link
// everywhere; any other value stays as it is.
func TestLabelsOfLinks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("字", 149) + "…"
	for _, c := range []struct{ name, text, message, want string }{
		{"a line break", "<{{ job.url }}|{{ commit.message }}>", "Cache\n\n  the dependencies\r\n", "<https://g/1|Cache the dependencies>"},
		{"much text", "<{{ job.url }}|{{ commit.message }}> of {{ job.name }}", strings.Repeat("字", 70_000), "<https://g/1|" + long + "> of rspec"},
		{"as long as may be", "<https://g/2|{{ commit.message }}>", strings.Repeat("x", 150), "<https://g/2|" + strings.Repeat("x", 150) + ">"},
		{"beside other text", "<https://g/2|job {{ job.name }}: {{ commit.message }}>", "a\nb", "<https://g/2|job rspec: a b>"},
		{"before and behind a link", "{{ commit.message }} <https://g/2|x> {{ commit.message }}", "a\nb", "a\nb <https://g/2|x> a\nb"},
		{"a mention", "<@U024BE7LH> {{ commit.message }} > {{ commit.message }}", "a\nb", "<@U024BE7LH> a\nb > a\nb"},
		{"no link", "1 < 2 | {{ commit.message }} > 0", "a\nb", "1 < 2 | a\nb > 0"},
		{"a label without an end", "<https://g/2|{{ commit.message }}", "a\nb", "<https://g/2|a\nb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rs := load(t, fmt.Sprintf("version: 1\nrules: [{name: r, on: job, actions: [retry], notify: [{channel: ci, text: %q}]}]\n", c.text))
			o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "r"}, Result: event.ResultDone}
			o.Job.Name, o.Job.URL, o.Commit.Message = "rspec", "https://g/1", c.message
			got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(strings.Clone))
			if len(errs) > 0 || len(got) != 1 || got[0].Text != c.want {
				t.Errorf("notices %+v, errors %v; want the text %q", got, errs, c.want)
			}
		})
	}
}

// TestDefaultNotify: `notify` in `defaults` is for rules with actions and none of their
// own, and reads what each of them may read.
func TestDefaultNotify(t *testing.T) {
	rs := load(t, `
version: 1
defaults:
  channel: "#ci-{{ project.name }}"
  notify: [{when: [gave_up], mention: [author, "@oncall"], text: "{{ pipeline.ref }}"}, {when: [gave_up], channel: author}]
rules:
  - {name: job, on: job, actions: [retry]}
  - {name: pipeline, on: pipeline, actions: [cancel_pipeline]}
  - {name: schedule, on: schedule, schedule: {cron: "0 3 * * *", projects: [a/b]}, actions: [play]}
  - {name: own, on: job, actions: [cancel], notify: [{when: [done]}]}
  - {name: opt-out, on: job, if: job.stage == "x", stop: true}
`)
	byDefault := []event.Notice{
		{Address: slack("#ci-shop"), Mention: []string{"author", "@oncall"}, Text: "main"},
		{Address: slack(event.ChannelAuthor)},
	}
	for _, c := range []struct {
		rule, result string
		want         []event.Notice
	}{
		{"job", event.ResultGaveUp, byDefault},
		{"job", event.ResultDone, nil},
		{"pipeline", event.ResultGaveUp, byDefault},
		{"schedule", event.ResultGaveUp, byDefault},
		{"own", event.ResultGaveUp, nil},
		{"own", event.ResultDone, []event.Notice{{Address: slack("#ci-shop")}}},
		{"opt-out", event.ResultGaveUp, nil},
	} {
		o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: c.rule}, Result: c.result}
		o.Project.Name, o.Pipeline.Ref = "Shop", "main"
		got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(func(s string) string { return s }))
		for i := range got {
			if diff := cmp.Diff([]string{c.rule}, got[i].Rules); diff != "" {
				t.Errorf("%s, %s, rules (-want +got):\n%s", c.rule, c.result, diff)
			}
			got[i].Rules = nil
		}
		if diff := cmp.Diff(c.want, got, butGroup); diff != "" || errs != nil {
			t.Errorf("%s, %s (-want +got):\n%s%v", c.rule, c.result, diff, errs)
		}
		if rs.Notifies(o) != (len(c.want) > 0) {
			t.Errorf("%s, %s: Notifies is %v", c.rule, c.result, rs.Notifies(o))
		}
	}
}

// TestQuietHours: notices carry the quiet hours of their rule's file, unless their outcome or
// their entry is excepted.
func TestQuietHours(t *testing.T) {
	rs := load(t, `
version: 1
defaults: {quiet: {from: "20:00", to: "07:00", timezone: Europe/Berlin, days: [mon], except: [gave_up]}}
rules:
  - {name: r, on: job, notify: [{channel: "#a"}, {channel: "#b", quiet: false}]}
`)
	hours := event.Quiet{From: "20:00", To: "07:00", Timezone: "Europe/Berlin", Days: []string{"mon"}}
	for result, want := range map[string][]event.Quiet{event.ResultDone: {hours, {}}, event.ResultGaveUp: {{}, {}}} {
		got, _ := rs.Notices(t.Context(), event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "r"}, Result: result}, &facts{}, anywhere(strings.Clone))
		var quiet []event.Quiet
		for _, n := range got {
			quiet = append(quiet, n.Quiet)
		}
		if diff := cmp.Diff(want, quiet); diff != "" {
			t.Errorf("%s (-want +got):\n%s", result, diff)
		}
	}
}

// TestEntriesOfOneAddress: what several entries and rules send to one address is one notice,
// which mentions all whom they mention and waits only if all of them do.
func TestEntriesOfOneAddress(t *testing.T) {
	rs := load(t, `
version: 1
defaults:
  channel: "#ci"
  quiet: {from: "20:00", to: "07:00", except: [failed]}
rules:
  - name: first
    on: job
    notify: [{when: [done, gave_up, failed], text: first, mention: [author, "@oncall"]}, {when: [done], channel: "#{{ pipeline.ref }}", text: second, mention: ["@oncall", triggerer], language: zh}]
  - {name: loud, on: job, notify: [{when: [gave_up], mention: [U0000000001, author], quiet: false}]}
`)
	hours := event.Quiet{From: "20:00", To: "07:00", Timezone: "UTC"}
	both := []string{"first", "loud"}
	for _, c := range []struct {
		result string
		want   event.Notice
	}{
		{event.ResultDone, event.Notice{Rules: both[:1], Mention: []string{"author", "@oncall", "triggerer"}, Quiet: hours}},
		{event.ResultGaveUp, event.Notice{Rules: both, Mention: []string{"author", "@oncall", "U0000000001"}}},
		{event.ResultFailed, event.Notice{Rules: both[:1], Mention: []string{"author", "@oncall"}}},
	} {
		o := event.Outcome{Decision: event.Decision{Event: fixture.JobEvent(), Rule: "first", AlsoWantedBy: []string{"loud"}}, Result: c.result}
		o.Pipeline.Ref = "ci"
		c.want.Address, c.want.Text = slack("#ci"), "first"
		for range 2 { // the rules stay as they are
			got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(strings.Clone))
			if diff := cmp.Diff([]event.Notice{c.want}, got, butGroup); diff != "" || errs != nil {
				t.Errorf("%s (-want +got):\n%s%v", c.result, diff, errs)
			}
		}
	}
}

// butGroup compares notices but for how they are gathered, which is a default of all.
var butGroup = cmpopts.IgnoreFields(event.Notice{}, "Group")

// anywhere escapes values alike for every address.
func anywhere(escape func(string) string) func(event.Address) func(string) string {
	return func(event.Address) func(string) string { return escape }
}

// To a merge request goes what is of one, to a commit what is of a pipeline. A storm is told
// there, and no other deferral.
func TestNoticesInGitLab(t *testing.T) {
	t.Parallel()
	rs := load(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: r
    on: job
    if: "true"
    actions: [retry]
    notify:
      - {merge_request: note}
      - {commit: status, when: [gave_up]}
`)
	note, status := event.Address{Receiver: event.ReceiverGitLab, Channel: event.ChannelMergeRequest}, event.Address{Receiver: event.ReceiverGitLab, Channel: event.ChannelCommit}
	for _, c := range []struct {
		name, result, waits, ref string
		want                     []event.Address
	}{
		{"a merge request's", event.ResultGaveUp, "", "refs/merge-requests/7/head", []event.Address{note, status}},
		{"a branch's", event.ResultGaveUp, "", "main", []event.Address{status}},
		{"a storm", event.ResultDeferred, event.WaitStorm, "refs/merge-requests/7/head", []event.Address{note}},
		{"a budget", event.ResultDeferred, event.WaitBudget, "refs/merge-requests/7/head", nil},
		{"not by default", event.ResultDone, "", "refs/merge-requests/7/head", nil},
	} {
		var o event.Outcome
		o.Rule, o.Result, o.WaitsFor, o.Meta.Kind, o.Pipeline.ID, o.Pipeline.Ref = "r", c.result, c.waits, event.KindJob, 70, c.ref
		got, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(strings.Clone))
		var to []event.Address
		for _, n := range got {
			to = append(to, n.Address)
		}
		if !slices.Equal(to, c.want) || errs != nil || rs.Notifies(o) != (c.want != nil) {
			t.Errorf("%s: %v, errors %v, want %v", c.name, to, errs, c.want)
		}
	}
}

// TestValidityOfRequests: no rule has a say in what a person requested, but a dry run of
// the process has.
func TestValidityOfRequests(t *testing.T) {
	d := event.Decision{Event: fixture.JobEvent(), Action: event.Action{Verb: event.VerbRetry}, By: event.Requester{UserID: "U1"}}
	for _, dryRun := range []bool{false, true} {
		got := rules.New(rules.Set{DryRun: dryRun}).Validity(d)
		if want := (rules.Validity{DryRun: dryRun}); got != want {
			t.Errorf("validity %+v, want %+v", got, want)
		}
	}
}
