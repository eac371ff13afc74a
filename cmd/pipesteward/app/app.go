// Package app is the service: what `pipesteward serve` runs. New makes everything that
// the service consists of and starts nothing; App.Run starts it, waits, and stops it.
// Programs and tests can run it in their own process, on port 0.
//
// The commands that work on the service's store by themselves, catch-up and sweep, make
// their store, GitLab client and receiver with the same constructors.
//
// The package has more than 2,000 lines because it is one service: a file for each thing that
// New wires, and the checks of the settings for it, which all commands share.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/health"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/index"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/actions/recent"
	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/report/periodic"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app/answers"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/deliveries"
	"github.com/pipesteward/pipesteward/handlers/page"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/traced"
)

// How long the parts of a shutdown may take; together less than 10 s.
const (
	responseGrace = 2 * time.Second // for deliveries that wait for their response
	WorkGrace     = 3 * time.Second // for records in flight
	traceGrace    = time.Second     // for the last spans
)

// App is one service. It runs once.
type App struct {
	options Options
	log     *slog.Logger
	rules   *liveRules
	store   store.Store
	gitlab  *gitlab.Client

	adminListener, webhookListener net.Listener
	adminTLS                       *tls.Config // nil: the admin address speaks plain HTTP

	// parts are what Run starts, in this order. What they return stops them.
	parts []func(ctx context.Context) (stop func() error)
	// closers release what was made and stop what was started; they are called in
	// reverse order.
	closers []func() error
	failed  chan error // receives why a server stopped by itself
}

