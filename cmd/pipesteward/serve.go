package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redis"
)

// How long the parts of a shutdown may take; together less than 10 s.
const (
	answerGrace = 2 * time.Second // for deliveries being answered
	workGrace   = 3 * time.Second // for records being worked on
)

// workersFor gives how many records are at hand at the same time: as many as
// GitLab can be called for in a minute at the rate. What they read
// of GitLab is shared by those that wait for it together.
func workersFor(rate store.Rate) int {
	const fewest, most, wait = 16, 300, time.Minute
	return int(min(max(fewest, float64(rate.Limit)*wait.Seconds()/rate.Per.Seconds()), most))
}

func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the service",
		Description: "Receives webhooks, decides by the rules, acts in GitLab and tells people in Slack.\n" +
			"Every flag is also an environment variable with PIPESTEWARD_ in front.",
		Flags: serveFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("serve takes no arguments, but got %q", c.Args().First())}
			}
			s, err := readSettings(c)
			if err != nil {
				return err
			}
			return serve(ctx, s, newLogger(stderr), func(addresses) {})
		},
	}
}

// newLogger logs text to a terminal and JSON to anything else.
func newLogger(w io.Writer) *slog.Logger {
	if isTerminal(w) {
		return slog.New(store.QuietOutages(slog.NewTextHandler(w, nil)))
	}
	return slog.New(store.QuietOutages(slog.NewJSONHandler(w, nil)))
}

// addresses are where a started service listens.
type addresses struct {
	webhooks, admin net.Addr
}

// serve runs the service until ctx ends, and closes what it opened in
// reverse. started is called once it listens.
func serve(ctx context.Context, s settings, log *slog.Logger, started func(addresses)) (err error) {
	var closers []func() error
	defer func() {
		for _, c := range slices.Backward(closers) {
			err = errors.Join(err, c())
		}
	}()

	live, err := openRules(s.rules, rulefile.Options{DryRun: s.dryRun, Capacity: limits.NewCapacity()}, log)
	if err != nil {
		return err
	}

	db, err := openStore(ctx, s.store, log)
	if err != nil {
		return err
	}
	closers = append(closers, db.Close)

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), worker.NewMetrics(db))
	registry.MustRegister(newRulesMetrics(live)...)
	counters := metrics.New(registry)

	gl, err := newGitLab(s, db, counters.GitLabRequest, log)
	if err != nil {
		return err
	}
	closers = append(closers, inBackground(ctx, gl.FollowAddress))
	teller, err := newTeller(s, db, log)
	if err != nil {
		return err
	}

	pauses := pause.Pauses{Store: db, Now: time.Now, Log: log}
	registry.MustRegister(pause.NewMetrics(pauses))
	runner := actions.New(actions.Config{
		Queue: db, Journal: db, Guard: db, GitLab: gl, Receiver: teller, Rules: live.Rules,
		Now: time.Now, Log: log, Metrics: counters, Workers: workersFor(s.gitlabRate), NativeRetry: s.nativeRetry, RuleSince: live.Since, SeenTTL: s.told(),
	})
	registry.MustRegister(breaker.NewMetrics(runner.Breakers), health.NewMetrics(gl))
	closers = append(closers, inBackground(ctx, runner.Health.Run))

	known := catchup.NewKnown(db, log)
	closers = append(closers, inBackground(ctx, known.Run))
	if s.catchUpEvery > 0 {
		cfg := catchUpConfig(s, db, gl, live.Rules, log, registry)
		cfg.RuleSince, cfg.RulesReplaced = live.Since, live.replaced
		catchUp := catchup.New(cfg)
		closers = append(closers, inBackground(ctx, catchUp.Run))
	}

	webhooks, err := webhook.New(webhook.Config{
		Credentials: s.credentials(),
		Queue:       db, Rules: live, GitLab: gl, Now: time.Now, Log: log, Metrics: registry, Known: known,
	})
	if err != nil {
		return fmt.Errorf("--webhook-token, --webhook-signing-token, --insecure-no-webhook-auth: %w", err)
	}

	secretFiles := newSecretFiles(s, db, gl, teller, webhooks, log)
	reload := func() error { return errors.Join(live.reload(true), secretFiles.reload()) }

	failed := make(chan error, 2)
	adminListener, err := listen(ctx, "--admin-listen", s.adminListen)
	if err != nil {
		return err
	}
	adminAPI := admin.New(admin.Config{
		Pauses: pauses, Version: version(), DryRun: s.dryRun, Now: time.Now,
		Addr: adminListener.Addr(), Store: db, Rules: live, Reload: reload, Metrics: registry, Log: log,
		Parts: map[string]func(context.Context) any{"gitlab": func(context.Context) any { return runner.Health.Status() }},
	})
	closers = append(closers, serveHTTP(ctx, "--admin-listen", adminListener, adminAPI, failed))

	closers = append(closers, inBackground(ctx, live.follow), inBackground(ctx, secretFiles.follow))
	scheduler := &sweep.Scheduler{Store: db, Rules: live.Rules, Now: time.Now, Log: log}
	closers = append(closers, inBackground(ctx, scheduler.Run))

	closers = append(closers, inBackground(context.WithoutCancel(ctx), func(ctx context.Context) { runner.Run(ctx, workGrace) }))

	webhookListener, err := listen(ctx, "--listen", s.listen)
	if err != nil {
		return err
	}
	closers = append(closers, serveHTTP(ctx, "--listen", webhookListener, webhooks, failed))

	log.Info("pipesteward serves", "version", version(), "webhooks", "http://"+webhookListener.Addr().String()+"/webhooks/gitlab",
		"admin", "http://"+adminListener.Addr().String(), "rules", live.Rules().Len(), "gitlab", gl.Instance(), "slack", s.slackToken != "", "dry_run", s.dryRun)
	started(addresses{webhookListener.Addr(), adminListener.Addr()})

	select {
	case <-ctx.Done():
		log.Info("pipesteward stops: no more webhooks are taken, work at hand is ended or handed back")
		return nil
	case err := <-damaged(db):
		return err
	case err := <-failed:
		return err
	}
}

