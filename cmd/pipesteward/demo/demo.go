// Package demo plays a short story on the real service between a simulated GitLab and
// a simulated Slack.
package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

//go:embed demo.rules.yaml
var rules []byte

const (
	webhookToken = "demo-webhook-secret"
	slackToken   = "xoxb-demo"
	// patience is how long a scene waits for the effect that it shows; without the
	// effect the demo fails.
	patience = 5 * time.Second
	// beat is the time between two steps of the story, so that people can follow.
	beat = 300 * time.Millisecond
)

// Run starts a simulated GitLab, a simulated Slack and the real service of this version
// on free ports, plays the story on them and prints it. With keep, everything stays up
// after the story until ctx is done.
func Run(ctx context.Context, stdout io.Writer, version string, keep bool) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	dir, err := os.MkdirTemp("", "pipesteward-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rulesFile := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rulesFile, rules, 0o600); err != nil {
		return err
	}

	narrate := &narrator{w: stdout, began: time.Now()}
	gl, err := gitlabtest.Listen("127.0.0.1:0", gitlabtest.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer gl.Close()
	chat, err := slacktest.New(slacktest.Options{Now: time.Now, Token: slackToken, OnMessage: narrate.slack})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, chat.Close()) }()

	service, err := app.New(ctx, app.Options{
		Rules: rulesFile, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Store:     "bolt:" + filepath.Join(dir, "pipesteward.db"),
		GitLabURL: gl.URL(), GitLabToken: gitlabtest.DefaultToken, GitLabRate: store.Rate{Limit: 3000, Per: time.Minute},
		Credentials: webhook.Credentials{Tokens: []string{webhookToken}}, SlackToken: slackToken, SlackURL: chat.URL() + "/",
		Version: version,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	webhooks, admin := service.WebhookURL(), service.AdminURL()
	gl.AddHook(gitlabtest.Hook{URL: webhooks, Token: webhookToken, JobEvents: true, PipelineEvents: true})

	narrate.say("Pipesteward's demo: the real service between a simulated GitLab and a simulated Slack.\n")
	narrate.say("  GitLab     %s", gl.URL())
	narrate.say("  webhooks   %s", webhooks)
	narrate.say("  decisions  %s/api/v1/decisions", admin)
	narrate.say("  metrics    %s/metrics", admin)

	s := &story{narrator: narrate, gitlab: gl, admin: admin}
	failed := s.play(ctx)
	if failed == nil && keep {
		s.lookAround(webhooks)
		<-ctx.Done()
	}
	stop()
	return errors.Join(failed, <-ended)
}

// narrator prints what happens, line by line.
type narrator struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
}

func (n *narrator) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.w, format+"\n", args...)
}

// happens prints who did what, and when.
func (n *narrator) happens(who, format string, args ...any) {
	text := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "\n"+strings.Repeat(" ", 23))
	n.say("%6.1fs  %-12s  %s", time.Since(n.began).Seconds(), who, text)
}

// linked is where the plain text of a message names the page behind a word.
var linked = regexp.MustCompile(` \(https?://[^ )]*\)`)

// slack prints a Slack message as people see it: links are words there.
func (n *narrator) slack(m slacktest.Message) {
	where := "#" + m.Channel
	switch {
	case m.Edited:
		where += ", edited"
	case m.ThreadTS != "":
		where += ", in its thread"
	}
	n.happens("Slack", "%s:\n%s", where, linked.ReplaceAllString(m.Plain(), ""))
}

// story plays the people, the runners and the code, scene after scene.
type story struct {
	*narrator
	gitlab *gitlabtest.Server
	admin  string
	shown  map[string]bool // outcomes that were printed
}

func (s *story) play(ctx context.Context) error {
	s.shown = map[string]bool{}
	for i, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A job gets stuck. Its code is fine, so it is retried until it passes, and staging is deployed.", s.stuckJob},
		{"A job fails because its code is red. No retry mends that: it is left alone.", s.redJob},
		{"A review app is done. Its job logs are erased.", s.erasedLog},
	} {
		s.say("\n%d. %s\n", i+1, scene.title)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("demo: scene %d: %w", i+1, err)
		}
	}
	s.say("\nThat was it: %d outcomes, each with its reason at %s/api/v1/decisions", len(s.shown), s.admin)
	return nil
}

func (s *story) stuckJob(ctx context.Context) error {
	project := s.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Message: "Add a basket"},
		gitlabtest.Job{Stage: "test", Name: "integration"},
		gitlabtest.Job{Stage: "deploy", Name: "deploy-staging", When: "manual", AllowFailure: true},
	)
	s.happens("Ada", "pushes «Add a basket» to %s, branch %s: %s", project.Path, pipeline.Ref, pipeline.WebURL)

	first := s.gitlab.Latest(pipeline.ID, "integration")
	s.ends(first, "failed", "stuck_pending_with_matching_runners")
	second, err := s.nextRun(ctx, first)
	if err != nil {
		return err
	}
	s.runs(second)
	s.ends(second, "failed", "runner_system_failure")
	third, err := s.nextRun(ctx, second)
	if err != nil {
		return err
	}
	s.runs(third)
	s.ends(third, "success", "")

	deploy := func() gitlabtest.Job { return s.gitlab.Latest(pipeline.ID, "deploy-staging") }
	if err := s.await(ctx, "deploy-staging is played", func() bool { return deploy().Status == "pending" }); err != nil {
		return err
	}
	s.runs(deploy())
	s.ends(deploy(), "success", "")
	return nil
}

