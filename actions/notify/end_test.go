package notify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// endRules notify a receiver that can't edit messages of each outcome of a retry.
const endRules = `
version: 1
receivers: [{name: ops, discord: {url: "https://discord.com/api/webhooks/1/token"}}]
defaults: {receiver: ops}
rules:
  - {name: retry, on: job, if: failed_with("stuck_or_timeout_failure"), actions: [retry: {max_attempts: 2}], notify: [{mention: ["7"]}]}
`

// downError is the error of a receiver that does not answer.
type downError struct{}

func (downError) Error() string                { return "the receiver is down" }
func (downError) Again() (time.Duration, bool) { return 0, true }

// mailbox is a receiver that can't edit messages; a repetition is the same message.
type mailbox struct {
	mu       sync.Mutex
	ids      []string
	messages []string
	mentions [][]string
	headers  []string
	fails    int // so many next messages are refused
}

func (m *mailbox) AtEnd() bool { return true }

func (m *mailbox) Message(_ context.Context, o event.Outcome, _ event.Notice) (string, bool, error) {
	return o.ID + o.Result, false, nil
}

func (m *mailbox) Notify(_ context.Context, o event.Outcome, n event.Notice) error {
	text := n.Text
	if text == "" {
		text = o.Result + " " + o.Job.Name
	}
	return m.add(o.ID+o.Result, text, n.Header, n.Mention)
}

func (m *mailbox) Announce(_ context.Context, key, _, text string) error {
	return m.add(key, text, "", nil)
}

func (m *mailbox) add(id, text, header string, mention []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails > 0 {
		m.fails--
		return downError{}
	}
	if !slices.Contains(m.ids, id) {
		m.ids, m.messages, m.mentions = append(m.ids, id), append(m.messages, text), append(m.mentions, mention)
		m.headers = append(m.headers, header)
	}
	return nil
}

func newMailbox(t *testing.T, ruleFile string) (*actionstest.Harness, *mailbox) {
	t.Helper()
	h, m := actionstest.New(t, ruleFile), &mailbox{}
	useMailbox(h, m)
	return h, m
}

// useMailbox has the harness's program notify a mailbox.
func useMailbox(h *actionstest.Harness, m *mailbox) {
	h.Receivers = map[string]notify.Receiver{"ops": m}
	h.Start(actionstest.NewFuse(-1))
}

// stuck adds a pipeline with a job that got stuck, and delivers its end.
func stuck(h *actionstest.Harness) {
	h.Helper()
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	fail(h, "rspec", actionstest.Stuck)
}

func fail(h *actionstest.Harness, name, reason string) {
	h.Helper()
	h.Deliver(h.GitLab.JobHookBody(h.End(name, "failed", reason)))
}

func succeed(h *actionstest.Harness, name string) {
	h.Helper()
	h.Deliver(h.GitLab.JobHookBody(h.End(name, "success", "")))
}

// ends delivers that the last pipeline has ended.
func ends(h *actionstest.Harness) {
	h.Helper()
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
}

// wantAllSent checks that each outcome was sent, and returns how many were in digests.
func wantAllSent(h *actionstest.Harness, when string) (digests int) {
	h.Helper()
	for _, o := range h.Outcomes() {
		for _, n := range o.Notifications {
			if n.Result != event.NotificationSent {
				h.Errorf("%s: notification %+v of %s", when, n, o.ID)
			}
			if n.Digest != "" {
				digests++
			}
		}
	}
	if !h.Idle() {
		h.Errorf("%s: the queue is not empty", when)
	}
	return digests
}

func wantMessages(h *actionstest.Harness, m *mailbox, when string, want ...string) {
	h.Helper()
	if !slices.Equal(m.messages, want) {
		h.Errorf("%s: messages\n%q\nwant\n%q", when, m.messages, want)
	}
}

