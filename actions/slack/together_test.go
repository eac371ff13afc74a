package slack_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// ofMergeRequest is the outcome of lint in a merge request's pipeline, and its notice, with
// those of so many merge requests, branches and tags.
func ofMergeRequest(iid int64, refs int) (event.Outcome, event.Notice) {
	o := outcome("lint", event.ResultDone)
	o.ID, o.Rule, o.Action.Verb = fmt.Sprintf("red-on-main:%d", iid), "red-on-main", event.VerbNotify
	o.At = o.DecidedAt.Add(time.Duration(refs) * time.Second)
	o.Pipeline.ID, o.Pipeline.Ref, o.Pipeline.URL = 100+iid, fmt.Sprintf("refs/merge-requests/%d/head", iid), fmt.Sprintf("%s/-/pipelines/%d", o.Project.URL, 100+iid)
	o.Job.ID, o.Job.URL = 900+iid, fmt.Sprintf("%s/-/jobs/%d", o.Project.URL, 900+iid)
	n := to("#ci", fmt.Sprintf("lint is red on main: %d wait", refs))
	n.Subject, n.Together = "together:1", refs
	return o, n
}

func (w *fixture) say(t *testing.T, o event.Outcome, n event.Notice) {
	t.Helper()
	if err := w.notifier.Notify(t.Context(), o, n); err != nil {
		t.Fatal(err)
	}
}

// linked is what a message shows of a merge request's job.
func linked(iid int64) string {
	const project = "https://gitlab.example.com/platform/api/-/"
	return fmt.Sprintf("!%[1]d (%[2]smerge_requests/%[1]d) · Cache the dependencies · lint (%[2]sjobs/%[3]d) · Pipeline #%[4]d (%[2]spipelines/%[4]d)", iid, project, 900+iid, 100+iid)
}

// TestTogether: a message of many pipelines has one text, and links each merge request with its
// job and pipeline, the first one, too, which has no reply; a reply begins with its own links.
// Late ones change neither the text nor what a notification of Slack shows.
func TestTogether(t *testing.T) {
	w := newFixture(t)
	for _, next := range []struct {
		iid  int64
		refs int
	}{{7, 1}, {9, 3}, {8, 2}} {
		o, n := ofMergeRequest(next.iid, next.refs)
		w.say(t, o, n)
	}
	const small = "    Rule `red-on-main` · runner_system_failure · failed · runner docker-1\n"
	wantShown(t, w, "#ci", "🔔 lint is red on main: 3 wait\nplatform/api (https://gitlab.example.com/platform/api)\n"+
		"• "+linked(7)+"\n• "+linked(9)+"\n• "+linked(8)+"\n"+
		"    🔔 "+linked(9)+"\n    lint is red on main: 3 wait\n"+small+
		"    🔔 "+linked(8)+"\n    lint is red on main: 2 wait\n"+small)
	if got, want := w.Messages("#ci")[0].Text, "platform/api: lint is red on main: 3 wait"; got != want {
		t.Errorf("a notification shows %q, want %q", got, want)
	}

	// A later pipeline of a merge request takes the place of its first one.
	o, n := ofMergeRequest(7, 3)
	o.ID, o.Pipeline.ID, o.At = "red-on-main:again", 200, o.At.Add(time.Minute)
	w.say(t, o, n)
	if got := w.Messages("#ci")[0].Plain(); strings.Count(got, "!7") != 1 || !strings.Contains(got, "Pipeline #200") {
		t.Errorf("the message shows:\n%s\nwant the newest pipeline of !7, once", got)
	}
}

// TestTogetherShowsTheFirst: of many merge requests the first ones stay in the message, and the
// rest are counted, within Slack's limits, whatever is long.
func TestTogetherShowsTheFirst(t *testing.T) {
	w := newFixtureWith(t, slacktest.Options{}, slack.Config{Buttons: true})
	for iid := range int64(14) {
		o, n := ofMergeRequest(1+iid, int(1+iid))
		o.MergeRequest = event.MergeRequest{IID: 1 + iid, Title: "Ümläuts " + strings.Repeat("<&>", 200), URL: "https://gitlab.example.com/mr"}
		o.Commit.AuthorName = strings.Repeat("&", 500)
		n.Header, n.Context, n.Text = strings.Repeat("&amp;", 1000), strings.Repeat("&amp;", 1000), strings.Repeat("&amp;", 5000)
		w.say(t, o, n)
	}
	root := w.Messages("#ci")[0]
	for iid := range 14 {
		if is, want := strings.Contains(root.Plain(), fmt.Sprintf("• !%d (https://gitlab.example.com/mr) · lint (", 1+iid)), iid < 10; is != want {
			t.Errorf("the message shows !%d: %t, want %t", 1+iid, is, want)
		}
	}
	if !strings.Contains(root.Plain(), "+4 more in the thread") {
		t.Errorf("the message lacks the number of the others:\n%s", root.Plain())
	}
	for _, b := range root.Buttons() {
		if b.Text == "Retry" {
			t.Error("the message offers to retry a job, and nobody can tell which")
		}
	}
	if len(root.Buttons()) == 0 {
		t.Error("the message has no buttons")
	}
}

// TestTogetherKeepsItsTop: the rule files' header and context stay as they were first.
func TestTogetherKeepsItsTop(t *testing.T) {
	w := newFixture(t)
	for iid := range int64(2) {
		o, n := ofMergeRequest(1+iid, int(1+iid))
		n.Header, n.Context = fmt.Sprintf("header %d", 1+iid), fmt.Sprintf("context %d", 1+iid)
		w.say(t, o, n)
	}
	if got := w.Messages("#ci")[0].Plain(); !strings.HasPrefix(got, "header 1\n") || !strings.Contains(got, "\ncontext 1\n") || strings.Contains(got, "header 2") {
		t.Errorf("the message shows:\n%s\nwant the header and the context of the first", got)
	}
}

// TestTogetherWithoutAText: the default text has the number in proper words.
func TestTogetherWithoutAText(t *testing.T) {
	for _, c := range []struct {
		refs           int
		language, want string
	}{
		{1, "", ", in 1 merge request or branch"},
		{14, "", ", in 14 merge requests or branches"},
		{1, event.Chinese, "，涉及 1 个合并请求或分支"},
	} {
		w := newFixture(t)
		o, n := ofMergeRequest(7, c.refs)
		n.Text, n.Language = "", c.language
		w.say(t, o, n)
		if got := w.Messages("#ci")[0].Plain(); !strings.Contains(got, c.want) {
			t.Errorf("the message of %d shows %q, want %q", c.refs, got, c.want)
		}
	}
}

// TestLateOutcome: what a notification of Slack shows of a pipeline's message is its newest
// outcome, whichever comes last.
func TestLateOutcome(t *testing.T) {
	w := newFixture(t)
	late, newest := outcome("unit", event.ResultDone), outcome("unit", event.ResultRecovered)
	newest.At = late.At.Add(time.Minute)
	notify(t, w, newest, "recovered")
	notify(t, w, late, "retried")
	if got := w.Messages("#ci")[0].Text; !strings.Contains(got, "recovered") || strings.Contains(got, "retried") {
		t.Errorf("a notification shows %q, want the newest outcome", got)
	}
}