// New makes a service and listens on its addresses. Connections are accepted, and
// the queue is worked on, once Run is called; Run also closes what New opened. All
// errors name the setting that is wrong; nothing stays open after an error.
func New(ctx context.Context, o Options, log *slog.Logger) (_ *App, err error) {
	a := &App{options: o, log: log, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()

	if err := JoinSettings(o.CheckGiven(), o.CheckPresent("gitlab-token", "webhook-token")); err != nil {
		return nil, err
	}
	tracer, err := a.startTracing(ctx)
	if err != nil {
		return nil, err
	}
	log = a.log
	a.rules, err = openRules(o.Rules, rulefile.Options{DryRun: o.DryRun, Requests: o.takesSlackRequests(), Capacity: limits.NewCapacity()}, o.checkConfirm, log)
	if err != nil {
		return nil, err
	}

	authorizer, err := newAuthorizer(o.AdminAuth, log)
	if err != nil {
		return nil, err
	}
	a.inBackground(followWebConfig(authorizer.WebConfig(), log))

	if err := compactStore(o.Store, log); err != nil {
		return nil, err
	}
	db, err := OpenStore(ctx, o.Store, o.Retention, log)
	if err != nil {
		return nil, err
	}
	a.store = db
	a.closers = append(a.closers, db.Close)
	if tracer != nil {
		db = traced.New(db, time.Now)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), worker.NewMetrics(db, time.Now), newBuildInfo(o.Version, o.Commit))
	registry.MustRegister(newRulesMetrics(a.rules)...)
	registry.MustRegister(newStoreFileMetrics(a.store)...)
	counters := metrics.New(registry)

	gl, err := NewGitLab(o, db, counters.GitLabRequest, log)
	if err != nil {
		return nil, err
	}
	a.gitlab = gl
	a.inBackground(gl.FollowAddress)
	receiver, err := NewReceiver(o, db, log)
	if err != nil {
		return nil, err
	}

	evaluations := a.recent(keys.Evaluations)

	pauses := pause.Pauses{Store: db, Now: time.Now, Log: log}
	mutes := pause.Mutes{Store: db, Now: time.Now, Log: log}
	registry.MustRegister(pause.NewMetrics(pauses), pause.NewMuteMetrics(mutes))
	var who *rights.Rights
	var may actions.Rights // nil: there is no Slack in which people are looked up
	chat, on := receiver.(*slack.Notifier)
	if on {
		who = rights.New(rights.Config{Slack: chat.Reader(), GitLab: gl, Operators: o.SlackOperators, Now: time.Now})
		may = rights.Acting{Rights: who, GitLab: gl}
	}
	unclassified := &unknown.Log{Store: db}
	runner := actions.New(actions.Config{
		Queue: db, Journal: db, Guard: db, GitLab: gl, Receivers: a.rules.receivers.Beside(BuiltIn(o, db, gl, receiver, log)), Rules: a.rules.Rules,
		Now: time.Now, Log: log, Metrics: counters, Tracer: tracer, Workers: o.Workers(), NativeRetry: o.NativeRetryWait, RuleSince: a.rules.Since, SeenTTL: o.SeenTTL(), LedgerRetention: o.Retention.Ledger,
		Evaluations: evaluations, Rights: may, Unknown: unclassified,
	})
	registry.MustRegister(breaker.NewMetrics(runner.Breakers), health.NewMetrics(gl))
	a.inBackground(runner.Health.Run)
	known := catchup.NewKnown(db, log)
	a.inBackground(known.Run)
	var secrets *secretFiles
	checkup := &doctor.Watch{
		Config: func() doctor.Config { return a.checkup(secrets.inForce(o), db, gl, receiver, known) }, Sleep: gitlab.Sleep, Log: log,
		Last: background.New[[]doctor.Checked](background.Keys{Claim: keys.Checkup, Last: keys.Checkup, Running: keys.CheckupRunning}, db, time.Now, log),
	}
	a.inBackground(checkup.Last.Run)
	a.inBackground(checkup.Run)
	webhooksKept := answers.Hooks{KeeperConfig: KeeperConfig(o, db, gl, known, pauses, log)}
	a.inBackground(webhooksKept.Listed.Run)
	if o.EnsureHooks {
		webhooksKept.Keeper = hooks.NewKeeper(webhooksKept.KeeperConfig)
	}
	keeper := webhooksKept.Keeper // nil: webhooks are left as they are
	missed := CatchUpConfig(o, db, gl, a.rules.Rules, log, registry)
	missed.RuleSince, missed.RulesReplaced = a.rules.Since, a.rules.replaced
	if keeper != nil {
		missed.Watched = keeper.Watches
	}
	finder := catchup.New(missed)
	if o.CatchUpEvery > 0 {
		a.inBackground(finder.Run)
	}
	onDemand := catchup.NewOnDemand(finder)
	a.inBackground(onDemand.Run)

	delivered := &deliveries.Shared{
		Log:           deliveries.New(deliveries.DefaultAuthenticated, deliveries.DefaultOthers),
		Authenticated: a.recent(keys.Delivered), Others: a.recent(keys.DeliveredByOthers), Logger: log,
	}
	a.untilStopped(delivered.Run)
	webhooks, err := webhook.New(webhook.Config{
		Credentials: o.Credentials,
		Queue:       db, Rules: a.rules, GitLab: gl, Now: time.Now, Log: log, Metrics: registry, Tracer: tracer, Known: known, Deliveries: delivered,
	})
	if err != nil {
		return nil, err
	}

	inSlack, err := newSlackRequests(o, db, tracer, log)
	if err != nil {
		return nil, err
	}
	if inSlack.socket != nil {
		a.inBackground(inSlack.socket.Run)
	}

	secrets = newSecretFiles(o, a.store, gl, receiver, runner.Reconnect, webhooks, inSlack, keeper, authorizer, log)
	reload := func() error {
		return errors.Join(a.rules.reload(true), secrets.reload(), authorizer.WebConfig().Reload())
	}

	a.adminListener, err = a.listen(ctx, "--admin-listen", o.AdminListen)
	if err != nil {
		return nil, err
	}
	if err := authorizer.CheckAddress(a.adminListener.Addr()); err != nil {
		return nil, SettingErrors{{Setting: "admin-listen", Err: err}}
	}
	stories := answers.Stories{Builder: story.Builder{
		GitLab: gl, Store: db, Evaluations: evaluations, Deliveries: delivered, Pauses: pauses, Rules: a.rules.Rules, Facts: runner.Facts, Receives: receiver != nil, CatchUpMaxAge: o.CatchUpMaxAge, Now: time.Now,
	}}
	journal := report.Reader{Journal: db, Deliveries: delivered, Now: time.Now, Prices: func() rules.Prices { return a.rules.Rules().Prices() }, MaxEntries: report.DefaultMaxEntries, Kept: o.Retention.ofStore().OfJournal()}
	sender := &periodic.Sender{Queue: db, Rules: a.rules.Rules, Reports: journal, Announcer: runner, Now: time.Now, Log: log}
	runner.Handle(periodic.RecordKind, worker.JSON(sender.Handle))
	decisions := index.New(index.Config{Journal: db, Kept: o.Retention.ofStore().OfJournal(), MaxHeads: index.MaxHeads, Now: time.Now, Log: log})
	a.inBackground(decisions.Run)
	changes := audit.Log{Store: db, Now: time.Now}
	takeRequest := requests.Elsewhere{Now: time.Now, Log: log}.Handle
	if on && o.takesSlackRequests() {
		requested := &requests.Handler{
			Store: db, GitLab: gl, Rights: who, Confirmations: confirm.Answers{Confirmer: runner.Confirms, Rights: rights.Acting{Rights: who, GitLab: gl}}, Replies: chat,
			Maker: runner, Stories: stories, Pauses: pauses, Mutes: mutes, Rules: a.rules.Rules, Reports: answers.SlackReports{Reader: journal}, Now: time.Now, Log: log,
		}
		takeRequest = requested.Handle
	}
	runner.Handle(chatops.RecordKind, worker.JSON(takeRequest))
	storeState := &writable{Ping: db.Ping, Now: time.Now}
	adminAPI := admin.New(admin.Config{
		Reports: answers.Reports{Reader: journal, Rules: a.rules.Rules}, Unknown: answers.Unknowns{Log: unclassified, Rules: a.rules.Rules}, Limits: answers.Limits{Runner: runner}, Activity: answers.Activity{Log: evaluations}, Pauses: pauses, Mutes: mutes, Projects: projects.Finder{GitLab: gl}, Stories: stories, Version: o.Version, DryRun: o.DryRun, Now: time.Now,
		Addr: a.adminListener.Addr(), Auth: authorizer, PublicMetrics: o.PublicMetrics, Pprof: o.Pprof, Store: db, Decisions: decisions, Backups: backups{a.store}, Deliveries: delivered, Rules: a.rules, Reload: reload, Metrics: registry, Log: log, Tracer: tracer,
		Steerer: &steer.Steerer{Store: db, Maker: runner, Now: time.Now, Log: log}, Changes: changes, Kinds: steer.Kinds, Describe: steer.Describe, CatchUps: onDemand, CatchUpEvery: o.CatchUpEvery, Doctor: answers.Doctor{Watch: checkup}, Hooks: webhooksKept, Seeder: runner, Instance: gl.Instance(),
		Page: page.New(time.Now, log), Assistants: newAssistants(o.Version, gl, a.rules.Rules, runner.Facts),
		Parts: map[string]func(context.Context) any{
			"gitlab": func(context.Context) any { return runner.Health.Status() },
			"store":  func(ctx context.Context) any { return storeState.Status(ctx) },
			"checks": func(ctx context.Context) any { return checkup.Status(ctx) },
			"storms": func(ctx context.Context) any { return runner.Breakers.Status(ctx) },
			"notices": func(ctx context.Context) any {
				undelivered, err := runner.Undelivered(ctx)
				if err != nil {
					undelivered.Summary = "not known: " + err.Error()
				}
				return undelivered
			},
		},
	})
	a.adminTLS = authorizer.WebConfig().TLS()
	a.serve("--admin-listen", a.adminListener, a.adminTLS, authorizer.WebConfig().Headers(adminAPI))

	a.inBackground(a.rules.follow)
	a.inBackground(secrets.follow)
	scheduler := &sweep.Scheduler{Store: db, Rules: a.rules.Rules, Now: time.Now, Log: log}
	a.inBackground(scheduler.Run)
	a.inBackground(sender.Run)

	a.untilStopped(func(ctx context.Context) { runner.Run(ctx, WorkGrace) })

	a.webhookListener, err = a.listen(ctx, "--listen", o.Listen)
	if err != nil {
		return nil, err
	}
	a.serve("--listen", a.webhookListener, nil, inSlack.beside(webhooks))
	if keeper != nil { // its test deliveries are to be received
		a.inBackground(keeper.Run)
	}
	return a, nil
}

