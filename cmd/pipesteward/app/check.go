package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/redis"
)

// SettingErrors are the settings that are missing or wrong, each once.
type SettingErrors []SettingError

// SettingError is a setting that is missing or wrong.
type SettingError struct {
	Setting string // without dashes: gitlab-token
	Err     error  // what is wrong, and what to write instead
}

func (e SettingError) Error() string {
	return "--" + e.Setting + ": " + strings.ReplaceAll(e.Err.Error(), "\n", "\n    ")
}

// Error lists the settings, one on each line if there are several.
func (all SettingErrors) Error() string {
	if len(all) == 1 {
		return all[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are missing or wrong:", len(all))
	for _, e := range all {
		b.WriteString("\n  " + e.Error())
	}
	return b.String()
}

// With adds what is wrong with a setting, unless err is nil or something about the
// setting is there already.
func (all SettingErrors) With(setting string, err error) SettingErrors {
	if err == nil || slices.ContainsFunc(all, func(e SettingError) bool { return e.Setting == setting }) {
		return all
	}
	return append(all, SettingError{setting, err})
}

// Err returns the errors, nil if there are none.
func (all SettingErrors) Err() error {
	if len(all) == 0 {
		return nil
	}
	return all
}

// JoinSettings joins the SettingErrors among errors to one; of several about a setting,
// the first one counts. Other errors come first.
func JoinSettings(errs ...error) error {
	var all SettingErrors
	var others []error
	for _, err := range errs {
		some, ok := errors.AsType[SettingErrors](err)
		if !ok {
			others = append(others, err)
		}
		for _, e := range some {
			all = all.With(e.Setting, e.Err)
		}
	}
	if err := errors.Join(others...); err != nil {
		return errors.Join(err, all.Err())
	}
	return all.Err()
}

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
	wrong = wrong.With("listen", checkAddress(o.Listen))
	wrong = wrong.With("admin-listen", checkAddress(o.AdminListen))
	return wrong.Err()
}

// checkCredentials returns what is wrong with the credentials of webhooks.
func checkCredentials(c webhook.Credentials) error {
	if len(c.Tokens)+len(c.SigningTokens) == 0 && !c.Insecure {
		return errors.New("neither it nor --webhook-signing-token is set, so anyone could send events: make a token (openssl rand -hex 32), " +
			"set it as PIPESTEWARD_WEBHOOK_TOKEN, and give the same to the webhook in GitLab; --insecure-no-webhook-auth takes webhooks from anybody")
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
	return fmt.Errorf("%q is not a kind of store: write bolt:PATH, like bolt:pipesteward.db, or the URL of a Redis, like redis://host:6379", scheme)
}

// checkGitLabToken returns what is wrong with an access token.
func checkGitLabToken(token string) error {
	if token == "" {
		return errors.New("it is missing: give an access token with scope api, best as PIPESTEWARD_GITLAB_TOKEN or in the file that PIPESTEWARD_GITLAB_TOKEN_FILE names")
	}
	if err := rest.CheckToken(token); err != nil {
		return fmt.Errorf("it %w", err)
	}
	return nil
}

// checkAddress returns what is wrong with an address to listen on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // in local tables
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write :8080, or 127.0.0.1:8080 for this machine only", address)
	}
	return nil
}
