package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/slackapp"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/redis"
)

// Check returns all that can be said to be wrong with the options before anything is
// opened, as SettingErrors. It reads the rule files and those of the secrets of their
// receivers, and sends no request.
func (o Options) Check() error {
	var wrong SettingErrors
	sources, err := ReadRules(o.Rules)
	if err == nil {
		var loaded *rules.Rules
		if loaded, _, err = LoadSources(sources, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()}); err == nil {
			err = o.checkConfirm(loaded)
		}
		if err == nil {
			_, err = OpenReceivers(loaded, slog.New(slog.DiscardHandler))
		}
	}
	wrong = wrong.With("rules", err)
	needed := []string{"gitlab-token", "webhook-token"}
	if o.EnsureHooks {
		needed = append(needed, "webhook-url")
	}
	var addresses SettingErrors
	addresses = addresses.WithMalformed("listen", checkAddress(o.Listen))
	addresses = addresses.WithMalformed("admin-listen", checkAddress(o.AdminListen))
	authorizer, err := newAuthorizer(o.AdminAuth, slog.New(slog.DiscardHandler))
	if address, ok := literalAddress(o.AdminListen); ok && err == nil {
		addresses = addresses.WithMalformed("admin-listen", authorizer.CheckAddress(address))
	}
	var noSlack SettingErrors
	if len(o.SlackOperators) > 0 && !o.takesSlackRequests() {
		noSlack = noSlack.WithMalformed("slack-operators", errors.New("nobody can use buttons and commands in Slack: give --slack-token, and\n"+
			"--slack-signing-secret or --slack-app-token, or omit it"))
	}
	return JoinSettings(wrong.Err(), o.CheckGiven(), noSlack.Err(), o.CheckPresent(needed...), addresses.Err(), err)
}

// checkConfirm returns an error if a rule has plays confirmed in Slack, where nobody can be
// asked: they would wait for nothing.
func (o Options) checkConfirm(rs *rules.Rules) error {
	if o.SlackToken != "" && o.takesSlackRequests() {
		return nil
	}
	for _, r := range rs.All() {
		if slices.ContainsFunc(r.Actions, func(a rules.Action) bool { return a.Confirm.Source != "" }) {
			return fmt.Errorf("the rules can't be used: rule %q has a play confirmed in Slack (`confirm`), and nobody can answer there: give --slack-token, and --slack-signing-secret or --slack-app-token, or omit `confirm`", r.Name)
		}
	}
	return nil
}

// CheckGiven returns what is wrong with the values that are given, as SettingErrors. All
// commands check by it what they take of the settings.
func (o Options) CheckGiven() error {
	var wrong SettingErrors
	wrong = wrong.WithMalformed("store", checkStore(o.Store))
	wrong = wrong.With("store", checkDirectory(o.Store))
	wrong = wrong.WithMalformed("gitlab-url", gitlab.CheckURL(o.GitLabURL))
	for _, alias := range o.GitLabAliases {
		wrong = wrong.WithMalformed("gitlab-alias", gitlab.CheckURL(alias))
	}
	if err := rest.CheckToken(o.GitLabToken); err != nil {
		wrong = wrong.WithMalformed("gitlab-token", fmt.Errorf("it %w: correct PIPESTEWARD_GITLAB_TOKEN or its file", err))
	}
	wrong = wrong.WithMalformed("webhook-token", o.Credentials.CheckTokens())
	wrong = wrong.WithMalformed("webhook-signing-token", o.Credentials.CheckSigningTokens())
	wrong = wrong.WithMalformed("insecure-no-webhook-auth", o.Credentials.CheckInsecure())
	if o.WebhookURL != "" {
		wrong = wrong.WithMalformed("webhook-url", hooks.CheckURL(o.WebhookURL, webhook.Path))
	}
	if o.SlackToken != "" {
		wrong = wrong.WithMalformed("slack-token", slack.CheckToken(o.SlackToken))
		wrong = wrong.WithMalformed("slack-api-url", slack.CheckURL(o.SlackURL))
	}
	wrong = wrong.WithMalformed("slack-signing-secret", slackapp.CheckSecrets(o.SlackSecrets))
	if o.SlackAppToken != "" {
		wrong = wrong.WithMalformed("slack-app-token", slack.CheckAppToken(o.SlackAppToken))
	}
	if o.takesSlackRequests() && o.SlackToken == "" {
		wrong = wrong.WithMalformed("slack-token", errors.New("it is missing: buttons and commands need it to find out who somebody is,\n"+
			"because --slack-signing-secret or --slack-app-token is set"))
	}
	for _, group := range o.SlackOperators {
		wrong = wrong.WithMalformed("slack-operators", rights.CheckOperator(group))
	}
	return wrong.Err()
}

