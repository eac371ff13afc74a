package actions_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const confirmRules = `
version: 1
rules:
  - name: deploy
    on: pipeline
    if: pipeline.status == "manual"
    actions:
      - play: {jobs: [deploy], confirm: "#deploys", confirm_within: 2h, variables: {RELEASE: "{{ pipeline.ref }}"}}
`

var (
	ada   = chatops.Person{UserID: "U0000ADA1", Name: "Ada"}
	grace = chatops.Person{UserID: "U00GRACE1", Name: "Grace"}
	guest = chatops.Person{UserID: "U00GUEST1", Name: "Guest"}
)

// rights are those of the tests: guests have none.
type rights struct{ down bool }

func (r rights) MayAct(_ context.Context, who chatops.Person, e event.Event, _ bool, does string) (chatops.Refusal, error) {
	text, err := r.refusal(who, chatops.TargetOf(e), does)
	return actionstest.Refused(text), err
}

func (r rights) refusal(who chatops.Person, to chatops.Target, does string) (string, error) {
	switch {
	case r.down:
		return "", errors.New("GitLab does not answer")
	case who == guest || does != chatops.ButtonPlay || to.Project == 0 || to.Ref == "":
		return "Guests may not play jobs", nil
	}
	return "", nil
}

// manualJob adds a pipeline whose deploy waits to be played, and delivers its event.
func manualJob(h *actionstest.Harness) {
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
}

// playAndRun has a person play the job in GitLab, where it runs then.
func playAndRun(h *actionstest.Harness) {
	h.Helper()
	job, err := h.GitLab.Play(h.GitLab.Latest(h.Pipeline.ID, "deploy").ID)
	if err != nil {
		h.Fatal(err)
	}
	h.GitLab.Run(job.ID)
}

// question returns the only message in #deploys.
func question(h *actionstest.Harness) slacktest.Message {
	h.Helper()
	all := h.Slack.Messages("#deploys")
	if len(all) != 1 {
		h.Fatalf("%d messages in #deploys, want the question: %+v\n%s", len(all), all, h.Logs)
	}
	return all[0]
}

// button returns a button of the question, as Slack sends it when somebody presses it.
func button(h *actionstest.Harness, does string) *chatops.Button {
	h.Helper()
	for _, shown := range question(h).Buttons() {
		parsed, err := chatops.ParseButton(shown.ActionID, shown.Value)
		if err != nil {
			h.Fatal(err)
		}
		if parsed.Does == does {
			return &parsed
		}
	}
	return nil
}

// press has a person answer with a button, on a runner.
func press(h *actionstest.Harness, r *actions.Runner, who chatops.Person, b *chatops.Button) (chatops.Reply, error) {
	h.Helper()
	return pressAt(h, r, who, b, h.Now())
}

// pressAt has a runner handle a press that came in at a time.
func pressAt(h *actionstest.Harness, r *actions.Runner, who chatops.Person, b *chatops.Button, at time.Time) (chatops.Reply, error) {
	h.Helper()
	if b == nil {
		h.Fatalf("the question has no such button: %s", question(h).Plain())
	}
	return confirm.Answers{Confirmer: r.Confirms, Rights: rights{}}.Answer(h.Context(), chatops.Request{ID: "press of " + b.Does + " by " + who.UserID, By: who, Button: b, ReceivedAt: at})
}

// mustPress has a person answer, and checks what the person is told.
func mustPress(h *actionstest.Harness, who chatops.Person, b *chatops.Button, says string) {
	h.Helper()
	reply, err := press(h, h.Runner, who, b)
	if err != nil {
		h.Fatal(err)
	}
	actionstest.Has(h.T, reply.Text, says)
}

