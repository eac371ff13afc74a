package notify_test

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// burstRules notify of each failed job, without an action.
const burstRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: tell, on: job, if: 'job.status == "failed"', notify: [{text: "{{ job.name }} failed"}]}
`

// fails adds pipelines in which so many jobs fail each, and delivers them.
func fails(h *actionstest.Harness, pipelines, each int) {
	h.Helper()
	failsIn(h, "platform", pipelines, each)
}

// failsIn is fails in a project of a namespace.
func failsIn(h *actionstest.Harness, namespace string, pipelines, each int) {
	h.Helper()
	project := h.GitLab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("%s/shop-%d", namespace, h.Now().UnixNano())})
	for range pipelines {
		var jobs []gitlabtest.Job
		for i := range each {
			jobs = append(jobs, gitlabtest.Job{Name: fmt.Sprintf("job-%d", i)})
		}
		h.Pipeline = h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, jobs...)
		for _, job := range jobs {
			h.Deliver(h.GitLab.JobHookBody(h.End(job.Name, "failed", "script_failure")))
		}
	}
}

// wantTold checks that each outcome was sent once: as a line or a reply of its pipeline's
// message, or in one digest. It returns how many messages and digests there are in #ci.
func wantTold(h *actionstest.Harness, when string, outcomes int) (roots, digests int) {
	h.Helper()
	return wantToldIn(h, when, outcomes, "ci")
}

// wantToldIn is wantTold of all channels.
func wantToldIn(h *actionstest.Harness, when string, outcomes int, channels ...string) (roots, digests int) {
	h.Helper()
	inDigests, alone := map[string]int{}, 0
	all := h.Outcomes()
	if len(all) != outcomes {
		h.Errorf("%s: %d outcomes, want %d", when, len(all), outcomes)
	}
	for _, o := range all {
		if len(o.Notifications) != 1 || o.Notifications[0].Result != event.NotificationSent {
			h.Errorf("%s: notifications %#v of %s, want one that is sent", when, o.Notifications, o.ID)
			continue
		}
		if id := o.Notifications[0].Digest; id != "" {
			inDigests[id]++
		} else {
			alone++
		}
	}
	texts := map[string]int{}
	posts := 0
	var messages []slacktest.Message
	for _, channel := range channels {
		messages = append(messages, h.Slack.Messages(channel)...)
	}
	for _, m := range messages {
		text := m.Plain()
		switch {
		case strings.Contains(text, "came at once"):
			digests++
			texts[text]++
			var n int
			if _, err := fmt.Sscanf(text, "📥 %d", &n); err != nil {
				h.Fatalf("%s: a digest without a number: %q", when, text)
			}
			outcomes -= n
		default:
			posts++
			if m.ThreadTS == "" {
				roots++
			}
		}
	}
	if digests != len(inDigests) {
		h.Errorf("%s: %d digests in Slack, and %d in the journal", when, digests, len(inDigests))
	}
	if posts != alone || outcomes != alone {
		h.Errorf("%s: %d messages and replies, %d outcomes in no digest of Slack, and %d in none of the journal", when, posts, outcomes, alone)
	}
	return roots, digests
}

// TestBurstIsGathered: after five messages all others are one digest, those of a pipeline with
// a message are added to that, and `why` and the journal say so.
func TestBurstIsGathered(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, burstRules)
	fails(h, 8, 3)
	h.WorkOff()
	if roots, digests := wantTold(h, "burst", 24); roots != 5 || digests != 1 {
		t.Errorf("%d messages and %d digests, want 5 and 1: %q", roots, digests, h.Posts())
	}
	if posts := h.Posts(); !strings.Contains(posts[len(posts)-1], "• job-0 failed — ×3: ") {
		t.Errorf("the same text of three pipelines is not one line with their number:\n%s", posts[len(posts)-1])
	}
	h.Clock.Advance(time.Hour)
	fails(h, 2, 1)
	h.WorkOff()
	if roots, digests := wantTold(h, "later", 26); roots != 7 || digests != 1 {
		t.Errorf("%d messages and %d digests after the burst, want 7 and 1", roots, digests)
	}
}

// TestGroupIsTurnedOff: each pipeline has its message.
func TestGroupIsTurnedOff(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.Replace(burstRules, `"#ci"}`, `"#ci", group: false}`, 1))
	fails(h, 20, 1)
	h.WorkOff()
	if roots, digests := wantTold(h, "off", 20); roots != 20 || digests != 0 {
		t.Errorf("%d messages and %d digests, want 20 and 0", roots, digests)
	}
}

// TestManyAfterQuietHoursAreOneDigest, and few are messages of their own.
func TestManyAfterQuietHoursAreOneDigest(t *testing.T) {
	t.Parallel()
	for pipelines, want := range map[int][2]int{5: {5, 0}, 6: {0, 1}} {
		h := actionstest.New(t, burstRules)
		from, to := h.Now().Add(-time.Hour).UTC().Format("15:04"), h.Now().Add(time.Hour).UTC().Format("15:04")
		h.Load(strings.Replace(burstRules, `"#ci"}`, fmt.Sprintf(`"#ci", quiet: {from: %q, to: %q}}`, from, to), 1), rulefile.Options{})
		for range pipelines {
			fails(h, 1, 1)
			pass(h, time.Minute)
		}
		if posts := h.Posts(); len(posts) > 0 {
			t.Errorf("posted in the quiet hours: %q", posts)
		}
		pass(h, time.Hour+5*time.Minute)
		if roots, digests := wantTold(h, "after quiet hours", pipelines); roots != want[0] || digests != want[1] || !h.Idle() {
			t.Errorf("%d pipelines: %d messages and %d digests, want %v", pipelines, roots, digests, want)
		}
	}
}

// TestMuteHoldsForGatheredNotices: those that are muted before their digest is sent are not
// in it.
func TestMuteHoldsForGatheredNotices(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, burstRules)
	fails(h, 8, 1)
	h.Work()
	if _, err := h.Mutes().Mute(t.Context(), event.Mute{Rule: "tell"}, false, ""); err != nil {
		t.Fatal(err)
	}
	h.WorkOff()
	muted := 0
	for _, o := range h.Outcomes() {
		if o.Notifications[0].Result == event.NotificationMuted {
			muted++
		}
	}
	if posts := h.Posts(); len(posts) != 5 || muted != 3 {
		t.Errorf("%d posts and %d muted, want 5 and 3: %q", len(posts), muted, posts)
	}
}

// TestDigestsWaitForSlack: while Slack fails, digests wait, and what several have gathered
// comes in one when it answers again.
func TestDigestsWaitForSlack(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, burstRules)
	h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Status: http.StatusServiceUnavailable, Times: 30})
	for range 10 {
		fails(h, 8, 1)
		pass(h, time.Minute)
	}
	pass(h, 2*time.Hour)
	roots, digests := wantTold(h, "after the outage", 80)
	if digests >= 10 || roots+digests == 0 || !h.Idle() {
		t.Errorf("%d messages and %d digests, want fewer digests than minutes", roots, digests)
	}
}

// TestKilledWhileGathering: nothing is lost or sent twice, wherever the program dies.
func TestKilledWhileGathering(t *testing.T) {
	t.Parallel()
	rules := strings.Replace(burstRules, `"#ci"}`, `"#ci", group: {burst: 1}}`, 1)
	actionstest.KilledTwice(t, func(h *actionstest.Harness) { fails(h, 3, 1) }, rules, func(h *actionstest.Harness, when string) {
		if roots, digests := wantTold(h, when, 3); roots+digests < 2 {
			h.Errorf("%s: %d messages and %d digests", when, roots, digests)
		}
	})
}

// full has the test of the whole acceptance run: `make soak` does.
var full = flag.Bool("full-burst", false, "notify of 2,000 failures in 200 pipelines, not of 200 in 20")

// TestStormOfFailures: ten failures in each of ten pipelines a minute, with two replicas
// and a Slack that fails in between, are one message at most for each pipeline and one
// digest for each minute; nothing is lost or sent twice.
func TestStormOfFailures(t *testing.T) {
	t.Parallel()
	pipelines, minutes := 20, 2
	if *full {
		pipelines, minutes = 200, 10
	}
	const each = 10
	h := actionstest.New(t, burstRules)
	both := []*actions.Runner{h.Runner, h.Replica(actionstest.NewFuse(-1))}
	for minute := range minutes {
		switch minute % 4 {
		case 0:
			h.Slack.Fail(slacktest.Fault{Method: "chat.postMessage", Status: http.StatusServiceUnavailable, Times: 20})
		case 1:
			h.Slack.Fail(slacktest.Fault{Method: "chat.update", Error: "internal_error", Times: 20})
		}
		fails(h, pipelines/minutes, each)
		h.Pass(time.Minute, 2*time.Second, both...)
	}
	for range 60 {
		h.Pass(time.Minute, 2*time.Second, both...)
		if h.Idle() {
			break
		}
	}
	if roots, digests := wantTold(h, "storm", pipelines*each); roots > pipelines || digests == 0 || digests > minutes+2 || !h.Idle() {
		t.Errorf("%d messages and %d digests for %d pipelines in %d minutes", roots, digests, pipelines, minutes)
	}
}
