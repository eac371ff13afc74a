package doctor_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/bolt"
)

// TestRequested: what each check found last is kept, with the time of the check, whether a
// service made it by itself or a person requested it, and stays when checks are stopped.
func TestRequested(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}})
	r.Now = func() time.Time { return r.now }
	db, err := bolt.Open(t.TempDir()+"/test.db", bolt.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	w := &doctor.Watch{
		Config: func() doctor.Config { return r.Config },
		Sleep:  func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() },
		Log:    slog.New(slog.DiscardHandler),
		Last:   background.New[[]doctor.Checked](background.Keys{Claim: "checkup", Last: "checkup", Running: "checkup:running"}, db, time.Now, slog.New(slog.DiscardHandler)),
	}
	if s := w.Status(t.Context()); s.Summary != "not made yet" {
		t.Errorf("before the first round, the checks are %+v", s)
	}
	find := func(check string) *doctor.Checked {
		last, _, err := w.Last.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(last.Found, func(c doctor.Checked) bool { return c.Check == check }); i >= 0 {
			return &last.Found[i]
		}
		return nil
	}
	w.Run(ctx)
	if f := find("token-scopes"); f == nil || f.Severity != doctor.Problem || !f.At.Equal(noon) || find("project-role") != nil {
		t.Errorf("after the first round: scopes %+v, roles %+v", f, find("project-role"))
	}
	if s := w.Status(t.Context()); s.Problems != 1 || s.Summary != "1 problem, 0 warnings" {
		t.Errorf("after the first round, the checks are %+v", s)
	}
	request := func(all bool) {
		r.now = r.now.Add(time.Hour)
		if err := w.Last.Do(t.Context(), w.Requested(all)); err != nil {
			t.Fatal(err)
		}
	}
	request(true)
	if f := find("project-role"); f == nil || !f.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("after all checks, that of roles is %+v", f)
	}
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"api"}})
	request(false)
	if f := find("token-scopes"); f.Severity != doctor.OK || !f.At.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("after the token was mended, its scopes are %+v", f)
	}
	if f := find("project-role"); f == nil || !f.At.Equal(noon.Add(time.Hour)) {
		t.Errorf("the check that was not made again is now %+v", f)
	}
	last, _, _ := w.Last.Last(t.Context())
	place := func(c doctor.Checked) int {
		return slices.IndexFunc(doctor.Checks, func(of doctor.Check) bool { return of.ID == c.Check })
	}
	if !slices.IsSortedFunc(last.Found, func(a, b doctor.Checked) int { return place(a) - place(b) }) {
		t.Errorf("the findings are not in the order of the checks: %+v", last.Found)
	}

	stopping, stop := context.WithCancel(t.Context())
	w.Config = func() doctor.Config { stop(); return r.Config }
	r.now = r.now.Add(time.Hour)
	if err := w.Last.Do(stopping, w.Requested(true)); err == nil {
		t.Error("checks that were stopped have no error")
	}
	stopped, _, err := w.Last.Last(t.Context())
	if diff := cmp.Diff(last.Found, stopped.Found); diff != "" || err != nil {
		t.Errorf("checks that were stopped have changed what was found before (%v):\n%s", err, diff)
	}
}