// A play that must be confirmed asks once, waits, and is carried out, or not, by the first
// answer; whatever ends it while it waits is said in the question, whose buttons go.
func TestConfirmation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		rules    string
		before   func(h *actionstest.Harness) // the event is delivered
		then     func(h *actionstest.Harness) // the question was asked; nil: it must not be
		result   string
		reason   string
		by       string
		plays    int
		question []string // what it says in the end
	}{
		{
			name: "confirmed", then: func(h *actionstest.Harness) {
				mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it: deploy is played")
				if h.Work(); h.Only().Result != event.ResultDone { // at once
					h.Errorf("the outcome is %s when the answer is stored", h.Only().Result)
				}
			},
			result: event.ResultDone, reason: "confirmed by Ada in Slack", by: "Ada", plays: 1,
			question: []string{"✅ Confirmed by Ada 12:0", "UTC · Played deploy"},
		},
		{
			name: "rejected", then: func(h *actionstest.Harness) {
				mustPress(h, ada, button(h, chatops.ButtonReject), "You have rejected it: deploy is not played")
			},
			result: event.ResultSkipped, reason: "rejected by Ada in Slack", by: "Ada",
			question: []string{"❌ Rejected by Ada 12:0"},
		},
		{
			name: "the first of two answers", then: func(h *actionstest.Harness) {
				confirm, reject := button(h, chatops.ButtonConfirm), button(h, chatops.ButtonReject)
				mustPress(h, ada, confirm, "You have confirmed it")
				mustPress(h, grace, reject, "Ada was faster, and has confirmed it at 12:0")
				mustPress(h, ada, confirm, "You have confirmed it")
				mustPress(h, ada, reject, "You have confirmed it before")
				h.Work()
				mustPress(h, grace, confirm, "Ada was faster")
			},
			result: event.ResultDone, reason: "confirmed by Ada in Slack", by: "Ada", plays: 1,
			question: []string{"Confirmed by Ada"},
		},
		{
			name: "by somebody who may not", then: func(h *actionstest.Harness) {
				mustPress(h, guest, button(h, chatops.ButtonConfirm), "Guests may not play jobs")
				h.Clock.Advance(3 * time.Hour)
			},
			result: event.ResultSkipped, reason: "nobody confirmed it in #deploys within 2h",
			question: []string{"Expired: nobody confirmed it within 2h"},
		},
		{
			name: "too late", then: func(h *actionstest.Harness) {
				b := button(h, chatops.ButtonConfirm)
				h.Clock.Advance(2*time.Hour + time.Second)
				mustPress(h, ada, b, "You are too late: nobody confirmed it within 2h, and deploy is not played")
				h.WorkOff()
				mustPress(h, ada, b, "You are too late")
			},
			result: event.ResultSkipped, reason: "nobody confirmed it in #deploys within 2h",
			question: []string{"Expired: nobody confirmed it within 2h"},
		},
		{
			name: "in time, and handled after the end was recorded", then: func(h *actionstest.Harness) {
				b, at := button(h, chatops.ButtonConfirm), h.Now()
				h.Clock.Advance(3 * time.Hour)
				h.WorkOff()
				reply, err := pressAt(h, h.Runner, ada, b, at)
				if err != nil {
					h.Fatal(err)
				}
				actionstest.Has(h.T, reply.Text, "You pressed the button in time, at 12:00 UTC, but it was handled only after the time to answer had ended: deploy is not played")
			},
			result: event.ResultSkipped, reason: "nobody confirmed it in #deploys within 2h",
			question: []string{"Expired: nobody confirmed it within 2h"},
		},
		{
			name: "in time, and carried out after it", then: func(h *actionstest.Harness) {
				if _, err := h.Pauses().Pause(h.Context(), event.Pause{By: "ann"}, false, ""); err != nil {
					h.Fatal(err)
				}
				h.Clock.Advance(119 * time.Minute)
				mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it")
				h.Pass(time.Hour, time.Minute)
				actionstest.Has(h.T, question(h).Plain(), "Confirmed by Ada 1")
				if n := h.GitLab.Count("POST", "/play"); n != 0 {
					h.Errorf("%d plays while it is paused", n)
				}
				if _, err := h.Pauses().ResumeAll(h.Context(), event.Actor{By: "ann"}); err != nil {
					h.Fatal(err)
				}
			},
			result: event.ResultDone, reason: "confirmed by Ada in Slack", by: "Ada", plays: 1,
			question: []string{"Confirmed by Ada", "Played deploy"},
		},
		{
			name: "played by somebody meanwhile", then: func(h *actionstest.Harness) {
				b := button(h, chatops.ButtonConfirm)
				playAndRun(h)
				h.WorkOff()
				mustPress(h, ada, b, "This is no longer needed: the play of deploy has ended (skipped): the job is running")
			},
			result: event.ResultSkipped, reason: "the job is running and does not wait to be played",
			question: []string{"No longer needed: Did not play deploy", "the job is running"},
		},
		{
			name: "outdated when it is confirmed", then: func(h *actionstest.Harness) {
				b := button(h, chatops.ButtonConfirm)
				h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "deploy", When: "manual"})
				mustPress(h, ada, b, "You have confirmed it")
			},
			result: event.ResultSkipped, reason: "; confirmed by Ada in Slack", by: "Ada",
			question: []string{"Confirmed by Ada", "Did not play deploy", "the pipeline is outdated"},
		},
		{
			name: "the rule is gone", then: func(h *actionstest.Harness) {
				h.Load("version: 1\nrules: [{name: other, on: job, actions: [play]}]", rulefile.Options{})
			},
			result: event.ResultSkipped, reason: `rule "deploy" is not in force any more`,
			question: []string{"No longer needed", "is not in force any more"},
		},
		{
			name: "a dry run now", then: func(h *actionstest.Harness) {
				h.Load(confirmRules, rulefile.Options{DryRun: true})
				mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it")
			},
			result: event.ResultDryRun, reason: "after somebody has confirmed it in #deploys; confirmed by Ada in Slack", by: "Ada",
			question: []string{"Confirmed by Ada", "Dry run: would play deploy"},
		},
		{
			name: "a dry run", rules: strings.Replace(confirmRules, "on: pipeline", "on: pipeline\n    dry_run: true", 1),
			result: event.ResultDryRun, reason: "after somebody has confirmed it in #deploys",
		},
		{
			name: "a CI job, which does not wait", before: func(h *actionstest.Harness) {
				h.Own = actions.Own{Job: 1, Pipeline: 1}
				h.Start(actionstest.NewFuse(-1))
			},
			result: event.ResultSkipped, reason: "a person must confirm it in #deploys, for which a CI job does not wait",
		},
		{
			name: "already played", before: func(h *actionstest.Harness) { playAndRun(h) },
			result: event.ResultSkipped, reason: "the job is running",
		},
		{
			name: "Slack is down for a while", before: func(h *actionstest.Harness) {
				h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Times: 30, Status: 503})
				for start := h.Now(); len(h.Slack.Posts()) == 0; {
					if h.Pass(10*time.Minute, 10*time.Second); h.Now().Sub(start) > 5*time.Hour {
						h.Fatalf("the question is not posted\n%s", h.Logs)
					}
				}
			},
			then: func(h *actionstest.Harness) {
				h.Clock.Advance(105 * time.Minute) // it counts from when the question was posted
				mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it")
			},
			result: event.ResultDone, reason: "confirmed by Ada in Slack", by: "Ada", plays: 1,
			question: []string{"Confirmed by Ada"},
		},
		{
			name: "needed no more before it could be posted", before: func(h *actionstest.Harness) {
				h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Times: 3, Error: "not_in_channel"})
				h.Pass(time.Minute, time.Second)
				playAndRun(h)
			},
			result: event.ResultSkipped, reason: "the job is running",
		},
		{
			name: "the bot is invited later", before: func(h *actionstest.Harness) {
				h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Times: 3, Error: "not_in_channel"})
				h.Pass(20*time.Minute, 10*time.Second)
			},
			then: func(h *actionstest.Harness) {
				mustPress(h, ada, button(h, chatops.ButtonReject), "You have rejected it")
			},
			result: event.ResultSkipped, reason: "rejected by Ada in Slack", by: "Ada",
			question: []string{"Rejected by Ada"},
		},
		{
			name: "Slack refuses for good", before: func(h *actionstest.Harness) {
				h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Times: 99, Error: "msg_too_long"})
			},
			result: event.ResultFailed, reason: "nobody could be asked in #deploys: slack: chat.postMessage in #deploys: msg_too_long",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ruleFile := confirmRules
			if c.rules != "" {
				ruleFile = c.rules
			}
			h := actionstest.New(t, ruleFile)
			manualJob(h)
			if c.before != nil {
				c.before(h)
			}
			if c.then != nil {
				h.Pass(10*time.Second, time.Second)
				if button(h, chatops.ButtonConfirm) == nil || button(h, chatops.ButtonReject) == nil {
					t.Fatalf("the question has no buttons: %s", question(h).Blocks)
				}
				c.then(h)
			}
			h.WorkOff()
			o := h.WantOutcome(c.result, c.reason, "/play", c.plays)
			if o.By.Name != c.by {
				t.Errorf("by %q, want %q", o.By.Name, c.by)
			}
			if c.question == nil {
				if n := len(h.Slack.Posts()); n != 0 {
					t.Errorf("%d messages, want none", n)
				}
				return
			}
			m := question(h)
			actionstest.Has(t, m.Plain(), c.question...)
			if strings.Contains(string(m.Blocks), "button") {
				t.Errorf("the question has buttons in the end: %s", m.Plain())
			}
		})
	}
}