// CheckPresent returns which of the settings are missing, as SettingErrors. It knows
// gitlab-token, webhook-token, for which other credentials of webhooks may stand, and
// webhook-url. A file that gives none may do so when the program starts again.
func (o Options) CheckPresent(settings ...string) error {
	c := o.Credentials
	present := map[string]bool{
		"gitlab-token":  o.GitLabToken != "",
		"webhook-token": len(c.Tokens)+len(c.SigningTokens) > 0 || c.Insecure,
		"webhook-url":   o.WebhookURL != "",
	}
	var wrong SettingErrors
	for _, setting := range settings {
		if !present[setting] {
			text := missing[setting]
			if setting == "gitlab-token" {
				text = fmt.Sprintf(text, cmp.Or(o.TokenScope, "api"))
			}
			wrong = wrong.with(SettingError{setting, errors.New(text), o.SecretFiles[setting] == ""})
		}
	}
	return wrong.Err()
}

// missing says of settings that nothing stands for what they are, and how to give them.
var missing = map[string]string{
	"gitlab-token": "it is missing: give an access token with scope %s\n" +
		"in PIPESTEWARD_GITLAB_TOKEN, or its file in PIPESTEWARD_GITLAB_TOKEN_FILE",
	"webhook-token": "neither it nor --webhook-signing-token is set:\n" +
		"make a token (openssl rand -hex 32), and give the same in\n" +
		"PIPESTEWARD_WEBHOOK_TOKEN to `serve` and `hooks ensure`, which gives it to\n" +
		"webhooks in GitLab, or give it to them yourself. To take webhooks from\n" +
		"anybody instead: --insecure-no-webhook-auth",
	"webhook-url": "it is missing: the public URL that GitLab posts to,\n" +
		"like https://pipesteward.example.com" + webhook.Path + ", which webhooks are to have",
}

// newAuthorizer makes what decides who may use the admin address. Its error is
// SettingErrors.
func newAuthorizer(cfg auth.Config, log *slog.Logger) (*auth.Authorizer, error) {
	cfg.Now, cfg.Log = time.Now, log
	authorizer, err := auth.New(cfg)
	if mistakes, ok := errors.AsType[auth.ConfigErrors](err); ok {
		var wrong SettingErrors
		for _, m := range mistakes {
			wrong = wrong.with(SettingError(m))
		}
		return nil, wrong
	}
	return authorizer, err
}

// literalAddress returns the address of a listener that is named by its IP address, or by
// none for all addresses.
func literalAddress(address string) (_ *net.TCPAddr, ok bool) {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return &net.TCPAddr{IP: ip}, err == nil && (host == "" || ip != nil)
}

// checkDirectory returns what is wrong with the directory of a store that is a file.
func checkDirectory(setting string) error {
	path, isFile := strings.CutPrefix(cmp.Or(setting, DefaultStore), "bolt:")
	if !isFile {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		return fmt.Errorf("the directory of the store can't be used: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", filepath.Dir(path))
	}
	return nil
}

// checkStore returns what is malformed about a --store setting.
func checkStore(setting string) error {
	setting = cmp.Or(setting, DefaultStore)
	if path, isFile := strings.CutPrefix(setting, "bolt:"); isFile && path != "" {
		return nil
	}
	if isRedis(setting) {
		return redis.CheckURL(setting)
	}
	scheme, _, _ := strings.Cut(setting, ":")
	return fmt.Errorf("%q is not a kind of store: write bolt:PATH, like bolt:pipesteward.db, or the URL of a Redis, like redis://host:6379", redact.URL(scheme))
}

// checkAddress returns what is wrong with an address to listen on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write :8080, or 127.0.0.1:8080 for this machine only", redact.URL(address))
	}
	return nil
}
