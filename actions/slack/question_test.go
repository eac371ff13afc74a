package slack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// toPlay is a decision to play a job that a person must confirm in #deploys.
func toPlay() event.Outcome {
	o := outcome("deploy <production>", "")
	o.ID, o.Rule = "play:7:900@1", "deploy"
	o.User = event.User{Username: "grace", Name: "Grace Hopper"}
	o.Job.Status, o.Job.FailureReason, o.Job.Stage = "manual", "", "deploy"
	o.Job.Environment = event.Environment{Name: "production", Tier: "production"}
	o.Action = event.Action{
		Verb: event.VerbPlay, Confirm: "#deploys", ConfirmWithin: event.Duration(2 * time.Hour),
		Variables: map[string]string{"RELEASE": "v1 that nobody needs to see", "DB_PASSWORD": "hunter22222"},
		Inputs:    map[string]json.RawMessage{"replicas": []byte("3"), "region": []byte(`"eu` + "`" + `"`), "api_token": []byte(`"glpat-abcdefghij0123456789"`)},
	}
	return o
}

func confirmedBy(name string) event.Answer {
	return event.Answer{Confirmed: true, By: event.Requester{Name: name, UserID: "U0000ADA1"}, At: time.Date(2026, 11, 1, 12, 4, 30, 0, time.UTC)}
}

func ended(result, reason string) event.Outcome {
	o := toPlay()
	o.Result, o.Reason = result, reason
	if result == event.ResultDone {
		o.NewJobID = 901
	}
	return o
}

// mustAsk asks, and returns when the question was posted.
func mustAsk(t *testing.T, w *fixture, o event.Outcome, a event.Answer) time.Time {
	t.Helper()
	posted, err := w.notifier.Ask(t.Context(), o, a)
	if err != nil {
		t.Fatal(err)
	}
	return posted
}