// TestOneMessageAtTheEnd: a retry and that it helped are one message, with the newest outcome
// of the job, once the pipeline has ended; and one more if it runs again.
func TestOneMessageAtTheEnd(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, endRules)
	stuck(h)
	h.Pass(20*time.Minute, time.Minute)
	ends(h) // of the run before the retry: it comes late
	h.Pass(20*time.Minute, time.Minute)
	wantMessages(h, m, "while the job runs")
	succeed(h, "rspec")
	h.Pass(5*time.Minute, time.Minute)
	wantMessages(h, m, "before the end is known")
	ends(h)
	h.Pass(2*time.Minute, time.Minute)
	passed := "The pipeline passed.\n• Retrying rspec helped"
	if len(m.messages) != 1 || !strings.HasPrefix(m.messages[0], "The pipeline passed.\n• ") || strings.Count(m.messages[0], "\n") != 1 || !strings.Contains(m.messages[0], "rspec") {
		t.Fatalf("messages %q, want one like %q", m.messages, passed)
	}
	if !slices.Equal(m.mentions[0], []string{"7"}) {
		t.Errorf("mentioned: %q", m.mentions)
	}
	h.WorkOff()
	if n := wantAllSent(h, "recovered"); n != 2 {
		t.Errorf("%d outcomes in the message, want 2", n)
	}

	h.MustRetry(h.GitLab.Latest(h.Pipeline.ID, "rspec").ID)
	h.Clock.Advance(time.Hour)
	fail(h, "rspec", actionstest.Stuck) // the attempts are used up
	ends(h)
	h.WorkOff()
	wantAllSent(h, "gave up")
	if len(m.messages) != 2 || !strings.Contains(m.messages[1], "gave_up rspec") {
		t.Errorf("messages %q, want one more that gives up", m.messages)
	}
}

// TestGaveUpIsSentAtOnce, and is a line of the message at the end, which mentions nobody for it.
func TestGaveUpIsSentAtOnce(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, endRules)
	stuck(h)
	h.Pass(time.Minute, time.Second)
	fail(h, "rspec", actionstest.Stuck)
	h.Pass(10*time.Second, time.Second)
	wantMessages(h, m, "at once", "gave_up rspec")
	ends(h)
	h.WorkOff()
	wantAllSent(h, "at the end")
	if len(m.messages) != 2 || !strings.HasPrefix(m.messages[1], "The pipeline failed.\n• Gave up on rspec") || strings.Count(m.messages[1], "\n") != 1 {
		t.Errorf("messages %q, want the end", m.messages)
	}
}

// TestEndThatIsNotReported: the message is sent an hour after the last outcome.
func TestEndThatIsNotReported(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, endRules)
	stuck(h)
	h.Pass(50*time.Minute, time.Minute)
	succeed(h, "rspec")
	h.Pass(55*time.Minute, time.Minute)
	wantMessages(h, m, "within the hour")
	h.Pass(10*time.Minute, time.Minute)
	if len(m.messages) != 1 || !strings.HasPrefix(m.messages[0], "No end of the pipeline was reported; so far:\n• ") {
		t.Errorf("messages %q", m.messages)
	}
	h.WorkOff()
	wantAllSent(h, "after the hour")
}

// TestGroupFalseSendsEachAtOnce: no message waits for the end of a pipeline.
func TestGroupFalseSendsEachAtOnce(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, strings.Replace(endRules, "receiver: ops}", "receiver: ops, group: false}", 1))
	stuck(h)
	h.Pass(10*time.Second, time.Second)
	wantMessages(h, m, "at once", "done rspec")
}

// TestAlertIsSentAtOnce: what a rule without actions says does not wait.
func TestAlertIsSentAtOnce(t *testing.T) {
	t.Parallel()
	head, _, _ := strings.Cut(endRules, "  - ")
	h, m := newMailbox(t, head+`  - {name: alert, on: job, if: 'job.status == "failed"', notify: [{text: "{{ job.name }} failed"}]}`)
	stuck(h)
	h.Pass(10*time.Second, time.Second)
	wantMessages(h, m, "at once", "rspec failed")
}

// TestManyPipelinesEndAtOnce: after five messages all others are one digest.
func TestManyPipelinesEndAtOnce(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, endRules)
	const pipelines = 12
	var all []gitlabtest.Pipeline
	for range pipelines {
		stuck(h)
		all = append(all, h.Pipeline)
	}
	h.Work()
	for _, h.Pipeline = range all {
		succeed(h, "rspec")
		ends(h)
	}
	h.WorkOff()
	if n := wantAllSent(h, "all"); n != 2*pipelines || len(m.messages) != 6 || !strings.HasPrefix(m.messages[0], "The pipeline passed.\n") || !strings.Contains(m.messages[5], "14 notifications* came at once") {
		t.Errorf("%d outcomes in %q, want all in five messages and a digest", n, m.messages)
	}
}

