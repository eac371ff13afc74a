package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
)

// options returns the options of a service on port 0 with a store of its own.
func options(t *testing.T) app.Options {
	t.Helper()
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	text := "version: 1\nrules: [{name: good, on: job, if: failed_with(\"api_failure\"), actions: [retry]}]\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return app.Options{
		Rules: rules, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Store: "bolt:" + filepath.Join(dir, "app.db"),
		GitLabURL: gitlabtest.Start(t, gitlabtest.Options{Now: time.Now}).URL(), GitLabToken: gitlabtest.DefaultToken,
		GitLabRate: store.Rate{Limit: 3000, Per: time.Minute}, CatchUpEvery: time.Minute, CatchUpMaxAge: time.Hour,
		Credentials: webhook.Credentials{Tokens: []string{"secret"}},
		Version:     "v1.2.3",
	}
}

// wantReleased wants that nobody has the store's file open: a second bbolt would wait
// for the lock and fail.
func wantReleased(t *testing.T, setting string) {
	t.Helper()
	db, err := bolt.Open(strings.TrimPrefix(setting, "bolt:"), bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatalf("the store is still open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// A service serves both addresses until its context is done, and then closes its store.
func TestRun(t *testing.T) {
	o := options(t)
	var log bytes.Buffer
	service, err := app.New(t.Context(), o, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	for url, want := range map[string]int{service.AdminURL() + "/readyz": http.StatusOK, service.WebhookURL(): http.StatusMethodNotAllowed} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", url, resp.Status, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returns %v after its context is done", err)
	}
	for _, line := range []string{`"msg":"pipesteward serves","version":"v1.2.3"`, `"msg":"pipesteward stops`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
	wantReleased(t, o.Store)
}

// New starts nothing in the background, and closes what it opened when it fails.
func TestNewFails(t *testing.T) {
	for name, spoil := range map[string]func(*app.Options){
		"--gitlab-token":          func(o *app.Options) { o.GitLabToken = "" },
		"--webhook-token":         func(o *app.Options) { o.Credentials = webhook.Credentials{} },
		"--webhook-signing-token": func(o *app.Options) { o.Credentials.SigningTokens = []string{"whsec_x"} },
		"--admin-listen":          func(o *app.Options) { o.AdminListen = "127.0.0.1:x" },
		"--listen":                func(o *app.Options) { o.Listen = "127.0.0.1:x" },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			spoil(&o)
			before := goleak.IgnoreCurrent()
			if _, err := app.New(t.Context(), o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
				t.Fatalf("error %v, want one that names %s", err, name)
			}
			goleak.VerifyNone(t, before)
			wantReleased(t, o.Store)
		})
	}
}