// While it waits, the reason is in the journal, in the record and in the log of decisions.
func TestAConfirmationIsAwaited(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, confirmRules)
	manualJob(h)
	h.Pass(10*time.Second, time.Second)
	h.WantOutcome(event.ResultDeferred, "a person must confirm it in #deploys until 2026-", "/play", 0)
	if o := h.Only(); o.WaitsFor != event.WaitConfirm {
		t.Errorf("waits for %q", o.WaitsFor)
	}
	before := h.GitLab.Count("GET", "")
	h.Pass(30*time.Minute, time.Second)
	if n := h.GitLab.Count("GET", "") - before; n > 60 {
		t.Errorf("%d requests to GitLab in 30 minutes in which a decision waits for a person", n)
	}
	if n := len(h.Slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// A rejection holds for the job in its pipeline: when another job has been retried and has passed,
// nobody is asked again, whoever has restarted in between.
func TestARejectionHolds(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, confirmRules)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"}, gitlabtest.Job{Name: "deploy", When: "manual"})
	lint := h.End("lint", "success", "")
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.Pass(10*time.Second, time.Second)
	mustPress(h, ada, button(h, chatops.ButtonReject), "You have rejected it")
	h.WorkOff()
	h.MustRetry(lint)
	h.End("lint", "success", "")
	h.Start(actionstest.NewFuse(-1))
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.Pass(10*time.Second, time.Second)
	question(h)
	h.WantResults(event.ResultSkipped, event.ResultSkipped)
	for _, o := range h.Outcomes() {
		if o.Reason != "rejected by Ada in Slack" {
			t.Errorf("skipped: %s", o.Reason)
		}
	}
}