// TestEndInQuietHours: the message waits for the end of the quiet hours, of which there may be
// several meanwhile; a mute holds for it.
func TestEndInQuietHours(t *testing.T) {
	t.Parallel()
	for _, muted := range []bool{false, true} {
		h, m := newMailbox(t, endRules)
		at := func(d time.Duration) string { return h.Now().Add(d).UTC().Format("15:04") }
		h.Load(strings.Replace(endRules, "receiver: ops}", fmt.Sprintf("receiver: ops, quiet: {from: %q, to: %q}}", at(5*time.Minute), at(time.Hour)), 1), rulefile.Options{})
		stuck(h)
		h.Pass(10*time.Minute, time.Minute)
		succeed(h, "rspec")
		ends(h)
		h.Pass(40*time.Minute, time.Minute)
		wantMessages(h, m, "in quiet hours")
		if muted {
			if _, err := h.Mutes().Mute(t.Context(), event.Mute{Rule: "retry"}, false, ""); err != nil {
				t.Fatal(err)
			}
		}
		h.Pass(20*time.Minute, time.Minute)
		h.WorkOff()
		if want := map[bool]int{false: 1}[muted]; len(m.messages) != want {
			t.Errorf("muted %t: messages %q, want %d", muted, m.messages, want)
		}
		for _, o := range h.Outcomes() {
			if want := map[bool]string{false: event.NotificationSent, true: event.NotificationMuted}[muted]; o.Notifications[0].Result != want {
				t.Errorf("muted %t: %+v", muted, o.Notifications)
			}
		}
	}
}

// TestMuteBeforeTheEnd: a mute that has ended when the message is sent takes nothing from it; one
// that is in force then takes all that it covers.
func TestMuteBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rule   string
		muted  time.Duration
		result string // of the first notice in the journal
		want   []string
	}{
		{"ended before", "retry", 10 * time.Minute, event.NotificationSent, []string{"The pipeline failed.\n• Gave up on rspec", "\n• Recovered: lint"}},
		{"in force", "retry", 2 * time.Hour, event.NotificationMuted, nil},
		{"of another rule", "other", 2 * time.Hour, event.NotificationSent, []string{"gave_up rspec", "The pipeline failed.\n• Gave up on rspec", "\n• Recovered: lint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, m := newMailbox(t, endRules)
			if _, err := h.Mutes().Mute(t.Context(), event.Mute{Rule: c.rule, Until: h.Now().Add(c.muted)}, false, ""); err != nil {
				t.Fatal(err)
			}
			h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
			fail(h, "rspec", actionstest.Stuck)
			fail(h, "lint", actionstest.Stuck)
			h.Pass(time.Minute, time.Second)
			fail(h, "rspec", actionstest.Stuck) // the attempts are used up, which is sent at once
			h.Pass(20*time.Minute, time.Minute)
			succeed(h, "lint")
			ends(h)
			h.Pass(2*time.Minute, time.Second)
			h.WorkOff()
			got := strings.Join(m.messages, "\n")
			for _, part := range c.want {
				if !strings.Contains(got, part) {
					t.Errorf("messages %q lack %q", m.messages, part)
				}
			}
			if (len(m.messages) == 0) != (c.want == nil) {
				t.Errorf("messages %q", m.messages)
			}
			if n := h.Outcomes()[0].Notifications; len(n) != 1 || n[0].Result != c.result {
				t.Errorf("the first notification is %+v, want %s", n, c.result)
			}
		})
	}
}

// TestMuteInQuietHours: what waits is muted if a mute is in force at the end of the quiet hours.
func TestMuteInQuietHours(t *testing.T) {
	t.Parallel()
	for muted, want := range map[time.Duration]int{30 * time.Minute: 1, 2 * time.Hour: 0} {
		h, m := newMailbox(t, endRules)
		at := func(d time.Duration) string { return h.Now().Add(d).UTC().Format("15:04") }
		h.Load(strings.Replace(endRules, "receiver: ops}", fmt.Sprintf("receiver: ops, group: false, quiet: {from: %q, to: %q}}", at(-time.Hour), at(time.Hour)), 1), rulefile.Options{})
		if _, err := h.Mutes().Mute(t.Context(), event.Mute{Rule: "retry", Until: h.Now().Add(muted)}, false, ""); err != nil {
			t.Fatal(err)
		}
		stuck(h)
		h.Pass(70*time.Minute, time.Minute)
		if len(m.messages) != want {
			t.Errorf("muted for %s of one hour: %q, want %d messages", muted, m.messages, want)
		}
	}
}

