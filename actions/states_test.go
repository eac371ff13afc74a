package actions_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const stateRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: red-main
    on: pipeline
    if: pipeline.ref == project.default_branch and pipeline.status in ["failed", "success"]
    notify:
      - {state: pipeline.status == "failed", text: "{{ pipeline.id }} is red", resolved: "{{ pipeline.id }} is green"}
`

// endPipeline ends a new pipeline of the same project in a status, and delivers that.
func endPipeline(h *actionstest.Harness, status string) {
	job := gitlabtest.Job{Name: "rspec"}
	if h.Pipeline.ProjectID == 0 {
		h.AddPipeline(gitlabtest.Pipeline{}, job)
	} else {
		h.Pipeline = h.GitLab.AddPipeline(h.Pipeline.ProjectID, gitlabtest.Pipeline{}, job)
	}
	h.End("rspec", status, "script_failure")
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
}

// A kill between any two steps, and another one soon after the start that follows: people
// hear of each turn once.
func TestStateKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		endPipeline(h, "failed")
		next := []string{"failed", "success", "success", "failed"}
		h.Meanwhile = func() {
			if len(next) > 0 && h.Idle() {
				endPipeline(h, next[0])
				next = next[1:]
			}
		}
	}, stateRules, func(h *actionstest.Harness, when string) {
		var messages, replies []string
		for _, post := range h.Slack.Posts() {
			lines := strings.Split(post.Plain(), "\n")
			if post.ThreadTS == "" {
				messages = append(messages, lines[len(lines)-1])
			} else {
				replies = append(replies, lines[0])
			}
		}
		if want := []string{"🔔 101 is red", "🔔 105 is red"}; !slices.Equal(messages, want) {
			h.Errorf("%s: messages %q, want %q", when, messages, want)
		}
		if want := []string{"🔔 103 is green"}; !slices.Equal(replies, want) {
			h.Errorf("%s: replies %q, want %q", when, replies, want)
		}
		if now := h.Slack.Messages("ci"); len(now) > 0 && !strings.Contains(now[0].Plain(), "103 is green") {
			h.Errorf("%s: the message of the beginning does not say that it is over: %q", when, now[0].Plain())
		}
	})
}

// A dry run notifies of states: that changes nothing in GitLab.
func TestStateInADryRun(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.Replace(stateRules, "on: pipeline", "on: pipeline\n    dry_run: true", 1))
	endPipeline(h, "failed")
	h.WorkOff()
	endPipeline(h, "success")
	h.WorkOff()
	h.WantResults(event.ResultDryRun, event.ResultDryRun)
	if posts := h.Posts(); len(posts) != 2 {
		t.Errorf("posts %q", posts)
	}
}

// A state that two replicas set at once, by many pipelines that end in any order: each turn
// follows the one before it, whichever replica decided that.
func TestStateOnTwoReplicas(t *testing.T) {
	await.Long(t, "it needs a Redis")
	t.Parallel()
	const pipelines = 20
	redis := redistest.Start(t)
	h := actionstest.NewOnRedis(t, redis.URL(), "{states}:", stateRules)
	for i := range pipelines {
		endPipeline(h, []string{"failed", "success"}[i%2])
	}
	replicas := []func(){}
	for range 2 {
		r := h.Replica(actionstest.NewFuse(-1))
		replicas = append(replicas, func() { r.WorkOff(h.Context(), time.Minute) })
	}
	for !h.Idle() {
		var working sync.WaitGroup
		for _, work := range replicas {
			working.Go(work)
		}
		working.Wait()
		if err := h.DB.Wait(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	began, resolved := map[string]int{}, map[string]int{}
	for _, o := range h.Outcomes() {
		switch s := o.States[0]; s.Turn {
		case event.StateBegan:
			began[s.Subject]++
		case event.StateResolved:
			resolved[s.Subject]++
		}
	}
	if len(h.Outcomes()) != pipelines || len(resolved) != len(began) { // the newest pipeline passed
		t.Errorf("%d outcomes, %d beginnings, %d ends", len(h.Outcomes()), len(began), len(resolved))
	}
	for subject, n := range began {
		if n != 1 || resolved[subject] != 1 {
			t.Errorf("%s began %d times and ended %d times", subject, n, resolved[subject])
		}
	}
	if posts := len(h.Slack.Posts()); posts != 2*len(began) {
		t.Errorf("%d posts, want %d", posts, 2*len(began))
	}
}