// Events that want the same job played ask once.
func TestAJobIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.Replace(confirmRules, "    if: pipeline.status == \"manual\"\n", "", 1))
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "deploy", When: "manual"})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.Pass(10*time.Second, time.Second)
	h.MustRetry(h.End("rspec", "failed", "script_failure")) // the pipeline is in another state then
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.Pass(10*time.Second, time.Second)
	h.WantResults(event.ResultDeferred, event.ResultSkipped)
	mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it")
	h.WorkOff()
	h.WantResults(event.ResultDone, event.ResultSkipped)
	actionstest.Has(t, h.Outcomes()[1].Reason, "people are asked already whether it is to be played")
}

// A press counts from when it came in, however late it is handled: the decision waits for one
// that is in the queue.
func TestAPressThatIsHandledLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		after  time.Duration // from the question to the press
		by     chatops.Person
		result string
		reason string
		says   string
	}{
		{"in time", 2*time.Hour - time.Minute, actionstest.Ada, event.ResultDone, "confirmed by Ada in Slack", "You have confirmed it"},
		{"by somebody who may not", 2*time.Hour - time.Minute, guest, event.ResultSkipped, "nobody confirmed it in #deploys within 2h", "Guests may not play jobs"},
		{"too late", 2*time.Hour + time.Second, actionstest.Ada, event.ResultSkipped, "nobody confirmed it in #deploys within 2h", "You are too late"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			down := false
			h := actionstest.New(t, confirmRules)
			h.Rights = actionstest.Rights(func(p chatops.Person, to chatops.Target, does string) (string, error) {
				return rights{down: down}.refusal(p, to, does)
			})
			h.Start(actionstest.NewFuse(-1))
			manualJob(h)
			h.Pass(10*time.Second, time.Second)
			b := button(h, chatops.ButtonConfirm)
			h.Clock.Advance(c.after)
			down = true // what is requested waits
			r := h.Request(chatops.Request{By: c.by, Button: b})
			h.Pass(90*time.Second, time.Second)
			if n := len(h.Replies(r)); n != 0 {
				t.Fatalf("%d replies while the rights are not known", n)
			}
			down = false
			h.WorkOff()
			plays := 0
			if c.result == event.ResultDone {
				plays = 1
			}
			h.WantOutcome(c.result, c.reason, "/play", plays)
			h.WantReplies(r, c.says)
		})
	}
}

