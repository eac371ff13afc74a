package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/explain"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/gitlabnotify"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/mcp"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/redis"
)

// OpenStore opens the store that a --store setting names: a file of bbolt, which
// is the default, or a Redis that any number of replicas share.
func OpenStore(ctx context.Context, setting string, keep Retention, log *slog.Logger) (store.Store, error) {
	setting = cmp.Or(setting, DefaultStore)
	if err := checkStore(setting); err != nil {
		return nil, SettingErrors{{Setting: "store", Err: err}}
	}
	if !isRedis(setting) {
		return bolt.Open(strings.TrimPrefix(setting, "bolt:"), bolt.Options{Now: time.Now, Retention: keep.ofStore()})
	}
	db, err := redis.Open(ctx, setting, redis.Options{Retention: keep.ofStore()})
	if err != nil {
		return nil, err
	}
	for _, warning := range db.Warnings() {
		log.WarnContext(ctx, "the store may lose what it acknowledged", "reason", warning)
	}
	return db, nil
}

// isRedis reports whether a --store setting is the URL of a Redis.
func isRedis(setting string) bool {
	scheme, _, _ := strings.Cut(setting, ":")
	return scheme == "redis" || scheme == "rediss" || strings.HasPrefix(scheme, "redis+") || strings.HasPrefix(scheme, "rediss+")
}

