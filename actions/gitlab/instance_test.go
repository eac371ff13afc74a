package gitlab_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

func TestVersion(t *testing.T) {
	for version, want := range map[string]gitlab.Version{
		"19.1.0":    {Number: "19.1.0", Edition: "Community Edition"},
		"19.4.0-ee": {Number: "19.4.0-ee", Edition: "Enterprise Edition"},
		"18.5.0-jh": {Number: "18.5.0-jh", Edition: "JiHu GitLab"},
		"15.3.0":    {Number: "15.3.0"}, // before it says whether it is the Enterprise Edition
		"15.1.0":    {Number: "15.1.0"}, // before /metadata
	} {
		w := newFixture(t, gitlabtest.Options{Version: version})
		if got, err := w.client.Version(t.Context()); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", version, got, err, want)
		}
	}
}

func TestTokenUser(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{Admin: true, ExternalURL: "https://gitlab.example.com"})
	got, err := w.client.TokenUser(t.Context())
	want := gitlab.TokenUser{ID: 99, Username: "pipesteward-bot", Bot: true, Admin: true, Address: "https://gitlab.example.com"}
	if got != want || err != nil {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	// The address is learnt, as by LearnAddress.
	if foreign, certain := w.client.ForeignAddress("https://gitlab.example.com", "", ""); foreign != "" || !certain {
		t.Errorf("GitLab's own address is foreign: %q, certain %t", foreign, certain)
	}
	w = newFixture(t, gitlabtest.Options{})
	if got, err := w.client.TokenUser(t.Context()); got.Admin || !got.AddressKnown || got.Address != w.URL() || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOutboundRequests(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{Admin: true, LocalRequests: gitlabtest.LocalRequests{Allowed: true, Allowlist: []string{"10.0.0.5"}}})
	got, err := w.client.OutboundRequests(t.Context())
	if diff := cmp.Diff(gitlab.OutboundRequests{LocalAllowed: true, Allowlist: []string{"10.0.0.5"}}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	w = newFixture(t, gitlabtest.Options{})
	if _, err := w.client.OutboundRequests(t.Context()); !apierror.IsFinal(err, http.StatusForbidden) {
		t.Errorf("whoever is no admin gets %v, want 403", err)
	}
	c, _ := newClient(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	if _, err := c.OutboundRequests(t.Context()); !strings.Contains(failureOf(t, err).Message, "does not say") {
		t.Errorf("an empty answer: %v", err)
	}
}

// The allowlist has addresses, networks and domains, each with or without a port.
func TestOutboundRequestsAllow(t *testing.T) {
	for _, tt := range []struct {
		entry, url string
		want       bool
	}{
		{"10.0.0.5", "http://10.0.0.5:8080/x", true},
		{"10.0.0.5:8080", "http://10.0.0.5:8080/x", true},
		{"10.0.0.5:8080", "http://10.0.0.5/x", false},
		{"10.0.0.5:80", "http://10.0.0.5/x", true},
		{"10.0.0.0/8", "https://10.9.9.9/x", true},
		{"10.0.0.0/8", "https://192.168.0.1/x", false},
		{"10.0.0.0/8", "https://bot.internal/x", false},
		{"[fd00::1]:443", "https://[fd00::1]/x", true},
		{"fd00::/8", "https://[fd00::1]/x", true},
		{"Bot.Internal", "https://bot.internal/x", true},
		{"internal", "https://bot.internal/x", false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := (gitlab.OutboundRequests{Allowlist: []string{tt.entry}}).Allows(u); got != tt.want {
			t.Errorf("%s allows %s: %t, want %t", tt.entry, tt.url, got, tt.want)
		}
	}
	if u, _ := url.Parse("http://10.0.0.5/x"); !(gitlab.OutboundRequests{LocalAllowed: true}).Allows(u) {
		t.Error("the local network is refused, which is allowed as a whole")
	}
}

// A fine-grained token is described by two answers: the one about oneself lacks what it
// may do.
func TestFineGrainedToken(t *testing.T) {
	grants := []gitlabtest.Grant{
		{Access: "user", Permissions: []string{"read_personal_access_token"}},
		{Access: "selected_memberships", Permissions: []string{"read_job", "run_job"}, Project: 22},
	}
	w := newFixture(t, gitlabtest.Options{})
	w.SetAccessToken(gitlabtest.AccessToken{Grants: grants, ExpiresAt: w.clock.now().AddDate(0, 1, 0)})
	got, err := w.client.AccessToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := gitlab.AccessToken{
		Name: "pipesteward", Scopes: []string{"granular"}, FineGrained: true, ExpiresAt: got.ExpiresAt,
		Grants: []gitlab.Grant{{Access: "user", Permissions: []string{"read_personal_access_token"}}, {Access: "selected_memberships", Permissions: []string{"read_job", "run_job"}, Project: 22}},
	}
	if diff := cmp.Diff(want, got); diff != "" || got.ExpiresAt.IsZero() {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := w.client.TokenUser(t.Context()); err == nil || !strings.Contains(err.Error(), "[User: Read]") {
		t.Errorf("a call without its permission: %v", err)
	}
	w.SetAccessToken(gitlabtest.AccessToken{Grants: grants[1:]})
	if _, err := w.client.AccessToken(t.Context()); err == nil || !strings.Contains(err.Error(), "insufficient_granular_scope") {
		t.Errorf("a token that may not read itself: %v", err)
	}
}

// The role in each project comes from lists by the least role; archived projects are in
// them.
func TestMemberProjects(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	w.AddProject(gitlabtest.Project{Path: "a/dev", Role: gitlabtest.Developer})
	w.AddProject(gitlabtest.Project{Path: "a/rep", Role: gitlabtest.Reporter})
	w.AddProject(gitlabtest.Project{Path: "a/none", Role: gitlabtest.NoAccess})
	w.AddProject(gitlabtest.Project{Path: "a/old", Archived: true, VariablesRole: "no_one_allowed"})
	for least, want := range map[gitlab.Role][]string{
		gitlab.NoRole:     {"platform/tools/shop developer", "a/dev ", "a/rep ", "a/old no_one_allowed archived"},
		gitlab.Developer:  {"platform/tools/shop developer", "a/dev ", "a/old no_one_allowed archived"},
		gitlab.Maintainer: {"platform/tools/shop developer", "a/old no_one_allowed archived"},
		gitlab.Owner:      nil,
	} {
		var got []string
		for p, err := range w.client.MemberProjects(t.Context(), least, true) {
			if err != nil {
				t.Fatal(err)
			}
			text := p.Path + " " + p.VariablesRole
			if p.Archived {
				text += " archived"
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", least, diff)
		}
	}
}

func TestBranch(t *testing.T) {
	w := newFixture(t, gitlabtest.Options{})
	p := w.AddProject(gitlabtest.Project{Path: "a/dev", Role: gitlabtest.Developer, ProtectedRefs: []string{"main", "release/*"}, DevelopersMerge: []string{"main"}})
	for name, want := range map[string]gitlab.Branch{
		"main":        {Protected: true, DevelopersMerge: true},
		"release/1.0": {Protected: true},
		"topic":       {CanPush: true, DevelopersPush: true, DevelopersMerge: true},
	} {
		if got, err := w.client.Branch(t.Context(), p.ID, name); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// The client learns the clock and the general limit from each answer.
func TestClockAndQuota(t *testing.T) {
	behind := 90 * time.Second
	w := newFixture(t, gitlabtest.Options{RateLimit: 600})
	c, _ := newClient(t, w.URL(), func(cfg *gitlab.Config) {
		now := cfg.Now
		cfg.Now = func() time.Time { return now().Add(-behind) }
	})
	if _, known := c.ClockAhead(); known {
		t.Error("the clock is known before an answer")
	}
	if _, ok := c.Quota(); ok {
		t.Error("there is a limit before an answer")
	}
	if _, err := c.TokenUser(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ahead, known := c.ClockAhead(); !known || (ahead+behind).Abs() > time.Second {
		t.Errorf("the clock is ahead by %s, %t, want %s", ahead, known, -behind)
	}
	if q, ok := c.Quota(); !ok || q.PerMinute != 600 || q.Remaining != 599 {
		t.Errorf("the limit is %+v, %t", q, ok)
	}
}
