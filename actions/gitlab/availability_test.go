package gitlab_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// trouble is what the client says keeps GitLab from being used; "" for nothing.
func trouble(c *gitlab.Client) apierror.TroubleKind {
	t, _ := c.Trouble()
	return t.Kind
}

// While GitLab can't be used, nothing is sent but a probe, less and less often;
// what waits goes as soon as that succeeds.
func TestOnlyProbesWhileGitLabCantBeUsed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault gitlabtest.Fault
		token gitlabtest.AccessToken
		kind  apierror.TroubleKind
	}{
		{name: "wrong token", fault: gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized}, kind: apierror.TroubleToken},
		{name: "expired token", token: gitlabtest.AccessToken{ExpiresAt: noon}, kind: apierror.TroubleToken},
		{name: "revoked token", token: gitlabtest.AccessToken{Revoked: true}, kind: apierror.TroubleToken},
		{name: "blocked user", fault: gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, Message: "403 Forbidden - Your account has been blocked."}, kind: apierror.TroubleToken},
		{name: "redirect to a login page", fault: gitlabtest.LoginRedirect, kind: apierror.TroubleAnswers},
		{name: "a login page", fault: gitlabtest.LoginPage, kind: apierror.TroubleAnswers},
		{name: "a gateway's 404", fault: gitlabtest.Fault{Times: -1, Status: http.StatusNotFound, HTML: true}, kind: apierror.TroubleAnswers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			job := w.Latest(w.push("rspec:failed").ID, "rspec")
			if tt.fault.Status != 0 {
				w.Fail(tt.fault)
			}
			w.SetAccessToken(tt.token)
			begin := w.clock.now()

			_, err := w.client.Retry(t.Context(), w.project.ID, job.ID)
			failed := failureOf(t, err)
			if _, again := failed.Again(); !again || !failed.Unavailable() || failed.Rights() || trouble(w.client) != tt.kind {
				t.Fatalf("again %v, unavailable %v, trouble %q: %v", again, failed.Unavailable(), trouble(w.client), err)
			}
			for w.clock.now().Sub(begin) < 10*time.Minute {
				for _, do := range calls {
					if err := do(t.Context(), w.client); err == nil || !failureOf(t, err).Unavailable() {
						t.Fatalf("a call while GitLab can't be used: %v", err)
					}
				}
				w.clock.pass(time.Second)
			}
			// At 0, 1, 3, 7, 15, 31 and 63 s, and then each minute; and the retry.
			if n, want := w.apiRequests(), 7+8+1; n < want-1 || n > want+1 {
				t.Errorf("%d requests in ten minutes, want about %d", n, want)
			}
			if n := w.Count("GET", "/user"); n != w.apiRequests()-1 {
				t.Errorf("%d of %d requests are probes", n, w.apiRequests())
			}
			about, _ := w.client.Trouble()
			if about.Since.Before(begin) || about.Unsent == 0 || about.Reason == "" || about.Advice() == "" || strings.Contains(about.Reason, token) {
				t.Errorf("trouble: %+v", about)
			}

			w.ClearFaults()
			w.SetAccessToken(gitlabtest.AccessToken{})
			w.clock.pass(time.Minute)
			if _, err := w.client.Retry(t.Context(), w.project.ID, job.ID); err != nil || trouble(w.client) != "" {
				t.Errorf("after it was mended, trouble %q: %v", trouble(w.client), err)
			}
			if w.client.UpSince().Before(begin) {
				t.Errorf("up since %s", w.client.UpSince())
			}
		})
	}
}

