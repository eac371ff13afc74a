// Package demo plays a short story on the real service between a simulated GitLab and
// a simulated Slack:
//
//	demo.go      starts everything, and stops it
//	story.go     the scenes
//	service.go   what the service has decided, by its API
//	narrator.go  prints what happens
//	prompt.go    commands that go on with the story
//	next.go      what to try next: shell commands
package demo

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
)

//go:embed demo.rules.yaml
var rules []byte

const (
	webhookToken = "demo-webhook-secret"
	slackToken   = "xoxb-demo"
	// patience bounds how long a scene waits for the effect that it shows, on however
	// slow a machine; without the effect the demo fails.
	patience = time.Minute
	// Beat is the time between two steps of the story with which people can follow.
	Beat = 300 * time.Millisecond
)

// Options are the settings of a demo.
type Options struct {
	Out     io.Writer
	Colour  bool
	Program string // how a shell in the current directory runs this program
	Version string // of this program
	Beat    time.Duration

	// Keep makes everything stay up after the story until ctx is done, and, where
	// Commands is set, until a command ends it: Commands has one on each line.
	Keep     bool
	Commands io.Reader
}

// Run starts a simulated GitLab, a simulated Slack and the real service on free ports,
// plays the story on them and prints it.
func Run(ctx context.Context, o Options) (err error) {
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

	narrate := &narrator{w: o.Out, width: wrap.Width(o.Out), colour: o.Colour, began: time.Now()}
	gl, err := gitlabtest.Listen("127.0.0.1:0", gitlabtest.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer gl.Close()
	s := &story{gitlab: gl, beat: o.Beat, service: &service{narrator: narrate, shown: map[string]bool{}}}
	chat, err := slacktest.New(slacktest.Options{Now: time.Now, Token: slackToken, OnMessage: func(m slacktest.Message) {
		_ = s.showOutcomes(ctx) // what the message is about comes first; after an error it comes later
		narrate.slack(m)
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, chat.Close()) }()

	serve, err := app.New(ctx, app.Options{
		Rules: rulesFile, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Store:     "bolt:" + filepath.Join(dir, "pipesteward.db"),
		GitLabURL: gl.URL(), GitLabToken: gitlabtest.DefaultToken, GitLabRate: store.Rate{Limit: 3000, Per: time.Minute},
		Credentials: webhook.Credentials{Tokens: []string{webhookToken}}, SlackToken: slackToken, SlackURL: chat.URL() + "/",
		CatchUpEvery: 5 * time.Minute, CatchUpMaxAge: 24 * time.Hour,
		Version: o.Version,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	webhooks, admin := serve.WebhookURL(), serve.AdminURL()
	s.admin = admin
	ended := make(chan error, 1)
	go func() { ended <- serve.Run(ctx) }()
	gl.AddHook(gitlabtest.Hook{Group: "platform", URL: webhooks, Token: webhookToken, JobEvents: true, PipelineEvents: true})

	narrate.say("Pipesteward's demo: the real service between a simulated GitLab and a simulated Slack, all on this machine.")
	narrate.print("\n  GitLab    " + gl.URL() + "\n  webhooks  " + webhooks + "\n  admin     " + admin)

	failed := s.play(ctx)
	if failed == nil {
		next := suggestions{program: o.Program, dir: dir, webhooks: webhooks, admin: admin, gitlab: gl, job: s.stuck}
		failed = next.print(narrate, o.Keep)
	}
	if failed == nil && o.Keep {
		s.keep(ctx, o.Commands)
	}
	stop()
	return errors.Join(failed, <-ended)
}