// The name of a person is stored in bounded length.
func TestALongNameInAnAnswer(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, confirmRules)
	manualJob(h)
	h.Pass(10*time.Second, time.Second)
	mustPress(h, chatops.Person{UserID: ada.UserID, Name: strings.Repeat("Ada ", 1000)}, button(h, chatops.ButtonReject), "You have rejected it")
	h.WorkOff()
	if n := len(h.Only().By.Name); n == 0 || n > 100 {
		t.Errorf("the name has %d bytes", n)
	}
}

// An error of the rights is neither an answer nor a refusal.
func TestAnAnswerWithoutRightsIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, confirmRules)
	manualJob(h)
	h.Pass(10*time.Second, time.Second)
	answers := confirm.Answers{Confirmer: h.Runner.Confirms, Rights: rights{down: true}}
	reply, err := answers.Answer(h.Context(), chatops.Request{ID: "1", By: ada, Button: button(h, chatops.ButtonConfirm), ReceivedAt: h.Now()})
	if err == nil || reply.Text != "" {
		t.Errorf("replied %q, error %v", reply.Text, err)
	}
	mustPress(h, grace, button(h, chatops.ButtonConfirm), "You have confirmed it")
}

// The answer to what is no question changes nothing.
func TestAnswersToNoQuestion(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.Replace(confirmRules, `confirm: "#deploys", confirm_within: 2h, `, "", 1))
	manualJob(h)
	h.WorkOff()
	mustPress(h, ada, &chatops.Button{Does: chatops.ButtonReject, Of: h.Only().ID}, "Nobody needs to confirm this")
	mustPress(h, ada, &chatops.Button{Does: chatops.ButtonReject, Of: "another"}, "not known any more")
}

// Of people who answer at the same time on several replicas, one is first, and all others
// are told who that was.
func TestManyAnswerAtOnce(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	h := actionstest.NewOnRedis(t, redis.URL(), "{confirm}:", confirmRules)
	manualJob(h)
	work := func(until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(); {
			if h.Work(); time.Now().After(deadline) {
				t.Fatalf("it does not end\n%s", h.Logs)
			}
			if err := h.DB.Wait(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	work(func() bool { return len(h.Slack.Posts()) > 0 && h.Only().Result == event.ResultDeferred })
	replicas := []*actions.Runner{h.Runner, h.Replica(h.Fuse)}
	buttons := []*chatops.Button{button(h, chatops.ButtonConfirm), button(h, chatops.ButtonReject)}
	const people = 16
	replies := make([]string, people)
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			reply, err := press(h, replicas[i%2], chatops.Person{UserID: fmt.Sprintf("U%08d", i), Name: fmt.Sprintf("P%d", i)}, buttons[i/2%2])
			if err != nil {
				t.Error(err)
			}
			replies[i] = reply.Text
		})
	}
	all.Wait()
	first := -1
	for i, reply := range replies {
		if strings.HasPrefix(reply, "You have") {
			if first >= 0 {
				t.Errorf("%d and %d are both first", first, i)
			}
			first = i
		}
	}
	if first < 0 {
		t.Fatalf("nobody is first: %q", replies)
	}
	for i, reply := range replies {
		if i != first {
			actionstest.Has(t, reply, fmt.Sprintf("P%d was faster", first))
		}
	}
	work(h.Idle)
	want, plays := event.ResultDone, 1
	if first/2%2 == 1 {
		want, plays = event.ResultSkipped, 0
	}
	h.WantOutcome(want, fmt.Sprintf("ed by P%d in Slack", first), "/play", plays)
}

