package requests_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// notices are rules that say in Slack what they see, and act on nothing.
const notices = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: told, on: job, notify: [{when: [done]}]}
`

// open returns a harness with a Slack app, in which the rights are as given.
func open(t *testing.T, ruleFile string, rights actionstest.Rights) *actionstest.Harness {
	t.Helper()
	h := actionstest.New(t, ruleFile)
	h.Rights = rights
	h.Start(actionstest.NewFuse(-1))
	return h
}

// told adds a job whose state is said in #ci.
func told(h *actionstest.Harness, job gitlabtest.Job, status string) gitlabtest.Job {
	h.Helper()
	job.Name = "rspec"
	added := h.AddJob(job, status)
	h.Deliver(h.GitLab.JobHookBody(added.ID))
	h.WorkOff()
	return added
}

// TestActingButtons: each acting button on a job in each state that matters: what GitLab
// sees, what the person reads, and whether all in the channel read it.
func TestActingButtons(t *testing.T) {
	t.Parallel()
	failed := func(h *actionstest.Harness) gitlabtest.Job { return told(h, gitlabtest.Job{Log: "boom\n"}, "failed") }
	manual := func(h *actionstest.Harness) gitlabtest.Job { return told(h, gitlabtest.Job{When: "manual"}, "") }
	running := func(h *actionstest.Harness) gitlabtest.Job { return told(h, gitlabtest.Job{}, "") }
	for _, c := range []struct {
		name      string
		does      string
		job       func(h *actionstest.Harness) gitlabtest.Job
		meanwhile func(h *actionstest.Harness, job gitlabtest.Job) // after the message, before the press
		call      string                                           // that GitLab sees once; "": none
		result    string
		says      string // to the person
		posts     string // in the thread; "": nothing
	}{
		{"retry", chatops.ButtonRetry, failed, nil, "/retry", event.ResultDone, "Retried …rspec…, by Ada…attempt 2", "Retried …by Ada"},
		{"retry of a job that gave up", chatops.ButtonRetry, func(h *actionstest.Harness) gitlabtest.Job {
			job := failed(h)
			for range 3 {
				job = gitlabtest.Job{ID: h.MustRetry(job.ID).ID}
				h.GitLab.Run(job.ID)
				h.GitLab.Finish(job.ID, "failed", "script_failure")
			}
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.WorkOff()
			return job
		}, nil, "/retry", event.ResultDone, "Retried …by Ada…attempt 5", "Retried …by Ada"},
		{"retry of what no rule may retry", chatops.ButtonRetry, func(h *actionstest.Harness) gitlabtest.Job {
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			id := h.End("rspec", "failed", "ci_quota_exceeded")
			h.Deliver(h.GitLab.JobHookBody(id))
			h.WorkOff()
			return h.GitLab.Job(id)
		}, nil, "/retry", event.ResultDone, "Retried …by Ada", "Retried …by Ada"},
		{"retry of a job that somebody has retried", chatops.ButtonRetry, failed, func(h *actionstest.Harness, job gitlabtest.Job) { h.MustRetry(job.ID) }, "", event.ResultSkipped, "Did not retry …rspec…, as Ada requested: already retried as job ", ""},
		{"retry in an outdated pipeline", chatops.ButtonRetry, failed, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.GitLab.AddPipeline(job.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		}, "", event.ResultSkipped, "as Ada requested: the pipeline is outdated by pipeline ", ""},
		{"retry of a deleted job", chatops.ButtonRetry, failed, func(h *actionstest.Harness, _ gitlabtest.Job) {
			h.GitLab.Fail(gitlabtest.Fault{Path: "/jobs", Status: http.StatusNotFound, Times: -1})
		}, "", event.ResultSkipped, "the job or its pipeline was deleted", ""},
		{"retry without the right in GitLab", chatops.ButtonRetry, failed, func(h *actionstest.Harness, job gitlabtest.Job) {
			h.AddOther()
			h.GitLab.SetRole(job.ProjectID, gitlabtest.Reporter)
		}, "/retry", event.ResultFailed, "Could not retry …as Ada requested: GitLab refused", "Could not retry …as Ada requested"},
		{"play", chatops.ButtonPlay, manual, nil, "/play", event.ResultDone, "Played …rspec…by Ada", "Played …by Ada"},
		{"play of a job that runs", chatops.ButtonPlay, manual, func(h *actionstest.Harness, job gitlabtest.Job) {
			if _, err := h.GitLab.Play(job.ID); err != nil {
				h.Fatal(err)
			}
			h.GitLab.Run(job.ID)
		}, "", event.ResultSkipped, "the job is running and does not wait to be played", ""},
		{"cancel", chatops.ButtonCancel, running, nil, "/cancel", event.ResultDone, "Canceled …rspec…, by Ada", "Canceled …by Ada"},
		{"cancel of a job that has ended", chatops.ButtonCancel, running, func(h *actionstest.Harness, job gitlabtest.Job) { h.GitLab.Finish(job.ID, "success", "") }, "", event.ResultSkipped, "the job has ended: success", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, actionstest.Everybody)
			job := c.job(h)
			if c.meanwhile != nil {
				c.meanwhile(h, job)
			}
			before, posts := h.GitLab.Count(http.MethodPost, c.call), len(h.Slack.Posts())
			request := h.Press(actionstest.Ada, c.does)
			h.WorkOff()
			h.WantReplies(request, c.says)
			outcomes := h.Outcomes()
			o := outcomes[len(outcomes)-1]
			if o.Result != c.result || o.By.Name != "Ada" || o.By.UserID != actionstest.Ada.UserID || o.Rule != "" || o.Meta.Source != event.SourceButton {
				t.Errorf("outcome %s (%s) by %s, rule %q, source %s; want %s by Ada", o.Result, o.Reason, o.By, o.Rule, o.Meta.Source, c.result)
			}
			wantCalls := 0
			if c.call != "" {
				wantCalls = 1
			}
			if n := h.GitLab.Count(http.MethodPost, c.call) - before; n != wantCalls {
				t.Errorf("%d calls to %q, want %d", n, c.call, wantCalls)
			}
			all := h.Slack.Posts()
			switch {
			case c.posts == "" && len(all) > posts:
				t.Errorf("the channel reads %q, want nothing", all[posts].Plain())
			case c.posts != "" && len(all) == posts:
				t.Error("the channel reads nothing")
			case c.posts != "":
				if all[posts].ThreadTS == "" {
					t.Error("the outcome is a message of its own, want a reply in the thread")
				}
				actionstest.Has(t, all[posts].Text, strings.Split(c.posts, "…")...)
			}
		})
	}
}

// TestWhatBecomesOfARetryOfAPerson: the end of the job that it made is said in the message,
// though no rule retries.
func TestWhatBecomesOfARetryOfAPerson(t *testing.T) {
	t.Parallel()
	for ends, says := range map[string]string{"success": "Recovered: ", "failed": "Gave up on "} {
		t.Run(ends, func(t *testing.T) {
			t.Parallel()
			h := open(t, strings.Replace(notices, "on: job", "on: job, if: 'job.attempt == 1'", 1), actionstest.Everybody)
			h.Load(strings.Replace(notices, "on: job", "on: job, if: 'job.attempt == 1'", 1), rulefile.Options{Requests: true})
			told(h, gitlabtest.Job{}, "failed")
			h.Press(actionstest.Ada, chatops.ButtonRetry)
			h.WorkOff()
			again := h.End("rspec", ends, "script_failure")
			h.Deliver(h.GitLab.JobHookBody(again))
			h.WorkOff()
			actionstest.Has(t, h.Slack.Messages("ci")[0].Plain(), says)
		})
	}
}

// TestTemplatesOfARequest: the message keeps the texts of the rule files when a person acts,
// in its language.
func TestTemplatesOfARequest(t *testing.T) {
	t.Parallel()
	h := open(t, strings.Replace(notices, "when: [done]", "language: zh", 1)+`