// damaged returns a channel that tells when the store can't be used any more; nil
// for one that mends itself.
func damaged(db store.Store) <-chan error {
	if file, ok := db.(*bolt.Store); ok {
		return file.Damaged()
	}
	return nil
}

// inBackground runs something until its ctx ends. The returned function ends it
// and waits for that.
func inBackground(ctx context.Context, do func(context.Context)) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do(ctx)
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

// newGitLab gives the client of the GitLab that the settings name.
func newGitLab(s settings, limiter ratelimit.Limiter, observe func(endpoint string, code int), log *slog.Logger) (*gitlab.Client, error) {
	if s.gitlabToken == "" {
		return nil, errors.New("--gitlab-token is missing: give an access token with scope api, best as PIPESTEWARD_GITLAB_TOKEN or in the file that PIPESTEWARD_GITLAB_TOKEN_FILE names")
	}
	gl, err := gitlab.New(gitlab.Config{
		BaseURL: s.gitlabURL, Aliases: s.gitlabAliases, Token: s.gitlabToken, Version: version(),
		Limiter: limiter, Rate: s.gitlabRate, LogLimit: s.logWindow, Now: time.Now, Observe: observe, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("--gitlab-url, --gitlab-alias: %w", err)
	}
	return gl, nil
}

// newTeller gives the teller of outcomes, nil without a Slack token.
func newTeller(s settings, db store.Store, log *slog.Logger) (notify.Receiver, error) {
	if s.slackToken == "" {
		log.Warn("no --slack-token is given: nobody is told, see /api/v1/decisions")
		return nil, nil
	}
	teller, err := slack.New(slack.Config{Token: s.slackToken, APIURL: s.slackURL, State: db, Now: time.Now, Log: log})
	if err != nil {
		return nil, fmt.Errorf("--slack-token, --slack-api-url: %w", err)
	}
	return teller, nil
}

// listen listens on the address that a setting names.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return listener, nil
}

// serveHTTP serves a handler on a listener; what ends the serving too early is
// sent to failed. The returned function stops it.
func serveHTTP(ctx context.Context, setting string, listener net.Listener, handler http.Handler, failed chan<- error) (stop func() error) {
	server := handlers.NewServer(handler)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("%s: %w", setting, err)
		}
	}()
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerGrace)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close()
		}
		return nil
	}
}

// openStore opens the store that a --store setting names: a file of bbolt, which
// is the default, or a Redis that any number of replicas share.
func openStore(ctx context.Context, setting string, log *slog.Logger) (store.Store, error) {
	setting = cmp.Or(setting, defaultStore)
	scheme, rest, _ := strings.Cut(setting, ":")
	switch {
	case scheme == "bolt" && rest != "":
		return bolt.Open(rest, bolt.Options{Now: time.Now})
	case scheme == "redis", scheme == "rediss", strings.HasPrefix(scheme, "redis+"), strings.HasPrefix(scheme, "rediss+"):
		db, err := redis.Open(ctx, setting, redis.Options{})
		if err != nil {
			return nil, err
		}
		for _, warning := range db.Warnings() {
			log.Warn("the store may lose what it acknowledged", "reason", warning)
		}
		return db, nil
	}
	return nil, fmt.Errorf("--store: %q is not a kind of store: write bolt:PATH, like bolt:pipesteward.db, or the URL of a Redis, like redis://host:6379", scheme)
}