// startTracing starts to trace the work, if the environment has it traced, and has log
// lines name their traces; else the tracer is nil.
func (a *App) startTracing(ctx context.Context) (trace.Tracer, error) {
	tracer, stop, err := tracing.Start(ctx, a.options.Version, a.log)
	if tracer == nil {
		return nil, err
	}
	a.log = tracing.Logger(a.log)
	a.closers = append(a.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
		defer cancel()
		_ = stop(ctx) // what the collector does not take now is lost, and it was logged
		return nil
	})
	return tracer, nil
}

// WebhookURL returns the address that takes GitLab's deliveries.
func (a *App) WebhookURL() string {
	return "http://" + a.webhookListener.Addr().String() + webhook.Path
}

// AdminURL returns the base address of the API, the metrics and the health checks.
func (a *App) AdminURL() string {
	scheme := "http://"
	if a.adminTLS != nil {
		scheme = "https://"
	}
	return scheme + a.adminListener.Addr().String()
}

// Run runs the service until ctx is done, and then returns nil after an orderly
// shutdown: first no more webhooks are accepted, then the records in flight are
// finished or given back, at last the store is closed. It returns an error if a
// server fails, or if the store is found to be damaged.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	for _, start := range a.parts {
		a.closers = append(a.closers, start(ctx))
	}
	a.log.InfoContext(ctx, "pipesteward serves", "version", a.options.Version, "webhooks", a.WebhookURL(), "admin", a.AdminURL(),
		"rules", a.rules.Rules().Len(), "gitlab", a.gitlab.Instance(), "slack", a.options.SlackToken != "", "dry_run", a.options.DryRun)
	select {
	case <-ctx.Done():
		a.log.InfoContext(ctx, "pipesteward stops: no more webhooks are accepted; work in flight ends or returns to the queue")
		return nil
	case err := <-damaged(a.store):
		return err
	case err := <-a.failed:
		return err
	}
}

