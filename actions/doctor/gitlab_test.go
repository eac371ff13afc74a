package doctor_test

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store"
)

// transport fails each request with an error.
type transport struct{ err error }

func (f transport) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// Each obstacle between this machine and GitLab is told as what it is, and the checks
// that it prevents say why they were not made.
func TestReachable(t *testing.T) {
	t.Parallel()
	network := func(err error) func(*rig) {
		return func(r *rig) {
			r.connect("https://gitlab.example.com", func(c *gitlab.Config) { c.Transport = transport{err} })
		}
	}
	fault := func(f gitlabtest.Fault) func(*rig) { return func(r *rig) { r.gitlab.Fail(f) } }
	for _, tt := range []struct {
		name  string
		spoil func(*rig)
		says  []string
	}{
		{"no such host", network(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "gitlab.example.com", IsNotFound: true}}), []string{"there is no host gitlab.example.com (DNS)", "--gitlab-url"}},
		{"no DNS", network(&net.DNSError{Err: "server misbehaving", Name: "gitlab.example.com"}), []string{"can't be looked up (DNS)"}},
		{"unknown authority", network(x509.UnknownAuthorityError{}), []string{"unknown authority", "SSL_CERT_FILE"}},
		{"another host's certificate", network(x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example.com"}}, Host: "gitlab.example.com"}), []string{"for other hosts"}},
		{"an expired certificate", network(x509.CertificateInvalidError{Reason: x509.Expired}), []string{"has expired"}},
		{"a proxy that is down", network(&net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")}), []string{"the proxy can't be reached", "HTTPS_PROXY"}},
		{"no answer", network(os.ErrDeadlineExceeded), []string{"no answer came in time", "firewall"}},
		{"http for https", network(errors.New("http: server gave HTTP response to HTTPS client")), []string{"no TLS is spoken there"}},
		{"nobody listens", func(r *rig) { r.gitlab.Close() }, []string{"nothing listens there"}},
		{"a login page", fault(gitlabtest.LoginPage), []string{"web page", "no login page or proxy"}},
		{"a redirect", fault(gitlabtest.LoginRedirect), []string{"redirects to https://login.example.com"}},
		{"502", fault(gitlabtest.Fault{Times: -1, Status: 502, HTML: true}), []string{"answers 502"}},
		{"404 in JSON", fault(gitlabtest.Fault{Times: -1, Status: http.StatusNotFound}), []string{"this is not GitLab", "404", "--gitlab-url"}},
		{"405 in JSON", fault(gitlabtest.Fault{Times: -1, Status: http.StatusMethodNotAllowed}), []string{"this is not GitLab", "405"}},
		{"a wrong address", func(r *rig) { r.GitLab, r.GitLabErr = nil, errors.New("--gitlab-url: it is no\n    URL") }, []string{"--gitlab-url: it is no URL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			tt.spoil(r)
			found := r.run()
			r.wants(found, "gitlab-reachable", doctor.Problem, tt.says)
			for _, check := range []string{"gitlab-version", "gitlab-address", "gitlab-rate", "token-valid", "token-scopes", "project-role", "project-archived"} {
				r.wants(found, check, doctor.Unknown, []string{"not checked, because "})
			}
			// The others are made all the same.
			for _, check := range []string{"slack-channels", "store-latency", "rules-load", "server-ready"} {
				r.wants(found, check, doctor.OK, nil)
			}
		})
	}
}

// Without a token that can be used, that is a finding about the token, and whether
// GitLab answers is found out all the same.
func TestNoToken(t *testing.T) {
	t.Parallel()
	without := func(t *testing.T) *rig {
		r := newRig(t, gitlabtest.Options{})
		r.TokenErr = errors.New("--gitlab-token: it is missing: give one\n    in PIPESTEWARD_GITLAB_TOKEN")
		return r
	}
	anonymous := func(c *gitlab.Config) { c.Token, c.Anonymous = "", true }
	r := without(t)
	r.connect(r.gitlab.URL(), anonymous)
	found := r.run()
	r.wants(found, "gitlab-reachable", doctor.OK, nil)
	r.wants(found, "gitlab-clock", doctor.OK, nil)
	r.wants(found, "token-valid", doctor.Problem, []string{"--gitlab-token: it is missing: give one in PIPESTEWARD_GITLAB_TOKEN"})
	for _, check := range []string{"gitlab-version", "gitlab-address", "gitlab-rate", "token-scopes", "token-expiry", "project-role"} {
		r.wants(found, check, doctor.Unknown, []string{"not checked, because there is no access token that can be used"})
	}

	r = without(t)
	r.connect("https://gitlab.example.com", anonymous, func(c *gitlab.Config) { c.Transport = transport{x509.UnknownAuthorityError{}} })
	found = r.run()
	r.wants(found, "gitlab-reachable", doctor.Problem, []string{"unknown authority"})
	r.wants(found, "token-valid", doctor.Problem, []string{"it is missing"})
}

// A real server's certificate of an unknown authority.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	r.connect(server.URL)
	r.wants(r.run(), "gitlab-reachable", doctor.Problem, []string{"unknown authority"})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]struct {
		severity doctor.Severity
		says     string
	}{
		"19.1.0":    {doctor.OK, "version 19.1.0, Community Edition"},
		"19.4.1-ee": {doctor.OK, "version 19.4.1-ee, Enterprise Edition"},
		"18.5.2-jh": {doctor.OK, "version 18.5.2-jh, JiHu GitLab"},
		"16.11.4":   {doctor.Note, "older than 17.4: its webhooks have no Idempotency-Key"},
		"15.1.0":    {doctor.Note, "version 15.1.0, older than 17.4"}, // before /metadata
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{Version: version})
			r.wants(r.run(), "gitlab-version", want.severity, []string{want.says})
		})
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{ExternalURL: "https://gitlab.example.com"})
	r.wants(r.run(), "gitlab-address", doctor.Note, []string{"GitLab calls itself https://gitlab.example.com, and is reached at http://127.0.0.1"})
	r.connect(r.gitlab.URL(), func(c *gitlab.Config) { c.Aliases = []string{"https://gitlab.example.com/"} })
	r.wants(r.run(), "gitlab-address", doctor.OK, []string{"calls itself https://gitlab.example.com"})
}

func TestClock(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[time.Duration]struct {
		severity doctor.Severity
		says     string
	}{
		0:                 {doctor.OK, "differ by less than 1s"},
		-7 * time.Second:  {doctor.OK, "differ by less than 8s"},
		40 * time.Second:  {doctor.Warning, "40s ahead of GitLab's"},
		-90 * time.Second: {doctor.Warning, "behind GitLab's"},
		10 * time.Minute:  {doctor.Problem, "ahead of GitLab's"},
	} {
		r := newRig(t, gitlabtest.Options{Now: func() time.Time { return noon.Add(-ahead) }})
		r.wants(r.run(), "gitlab-clock", want.severity, []string{want.says})
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.wants(r.run(), "gitlab-rate", doctor.OK, []string{"announces no general limit; --gitlab-rate is 300 requests a minute"})
	r = newRig(t, gitlabtest.Options{RateLimit: 2000})
	r.wants(r.run(), "gitlab-rate", doctor.OK, []string{"GitLab allows 2000 requests a minute"})
	r.Rate = store.Rate{Limit: 2971, Per: time.Minute, Burst: 30}
	r.wants(r.run(), "gitlab-rate", doctor.Warning, []string{"GitLab allows 2000 requests a minute, and --gitlab-rate is 3000", "set --gitlab-rate 1800/1m or less"})
}