templates:
  done: {zh: "{{ outcome.action }}: {{ outcome.by }}"}
  header: {zh: "标题 {{ project.path }}"}
  context: "context of {{ job.name }}"
`, actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.WorkOff()
	actionstest.Has(t, h.Slack.Messages("ci")[0].Plain(), "标题 platform/shop", "context of rspec", "retry: Ada")
}

// TestEraseButton: what a rule could not erase.
func TestEraseButton(t *testing.T) {
	t.Parallel()
	h := open(t, `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: erase, on: job, if: 'job.status == "success"', actions: [erase: {older_than: 0s}], notify: [{when: [failed]}]}
`, actionstest.Everybody)
	h.GitLab.Fail(gitlabtest.Fault{Path: "/erase", Status: http.StatusForbidden, Times: 1})
	job := told(h, gitlabtest.Job{Log: "secret\n"}, "success")
	first, second := h.Press(actionstest.Ada, chatops.ButtonErase), h.Press(actionstest.Bob, chatops.ButtonErase)
	h.WorkOff()
	h.WantReplies(first, "Erased the log and any artifacts of …rspec…by Ada")
	h.WantReplies(second, "Ada requested that")
	if h.GitLab.Job(job.ID).ErasedAt.IsZero() {
		t.Error("the job is not erased")
	}
	if n := h.GitLab.Count(http.MethodPost, "/erase"); n != 2 {
		t.Errorf("%d erases, want the one that GitLab refused, and Ada's", n)
	}
}

// TestTwoPeoplePress: the same button for the same job in the same state is one action, and
// the second person is told who was first; what had no effect may be requested again.
func TestTwoPeoplePress(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	h.GitLab.Fail(gitlabtest.Fault{Path: "/retry", Status: http.StatusForbidden, Times: 1})
	refused := h.Press(actionstest.Bob, chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(refused, "Could not retry …as Bob requested")

	ada, bob := h.Press(actionstest.Ada, chatops.ButtonRetry), h.Press(actionstest.Bob, chatops.ButtonRetry)
	h.WorkOff()
	late := h.Press(actionstest.Bob, chatops.ButtonCancel) // the message has moved on to the new run
	h.WorkOff()
	h.WantReplies(ada, "Retried …by Ada")
	h.WantReplies(bob, "Ada requested that")
	h.WantReplies(late, "Canceled …by Bob")
	if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 2 {
		t.Errorf("%d retries, want the one that GitLab refused, and Ada's", n)
	}
}

// TestTwoReplicasAtOnce: while a replica is about to queue what Ada requested, another one
// queues what Bob did: that one counts, and Ada is told so.
func TestTwoReplicasAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	ada := h.Press(actionstest.Ada, chatops.ButtonRetry)
	var bob chatops.Request
	h.Fuse.Before = func(step string) {
		if step != "done" {
			return
		}
		h.Fuse.Before = nil
		bob = h.Press(actionstest.Bob, chatops.ButtonRetry)
		if _, err := h.Drain(h.Replica(actionstest.NewFuse(-1))); err != nil {
			t.Error(err)
		}
	}
	h.WorkOff()
	h.WantReplies(bob, "Retried …by Bob")
	h.WantReplies(ada, "Bob requested that …Retried")
	if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
}

// TestBrakesOnPeople: a pause holds up what people request; dry runs: see TestPressesInDryRun.
func TestBrakesOnPeople(t *testing.T) {
	t.Parallel()
	t.Run("a pause", func(t *testing.T) {
		t.Parallel()
		h := open(t, notices, actionstest.Everybody)
		told(h, gitlabtest.Job{}, "failed")
		paused := h.Type(actionstest.Bob, "pause project platform/** for 2h reason a <change> of runners")
		h.Work()
		h.WantReplies(paused, "public: <@"+actionstest.Bob.UserID+"> paused actions (`project:platform/**`) until …: a &lt;change&gt; of runners…`/pipesteward resume project platform/**`")
		r := h.Press(actionstest.Ada, chatops.ButtonRetry)
		for range 20 {
			h.Work()
			h.Clock.Advance(time.Second)
		}
		h.WantReplies(r, "Waits to retry …as Ada requested…paused (project:platform/**) by Bob (Slack ")
		if n := h.GitLab.Count(http.MethodPost, "/retry"); n != 0 {
			t.Errorf("%d retries during the pause, want none", n)
		}
		resumed := h.Type(actionstest.Bob, "resume project platform/**")
		h.WorkOff()
		h.WantReplies(resumed, "public: <@"+actionstest.Bob.UserID+"> ended the pause `project:platform/**`")
		h.WantReplies(r, "Waits to retry", "Retried …by Ada")
		changes, err := h.Audit().List(t.Context())
		if err != nil || len(changes) != 2 {
			t.Fatalf("changes %+v, %v; want 2", changes, err)
		}
		for i, want := range []string{event.ChangeResume, event.ChangePause} {
			if c := changes[i]; c.Action != want || c.By != "Bob (Slack "+actionstest.Bob.UserID+")" || c.Target != "project:platform/**" {
				t.Errorf("change %+v, want %s by Bob", c, want)
			}
		}
	})
}

// TestOutcomeThatComesTooLate: while Slack still takes replies, the person reads that the
// outcome will not be one.
func TestOutcomeThatComesTooLate(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	job := told(h, gitlabtest.Job{}, "failed")
	h.Type(actionstest.Bob, "pause all")
	h.Work()
	r := h.Press(actionstest.Ada, chatops.ButtonRetry)
	for range 31 * 6 {
		h.Work()
		h.Clock.Advance(10 * time.Second)
	}
	h.WantReplies(r, "Waits to retry", "Your request is still in the queue: paused (all) by Bob …no later reply…`/pipesteward why "+h.GitLab.URL()+"/platform/shop/-/jobs/"+itoa(job.ID)+"`")
}

// TestRepliesInTheLanguageOfTheMessage: what comes of a button is said in its language.
func TestRepliesInTheLanguageOfTheMessage(t *testing.T) {
	t.Parallel()
	h := open(t, strings.Replace(notices, "group: false", "group: false, language: zh", 1), actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	h.Type(actionstest.Bob, "pause all")
	h.Work()
	ada, bob := h.Press(actionstest.Ada, chatops.ButtonRetry), h.Press(actionstest.Bob, chatops.ButtonRetry)
	for range 29 * 6 {
		h.Work()
		h.Clock.Advance(10 * time.Second)
	}
	h.WantReplies(ada, "等待重试", "您的请求仍在队列中：paused (all)")
	h.WantReplies(bob, "Ada 已于 ")
	h.Type(actionstest.Bob, "resume all")
	h.WorkOff()
	before := func(does string) chatops.Request { // a press on the message as it was
		b := *ada.Button
		b.Does = does
		return h.Request(chatops.Request{By: actionstest.Ada, Button: &b, At: ada.At})
	}
	again := before(chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(again, "已重试")
	mute, log := before(chatops.ButtonMute), before(chatops.ButtonLog)
	h.WorkOff()
	h.WantReplies(mute, "public: …已将通知静音（`rule:told, project:platform/shop`），直至 …`/pipesteward unmute project platform/shop rule told` 解除")
	h.WantReplies(log, "的日志")
}

// TestBudgetsOnPeople: budgets of retries count those of people.
func TestBudgetsOnPeople(t *testing.T) {
	t.Parallel()
	h := open(t, "version: 1\nlimits: {per_pipeline: 1}\n"+strings.TrimPrefix(notices, "\nversion: 1\n"), actionstest.Everybody)
	job := told(h, gitlabtest.Job{}, "failed")
	h.Deliver(h.GitLab.JobHookBody(h.End(h.MustRetry(job.ID).Name, "failed", "script_failure")))
	h.WorkOff()
	r := h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(r, "Did not retry …`limits.per_pipeline` allows")
}

// TestRights: who may not do something is refused, and reads why; it is logged who that
// was. An error of the check is no permission.
func TestRights(t *testing.T) {
	t.Parallel()
	var asked chatops.Target
	h := open(t, notices, func(_ chatops.Person, to chatops.Target, does string) (string, error) {
		asked = to
		if does == chatops.ButtonRetry && to.Ref != "" { // the role alone suffices
			return "You need the role Developer in platform/shop.", nil
		}
		return "", nil
	})
	job := told(h, gitlabtest.Job{}, "failed")
	r := h.Press(actionstest.Bob, chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(r, "You need the role Developer in platform/shop.")
	if asked.Project != job.ProjectID || asked.Ref != h.Pipeline.Ref {
		t.Errorf("rights on %+v were checked, want on the project and ref of the job", asked)
	}
	actionstest.Has(t, h.Logs.String(), `"msg":"a request from Slack is refused"`, `"by":"Bob (Slack U0000000012)"`, `"reason":"You need the role Developer in platform/shop."`)
	if n := h.GitLab.Count(http.MethodPost, ""); n != 0 {
		t.Errorf("%d writes in GitLab, want none", n)
	}
}

func TestRightsThatCantBeChecked(t *testing.T) {
	t.Parallel()
	h := open(t, notices, func(chatops.Person, chatops.Target, string) (string, error) {
		return "", http.ErrHandlerTimeout
	})
	told(h, gitlabtest.Job{}, "failed")
	r := h.Press(actionstest.Bob, chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(r, "That failed: ")
	if n := h.GitLab.Count(http.MethodPost, ""); n != 0 {
		t.Errorf("%d writes in GitLab, want none", n)
	}
}

// TestExpiredMessage: the journal has the decision no more.
func TestExpiredMessage(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	r := h.Request(chatops.Request{By: actionstest.Ada, Button: &chatops.Button{Does: chatops.ButtonRetry, Of: "gone", Job: 1}})
	h.WorkOff()
	h.WantReplies(r, "This message is too old")
}

// TestLogButton: the excerpt is for the person alone, masked, and can't break out of its
// fence.
func TestLogButton(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	told(h, gitlabtest.Job{Log: "$ make test\nexport TOKEN=glpat-abcdefghij0123456789\n```\n*bold* <!channel> <https://evil.example.com|here>\nERROR: Job failed: exit code 1\n"}, "failed")
	r := h.Press(actionstest.Ada, chatops.ButtonLog)
	h.WorkOff()
	h.WantReplies(r, "From the log of …rspec…:\n```\n…[masked]…&lt;!channel&gt;…\n```")
	text := h.Replies(r)[0]
	if strings.HasPrefix(text, "public: ") || strings.Contains(text, "glpat-") || strings.Count(text, "```") != 2 || strings.Contains(text, "<!channel>") {
		t.Errorf("the reply is %q", text)
	}
}

// TestWhyButton: the answer of the story, and the command that shows all of it.
func TestWhyButton(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	job := told(h, gitlabtest.Job{}, "failed")
	press := h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.WorkOff()
	h.WantReplies(press, "Retried")
	r := h.Request(chatops.Request{By: actionstest.Ada, Command: "why <" + h.GitLab.URL() + "/platform/shop/-/jobs/" + itoa(job.ID) + ">"})
	h.WorkOff()
	h.WantReplies(r, "job "+itoa(job.ID)+" rspec…retried by Ada (Slack U0000000011) as job …`pipesteward why http")
}

// TestMuteMenu: each option mutes what it says, for an hour; what reaches other projects needs
// more than rights in the message's. The button of an older message does as the first option.
func TestMuteMenu(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		does, scope, unmute string
		ofProject           bool
	}{
		{chatops.ButtonMute, "rule:told, project:platform/shop", "project platform/shop rule told", true},
		{chatops.ButtonMuteRule, "rule:told", "rule told", false},
		{chatops.ButtonMuteProject, "project:platform/shop", "project platform/shop", true},
		{chatops.ButtonMuteChannel, "channel:ci", "channel ci", false},
	} {
		t.Run(c.does, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, func(p chatops.Person, to chatops.Target, does string) (string, error) {
				if p != actionstest.Ada && to.Project == 0 && does == chatops.ButtonMute {
					return "Only operators may.", nil
				}
				return "", nil
			})
			told(h, gitlabtest.Job{}, "failed")
			bob := h.Press(actionstest.Bob, c.does)
			h.WorkOff()
			if !c.ofProject {
				h.WantReplies(bob, "Only operators may.")
				bob = h.Press(actionstest.Ada, c.does)
				h.WorkOff()
			}
			h.WantReplies(bob, "public: …muted notifications (`"+c.scope+"`) until …`/pipesteward unmute "+c.unmute+"` ends it.")
			mutes, err := h.Mutes().List(t.Context())
			if err != nil || len(mutes) != 1 || mutes[0].Scope() != c.scope || mutes[0].Until.Sub(bob.ReceivedAt) != time.Hour {
				t.Errorf("mutes %+v, %v; want %s for an hour", mutes, err, c.scope)
			}
			ended := h.Type(actionstest.Ada, "unmute "+c.unmute)
			h.WorkOff()
			h.WantReplies(ended, "public: …ended the mute `"+c.scope+"`")
		})
	}
}

// TestMuteButton: the notifications of the rule in the project end for an hour, also by the
// button of an older version, which is no option of a menu.
func TestMuteButton(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	job := told(h, gitlabtest.Job{}, "failed")
	of := h.Press(actionstest.Ada, chatops.ButtonWhy).Button.Of
	old, err := chatops.ParseButton("pipesteward:mute:"+itoa(job.ID), fmt.Sprintf(`{"does":"mute","of":%q,"job":%d,"in":"ci"}`, of, job.ID))
	if err != nil {
		t.Fatal(err)
	}
	r := h.Request(chatops.Request{By: actionstest.Ada, Button: &old})
	h.Work()
	h.WantReplies(r, "public: <@"+actionstest.Ada.UserID+"> muted notifications (`rule:told, project:platform/shop`) until …`/pipesteward unmute project platform/shop rule told`")
	changes, err := h.Audit().List(t.Context())
	if err != nil || len(changes) != 1 || changes[0].Action != event.ChangeMute || changes[0].By != "Ada (Slack U0000000011)" {
		t.Errorf("changes %+v, %v; want one mute by Ada", changes, err)
	}
	posts := len(h.Slack.Posts())
	again := h.MustRetry(job.ID)
	h.Deliver(h.GitLab.JobHookBody(again.ID))
	h.Work()
	if n := len(h.Slack.Posts()); n != posts {
		t.Errorf("%d messages during the mute, want none", n-posts)
	}
	ended := h.Type(actionstest.Ada, "unmute project platform/shop rule told")
	h.Work()
	h.WantReplies(ended, "public: …ended the mute")
}

// TestPressesInDryRun: while the rule of a message is in dry run, its message has no button that
// acts, and a press on an older one changes nothing; nor does a command, once all rules are.
func TestPressesInDryRun(t *testing.T) {
	t.Parallel()
	dry := strings.Replace(notices, "name: told", "name: told, dry_run: true", 1)
	beside := "  - {name: beside, on: job, if: 'false', actions: [retry]}\n"
	for name, c := range map[string]struct {
		rules           string
		options         rulefile.Options
		button, command string // what the person reads
		calls           int
	}{
		"the rule now":             {dry, rulefile.Options{Requests: true}, "Nothing was changed: all rules are in dry run.", "Nothing was changed: all rules are in dry run.", 0},
		"the rule beside another":  {dry + beside, rulefile.Options{Requests: true}, "Nothing was changed: the rule `told` is in dry run.", "Retried ", 1},
		"another rule":             {notices + strings.Replace(beside, "name: beside", "name: beside, dry_run: true", 1), rulefile.Options{Requests: true}, "Retried ", "Ada requested that", 1},
		"the process":              {notices, rulefile.Options{Requests: true, DryRun: true}, "Nothing was changed: all rules are in dry run.", "Nothing was changed: all rules are in dry run.", 0},
		"the rule is gone":         {"version: 1\nrules:\n" + beside, rulefile.Options{Requests: true}, "Retried ", "Ada requested that", 1},
		"the rule is gone, others": {"version: 1\ndefaults: {dry_run: true}\nrules:\n" + beside, rulefile.Options{Requests: true}, "Nothing was changed: all rules are in dry run.", "Nothing was changed: all rules are in dry run.", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, notices, actionstest.Everybody)
			job := told(h, gitlabtest.Job{}, "failed")
			h.Load(c.rules, c.options)
			pressed := h.Press(actionstest.Ada, chatops.ButtonRetry)
			h.WorkOff()
			typed := h.Type(actionstest.Ada, "retry "+h.GitLab.URL()+"/platform/shop/-/jobs/"+itoa(job.ID))
			h.WorkOff()
			h.WantReplies(pressed, c.button)
			h.WantReplies(typed, c.command)
			if n := h.GitLab.Count(http.MethodPost, "/retry"); n != c.calls {
				t.Errorf("%d retries, want %d", n, c.calls)
			}
		})
	}
	h := open(t, strings.Replace(dry, "when: [done]", "when: [dry_run, done]", 1), actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	for _, b := range h.Slack.Messages("ci")[0].Buttons() {
		if parsed, err := chatops.ParseButton(b.ActionID, b.Value); err != nil || parsed.Does == chatops.ButtonRetry {
			t.Errorf("a message about a dry run has the button %+v %v", parsed, err)
		}
	}
}

// TestDryRunAfterThePress: the dry run of the message's rule is checked at the moment of acting.
func TestDryRunAfterThePress(t *testing.T) {
	t.Parallel()
	h := open(t, notices, actionstest.Everybody)
	told(h, gitlabtest.Job{}, "failed")
	if _, err := h.Pauses().Pause(h.Context(), event.Pause{By: "ann"}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.Pass(10*time.Second, time.Second)
	h.Load(strings.Replace(notices, "name: told", "name: told, dry_run: true", 1)+"  - {name: beside, on: job, if: 'false', actions: [retry]}\n", rulefile.Options{Requests: true})
	if _, err := h.Pauses().ResumeAll(h.Context(), event.Actor{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	h.WorkOff()
	outcomes := h.Outcomes()
	if o := outcomes[len(outcomes)-1]; o.Result != event.ResultDryRun || h.GitLab.Count(http.MethodPost, "/retry") != 0 {
		t.Errorf("the press is %s: %s", o.Result, o.Reason)
	}
}

// TestPlayThatMustBeConfirmed: nobody plays past the question, with a button of whatever message.
func TestPlayThatMustBeConfirmed(t *testing.T) {
	t.Parallel()
	h := open(t, `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - {name: gate, on: job, if: 'job.status == "manual"', actions: [play: {confirm: "#deploys"}], notify: [{when: [deferred, skipped]}]}
`, actionstest.Everybody)
	job := h.AddJob(gitlabtest.Job{Name: "deploy", When: "manual"}, "")
	h.Deliver(h.GitLab.JobHookBody(job.ID))
	h.Pass(10*time.Second, time.Second)
	question := h.Slack.Messages("deploys")[0]
	for _, b := range question.Buttons() {
		if parsed, err := chatops.ParseButton(b.ActionID, b.Value); err == nil && parsed.Does == chatops.ButtonReject {
			h.Request(chatops.Request{By: actionstest.Ada, Button: &parsed})
		}
	}
	h.WorkOff()
	m := h.Slack.Messages("ci")[0]
	actionstest.Has(t, m.Plain(), "Did not play", "rejected by Ada in Slack")
	old := h.Outcomes()[0]
	for _, b := range m.Buttons() {
		if parsed, err := chatops.ParseButton(b.ActionID, b.Value); err != nil || parsed.Does == chatops.ButtonPlay {
			t.Errorf("the message has the button %+v %v", parsed, err)
		}
	}
	pressed := h.Request(chatops.Request{By: actionstest.Bob, Button: &chatops.Button{Does: chatops.ButtonPlay, Of: old.ID}})
	h.WorkOff()
	h.WantReplies(pressed, "The rule has this play confirmed in #deploys")
	if n := h.GitLab.Count(http.MethodPost, "/play"); n != 0 {
		t.Errorf("%d plays", n)
	}
}