// A process without work finds out, too, that GitLab can be used again.
func TestProbeWithoutWork(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	probe := func() {
		t.Helper()
		if err := w.client.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	probe()
	if n := w.apiRequests(); n != 0 {
		t.Errorf("%d probes without trouble", n)
	}
	w.Fail(gitlabtest.LoginPage)
	_, _ = w.client.Job(t.Context(), w.project.ID, 1)
	if trouble(w.client) != apierror.TroubleAnswers {
		t.Fatalf("trouble %q", trouble(w.client))
	}
	w.ClearFaults()
	probe()
	if trouble(w.client) == "" {
		t.Error("a probe before it was due")
	}
	w.clock.pass(time.Second)
	probe()
	if trouble(w.client) != "" {
		t.Errorf("trouble %q after the probe", trouble(w.client))
	}
}

// Requests that come at the same time share one probe.
func TestOneProbeForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes, requests := 0, 0
		answered := make(chan struct{})
		var mu sync.Mutex
		c, _ := newClient(t, "http://gitlab.example.com", func(cfg *gitlab.Config) {
			cfg.Now, cfg.Sleep = time.Now, nil
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				requests++
				if strings.HasSuffix(r.URL.Path, "/user") {
					probes++
					mu.Unlock()
					<-answered
					mu.Lock()
				}
				resp := jsonAnswer(r, `{"message":"401 Unauthorized"}`)
				resp.StatusCode = http.StatusUnauthorized
				return resp, nil
			})
		})
		var workers sync.WaitGroup
		for id := range int64(50) {
			workers.Go(func() { _, _ = c.Retry(t.Context(), 1, id) })
		}
		synctest.Wait()
		close(answered)
		workers.Wait()
		if probes != 1 {
			t.Errorf("%d probes for 50 requests", probes)
		}
		<-time.After(2 * time.Second)
		before := requests
		for id := range int64(50) {
			workers.Go(func() { _, _ = c.Retry(t.Context(), 1, id) })
		}
		workers.Wait()
		if requests != before+1 {
			t.Errorf("%d requests while GitLab can't be used, want the probe alone", requests-before)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What fails for one job or one endpoint alone, however long, is not about
// GitLab as a whole.
func TestOneRequestsTroubleIsItsOwn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault gitlabtest.Fault
	}{
		{"a job that ends in a 500", gitlabtest.Fault{Times: -1, Status: http.StatusInternalServerError}},
		{"a firewall that blocks a request", gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, HTML: true}},
		{"a 401 of one endpoint", gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized}},
		{"a redirect of one endpoint", gitlabtest.Fault{Times: -1, Status: http.StatusFound, Location: "https://login.example.com/"}},
		{"a lock", gitlabtest.Fault{Times: -1, Status: http.StatusLocked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			p := w.push("rspec:failed", "lint:failed")
			bad, good := w.Latest(p.ID, "rspec"), w.Latest(p.ID, "lint")
			tt.fault.Path = "/jobs/" + strconv.FormatInt(bad.ID, 10)
			w.Fail(tt.fault)
			for range 200 {
				_, err := w.client.Job(t.Context(), w.project.ID, bad.ID)
				failed := failureOf(t, err)
				if _, again := failed.Again(); !again || failed.Unavailable() {
					t.Fatalf("again %v, unavailable %v: %v", again, failed.Unavailable(), err)
				}
				w.clock.pass(30 * time.Second)
			}
			if trouble(w.client) != "" {
				t.Errorf("trouble %q", trouble(w.client))
			}
			if _, err := w.client.Job(t.Context(), w.project.ID, good.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// A GitLab that fails everything for a minute is down. Shorter than that, its
// requests are tried again one by one.
func TestGitLabIsDown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault gitlabtest.Fault
	}{
		{"500", gitlabtest.Fault{Times: -1, Status: http.StatusInternalServerError}},
		{"a proxy's 502", gitlabtest.Fault{Times: -1, Status: http.StatusBadGateway, HTML: true}},
		{"423", gitlabtest.Fault{Times: -1, Status: http.StatusLocked}},
		{"499", gitlabtest.Fault{Times: -1, Status: 499}},
		{"no answer", gitlabtest.Fault{Times: -1, Cut: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			job := w.Latest(w.push("rspec:failed").ID, "rspec")
			w.Fail(tt.fault)
			begin := w.clock.now()
			for trouble(w.client) == "" && w.clock.now().Sub(begin) < time.Hour {
				if _, err := w.client.Retry(t.Context(), w.project.ID, job.ID); err == nil {
					t.Fatal("no error")
				}
				w.clock.pass(5 * time.Second)
			}
			if after := w.clock.now().Sub(begin); trouble(w.client) != apierror.TroubleDown || after < time.Minute || after > 2*time.Minute {
				t.Errorf("trouble %q after %s", trouble(w.client), after)
			}
			w.ClearFaults()
			w.clock.pass(time.Minute)
			if _, err := w.client.Job(t.Context(), w.project.ID, job.ID); err != nil || trouble(w.client) != "" {
				t.Errorf("trouble %q: %v", trouble(w.client), err)
			}
		})
	}
}

// A token without the scope api reads on; what changes something waits, and one
// of it is tried now and then.
func TestTokenWithoutScope(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	job := w.Latest(w.push("rspec:failed").ID, "rspec")
	w.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_api"}})
	retry := func() error { _, err := w.client.Retry(t.Context(), w.project.ID, job.ID); return err }
	for range 600 {
		if failed := failureOf(t, retry()); !failed.Unavailable() || failed.MaybeDone() {
			t.Fatalf("unavailable %v: %v", failed.Unavailable(), failed)
		}
		w.clock.pass(time.Second)
	}
	if _, err := w.client.Job(t.Context(), w.project.ID, job.ID); err != nil {
		t.Errorf("a read: %v", err)
	}
	if n := w.Count("POST", "/retry"); trouble(w.client) != apierror.TroubleScope || n < 14 || n > 17 {
		t.Errorf("trouble %q, %d retries in ten minutes", trouble(w.client), n)
	}
	w.SetAccessToken(gitlabtest.AccessToken{})
	w.clock.pass(time.Minute)
	if err := retry(); err != nil || trouble(w.client) != "" {
		t.Errorf("trouble %q: %v", trouble(w.client), err)
	}

	w.SetAccessToken(gitlabtest.AccessToken{Scopes: []string{"read_user"}})
	_, err := w.client.Job(t.Context(), w.project.ID, job.ID)
	if !failureOf(t, err).Unavailable() || trouble(w.client) != apierror.TroubleScope {
		t.Errorf("a token that may not even read, trouble %q: %v", trouble(w.client), err)
	}
	if failed := failureOf(t, retry()); failed.Status != 0 || !failed.Unavailable() {
		t.Errorf("a retry meanwhile: %v", failed)
	}
	w.SetAccessToken(gitlabtest.AccessToken{})
	w.clock.pass(time.Minute)
	if _, err := w.client.Job(t.Context(), w.project.ID, job.ID); err != nil || trouble(w.client) != "" {
		t.Errorf("trouble %q: %v", trouble(w.client), err)
	}
}

// Rights lost in one project are that project's; those lost in all are not.
func TestRightsLostEverywhere(t *testing.T) {
	for _, tt := range []struct {
		name   string
		role   gitlabtest.Role // in both projects
		status int
	}{
		{"no member any more", gitlabtest.NoAccess, http.StatusNotFound},
		{"reporter only", gitlabtest.Reporter, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			job := w.Latest(w.push("rspec:failed").ID, "rspec")
			other := w.AddProject(gitlabtest.Project{Path: "platform/other"})
			retry := func() *apierror.Error {
				_, err := w.client.Retry(t.Context(), w.project.ID, job.ID)
				return failureOf(t, err)
			}
			w.SetRole(w.project.ID, tt.role)
			if failed := retry(); !failed.Final(tt.status) || trouble(w.client) != "" {
				t.Errorf("in one project, trouble %q: %v", trouble(w.client), failed)
			}
			w.clock.pass(time.Minute)
			w.SetRole(other.ID, tt.role)
			failed := retry()
			if _, again := failed.Again(); !again || !failed.Unavailable() || failed.Rights() || failed.Final(tt.status) || trouble(w.client) != apierror.TroubleRights {
				t.Errorf("everywhere, again %v, trouble %q: %v", again, trouble(w.client), failed)
			}
			w.SetRole(other.ID, gitlabtest.Developer)
			w.clock.pass(time.Minute)
			if failed := retry(); !failed.Final(tt.status) || trouble(w.client) != "" {
				t.Errorf("in one project again, trouble %q: %v", trouble(w.client), failed)
			}
		})
	}
}

// TestProbeBesideTheSameRequest: the probe is the same request as another one
// too, GitLab's user, and waits neither for that nor for itself.
func TestProbeBesideTheSameRequest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		again bool // GitLab is known to be in trouble, and the next probe is due
	}{{"at first", false}, {"when the next probe is due", true}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, gitlabtest.Options{})
			w.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
			if tt.again {
				_, _, _ = w.client.Check(t.Context())
				w.clock.pass(time.Hour)
			}
			ended := make(chan error, 1)
			go func() { ended <- w.client.LearnAddress(t.Context()) }()
			var err error
			await.Until(t, "the request has ended", func() bool {
				select {
				case err = <-ended:
					return true
				default:
					return false
				}
			})
			if err == nil || trouble(w.client) != apierror.TroubleToken {
				t.Errorf("trouble %q, %v, want that of the token", trouble(w.client), err)
			}
			w.ClearFaults()
			w.clock.pass(time.Hour)
			if err := w.client.LearnAddress(t.Context()); err != nil || trouble(w.client) != "" {
				t.Errorf("when it is mended: trouble %q, %v", trouble(w.client), err)
			}
		})
	}
}