// close calls the closers in reverse order.
func (a *App) close() (err error) {
	for _, c := range slices.Backward(a.closers) {
		err = errors.Join(err, c())
	}
	return err
}

// inBackground adds a part that runs until the ctx of Run is done, or until it is
// stopped.
func (a *App) inBackground(do func(context.Context)) {
	a.parts = append(a.parts, func(ctx context.Context) (stop func() error) {
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
	})
}

// untilStopped adds a part that runs until it is stopped in its turn: the end of Run's
// ctx alone does not stop it.
func (a *App) untilStopped(do func(context.Context)) {
	a.inBackground(do)
	last := len(a.parts) - 1
	start := a.parts[last]
	a.parts[last] = func(ctx context.Context) func() error { return start(context.WithoutCancel(ctx)) }
}

// recent adds a part that keeps a log of recent items in the store.
func (a *App) recent(key string) *recent.Log {
	l := recent.New(a.store, key, time.Now, a.log)
	a.untilStopped(l.Run)
	return l
}

// listen listens on the address that a setting names.
func (a *App) listen(ctx context.Context, setting, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	a.closers = append(a.closers, func() error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) { // a server closes its listener
			return err
		}
		return nil
	})
	return listener, nil
}

// serve adds a part that serves a handler on a listener, with TLS if there is a
// configuration for it. It stops taking connections when it is stopped, and gives open
// requests the time of responseGrace.
func (a *App) serve(setting string, listener net.Listener, secure *tls.Config, handler http.Handler) {
	a.parts = append(a.parts, func(ctx context.Context) (stop func() error) {
		server := handlers.NewServer(handler)
		server.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)
		server.TLSConfig = secure
		serve := server.Serve
		if secure != nil {
			server.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelInfo) // of clients that speak no TLS, mostly
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		go func() {
			if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
				a.failed <- fmt.Errorf("%s: %w", setting, err)
			}
		}()
		return func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), responseGrace)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				return server.Close()
			}
			return nil
		}
	})
}
