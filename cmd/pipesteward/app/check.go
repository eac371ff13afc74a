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
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/redis"
)

// Check returns all that can be said to be wrong with the options before anything is
// opened, as SettingErrors. It reads the rule files, and sends no request.
func (o Options) Check() error {
	var wrong SettingErrors
	sources, err := ReadRules(o.Rules)
	if err == nil {
		_, _, err = loadSources(sources, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()})
	}
	wrong = wrong.With("rules", err)
	wrong = wrong.With("store", checkStore(o.Store))
	wrong = wrong.With("gitlab-url", gitlab.CheckURL(o.GitLabURL))
	for _, alias := range o.GitLabAliases {
		wrong = wrong.With("gitlab-alias", gitlab.CheckURL(alias))
	}
	wrong = wrong.With("gitlab-token", checkGitLabToken(o.GitLabToken))
	wrong = wrong.With("webhook-token", checkCredentials(o.Credentials))
	if o.SlackToken != "" {
		wrong = wrong.With("slack-token", slack.CheckToken(o.SlackToken))
		wrong = wrong.With("slack-api-url", slack.CheckURL(o.SlackURL))
	}
	if o.EnsureHooks && o.WebhookURL == "" {
		wrong = wrong.With("webhook-url", fmt.Errorf("--ensure-hooks needs it: the public URL that GitLab posts to, like https://pipesteward.example.com%s", webhook.Path))
	}
	wrong = wrong.With("listen", checkAddress(o.Listen))
	wrong = wrong.With("admin-listen", checkAddress(o.AdminListen))
	authorizer, err := newAuthorizer(o.AdminAuth, slog.New(slog.DiscardHandler))
	if address, ok := literalAddress(o.AdminListen); ok && err == nil {
		wrong = wrong.With("admin-listen", authorizer.CheckAddress(address))
	}
	return JoinSettings(wrong.Err(), err)
}

// newAuthorizer makes what decides who may use the admin address. Its error is
// SettingErrors.
func newAuthorizer(cfg auth.Config, log *slog.Logger) (*auth.Authorizer, error) {
	cfg.Now, cfg.Log = time.Now, log
	authorizer, err := auth.New(cfg)
	if mistakes, ok := errors.AsType[auth.ConfigErrors](err); ok {
		var wrong SettingErrors
		for _, m := range mistakes {
			wrong = wrong.With(m.Setting, m.Err)
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

// checkCredentials returns what is wrong with the credentials of webhooks.
func checkCredentials(c webhook.Credentials) error {
	if len(c.Tokens)+len(c.SigningTokens) == 0 && !c.Insecure {
		return errors.New("neither it nor --webhook-signing-token is set:\n" +
			"make a token (openssl rand -hex 32), give it in PIPESTEWARD_WEBHOOK_TOKEN,\n" +
			"and the same to the webhook in GitLab. To take webhooks from anybody instead:\n" +
			"--insecure-no-webhook-auth")
	}
	return c.Check()
}

// checkStore returns what is wrong with a --store setting.
func checkStore(setting string) error {
	setting = cmp.Or(setting, DefaultStore)
	path, isFile := strings.CutPrefix(setting, "bolt:")
	if isFile && path != "" {
		info, err := os.Stat(filepath.Dir(path))
		switch {
		case err != nil:
			return fmt.Errorf("the directory of the store can't be used: %w", err)
		case !info.IsDir():
			return fmt.Errorf("%s is no directory", filepath.Dir(path))
		}
		return nil
	}
	if isRedis(setting) {
		return redis.CheckURL(setting)
	}
	scheme, _, _ := strings.Cut(setting, ":")
	return fmt.Errorf("%q is not a kind of store: write bolt:PATH, like bolt:pipesteward.db, or the URL of a Redis, like redis://host:6379", redact.URL(scheme))
}

// checkGitLabToken returns what is wrong with an access token.
func checkGitLabToken(token string) error {
	if token == "" {
		return errors.New("it is missing: give an access token with scope api\n" +
			"in PIPESTEWARD_GITLAB_TOKEN, or its file in PIPESTEWARD_GITLAB_TOKEN_FILE")
	}
	if err := rest.CheckToken(token); err != nil {
		return fmt.Errorf("it %w: correct PIPESTEWARD_GITLAB_TOKEN or its file", err)
	}
	return nil
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