// The question in each of its states.
func TestQuestion(t *testing.T) {
	rejected := confirmedBy("Ada <Lovelace>")
	rejected.Confirmed = false
	bare := toPlay()
	bare.Pipeline, bare.Commit, bare.User, bare.Action.Variables, bare.Action.Inputs = event.Pipeline{}, event.Commit{}, event.User{}, nil, nil
	bare.Job.Stage, bare.Job.Environment = "", event.Environment{}
	for name, c := range map[string]struct {
		then   event.Outcome
		answer event.Answer
	}{
		"question":                {toPlay(), event.Answer{}},
		"question_of_little":      {bare, event.Answer{}},
		"question_confirmed":      {toPlay(), confirmedBy("Ada <Lovelace>")},
		"question_played":         {ended(event.ResultDone, ""), confirmedBy("Ada")},
		"question_too_late":       {ended(event.ResultSkipped, "the pipeline is outdated by pipeline 4712"), confirmedBy("Ada")},
		"question_rejected":       {ended(event.ResultSkipped, "rejected by Ada in Slack"), rejected},
		"question_expired":        {ended(event.ResultSkipped, "nobody confirmed it in #deploys within 2h"), event.Answer{Expired: true, At: rejected.At}},
		"question_needed_no_more": {ended(event.ResultSkipped, "already played as job 901, which is running"), event.Answer{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			asked := toPlay()
			if c.then.Result == "" && !c.answer.Given() {
				asked = c.then
			}
			posted := mustAsk(t, w, asked, event.Answer{})
			w.clock.Advance(time.Minute)
			if again := mustAsk(t, w, c.then, c.answer); !again.Equal(posted) {
				t.Errorf("posted at %s, and then at %s", posted, again)
			}
			all := w.Messages("#deploys")
			if len(all) != 1 || len(w.Posts()) != 1 {
				t.Fatalf("%d messages, want the question", len(w.Posts()))
			}
			var got bytes.Buffer
			fmt.Fprintf(&got, "// message: %s\n", all[0].Text)
			if err := json.Indent(&got, all[0].Blocks, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteString("\n")
			readable := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got.String())
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(readable), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), readable); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// TestQuestionNamesAPersonOnce: the author of the commit who has triggered the pipeline.
func TestQuestionNamesAPersonOnce(t *testing.T) {
	w := newFixture(t)
	o := toPlay()
	o.Commit.AuthorName = o.User.Name
	mustAsk(t, w, o, event.Answer{})
	if n := strings.Count(w.Messages(o.Action.Confirm)[0].Plain(), o.User.Name); n != 1 {
		t.Errorf("the person is named %d times, want once", n)
	}
}

// What comes late, twice, or about a question that is not there changes nothing.
func TestQuestionEdits(t *testing.T) {
	w := newFixture(t)
	mustAsk(t, w, ended(event.ResultSkipped, "not needed"), event.Answer{}) // it was never posted
	if n := len(w.Posts()); n != 0 {
		t.Fatalf("%d messages about a question that was not posted", n)
	}
	mustAsk(t, w, toPlay(), event.Answer{})
	mustAsk(t, w, ended(event.ResultDone, ""), confirmedBy("Ada"))
	said := w.Messages("#deploys")[0].Text
	if !strings.Contains(said, "Played") {
		t.Errorf("the question says %q", said)
	}
	mustAsk(t, w, toPlay(), confirmedBy("Ada")) // the edit of the answer comes late
	if now := w.Messages("#deploys")[0].Text; now != said {
		t.Errorf("the question says %q after a late edit, want %q", now, said)
	}
	w.Delete(w.Channel("deploys"), w.Messages("#deploys")[0].TS)
	mustAsk(t, w, ended(event.ResultDone, ""), confirmedBy("Ada"))
	mustAsk(t, w, toPlay(), event.Answer{})
	if n := len(w.Posts()); n != 1 {
		t.Errorf("%d messages were posted, want 1", n)
	}
}

// A post whose answer got lost is found again, with the time of its first try.
func TestQuestionIsPostedOnce(t *testing.T) {
	w := newFixture(t)
	w.Fail(slacktest.Fault{Method: "chat.postMessage", AfterEffect: true, Cut: true})
	at := w.clock.Now()
	if _, err := w.notifier.Ask(t.Context(), toPlay(), event.Answer{}); err == nil {
		t.Fatal("no error")
	}
	w.clock.Advance(time.Minute)
	if posted := mustAsk(t, w, toPlay(), event.Answer{}); !posted.Equal(at) || len(w.Posts()) != 1 {
		t.Errorf("posted %d times, at %s, want once, at %s", len(w.Posts()), posted, at)
	}
}

// The author of the commit can be asked in a direct message; one whom Slack does not know
// can't.
func TestQuestionToTheAuthor(t *testing.T) {
	w := newFixture(t)
	o := toPlay()
	o.Action.Confirm, o.Commit.AuthorEmail = event.ChannelAuthor, "ada@example.com"
	_, err := w.notifier.Ask(t.Context(), o, event.Answer{})
	if e, is := errors.AsType[*slack.Error](err); !is || e.Code != "users_not_found" {
		t.Errorf("error %v, want users_not_found", err)
	}
	user := w.AddUser("grace@example.com")
	o.Commit.AuthorEmail = "grace@example.com"
	mustAsk(t, w, o, event.Answer{})
	mustAsk(t, w, ended(event.ResultSkipped, "x"), event.Answer{}) // of #deploys, where there is none
	if n := len(w.Direct(user)); n != 1 {
		t.Errorf("%d direct messages, want 1", n)
	}
}

// The buttons are those that chatops reads.
func TestQuestionButtons(t *testing.T) {
	w := newFixture(t)
	mustAsk(t, w, toPlay(), event.Answer{})
	var does []string
	for _, shown := range w.Messages("#deploys")[0].Buttons() {
		button, err := chatops.ParseButton(shown.ActionID, shown.Value)
		if err != nil || !chatops.IsButton(shown.ActionID) || button.Of != toPlay().ID {
			t.Errorf("button %+v: %+v, %v", shown, button, err)
		}
		does = append(does, button.Does)
	}
	if diff := cmp.Diff([]string{chatops.ButtonConfirm, chatops.ButtonReject}, does); diff != "" {
		t.Errorf("buttons (-want +got):\n%s", diff)
	}
}