func (s *story) redJob(ctx context.Context) error {
	project := s.gitlab.AddProject(gitlabtest.Project{Path: "platform/search"})
	pipeline := s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Message: "Faster index"}, gitlabtest.Job{Stage: "test", Name: "unit-tests"})
	s.happens("Ada", "pushes «Faster index» to %s: %s", project.Path, pipeline.WebURL)
	job := s.gitlab.Latest(pipeline.ID, "unit-tests")
	s.runs(job)
	s.gitlab.SetLog(job.ID, "expected 3 hits, got 2\nERROR: Job failed: exit code 1\n")
	s.ends(job, "failed", "script_failure")

	// Its log is read, because a rule asks for it, and then nothing happens.
	read := func() bool { return s.gitlab.Count("GET", fmt.Sprintf("/jobs/%d/trace", job.ID)) > 0 }
	if err := s.await(ctx, "the job's log is read", read); err != nil {
		return err
	}
	if err := s.await(ctx, "the queue is empty", func() bool { return s.queued(ctx) == 0 }); err != nil {
		return err
	}
	if latest := s.gitlab.Latest(pipeline.ID, "unit-tests"); latest.ID != job.ID {
		return fmt.Errorf("the red job %d was retried as job %d", job.ID, latest.ID)
	}
	s.happens("Pipesteward", "read its log, found no full disk, and leaves it alone: Ada's to mend")
	return nil
}

func (s *story) erasedLog(ctx context.Context) error {
	project := s.gitlab.AddProject(gitlabtest.Project{Path: "platform/website"})
	pipeline := s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "review/new-colors"}, gitlabtest.Job{Stage: "review", Name: "review-app"})
	s.happens("Ada", "pushes %s to %s: %s", pipeline.Ref, project.Path, pipeline.WebURL)
	job := s.gitlab.Latest(pipeline.ID, "review-app")
	s.runs(job)
	s.gitlab.SetLog(job.ID, strings.Repeat("Uploading...\n", 1000))
	s.ends(job, "success", "")
	return s.await(ctx, "the log is erased", func() bool { return !s.gitlab.Job(job.ID).ErasedAt.IsZero() })
}

// runs lets a runner take the job.
func (s *story) runs(job gitlabtest.Job) {
	time.Sleep(beat)
	s.gitlab.Run(job.ID)
	s.happens("GitLab", "%s runs as job %d", job.Name, job.ID)
}

// ends finishes the job.
func (s *story) ends(job gitlabtest.Job, status, reason string) {
	time.Sleep(beat)
	s.gitlab.Finish(job.ID, status, reason)
	if reason != "" {
		status += ", " + reason
	}
	s.happens("GitLab", "%s (job %d): %s  %s", job.Name, job.ID, status, job.WebURL)
}

// nextRun waits for a newer run of the job.
func (s *story) nextRun(ctx context.Context, job gitlabtest.Job) (gitlabtest.Job, error) {
	var latest gitlabtest.Job
	err := s.await(ctx, job.Name+" is retried", func() bool {
		latest = s.gitlab.Latest(job.PipelineID, job.Name)
		return latest.ID != job.ID && latest.Status == "pending"
	})
	return latest, err
}

// await waits until the condition is true and the queue is empty, and prints the
// outcomes.
func (s *story) await(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not seen within %s", what, patience))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seen := false; ; {
		seen = seen || holds()
		if seen && s.queued(ctx) == 0 {
			return s.showOutcomes(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// queued is how many records the service has in its queue; -1 if it does not
// narrate.
func (s *story) queued(ctx context.Context) int {
	var queue struct{ Due, Waiting, Leased int }
	if err := s.get(ctx, "/api/v1/queue", &queue); err != nil {
		return -1
	}
	return queue.Due + queue.Waiting + queue.Leased
}

// showOutcomes prints the outcomes that are new.
func (s *story) showOutcomes(ctx context.Context) error {
	var page struct{ Decisions []event.Outcome }
	if err := s.get(ctx, "/api/v1/decisions", &page); err != nil {
		return err
	}
	for i := len(page.Decisions) - 1; i >= 0; i-- {
		o := page.Decisions[i]
		if o.Result == "" || s.shown[o.ID] {
			continue
		}
		s.shown[o.ID] = true
		s.happens("Pipesteward", "%s of %s (job %d): %s", o.Action.Verb, o.Job.Name, o.Job.ID, came(o))
	}
	return nil
}

// came returns the outcome of a decision in words.
func came(o event.Outcome) string {
	text := o.Result
	if o.Reason != "" {
		text += ", " + o.Reason
	}
	if o.NewJobID != 0 && o.NewJobID != o.Job.ID {
		text += fmt.Sprintf(", runs as job %d", o.NewJobID)
	}
	return text + "  (rule " + o.Rule + ")"
}

func (s *story) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// lookAround says what can be tried while the demo keeps running.
func (s *story) lookAround(webhooks string) {
	s.say("\nIt keeps running; Ctrl-C ends it. To look around:\n")
	s.say("  curl -s '%s/api/v1/decisions?outcome=done'", s.admin)
	s.say("  curl -s %s/metrics | grep ^pipesteward", s.admin)
	s.say("  curl -si %s -H 'X-Gitlab-Token: %s' -d @hook.json    # a hook body of your own", webhooks, webhookToken)
	s.say("  curl -s '%s/api/v4/projects/1/jobs' -H 'PRIVATE-TOKEN: %s'", s.gitlab.URL(), gitlabtest.DefaultToken)
}
