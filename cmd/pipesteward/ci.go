package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/metrics"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/ownpipeline"
	"github.com/pipesteward/pipesteward/actions/tracing"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/traced"
)

// maxCIWait bounds --wait: a runner is occupied meanwhile, and GitLab's own limit of a
// job is an hour.
const maxCIWait = time.Hour

func ciCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "ci",
		Usage: "apply the rules once to the pipeline of the GitLab CI job that this runs in",
		Description: "Run it as a job of the pipeline, after the jobs that it is to look at. It finds the pipeline by CI_JOB_TOKEN, without\n" +
			"any setting, and evaluates the rules on the pipeline as it is now and on its jobs that have ended, with\n" +
			"event.source == \"ci\". It never acts on the job that it runs in.\n\n" +
			"Actions need an access token in PIPESTEWARD_GITLAB_TOKEN: without one they are only shown, because GitLab lets no\n" +
			"job token retry, play, cancel or erase. Nothing is stored for the next run: budgets and circuit breakers count\n" +
			"within one run, and attempts by the runs of the job in the pipeline.\n\n" +
			"Exit status: 0 when no action was needed, or all are done; 1 for an error; 2 for a wrong command line; 3 when a rule\n" +
			"gave up, because all attempts are used; 4 when an action was needed and not taken: in a dry run, without a token,\n" +
			"or because it is due later than --wait allows.",
		Flags: append(reworded(map[string]string{"dry-run": "change nothing in GitLab: show which actions the rules would take, and notify people of them"},
			flagsOf("rules", "gitlab-token", "gitlab-rate", "native-retry-wait", "log-window", "slack-token", "slack-api-url", "dry-run")),
			stringFlag("log-level", "warn", "least severe `LEVEL` that is logged: debug, info, warn or error"),
			stringFlag("log-format", formatText, "`FORMAT` of the log: text, json, or auto: text on a terminal, else json"),
			stringFlag("gitlab-url", "", "base `URL` of GitLab; default: that of the job, in CI_API_V4_URL or CI_SERVER_URL"),
			&cli.StringFlag{Name: "job-token", Usage: "`TOKEN` of the job", Sources: cli.EnvVars("CI_JOB_TOKEN"), HideDefault: true},
			&cli.StringFlag{Name: "wait", Value: "2m", Usage: "how long to wait for actions that are not due yet, such as a retry with a delay, as `TIME`; 1h at most", Sources: cli.EnvVars(env("wait"))},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			wait, err := model.ParseDuration(cmp.Or(c.String("wait"), "0s"))
			if err != nil || time.Duration(wait) > maxCIWait {
				return &usageError{fmt.Errorf("--wait: %q is not a time up to %s, like 2m", c.String("wait"), model.Duration(maxCIWait))}
			}
			o, err := readSettings(c)
			var wrong app.SettingErrors
			if o.JobToken = strings.TrimSpace(c.String("job-token")); o.JobToken == "" {
				wrong = wrong.WithMalformed("job-token", errors.New("CI_JOB_TOKEN is not set: `pipesteward ci` runs inside a job of GitLab CI,\n"+
					"which has that variable. Elsewhere, `pipesteward explain` says what rules\nmake of an event"))
			}
			if o.GitLabURL = cmp.Or(o.GitLabURL, jobURL()); o.GitLabURL == "" {
				wrong = wrong.WithMalformed("gitlab-url", errors.New("neither CI_API_V4_URL nor CI_SERVER_URL is set: give GitLab's base URL"))
			}
			wrong = wrong.WithMalformed("job-token", app.CheckSecrets([]string{o.JobToken}))
			log, logErr := newLogger(c, stderr)
			if err := app.JoinSettings(wrong.Err(), err, o.CheckGiven(), logErr); err != nil {
				return err
			}
			return runCI(ctx, o, time.Duration(wait), tracing.Logger(log).Handler(), stdout)
		},
	}
}

// jobURL returns the base URL of the GitLab that runs the job; "": not known.
func jobURL() string {
	if base, ok := strings.CutSuffix(strings.TrimRight(os.Getenv("CI_API_V4_URL"), "/"), "/api/v4"); ok {
		return base
	}
	return os.Getenv("CI_SERVER_URL")
}

