package doctor_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// A service makes the cheap checks at its start and each day, logs what is not in order
// once, and waits for what it can't see now.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}, ExpiresAt: noon.AddDate(0, 0, 5)})
	r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 503})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	var slept []time.Duration
	var logged []int
	w := doctor.Watch{
		Config: func() doctor.Config { return r.Config },
		Sleep: func(ctx context.Context, d time.Duration) error {
			slept, logged = append(slept, d), append(logged, strings.Count(log.String(), "\n"))
			switch len(slept) {
			case 3:
				r.gitlab.ClearFaults()
			case 5:
				cancel()
			}
			return ctx.Err()
		},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	w.Run(ctx)
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 24 * time.Hour, 24 * time.Hour}
	for i, d := range want {
		if i >= len(slept) || slept[i] != d {
			t.Fatalf("it waits %v, want %v", slept, want)
		}
	}
	if logged[0] != 0 || logged[3] == 0 || logged[4] != 2*logged[3] {
		t.Errorf("%v lines are logged after each round", logged)
	}
	for _, line := range []string{
		`level=WARN msg="a check found something to look at" check=token-scopes reason="the access token lacks the scope api: it has read_api, with which GitLab refuses every action" advice=`,
		`level=WARN msg="a check found something to look at" check=token-expiry reason="the access token expires in 4d11h59m, on 2026-11-27"`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %s:\n%s", line, log.String())
		}
	}
	for _, request := range r.gitlab.Requests() {
		if strings.HasPrefix(request.Path, "/projects") {
			t.Errorf("a cheap check reads %s", request.Path)
		}
	}
}

// While GitLab refuses the token, package health says so, and the watch nothing.
func TestWatchLeavesOutagesToHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Revoked: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	rounds := 0
	w := doctor.Watch{
		Config: func() doctor.Config { return r.Config },
		Sleep: func(ctx context.Context, _ time.Duration) error {
			if rounds++; rounds == 3 {
				cancel()
			}
			return ctx.Err()
		},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	w.Run(ctx)
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", log.String())
	}
}
