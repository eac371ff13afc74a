package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// TestDigestOverReplicas: of three pipelines, one has its message and two are in a digest,
// whichever replica gathers them; `queue` and `why` say so.
func TestDigestOverReplicas(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", strings.Replace(mutedRules, `"#ci"}`, `"#ci", group: {burst: 1, wait: 1h, interval: 1h}}`, 1))
	redis := redistest.Start(t)
	first, second := env.run("--store", redis.URL()), env.run("--store", redis.URL())
	var jobs []gitlabtest.Job
	for i, p := range []*program{first, second, first} {
		jobs = append(jobs, env.stuckJob())
		p.post(env.gitlab.JobHookBody(jobs[i].ID))
	}
	first.eventually("two notices wait for a digest", func() bool {
		return strings.Count(first.wants([]string{"queue", "list", "--waits-for", "digest", "--kind", "notice", "--json"}), `"waits_for": "digest"`) == 2
	})
	first.wants([]string{"queue", "list", "--kind", "digest", "--json"}, "digest to #ci in Slack")
	second.workedOffAtOnce(redis)
	var digests []string
	for _, o := range second.outcomes() {
		if n := o.Notifications; len(n) != 1 || n[0].Result != event.NotificationSent {
			t.Errorf("notifications %+v, want one that is sent", n)
		} else if n[0].Digest != "" {
			digests = append(digests, n[0].Digest)
		}
	}
	posts := env.slack.Posts()
	if len(digests) != 2 || digests[0] != digests[1] || len(posts) != 2 || !strings.Contains(posts[1].Plain(), "2 notifications came at once: done 2") {
		t.Errorf("digests %q and posts %+v, want a message, and a digest of two", digests, posts)
	}
	in := 0
	for _, job := range jobs {
		if strings.Contains(second.wants([]string{"why", env.page(job), "--all"}, "notified #ci in Slack"), "in a digest") {
			in++
		}
	}
	if in != 2 {
		t.Errorf("`why` says of %d jobs that they were in a digest, want 2", in)
	}
}

// TestQuietHoursOfTheProgram: a notice waits while it is quiet, and `queue` and `why` say so.
func TestQuietHoursOfTheProgram(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format("15:04") }
	env.write("rules.yaml", strings.Replace(mutedRules, `"#ci"}`, fmt.Sprintf(`"#ci", quiet: {from: %q, to: %q}}`, at(-12*time.Hour), at(11*time.Hour)), 1))
	p := env.run()
	job := env.stuckJob()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.eventually("the notice waits", func() bool {
		return strings.Contains(p.wants([]string{"queue", "list", "--json"}), `"waits_for": "quiet"`)
	})
	p.wants([]string{"queue", "list", "--waits-for", "quiet", "--json"}, "retry of rspec: done, to #ci in Slack", "the end of the quiet hours")
	p.wants([]string{"why", env.page(job)}, "its notification to #ci in Slack has not been sent yet")
	if posts := env.slack.Posts(); len(posts) > 0 {
		t.Errorf("posted in the quiet hours: %+v", posts)
	}
}