// runCI applies the rules once, on a store that is removed afterwards.
func runCI(ctx context.Context, o app.Options, wait time.Duration, handler slog.Handler, stdout io.Writer) (err error) {
	began := time.Now()
	loaded, err := app.LoadRules(o.Rules, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()})
	if err != nil {
		return err
	}
	problems := errorCounter{handler, new(atomic.Int64)}
	log := slog.New(problems)
	dir, err := os.MkdirTemp("", "pipesteward-ci-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := app.OpenStore(ctx, "bolt:"+filepath.Join(dir, "run.db"), app.Longest(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db = traced.New(db, time.Now)
	gl, err := app.NewGitLab(o, db, nil, log)
	if err != nil {
		return err
	}

	access := o.GitLabToken != ""
	place, err := ownpipeline.Locate(ctx, gl, access, jobVariables())
	if err != nil {
		return err
	}
	events, err := place.Events(ctx, gl, loaded)
	if err != nil {
		return err
	}
	own := actions.Own{Job: place.Job.ID, Pipeline: place.Job.Pipeline.ID}
	var result ownpipeline.Result
	if access {
		config := actions.Config{
			Queue: db, Journal: db, Guard: db, GitLab: gl, Rules: func() *rules.Rules { return loaded },
			Now: time.Now, Log: log, Tracer: tracing.Of(ctx), Metrics: metrics.New(prometheus.NewRegistry()), Workers: o.Workers(), NativeRetry: o.NativeRetryWait, Own: own,
		}
		var chat notify.Receiver
		if o.SlackToken != "" {
			if chat, err = app.NewReceiver(o, db, log); err != nil {
				return err
			}
		}
		others, missing := app.OpenReceivers(loaded, log)
		if missing != nil { // as without a Slack token
			log.WarnContext(ctx, "some receivers are not notified, because the files of their secrets are not in this job", "error", missing)
		}
		config.Receivers = others.Beside(app.BuiltIn(o, db, gl, chat, log))
		run := ownpipeline.Run{
			Store: db, Runner: actions.New(config), GitLab: gl, Now: time.Now, Grace: app.WorkGrace, AtMost: wait,
			Waiting: func(left []ownpipeline.Entry) { printWaiting(stdout, left, wait) },
		}
		result, err = run.Apply(ctx, events.Wanted)
	} else {
		result.Entries = ownpipeline.Would(ctx, loaded, events, own.Spared, log)
	}
	result.Errors = int(problems.errors.Load())
	report := ciReport{printer: ciPrinter(), place: place, events: events, result: result, rules: loaded.Len(), access: access}
	err = errors.Join(err, report.print(stdout, began, time.Now()))
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped: what was not done is left to the next run of the job")
	case err != nil:
		return err
	case result.Status() != ownpipeline.StatusDone:
		return &statusError{result.Status()}
	}
	return nil
}

// jobVariables returns what GitLab tells the job in variables.
func jobVariables() ownpipeline.Variables {
	id, _ := strconv.ParseInt(os.Getenv("CI_JOB_ID"), 10, 64) // 0: not known
	return ownpipeline.Variables{
		JobID: id, DefaultBranch: os.Getenv("CI_DEFAULT_BRANCH"), ProtectedRef: os.Getenv("CI_COMMIT_REF_PROTECTED") == "true",
	}
}

// errorCounter counts the records at level ERROR: what the service logs at that level
// is a failure of the command. It leaves out those of outcomes, which the report has.
type errorCounter struct {
	slog.Handler
	errors *atomic.Int64
}

// Handle implements slog.Handler.
func (e errorCounter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		e.errors.Add(1)
	}
	if r.Message == notify.OutcomeMessage {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (e errorCounter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorCounter{e.Handler.WithAttrs(attrs), e.errors}
}

// WithGroup implements slog.Handler.
func (e errorCounter) WithGroup(name string) slog.Handler {
	return errorCounter{e.Handler.WithGroup(name), e.errors}
}
