package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redis"
)

// secrets gives the values of a secret setting: those given, or those in the
// file that its variable with _FILE names, one on each line.
func secrets(name string, given ...string) ([]string, error) {
	all := trimmed(given)
	path := os.Getenv(env(name) + "_FILE")
	if path == "" {
		return all, nil
	}
	if len(all) > 0 {
		return nil, fmt.Errorf("%s_FILE is set, and --%s or %s too: choose one", env(name), name, env(name))
	}
	return readSecrets(name, path)
}

// readSecrets reads the file of a secret setting.
func readSecrets(name, path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s_FILE: %w", env(name), err)
	}
	return trimmed(strings.Split(string(text), "\n")), nil
}

// single gives the only value of a secret setting, "" for none.
func single(name string, values []string) (string, error) {
	if len(values) > 1 {
		return "", fmt.Errorf("%s_FILE: the file must hold one line, the secret", env(name))
	}
	return strings.Join(values, ""), nil
}

// secretFile is a file that gives the values of a secret setting.
type secretFile struct {
	setting string
	path    string
	inForce []string
	apply   func(values []string) error // puts other values in force, or refuses them
	failed  string                      // why the file, as it is now, can't be used; "": it can
}

// secretFiles are the secrets that come from files. They follow their files; a
// change that can't be used leaves in force what was.
type secretFiles struct {
	log   *slog.Logger
	mu    sync.Mutex
	files []*secretFile
}

// add adds a setting, if it comes from a file. inForce is what was read of it.
func (s *secretFiles) add(setting string, inForce []string, apply func([]string) error) {
	if path := os.Getenv(env(setting) + "_FILE"); path != "" {
		s.files = append(s.files, &secretFile{setting: setting, path: path, inForce: inForce, apply: apply})
	}
}

// addSingle is add for a setting of one value.
func (s *secretFiles) addSingle(setting, inForce string, apply func(string) error) {
	s.add(setting, trimmed([]string{inForce}), func(values []string) error {
		value, err := single(setting, values)
		if err != nil {
			return err
		}
		return apply(value)
	})
}

// follow reads the files again when they change, or on SIGHUP, until ctx ends.
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

// reload reads all files, puts in force what has changed, and logs and returns
// what can't be used. Logs and errors name settings and never values.
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
	values, err := readSecrets(f.setting, f.path)
	switch {
	case err != nil:
		return false, err
	case slices.Equal(values, f.inForce):
		return false, nil
	case len(values) == 0:
		return false, fmt.Errorf("%s_FILE: the file is empty", env(f.setting))
	}
	if err := f.apply(values); err != nil {
		return false, fmt.Errorf("%s_FILE: %w", env(f.setting), err)
	}
	f.inForce = values
	return true, nil
}

// newSecretFiles gives the secrets of serve that come from files, and puts what
// changes into those that use them.
func newSecretFiles(s settings, db store.Store, gl *gitlab.Client, teller notify.Receiver, webhooks *webhook.Handler, log *slog.Logger) *secretFiles {
	files := &secretFiles{log: log}
	files.addSingle("gitlab-token", s.gitlabToken, gl.SetToken)
	files.addSingle("slack-token", s.slackToken, func(token string) error {
		chat, on := teller.(*slack.Notifier)
		if !on {
			return errors.New("there was no Slack token at the start: restart to notify people in Slack")
		}
		return chat.SetToken(token)
	})
	files.addSingle("store", s.store, func(url string) error {
		shared, ok := db.(*redis.Store)
		if !ok {
			return errors.New("another store needs a restart")
		}
		return shared.SetURL(url)
	})
	credentials := s.credentials()
	use := func(next webhook.Credentials) error {
		err := webhooks.SetCredentials(next)
		if err == nil {
			credentials = next
		}
		return err
	}
	files.add("webhook-token", s.webhookTokens, func(values []string) error {
		next := credentials
		next.Tokens = values
		return use(next)
	})
	files.add("webhook-signing-token", s.signingTokens, func(values []string) error {
		next := credentials
		next.SigningTokens = values
		return use(next)
	})
	return files
}