// Killed at any step between the event and the end, and again after the next start: the
// question is asked once, the job played once, and the question says so.
func TestAConfirmationKilledTwice(t *testing.T) {
	t.Parallel()
	scene := func(h *actionstest.Harness) {
		manualJob(h)
		h.Meanwhile = func() { // somebody presses the button until that is acknowledged
			if h.Fuse.Blown() || len(h.Slack.Messages("#deploys")) == 0 {
				return
			}
			b := button(h, chatops.ButtonConfirm)
			if b == nil {
				return
			}
			if _, err := press(h, h.Runner, ada, b); err != nil && !errors.Is(err, actionstest.ErrKilled) {
				h.Error(err)
			}
		}
	}
	actionstest.KilledTwice(t, scene, confirmRules, func(h *actionstest.Harness, when string) {
		if o := h.Only(); o.Result != event.ResultDone || o.By.Name != "Ada" {
			h.Errorf("%s: outcome %s (%s) by %q", when, o.Result, o.Reason, o.By.Name)
		}
		if n := h.CountStatus("deploy", "pending"); n != 1 {
			h.Errorf("%s: %d runs, want 1", when, n)
		}
		if m := question(h); !strings.Contains(m.Plain(), "Played deploy") {
			h.Errorf("%s: the question says %q", when, m.Plain())
		}
	})
}

// A question that a person has dropped from the queue is not waited for.
func TestADroppedQuestion(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, confirmRules)
	h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Times: 99, Error: "not_in_channel"})
	manualJob(h)
	h.Pass(time.Minute, time.Second)
	records, _, err := h.DB.Records(t.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Kind == event.RecordNotice {
			if err := h.DB.Drop(t.Context(), r.ID, store.Changes{}); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	h.WorkOff()
	h.WantOutcome(event.ResultFailed, "the question in #deploys was dropped from the queue", "/play", 0)
}

// TestWhoConfirmedHasNoRights: a play that somebody confirmed who lost the right to it before
// it is carried out is skipped. What rules decide alone needs nobody's rights.
func TestWhoConfirmedHasNoRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules  string
		result string
		reason string
		plays  int
	}{
		"confirmed":       {confirmRules, event.ResultSkipped, "Ada may not do this any more, and would read: You may not. Ask Bob.; confirmed by Ada in Slack", 0},
		"nobody confirms": {strings.Replace(confirmRules, `confirm: "#deploys", confirm_within: 2h, `, "", 1), event.ResultDone, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := actionstest.New(t, c.rules)
			h.Rights = actionstest.Rights(func(chatops.Person, chatops.Target, string) (string, error) { return "You may not. Ask Bob.", nil })
			h.Start(actionstest.NewFuse(-1))
			manualJob(h)
			h.Work()
			if c.plays == 0 {
				mustPress(h, ada, button(h, chatops.ButtonConfirm), "You have confirmed it") // with the rights of then
			}
			h.WorkOff()
			if o := h.Only(); o.Result != c.result || o.Reason != c.reason {
				t.Errorf("outcome %s (%s), want %s (%s)", o.Result, o.Reason, c.result, c.reason)
			}
			if n := h.GitLab.Count("POST", "/play"); n != c.plays {
				t.Errorf("%d plays, want %d", n, c.plays)
			}
		})
	}
}
