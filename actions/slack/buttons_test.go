package slack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// withButtons is a fixture whose messages have buttons.
func withButtons(t *testing.T) *fixture {
	t.Helper()
	return newFixtureWith(t, slacktest.Options{}, slack.Config{Buttons: true})
}

// pressable lists the buttons of the first message of #ci, as people read them, each with
// the job that it is about; "!" marks one that opens a dialog first, and "…" an option of the
// menu.
func pressable(w *fixture) string {
	var all []string
	for _, button := range w.Messages("ci")[0].Buttons() {
		b, err := chatops.ParseButton(button.ActionID, button.Value)
		if err != nil {
			return err.Error()
		}
		text := fmt.Sprintf("%s %d", b.Does, b.Job)
		if button.Dialog != "" {
			text += "!"
		}
		if button.Menu {
			text += "…"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// TestButtonsOfAnOutcome: a line offers what makes sense in the state of its job.
func TestButtonsOfAnOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		result string
		change func(*event.Outcome)
		want   string
	}{
		{"gave up", event.ResultGaveUp, nil, "retry 900, log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"failed", event.ResultFailed, nil, "retry 900, log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a dry run of a retry", event.ResultDryRun, nil, "log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a retry that waits", event.ResultDeferred, nil, "log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a retried job", event.ResultDone, func(o *event.Outcome) { o.NewJobID = 901 }, "cancel 901!, why 901, mute 901…, mute_rule 901…, mute_project 901…, mute_channel 901…"},
		{"a recovered job", event.ResultRecovered, func(o *event.Outcome) { o.Job.Status = "success" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a play that must be confirmed", event.ResultSkipped, func(o *event.Outcome) {
			o.Action.Verb, o.Action.Confirm, o.Job.Status = event.VerbPlay, "#deploys", "manual"
		}, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"what a rule in dry run only says", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.NewJobID, o.DryRun = event.VerbNotify, 0, true }, "log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a dry run of a play", event.ResultDryRun, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbPlay, "manual" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a played job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job.Status, o.NewJobID = event.VerbPlay, "manual", 900 }, "cancel 900!, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a canceled job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbCancel, "running" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a dry run of a cancel", event.ResultDryRun, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbCancel, "running" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a dry run of an erase", event.ResultDryRun, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbErase, "success" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"an erased job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbErase, "success" }, "why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a notice of a failed job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb = event.VerbNotify }, "retry 900, log 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a notice of a manual job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbNotify, "manual" }, "play 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a notice of a running job", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job.Status = event.VerbNotify, "running" }, "cancel 900!, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a notice of a pipeline", event.ResultDone, func(o *event.Outcome) { o.Action.Verb, o.Job = event.VerbNotify, event.Job{} }, "why 0, mute 0…, mute_rule 0…, mute_project 0…, mute_channel 0…"},
		{"a trigger job", event.ResultGaveUp, func(o *event.Outcome) { o.Bridge = true }, "retry 900, why 900, mute 900…, mute_rule 900…, mute_project 900…, mute_channel 900…"},
		{"a pipeline that was not retried", event.ResultGaveUp, func(o *event.Outcome) { o.Action.Verb = event.VerbRetryPipeline }, "retry 0, why 0, mute 0…, mute_rule 0…, mute_project 0…, mute_channel 0…"},
		{"a dry run of canceling a pipeline", event.ResultDryRun, func(o *event.Outcome) { o.Action.Verb = event.VerbCancelPipeline }, "why 0, mute 0…, mute_rule 0…, mute_project 0…, mute_channel 0…"},
		{"a retried pipeline", event.ResultDone, func(o *event.Outcome) { o.Action.Verb = event.VerbRetryPipeline }, "why 0, mute 0…, mute_rule 0…, mute_project 0…, mute_channel 0…"},
		{"what a person requested", event.ResultFailed, func(o *event.Outcome) { o.Rule, o.By = "", event.Requester{Name: "Ada", UserID: "U1"} }, "retry 900, log 900, why 900, mute_project 900…, mute_channel 900…"},
		{"a job that the pipeline does not have", event.ResultSkipped, func(o *event.Outcome) { o.Missing, o.Job = true, event.Job{Name: "gone"} }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := withButtons(t)
			o := outcome("unit", c.result)
			if c.change != nil {
				c.change(&o)
			}
			notify(t, w, o, "")
			if got := pressable(w); got != c.want {
				t.Errorf("buttons %q, want %q", got, c.want)
			}
		})
	}
}

// The buttons of a run of a schedule rule would act on no job.
func TestNoButtonsOfASweep(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	notify(t, w, swept(event.ResultDone, "erased 1 job"), "")
	if got := pressable(w); got != "" {
		t.Errorf("buttons %q, want none", got)
	}
}

// TestButtonsFollowTheJob: the message is edited when the job moves on, and a reply in the
// thread has no buttons.
func TestButtonsFollowTheJob(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	o := outcome("unit", event.ResultDone)
	o.NewJobID = 901
	notify(t, w, o, "")
	o = outcome("unit", event.ResultRecovered)
	o.ID, o.Job.ID, o.Job.Status, o.At = o.ID+":recovered", 901, "success", o.At.Add(time.Minute)
	notify(t, w, o, "")
	if got, want := pressable(w), "why 901, mute 901…, mute_rule 901…, mute_project 901…, mute_channel 901…"; got != want {
		t.Errorf("buttons %q, want %q", got, want)
	}
	for _, m := range w.Messages("ci") {
		if m.ThreadTS != "" && len(m.Buttons()) > 0 {
			t.Errorf("a reply has buttons: %s", m.Blocks)
		}
	}
}