// TestEndOverReplicas: whichever of two gathers, and while the receiver fails, each pipeline
// has one message.
func TestEndOverReplicas(t *testing.T) {
	t.Parallel()
	h, m := newMailbox(t, endRules)
	m.fails = 3
	both := []*actions.Runner{h.Runner, h.Replica(actionstest.NewFuse(-1))}
	for range 3 {
		stuck(h)
		h.Pass(time.Minute, time.Second, both...)
		succeed(h, "rspec")
		ends(h)
		h.Pass(time.Minute, time.Second, both...)
	}
	h.Pass(3*time.Hour, time.Minute, both...)
	if n := wantAllSent(h, "all"); n != 6 || len(m.messages) != 3 {
		t.Errorf("%d outcomes in messages %q, want 6 in 3", n, m.messages)
	}
}

// TestKilledBeforeTheEnd: nothing is lost or sent twice, wherever the program dies.
func TestKilledBeforeTheEnd(t *testing.T) {
	t.Parallel()
	var m *mailbox
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		m = &mailbox{}
		useMailbox(h, m)
		stuck(h)
		passed := false
		h.Meanwhile = func() {
			if !passed && h.GitLab.Latest(h.Pipeline.ID, "rspec").Status == "pending" {
				passed = true
				succeed(h, "rspec")
				ends(h)
			}
		}
	}, endRules, func(h *actionstest.Harness, when string) {
		if n := wantAllSent(h, when); n != 2 || len(m.messages) < 1 || len(m.messages) > 2 {
			h.Errorf("%s: %d outcomes in messages %q, want 2", when, n, m.messages)
		}
	})
}

// TestEndAfterARetryOfAPerson: what came of a retry that a person requested in Slack is the
// newest outcome of its job there, too, and of no other job.
func TestEndAfterARetryOfAPerson(t *testing.T) {
	t.Parallel()
	rules := strings.Replace(endRules, "mention: [\"7\"]}]", "mention: [\"7\"]}, {channel: \"#ci\"}]", 1) + `
  - {name: alert, on: job, if: job.name == "lint" and job.status == "failed", notify: [{channel: "#ci"}]}
templates: {recovered: "{{ job.name }} is fine{{ outcome.by != '' ? ' thanks to ' + outcome.by : '' }}"}
`
	h := actionstest.New(t, rules)
	h.Load(rules, rulefile.Options{Requests: true})
	m := &mailbox{}
	h.Rights = actionstest.Rights(actionstest.Everybody)
	useMailbox(h, m)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "lint"})
	fail(h, "rspec", actionstest.Stuck)
	h.Pass(time.Minute, time.Second)
	fail(h, "rspec", actionstest.Stuck)
	h.Pass(10*time.Second, time.Second)
	wantMessages(h, m, "at once", "gave_up rspec")
	h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.Pass(10*time.Second, time.Second)
	succeed(h, "rspec")
	fail(h, "lint", "script_failure")
	h.Pass(10*time.Second, time.Second)
	h.Press(actionstest.Ada, chatops.ButtonRetry)
	h.Pass(10*time.Second, time.Second)
	succeed(h, "lint")
	ends(h)
	h.Pass(2*time.Minute, time.Second)
	if len(m.messages) != 2 || m.messages[1] != "The pipeline passed.\n• rspec is fine thanks to Ada" {
		t.Errorf("messages %q, want the end, with what came of the retry by Ada", m.messages)
	}
}

// TestHeaderOfTheEnd: the message at the end of a pipeline has the header of the rule files, in
// the language of the receiver, and says what the pipeline came to.
func TestHeaderOfTheEnd(t *testing.T) {
	t.Parallel()
	const header = `templates: {header: {zh: "{{ project.path }}: {{ pipeline.status }}{{ outcome.result }}"}, details: "{{ pipeline.stages[1000] }}"}` + "\n"
	for language, want := range map[string]string{event.Chinese: "platform/shop: success", event.English: ""} {
		h, m := newMailbox(t, strings.Replace(endRules, "name: ops,", "name: ops, language: "+language+",", 1)+header)
		stuck(h)
		h.Pass(time.Minute, time.Second)
		succeed(h, "rspec")
		ends(h)
		h.WorkOff()
		if len(m.headers) != 1 || m.headers[0] != want {
			t.Errorf("%s: headers %q, want %q", language, m.headers, want)
		}
	}
}