// OpenLimiter returns the limiter of requests to GitLab for a command that needs nothing
// else of the store: that of a Redis, which the replicas share, or one of its own where
// the store is a file that only one process can open. close releases it.
func OpenLimiter(ctx context.Context, setting string, log *slog.Logger) (_ ratelimit.Limiter, closeIt func() error, err error) {
	if scheme, _, _ := strings.Cut(cmp.Or(setting, DefaultStore), ":"); scheme == "bolt" {
		return ratelimit.NewLocal(time.Now), func() error { return nil }, nil
	}
	db, err := OpenStore(ctx, setting, Longest(), log)
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// damaged returns a channel that receives an error when the store can't be used any
// more; nil for a store that recovers by itself.
func damaged(db store.Store) <-chan error {
	if file, ok := db.(*bolt.Store); ok {
		return file.Damaged()
	}
	return nil
}

// NewGitLab returns the client of the GitLab that the options name. observe is called
// with each response; it may be nil.
func NewGitLab(o Options, limiter ratelimit.Limiter, observe func(endpoint string, code int), log *slog.Logger) (*gitlab.Client, error) {
	if o.JobToken == "" {
		if err := o.CheckPresent("gitlab-token"); err != nil {
			return nil, err
		}
	}
	return newGitLab(o, false, limiter, observe, log)
}

// newGitLab is NewGitLab; anonymous: its requests carry no token if the options give none.
func newGitLab(o Options, anonymous bool, limiter ratelimit.Limiter, observe func(endpoint string, code int), log *slog.Logger) (*gitlab.Client, error) {
	observed := func(ctx context.Context, endpoint string, code int) {
		if observe != nil {
			observe(endpoint, code)
		}
		log.DebugContext(ctx, "request to GitLab", "endpoint", endpoint, "code", code)
	}
	gl, err := gitlab.New(gitlab.Config{
		BaseURL: o.GitLabURL, Aliases: o.GitLabAliases, Token: o.GitLabToken, JobToken: o.JobToken, Anonymous: anonymous, Version: o.Version,
		Limiter: limiter, Rate: o.GitLabRate, LogLimit: o.LogWindow, Now: time.Now, Observe: observed, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("--gitlab-url, --gitlab-alias: %w", err)
	}
	return gl, nil
}

// KeeperConfig returns the configuration of what keeps webhooks in order.
func KeeperConfig(o Options, db store.Store, gl *gitlab.Client, known *catchup.Known, pauses pause.Pauses, log *slog.Logger) hooks.KeeperConfig {
	sweeping := gl.Sweeping() // its requests give way to all others
	return hooks.KeeperConfig{
		GitLab: sweeping, Instance: gl.Instance(), Store: db, Wanted: WantedHook(o), Named: o.Projects,
		DryRun: o.DryRun,
		Held: func(ctx context.Context, owner string) (string, error) {
			paused, err := pauses.OfProject(ctx, owner)
			if paused == nil {
				return "", err
			}
			return paused.String(), nil
		},
		Known: func(ctx context.Context) ([]string, error) {
			all, err := known.Projects(ctx)
			ids := make([]string, len(all))
			for i, p := range all {
				ids[i] = strconv.FormatInt(p.ID, 10)
			}
			return ids, err
		},
		Resolve: func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error) {
			return projects.Resolve(ctx, sweeping, entries)
		},
		Listed: background.New[hooks.List](background.Keys{Claim: keys.WebhooksListed, Last: keys.WebhooksListed, Running: keys.WebhooksListedRunning}, db, time.Now, log),
		Now:    time.Now, Log: log,
	}
}

// WantedHook returns the webhook that projects and groups are to have.
func WantedHook(o Options) hooks.Wanted {
	w := hooks.Wanted{URL: o.WebhookURL, Path: webhook.Path}
	if len(o.Credentials.Tokens) > 0 {
		w.Token = o.Credentials.Tokens[0]
	}
	if len(o.Credentials.SigningTokens) > 0 {
		w.SigningToken = o.Credentials.SigningTokens[0]
	}
	return w
}

// NewReceiver returns the receiver of outcomes in Slack; nil without a Slack token.
func NewReceiver(o Options, db store.Store, log *slog.Logger) (notify.Receiver, error) {
	if o.SlackToken == "" {
		log.Warn("no --slack-token is given: nobody is notified in Slack, see /api/v1/decisions")
		return nil, nil
	}
	receiver, err := slack.New(slack.Config{Token: o.SlackToken, APIURL: o.SlackURL, Buttons: o.takesSlackRequests(), State: db, Now: time.Now, Log: log})
	if err != nil {
		return nil, fmt.Errorf("--slack-token, --slack-api-url: %w", err)
	}
	return receiver, nil
}

// BuiltIn returns the receivers that no rule file defines: GitLab, and Slack if inSlack is
// not nil.
func BuiltIn(o Options, db store.Store, gl *gitlab.Client, inSlack notify.Receiver, log *slog.Logger) notify.Receivers {
	return notify.Named(map[string]notify.Receiver{
		event.ReceiverSlack: inSlack,
		event.ReceiverGitLab: gitlabnotify.New(gitlabnotify.Config{
			GitLab: gl, State: db, Pauses: pause.Pauses{Store: db, Now: time.Now, Log: log}, DryRun: o.DryRun, Log: log,
		}),
	})
}

// CatchUpConfig returns the configuration of catch-up. metrics is nil for the command,
// which queues nothing in a dry run.
func CatchUpConfig(o Options, db store.Store, gl *gitlab.Client, inForce func() *rules.Rules, log *slog.Logger, metrics prometheus.Registerer) catchup.Config {
	sweeping := gl.Sweeping() // its requests give way to all others
	return catchup.Config{
		Store: db, GitLab: sweeping, WebhookPath: webhook.Path, Known: catchup.NewKnown(db, log).Projects,
		Named: func(ctx context.Context) ([]event.Project, []event.SweepProblem, error) {
			found, problems, err := projects.Resolve(ctx, sweeping, o.Projects)
			named := make([]event.Project, len(found))
			for i, p := range found {
				named[i] = p.Project
			}
			return named, problems, err
		},
		Decode: func(d gitlab.HookDelivery) (event.Event, error) { return webhook.Replay(d.Body, d.Key, gl) },
		Rules:  inForce, Every: o.CatchUpEvery, MaxAge: o.CatchUpMaxAge, DryRun: o.DryRun && metrics == nil,
		Now: time.Now, Log: log, Metrics: metrics,
	}
}

// newAssistants returns the tools for assistants on the admin address, which explain events
// by the rules in force.
func newAssistants(version string, gl *gitlab.Client, inForce func() *rules.Rules, facts func() expression.Facts) mcp.HTTP {
	return mcp.HTTP{Sources: mcp.Sources{Version: version, Explainer: explain.Explainer{
		Rules:  func() (*rules.Rules, error) { return inForce(), nil },
		GitLab: gl,
		Facts:  facts,
		Decode: func(body []byte) (event.Event, error) { return webhook.Decode(body, gl.Instance()) },
		Now:    time.Now,
	}}}
}