// TestButtonsOfAJobThatRunsAgain: the line in which another rule said that the job failed has no
// buttons beside the line that says that it was retried.
func TestButtonsOfAJobThatRunsAgain(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	told := outcome("e2e", event.ResultDone)
	told.Rule, told.Action.Verb, told.NewJobID = "told", event.VerbNotify, 0
	notify(t, w, told, "")
	retried := outcome("e2e", event.ResultDone)
	retried.ID, retried.Rule, retried.NewJobID, retried.At = retried.ID+":press", "", 901, told.At.Add(time.Minute)
	notify(t, w, retried, "")
	if got := pressable(w); !strings.HasPrefix(got, "cancel 901!, why 901, ") || strings.Contains(got, "retry") {
		t.Errorf("buttons %q, want those of the newest run alone", got)
	}
}

// TestButtonsSayWhatTheyAreAbout: the decision in the journal, and the channel as the rule
// names it.
func TestButtonsSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	o := outcome("unit", event.ResultDeferred)
	decision := o.ID
	o.ID += ":deferred:a1b2"
	notify(t, w, o, "")
	for _, button := range w.Messages("ci")[0].Buttons() {
		if b, err := chatops.ParseButton(button.ActionID, button.Value); err != nil || b.Of != decision || b.In != "ci" {
			t.Errorf("button %+v, %v; want of %s in ci", b, err, decision)
		}
	}
}

// TestMessageWithButtons pins the blocks of a message with buttons.
func TestMessageWithButtons(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	gaveUp := outcome("unit", event.ResultGaveUp)
	gaveUp.Reason = "3 attempts failed, as many as the rule allows"
	notify(t, w, gaveUp, "")
	retried := outcome("lint", event.ResultDone)
	retried.Job.ID, retried.NewJobID, retried.At = 902, 903, retried.At.Add(time.Minute)
	retried.Rule, retried.By = "", event.Requester{Name: "Ada <Lovelace>", UserID: "U123"}
	notify(t, w, retried, "")
	var got bytes.Buffer
	if err := json.Indent(&got, w.Messages("ci")[0].Blocks, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteString("\n")
	wantGolden(t, "buttons", strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got.String()))
}

// TestButtonsWithinSlacksLimits: a message with as many lines as it can have, and texts,
// names and ids as long as they can be, is accepted; the newest lines have the buttons.
func TestButtonsWithinSlacksLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		id, text int
		want     int // rows
	}{
		{"usual", 60, 100, 3}, {"long texts", 60, 5000, 3}, {"long ids", 500, 5000, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := withButtons(t)
			for i := range 14 {
				o := outcome(fmt.Sprintf("unit-%d %s", i, strings.Repeat("é", 200)), event.ResultGaveUp)
				o.Job.ID, o.At = int64(9_000_000_000+i), o.At.Add(time.Duration(i)*time.Minute)
				o.ID = fmt.Sprintf("%0*d", c.id, i)
				notify(t, w, o, strings.Repeat("x", c.text))
			}
			jobs := map[int64]bool{}
			for _, button := range w.Messages("ci")[0].Buttons() {
				b, err := chatops.ParseButton(button.ActionID, button.Value)
				if err != nil {
					t.Fatal(err)
				}
				jobs[b.Job] = true
			}
			if len(jobs) != c.want || !jobs[9_000_000_013] {
				t.Errorf("buttons for the jobs %v, want %d, the newest among them", jobs, c.want)
			}
		})
	}
}

// TestMutesThatAreNoMenu: where Slack takes no menu, because there is one option or the action_id
// would be too long, the first mute is a button. Direct messages are in no channel that could
// be muted.
func TestMutesThatAreNoMenu(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, channel, rule, id, want string
	}{
		{"direct message", event.ChannelAuthor, "told", "d", "mute…, mute_rule…, mute_project…"},
		{"direct message that no rule sent", event.ChannelAuthor, "", "d", "mute_project"},
		{"long id", "#ci", "told", strings.Repeat("d", 230), "mute"},
	} {
		w := withButtons(t)
		user := w.AddUser("grace@example.com")
		o := outcome("unit", event.ResultRecovered)
		o.Rule, o.ID, o.Commit.AuthorEmail = c.rule, c.id, "grace@example.com"
		if err := w.notifier.Notify(t.Context(), o, to(c.channel, "")); err != nil {
			t.Fatal(err)
		}
		messages := w.Messages("ci")
		if c.channel == event.ChannelAuthor {
			messages = w.Direct(user)
		}
		var mutes []string
		for _, button := range messages[0].Buttons() {
			b, err := chatops.ParseButton(button.ActionID, button.Value)
			switch {
			case err != nil:
				t.Fatal(err)
			case !slices.Contains(chatops.Mutes, b.Does):
			case button.Menu:
				mutes = append(mutes, b.Does+"…")
			default:
				mutes = append(mutes, b.Does)
			}
		}
		if got := strings.Join(mutes, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestButtonsInChinese: the buttons of a message in Chinese are, too, and say so to whoever
// reports what comes of them.
func TestButtonsInChinese(t *testing.T) {
	t.Parallel()
	w := withButtons(t)
	notice := to("#ci", "")
	notice.Language = event.Chinese
	o := outcome("unit", event.ResultDone)
	o.NewJobID = 901
	if err := w.notifier.Notify(t.Context(), o, notice); err != nil {
		t.Fatal(err)
	}
	cancel := w.Messages("ci")[0].Buttons()[0]
	b, err := chatops.ParseButton(cancel.ActionID, cancel.Value)
	if err != nil || b.Language != event.Chinese || cancel.Text != "取消" || cancel.Dialog != "取消 unit？" {
		t.Errorf("the button is %+v, %v", cancel, err)
	}
}
