package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/traced"
)

func catchUpCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "catch-up",
		Usage: "find events that no webhook delivered, and handle them",
		Description: "Reads once all projects that ever sent an event to this store, and those of --projects. Failed deliveries are\n" +
			"replayed, and the rules are evaluated on jobs and pipelines that ended without an event; their actions are carried\n" +
			"out at once. `serve` does the same by itself, each --catch-up-every. What ended, or began to wait, before its\n" +
			"project became known or its rule was in force is ignored, unless --since reaches back to it.\n\n" +
			"With --admin-url, the running server does this, with its own settings: the only way where `serve` has a file as its store,\n" +
			"which no other process can open then. Of the other flags, only --since, --dry-run, --json and --by count.\n\n" +
			"Exit status: 0; 1 when it was stopped, or no project could be read; 2 for a wrong command line.",
		Flags: slices.Concat(reworded(map[string]string{
			"projects":     listUsage("projects", "`PROJECT`, glob or group to read, besides the projects that sent events to the store"),
			"dry-run":      "replay and change nothing, and print what was missed",
			"gitlab-token": dryRunToken,
		}, flagsOf("rules", "store", "gitlab-url", "gitlab-alias", "gitlab-token", "gitlab-rate", "native-retry-wait", "log-window",
			"projects", "catch-up-max-age", "slack-token", "slack-api-url", "dry-run", "log-level", "log-format")), adminFlags(), []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "also handle what ended, or began to wait, before its project or rule became known, since `WHEN`: so long ago, like 24h, or a time, like 2026-11-27T08:00:00Z"},
			&cli.BoolFlag{Name: "json", Usage: "print what was found as JSON"},
			byFlag(),
		}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.IsSet("admin-url") {
				if err := malformedBools(c).Err(); err != nil {
					return err
				}
				return catchUpThere(ctx, c, stdout)
			}
			o, log, err := commandSettings(c, stderr, scopeOf(c))
			if err != nil {
				return err
			}
			o.CatchUpEvery = leastCatchUp // or else evaluated events would not be recorded
			since, err := sinceFlag(c.String("since"), o.CatchUpMaxAge, time.Now())
			if err != nil {
				return &usageError{err}
			}
			return catchUp(ctx, o, since, c.Bool("json"), log, stdout, stderr)
		},
	}
}

// sinceFlag parses --since: a duration or a time; "": no time. It reaches back as far
// as decisions are remembered: beyond that, they would be made twice.
func sinceFlag(text string, maxAge time.Duration, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	since, err := parseWhen("since", text, now)
	if err != nil {
		return time.Time{}, err
	}
	if err := catchup.CheckSince(since, maxAge, now); err != nil {
		return time.Time{}, fmt.Errorf("--since: %s %w", text, err)
	}
	return since, nil
}

// parseWhen parses the value of a flag: a time, or so long ago.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	when, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return when, nil
	}
	span, err := model.ParseDuration(text)
	if err != nil || span == 0 {
		return time.Time{}, fmt.Errorf("--%s: %q is neither a duration like 24h nor a time like %s", flag, text, now.UTC().Format(time.RFC3339))
	}
	return now.Add(-time.Duration(span)), nil
}

// catchUpPoll is how often a running server is asked whether a round has ended.
const catchUpPoll = 500 * time.Millisecond

// catchUpThere has the running server make a round, waits for its end and prints what it
// found.
func catchUpThere(ctx context.Context, c *cli.Command, stdout io.Writer) error {
	const path = "/api/v1/catch-up"
	var now admin.CatchUpAnswer
	request := admin.CatchUpRequest{Since: c.String("since"), DryRun: c.Bool("dry-run"), ChangeRequest: admin.ChangeRequest{By: who(c)}}
	if err := callAdmin(ctx, c, http.MethodPost, path, request, &now); err != nil {
		return err
	}
	id := now.Last.ID
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	for now.Last.Ended.IsZero() {
		select {
		case <-ctx.Done():
			return errors.New("stopped: the server goes on with the round")
		case <-tick.C:
		}
		now = admin.CatchUpAnswer{}
		if err := callAdmin(ctx, c, http.MethodGet, path, nil, &now); err != nil {
			return fmt.Errorf("the round has begun, and what it finds can't be read: %w", err)
		}
		if now.Last == nil || now.Last.ID != id {
			return errors.New("the server does not know the round any more: the process that made it has died, or another round was requested since")
		}
	}
	if err := printRound(stdout, catchup.Result(now.Last.Found), now.Last.DryRun, c.Bool("json")); err != nil {
		return err
	}
	if now.Last.Error != "" {
		return fmt.Errorf("the round ended early: %s", now.Last.Error)
	}
	return nil
}

