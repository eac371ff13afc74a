package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
)

// ReadSecrets reads the file of a secret setting: one value on each line.
func ReadSecrets(setting, path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s_FILE: %w", Variable(setting), err)
	}
	all := Trimmed(strings.Split(string(text), "\n"))
	if err := CheckSecrets(all); err != nil {
		return nil, fmt.Errorf("%s_FILE: %w", Variable(setting), err)
	}
	return all, nil
}

// CheckSecrets returns an error if a secret has a control character: it was pasted or read
// with more than itself, and no HTTP header can contain it.
func CheckSecrets(values []string) error {
	for _, value := range values {
		if strings.ContainsFunc(value, unicode.IsControl) {
			return errors.New("it has a line break or another control character inside: give the secret alone, in one line")
		}
	}
	return nil
}

// Trimmed returns the texts without white space around them, and leaves out empty ones.
func Trimmed(texts []string) []string {
	var all []string
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// Single returns the only value of a secret setting, "" for none.
func Single(setting string, values []string) (string, error) {
	if len(values) > 1 {
		return "", fmt.Errorf("%s_FILE: the file must hold one line, the secret", Variable(setting))
	}
	return strings.Join(values, ""), nil
}

// secretFile is the file with the values of a secret setting.
type secretFile struct {
	setting string
	path    string
	inForce []string
	apply   func(values []string) error // puts other values in force, or refuses them
	failed  string                      // why the file, as it is now, can't be used; "": it can
}

// secretFiles are the secrets that come from files. They follow their files; after a
// change that can't be used, the values in force stay.
type secretFiles struct {
	paths map[string]string // by setting
	log   *slog.Logger
	mu    sync.Mutex
	files []*secretFile
}

// add adds a setting, if it comes from a file. inForce are the values that were read.
func (s *secretFiles) add(setting string, inForce []string, apply func([]string) error) {
	if path := s.paths[setting]; path != "" {
		s.files = append(s.files, &secretFile{setting: setting, path: path, inForce: inForce, apply: apply})
	}
}

// addSingle is add for a setting of one value.
func (s *secretFiles) addSingle(setting, inForce string, apply func(string) error) {
	s.add(setting, Trimmed([]string{inForce}), func(values []string) error {
		value, err := Single(setting, values)
		if err != nil {
			return err
		}
		return apply(value)
	})
}

// follow reads the files again when they change, and on SIGHUP, until ctx is done.
func (s *secretFiles) follow(ctx context.Context) {
	if len(s.files) == 0 {
		return
	}
	f := follower{name: "secret files", log: s.log, reload: func(bool) {
		_ = s.reload() // it is logged
	}}
	for _, file := range s.files {
		f.paths = append(f.paths, file.path)
	}
	f.run(ctx)
}

// reload reads all files, puts changed values in force, and logs and returns the
// errors of files that can't be used. Logs and errors name settings and never values.
func (s *secretFiles) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		changed, err := f.reload()
		switch {
		case err != nil:
			errs = append(errs, err)
			if f.failed != err.Error() {
				s.log.Error("a secret file can't be used; the secret in force stays", "setting", "--"+f.setting, "file", f.path, "error", err)
			}
			f.failed = err.Error()
			continue
		case changed:
			s.log.Info("a secret has changed", "setting", "--"+f.setting, "file", f.path)
		case f.failed != "":
			s.log.Info("a secret file can be used again, and holds the secret in force", "setting", "--"+f.setting, "file", f.path)
		}
		f.failed = ""
	}
	return errors.Join(errs...)
}

func (f *secretFile) reload() (changed bool, err error) {
	values, err := ReadSecrets(f.setting, f.path)
	switch {
	case err != nil:
		return false, err
	case slices.Equal(values, f.inForce):
		return false, nil
	case len(values) == 0:
		return false, fmt.Errorf("%s_FILE: the file is empty", Variable(f.setting))
	}
	if err := f.apply(values); err != nil {
		return false, fmt.Errorf("%s_FILE: %w", Variable(f.setting), err)
	}
	f.inForce = values
	return true, nil
}

// inForce returns options with the values in force of the secrets that come from files.
func (s *secretFiles) inForce(o Options) Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		single := strings.Join(f.inForce, "")
		switch f.setting {
		case "gitlab-token":
			o.GitLabToken = single
		case "slack-token":
			o.SlackToken = single
		case "slack-signing-secret":
			o.SlackSecrets = f.inForce
		case "slack-app-token":
			o.SlackAppToken = single
		case "store":
			o.Store = single
		case "admin-oidc-client-secret":
			o.AdminAuth.OIDC.ClientSecret = single
		case "webhook-token":
			o.Credentials.Tokens = f.inForce
		case "webhook-signing-token":
			o.Credentials.SigningTokens = f.inForce
		}
	}
	return o
}

// newSecretFiles returns the secrets that come from files; changes are put into those
// that use them.
//
// db is the store itself, and no wrapper of it.
func newSecretFiles(o Options, db store.Store, gl *gitlab.Client, receiver notify.Receiver, reconnect func(receiver string), webhooks *webhook.Handler, inSlack slackRequests, keeper *hooks.Keeper, authorizer *auth.Authorizer, log *slog.Logger) *secretFiles {
	files := &secretFiles{paths: o.SecretFiles, log: log}
	files.addSingle("gitlab-token", o.GitLabToken, gl.SetToken)
	files.addSingle("slack-token", o.SlackToken, func(token string) error {
		chat, on := receiver.(*slack.Notifier)
		if !on {
			return errors.New("there was no Slack token at the start: restart to notify people in Slack")
		}
		if err := chat.SetToken(token); err != nil {
			return err
		}
		reconnect(event.ReceiverSlack)
		return nil
	})
	files.add("slack-signing-secret", o.SlackSecrets, inSlack.setSecrets)
	files.addSingle("slack-app-token", o.SlackAppToken, inSlack.setToken)
	files.addSingle("store", o.Store, func(url string) error {
		shared, ok := db.(*redis.Store)
		if !ok {
			return errors.New("another store needs a restart")
		}
		return shared.SetURL(url)
	})
	files.addSingle("admin-oidc-client-secret", o.AdminAuth.OIDC.ClientSecret, authorizer.SetClientSecret)
	credentials := o.Credentials
	use := func(next webhook.Credentials) error {
		if err := webhooks.SetCredentials(next); err != nil {
			return err
		}
		credentials = next
		if keeper != nil {
			o.Credentials = next
			keeper.SetWanted(WantedHook(o))
		}
		return nil
	}
	files.add("webhook-token", o.Credentials.Tokens, func(values []string) error {
		next := credentials
		next.Tokens = values
		return use(next)
	})
	files.add("webhook-signing-token", o.Credentials.SigningTokens, func(values []string) error {
		next := credentials
		next.SigningTokens = values
		return use(next)
	})
	return files
}

// followWebConfig returns a part that loads a web configuration file again when it
// changes, and on SIGHUP; nil: there is none.
func followWebConfig(file *auth.WebConfigFile, log *slog.Logger) func(context.Context) {
	if file == nil {
		return func(context.Context) {}
	}
	f := follower{name: "the web configuration file", paths: []string{file.Path()}, log: log, reload: func(bool) {
		_ = file.Reload() // it is logged
	}}
	return f.run
}
