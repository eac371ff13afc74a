package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/catchup"
	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
)

// checkup returns what the running service, whose options are o now, checks of itself.
func (a *App) checkup(o Options, db store.Store, gl *gitlab.Client, receiver notify.Receiver, known *catchup.Known) doctor.Config {
	cfg := checkupOf(o)
	cfg.GitLab, cfg.Rules, cfg.Store, cfg.Known = gl, a.rules.Rules(), db, knownIDs(known)
	if chat, on := receiver.(*slack.Notifier); on {
		cfg.Slack = chat.Reader()
	}
	return cfg
}

// checkupOf returns the part of a check-up that the options alone give.
func checkupOf(o Options) doctor.Config {
	return doctor.Config{
		Webhook: WantedHook(o), EnsuresHooks: o.EnsureHooks,
		Rate: o.GitLabRate, DryRun: o.DryRun, Projects: o.Projects, Version: o.Version, Now: time.Now,
		SlackApp:      doctor.SlackApp{Signed: len(o.SlackSecrets) > 0, Token: o.SlackAppToken, Operators: o.SlackOperators},
		WebhookTokens: o.Credentials.Tokens, SigningTokens: o.Credentials.SigningTokens, Insecure: o.Credentials.Insecure,
		Secrets: o.secrets(),
	}
}

// secrets returns all secrets of the options.
func (o Options) secrets() []string {
	all := append([]string{o.GitLabToken, o.SlackToken, o.SlackAppToken}, o.Credentials.Tokens...)
	all = append(append(all, o.Credentials.SigningTokens...), o.SlackSecrets...)
	if before, _, is := strings.Cut(o.Store, "@"); is { // the last @ ends the password
		if at := strings.LastIndex(o.Store, "@"); at > 0 {
			before = o.Store[:at]
		}
		if _, password, is := strings.Cut(strings.TrimPrefix(before[strings.Index(before, ":")+1:], "//"), ":"); is {
			all = append(all, password)
		}
	}
	return all
}

// checkedApart are the settings that checks of their own are about.
var checkedApart = []string{
	"rules", "store", "gitlab-url", "gitlab-alias", "gitlab-token", "webhook-token", "webhook-signing-token", "insecure-no-webhook-auth", "slack-token", "slack-api-url", "slack-signing-secret", "slack-app-token", "slack-operators",
}

// Checkup makes what `pipesteward doctor` checks, as the service would make it. What
// can't be made is a finding, and no error; unread says which settings could not be read.
// Without a rate that can be used, requests are sent at the rate fallback. The returned
// function closes it all.
func Checkup(ctx context.Context, o Options, unread error, fallback store.Rate) (cfg doctor.Config, end func() error) {
	cfg = checkupOf(o)
	if o.GitLabRate.Per == 0 {
		o.GitLabRate = fallback
	}
	allWrong, _ := errors.AsType[SettingErrors](JoinSettings(unread, o.Check()))
	for _, e := range allWrong {
		if !slices.Contains(checkedApart, e.Setting) && (e.Setting != "webhook-url" || o.WebhookURL == "") {
			cfg.SettingErrs = append(cfg.SettingErrs, e)
		}
	}
	end = func() error { return nil }
	quiet := slog.New(slog.DiscardHandler) // the findings say it
	if sources, err := ReadRules(o.Rules); err != nil {
		cfg.RulesErr, cfg.RulesUnread = fmt.Errorf("--rules: %w", err), true
	} else if loaded, found, err := LoadSources(sources, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()}); err != nil {
		cfg.RulesErr = err
	} else {
		cfg.Rules, cfg.Warnings = loaded, len(found)
	}
	var limiter ratelimit.Limiter = ratelimit.NewLocal(time.Now)
	if err := about(unread, "store"); err != nil {
		cfg.StoreErr = err
	} else if db, err := openPresent(ctx, o.Store, quiet); err != nil {
		cfg.StoreErr = err
	} else if db != nil {
		cfg.Store, end = db, db.Close
		cfg.Known = knownIDs(catchup.NewKnown(db, quiet))
		if shared, is := db.(*redis.Store); is {
			limiter = shared
		} else {
			cfg.LeaveStore = db.Close // so that `serve` can start
		}
	}
	wrong := JoinSettings(unread, o.CheckGiven(), o.CheckPresent("gitlab-token", "webhook-token"))
	if cfg.TokenErr = about(wrong, "gitlab-token"); cfg.TokenErr != nil {
		o.GitLabToken = ""
	}
	if cfg.GitLabErr = about(wrong, "gitlab-url", "gitlab-alias"); cfg.GitLabErr == nil {
		cfg.GitLab, cfg.GitLabErr = newGitLab(o, true, limiter, nil, quiet)
	}
	cfg.WebhookErr = about(wrong, "webhook-token", "webhook-signing-token", "insecure-no-webhook-auth", "webhook-url")
	if about(wrong, "webhook-url") != nil {
		cfg.Webhook.URL = ""
	}
	if cfg.SlackErr = about(wrong, "slack-token", "slack-api-url"); cfg.SlackErr == nil && o.SlackToken != "" {
		cfg.Slack, cfg.SlackErr = slack.NewReader(slack.Config{Token: o.SlackToken, APIURL: o.SlackURL, Now: time.Now})
	}
	cfg.SlackApp.Err = about(wrong, "slack-signing-secret", "slack-app-token", "slack-operators")
	return cfg, end
}

// knownIDs returns a function that lists the ids of the projects that ever sent an event.
func knownIDs(known *catchup.Known) func(context.Context) ([]int64, error) {
	return func(ctx context.Context) ([]int64, error) {
		projects, err := known.Projects(ctx)
		ids := make([]int64, len(projects))
		for i, p := range projects {
			ids[i] = p.ID
		}
		return ids, err
	}
}

// about returns those of SettingErrors that are about the settings.
func about(err error, settings ...string) error {
	all, _ := errors.AsType[SettingErrors](err)
	return slices.DeleteFunc(slices.Clone(all), func(e SettingError) bool { return !slices.Contains(settings, e.Setting) }).Err()
}

// openPresent opens the store; nil for a file that is not there, which this does not
// make.
func openPresent(ctx context.Context, setting string, log *slog.Logger) (store.Store, error) {
	path, isFile := strings.CutPrefix(setting, "bolt:")
	if setting == "" {
		path, isFile = strings.TrimPrefix(DefaultStore, "bolt:"), true
	}
	if isFile {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(filepath.Dir(path)); err == nil {
				return nil, nil
			}
		}
	}
	return OpenStore(ctx, setting, Longest(), log)
}