func catchUp(ctx context.Context, o app.Options, since time.Time, asJSON bool, log *slog.Logger, stdout, stderr io.Writer) (err error) {
	// With --dry-run nothing is decided, and the rules are those of serve.
	loaded, err := app.LoadRules(o.Rules, rulefile.Options{Capacity: limits.NewCapacity()})
	if err != nil {
		return err
	}
	inForce := func() *rules.Rules { return loaded }
	db, err := app.OpenStore(ctx, o.Store, app.Longest(), log)
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w; or, if that is `serve`, let it catch up: give its --admin-listen as --admin-url, such as --admin-url %s", err, defaultAdminURL)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db = traced.New(db, time.Now)
	counters := metrics.New(prometheus.NewRegistry())
	gl, err := app.NewGitLab(o, db, counters.GitLabRequest, log)
	if err != nil {
		return err
	}
	if err := gl.LearnAddress(ctx); err != nil {
		log.WarnContext(ctx, "GitLab's own address could not be read: failed deliveries with another address than --gitlab-url stay in the queue", "error", err)
	}
	receiver, err := app.NewReceiver(o, db, log)
	if err != nil {
		return err
	}
	others, err := app.OpenReceivers(loaded, log)
	if err != nil {
		return err
	}
	cfg := app.CatchUpConfig(o, db, gl, inForce, log, nil)
	cfg.Since = since
	result, err := catchup.New(cfg).Round(ctx, true)
	if err != nil {
		return err
	}
	if err := printRound(stdout, result, o.DryRun, asJSON); err != nil || o.DryRun {
		return err
	}
	runner := actions.New(actions.Config{
		Queue: db, Journal: db, Guard: db, GitLab: gl, Receivers: others.Beside(app.BuiltIn(o, db, gl, receiver, log)), Rules: inForce,
		Now: time.Now, Log: log, Tracer: tracing.Of(ctx), Metrics: counters, Workers: o.Workers(), NativeRetry: o.NativeRetryWait, SeenTTL: o.SeenTTL(),
	})
	return workOff(ctx, runner, db, stderr)
}

// workOff runs the runner until no record is due.
func workOff(ctx context.Context, runner *actions.Runner, db store.Store, stderr io.Writer) error {
	runner.WorkOff(ctx, app.WorkGrace)
	if ctx.Err() != nil {
		return errors.New("stopped: `serve` on this store, or the same command, goes on")
	}
	depth, err := db.Depth(ctx)
	if err == nil && depth.Waiting > 0 {
		fmt.Fprintln(stderr, english.Plural(depth.Waiting, "record", ""), "in the queue for later: `serve` on this store carries that out")
	}
	return err
}

// printRound prints the result of a round. It returns errReported if no project could be
// read.
func printRound(w io.Writer, r catchup.Result, dryRun, asJSON bool) (err error) {
	if asJSON {
		err = printJSON(w, r)
	} else {
		err = printCaughtUp(w, r, dryRun)
	}
	if err == nil && r.Projects == 0 && len(r.Problems) > 0 {
		return errReported
	}
	return err
}

// printCaughtUp prints the result of a round as a table.
func printCaughtUp(w io.Writer, r catchup.Result, dryRun bool) error {
	head := "missed, and queued"
	if dryRun {
		head = "missed"
	}
	t := newTable("in "+english.Plural(r.Projects, "project", ""), head)
	t.AppendRows([]table.Row{
		{"failed deliveries replayed", r.Replayed},
		{"failed deliveries without a body", r.WithoutBody},
		{"jobs that no event reported", r.Jobs},
		{"pipelines that no event reported", r.Pipelines},
	})
	if _, err := fmt.Fprintln(w, t.Render()); err != nil {
		return err
	}
	return printProblems(w, r.Problems)
}
