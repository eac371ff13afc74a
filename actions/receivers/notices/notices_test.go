package notices_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/actions/receivers/notices"
	"github.com/pipesteward/pipesteward/rules/event"
)

func outcome() event.Outcome {
	var o event.Outcome
	o.ID, o.Rule, o.Action.Verb, o.Result, o.Reason = "d-1", "retry-flaky", event.VerbRetry, event.ResultGaveUp, "3 of 3 attempts failed"
	o.At = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	o.Project.Path, o.Project.URL = "platform/shop", "https://gitlab/platform/shop"
	o.Pipeline.ID, o.Pipeline.Ref, o.Pipeline.URL = 70, "main", "https://gitlab/p/70"
	o.Job.ID, o.Job.Name, o.Job.Stage, o.Job.URL, o.Job.FailureReason, o.Job.Attempt = 7, "rspec", "test", "https://gitlab/j/7", "script_failure", 3
	o.Job.Runner.Description = "shared-1"
	return o
}

func TestOfOutcome(t *testing.T) {
	o := outcome()
	got, err := notices.OfOutcome(o, event.Notice{Mention: []string{"ou_1"}}, "ops")
	if err != nil {
		t.Fatal(err)
	}
	want := message.Message{
		ID: "d-1:gave_up::ops", At: o.At, Title: "platform/shop main, pipeline #70", Link: "https://gitlab/j/7", Level: message.Error, Mention: []string{"ou_1"}, Outcome: o,
		Text: "Gave up on rspec (script_failure): 3 of 3 attempts failed",
		Fields: []message.Field{
			{Name: "Rule", Value: "retry-flaky"},
			{Name: "Job", Value: "rspec"},
			{Name: "Stage", Value: "test"},
			{Name: "Failure", Value: "script_failure"},
			{Name: "Attempt", Value: "3"},
			{Name: "Runner", Value: "shared-1"},
			{Name: "Reason"}, // it is in the text
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("message (-want +got):\n%s", d)
	}
	if got, _ = notices.OfOutcome(o, event.Notice{Text: "<https://x|*job*> &amp; more"}, "ops"); got.Text != "*job* (https://x) & more" || got.Fields[6].Value != o.Reason {
		t.Errorf("the rule's text becomes %q, with %v", got.Text, got.Fields)
	}
}

// The texts of rule files stand in place of the title and of the fields.
func TestTextsOfRuleFiles(t *testing.T) {
	got, err := notices.OfOutcome(outcome(), event.Notice{Text: "Gave up", Header: "<https://x|Shop> is in trouble", Context: "for Slack only", Details: "small\nprint"}, "ops")
	if err != nil || got.Title != "Shop (https://x) is in trouble" || got.Text != "Gave up\nsmall\nprint" || got.Fields != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOfOutcomeInChinese(t *testing.T) {
	got, err := notices.OfOutcome(outcome(), event.Notice{Language: event.Chinese}, "ops")
	if err != nil || got.Title != "platform/shop main，流水线 #70" || got.Text != "已放弃作业 rspec（script_failure）：3 of 3 attempts failed" {
		t.Errorf("%q, %q, %v", got.Title, got.Text, err)
	}
	var names []string
	for _, f := range got.Fields {
		names = append(names, f.Name)
	}
	if d := cmp.Diff([]string{"规则", "作业", "阶段", "失败原因", "尝试次数", "Runner", "原因"}, names); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

func TestOfOutcomeNamesWhatItIsAbout(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(*event.Outcome)
		title, link string
	}{
		"merge request": {func(o *event.Outcome) { o.MergeRequest.IID = 12 }, "platform/shop !12, pipeline #70", "https://gitlab/j/7"},
		"pipeline":      {func(o *event.Outcome) { o.Job = event.Job{} }, "platform/shop main, pipeline #70", "https://gitlab/p/70"},
		"project":       {func(o *event.Outcome) { o.Job, o.Pipeline = event.Job{}, event.Pipeline{} }, "platform/shop", "https://gitlab/platform/shop"},
		"nothing":       {func(o *event.Outcome) { o.Event = event.Event{} }, "Pipesteward", ""},
	} {
		o := outcome()
		c.change(&o)
		m, err := notices.OfOutcome(o, event.Notice{}, "ops")
		if err != nil || m.Title != c.title || m.Link != c.link {
			t.Errorf("%s: %q, %q, %v, want %q, %q", name, m.Title, m.Link, err, c.title, c.link)
		}
	}
}

func TestLevels(t *testing.T) {
	for result, want := range map[string]message.Level{
		event.ResultDone: message.OK, event.ResultRecovered: message.OK, event.ResultFailed: message.Error, event.ResultGaveUp: message.Error,
		event.ResultDeferred: message.Warning, event.ResultSkipped: "", event.ResultDryRun: "",
	} {
		o := outcome()
		o.Result = result
		if m, _ := notices.OfOutcome(o, event.Notice{}, "ops"); m.Level != want {
			t.Errorf("%s is marked %q, want %q", result, m.Level, want)
		}
	}
	o := outcome()
	o.Result, o.Action.Verb = event.ResultDone, event.VerbNotify
	if m, _ := notices.OfOutcome(o, event.Notice{}, "ops"); m.Level != "" {
		t.Errorf("a notification alone is marked %q", m.Level)
	}
}

// The two turns of a state are two messages, whatever the outcome.
func TestTurns(t *testing.T) {
	o := outcome()
	began, _ := notices.OfOutcome(o, event.Notice{Text: "down", Turn: event.StateBegan, Subject: "s"}, "ops")
	over, _ := notices.OfOutcome(o, event.Notice{Text: "up", Turn: event.StateResolved, Subject: "s"}, "ops")
	if began.ID != "d-1:began:s:ops" || over.ID != "d-1:resolved:s:ops" || began.Level != message.Warning || over.Level != message.OK {
		t.Errorf("%q marked %q, %q marked %q", began.ID, began.Level, over.ID, over.Level)
	}
}

func TestOfAnnouncement(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]message.Message{
		":zap: *Storm of `x` failures*: 3 &lt; 4": {Text: "*Storm of `x` failures*: 3 < 4", Level: message.Warning},
		":sunny: over":         {Text: "over", Level: message.OK},
		":tada: <https://x|y>": {Text: ":tada: y (https://x)"},
		"one":                  {Text: "one"},
	} {
		want.ID, want.At, want.Title = "storm:1:begin:ops", now, "Pipesteward"
		if d := cmp.Diff(want, notices.OfAnnouncement("storm:1:begin", text, "ops", now)); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}
