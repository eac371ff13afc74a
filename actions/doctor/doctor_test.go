package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.InMemory(m)) }

const (
	slackToken    = "xoxb-secret-of-the-bot"
	hookURL       = "https://pipesteward.example.com/webhooks/gitlab"
	webhookSecret = "f00ba47c0ffee5eed1e55c1a551f1ed0" //nolint:gosec // not one
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const ruleFile = `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-stuck, on: job, if: failed_with("runner_system_failure"), actions: [retry], notify: [{}]}
`

// rig is a healthy service to be spoiled.
type rig struct {
	*testing.T
	now    time.Time
	gitlab *gitlabtest.Server
	slack  *slacktest.Server
	doctor.Config
}

// newRig makes a service whose token's user is Maintainer of platform/shop.
func newRig(t *testing.T, o gitlabtest.Options) *rig {
	t.Helper()
	r := &rig{T: t, now: noon}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	r.gitlab = gitlabtest.Start(t, o)
	r.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", ProtectedRefs: []string{"main"}})
	r.gitlab.AddHook(gitlabtest.Hook{ProjectID: 1, URL: hookURL, Token: webhookSecret, JobEvents: true, PipelineEvents: true})
	chat, err := slacktest.New(slacktest.Options{Token: slackToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chat.Close() })
	chat.AddChannel(slacktest.Channel{Name: "ci"})
	r.slack = chat
	reader, err := slack.NewReader(slack.Config{Token: slackToken, APIURL: chat.URL(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.Config = doctor.Config{
		Webhook: hooks.Wanted{URL: hookURL, Path: "/webhooks/gitlab", Token: webhookSecret},
		Rate:    store.Rate{Limit: 298, Per: time.Minute, Burst: 3}, WebhookTokens: []string{webhookSecret}, Store: &storeStub{}, Slack: reader,
		Server: serverStub{doctor.ServerStatus{Address: "http://127.0.0.1:9090", Version: "v1"}}, Version: "v1",
		Now:     func() time.Time { return r.now },
		Secrets: []string{gitlabtest.DefaultToken, slackToken, webhookSecret},
	}
	r.connect(r.gitlab.URL())
	r.rules(ruleFile)
	return r
}

// connect makes the client of GitLab at a URL.
func (r *rig) connect(url string, edit ...func(*gitlab.Config)) {
	r.Helper()
	now := func() time.Time { return r.now }
	cfg := gitlab.Config{
		BaseURL: url, Token: gitlabtest.DefaultToken, Now: now, Limiter: ratelimit.NewLocal(now), Rate: store.Rate{Limit: 1_000_000, Per: time.Second},
		Sleep: func(ctx context.Context, d time.Duration) error { r.now = r.now.Add(d); return ctx.Err() },
	}
	for _, e := range edit {
		e(&cfg)
	}
	gl, err := gitlab.New(cfg)
	if err != nil {
		r.Fatal(err)
	}
	r.GitLab = gl
}

// rules loads rules; the server has them in force.
func (r *rig) rules(text string) {
	r.Helper()
	loaded, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
	if err != nil {
		r.Fatal(err)
	}
	r.Rules = loaded
	s := r.Server.(serverStub)
	s.RuleFiles = nil
	for _, rule := range loaded.All() {
		s.RuleFiles = append(s.RuleFiles, rule.Hash)
	}
	r.Server = s
}

// run makes all checks.
func (r *rig) run() []doctor.Finding {
	r.Helper()
	return doctor.Run(r.Context(), r.Config, doctor.Checks)
}

// wants checks that a finding of the check has the severity, the texts in what was seen
// or advised, and the projects.
func (r *rig) wants(found []doctor.Finding, check string, s doctor.Severity, says []string, projects ...string) {
	r.Helper()
	var of []doctor.Finding
	for _, f := range found {
		if f.Check != check {
			continue
		}
		of = append(of, f)
		missing := slices.ContainsFunc(says, func(text string) bool { return !strings.Contains(f.Seen+"\n"+f.Advice, text) })
		if f.Severity == s && !missing && (len(projects) == 0 || slices.Equal(f.Projects, projects)) {
			return
		}
	}
	r.Errorf("%s finds %s, want %s with %q %v", check, encode(r.T, of), s, says, projects)
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type serverStub struct{ doctor.ServerStatus }

func (s serverStub) Status(context.Context) (doctor.ServerStatus, error) {
	if s.Address == "" {
		return doctor.ServerStatus{}, errors.New("no server answers at http://127.0.0.1:9090")
	}
	return s.ServerStatus, nil
}

type storeStub struct {
	store.Description
	err  error // of a write
	slow func()
}

func (s *storeStub) Ping(context.Context) error {
	if s.slow != nil {
		s.slow()
	}
	return s.err
}

func (s *storeStub) Describe(context.Context) (store.Description, error) { return s.Description, nil }

// A healthy service has nothing but good findings, each check is made, and nothing is
// changed.
func TestHealthy(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{Version: "19.1.0-ee"})
	found := r.run()
	for _, c := range doctor.Checks {
		if !slices.ContainsFunc(found, func(f doctor.Finding) bool {
			return f.Check == c.ID && f.Severity == doctor.OK && f.Subject == c.Subject
		}) {
			t.Errorf("%s: %s, want ok", c.ID, encode(t, found))
		}
	}
	for _, f := range found {
		if f.Severity != doctor.OK {
			t.Errorf("%s", encode(t, f))
		}
	}
	for _, request := range r.gitlab.Requests() {
		if request.Method != http.MethodGet {
			t.Errorf("%s %s", request.Method, request.Path)
		}
	}
	if n := len(r.slack.Posts()); n != 0 {
		t.Errorf("%d messages are posted", n)
	}
}

// Ids of checks are unique: they stand in output that programs read.
func TestChecks(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range doctor.Checks {
		if seen[c.ID] {
			t.Errorf("two checks have the id %s", c.ID)
		}
		seen[c.ID] = true
	}
	if n := len(doctor.Cheap()); n == 0 || n == len(doctor.Checks) {
		t.Errorf("%d of %d checks are cheap", n, len(doctor.Checks))
	}
}

// A run that is stopped says of the rest that it was not checked.
func TestStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range doctor.Run(ctx, r.Config, doctor.Checks) {
		if f.Severity != doctor.Unknown || f.Seen != "not checked, because the run was stopped" {
			t.Errorf("%s", encode(t, f))
		}
	}
}

// No finding contains a secret, whatever the other side repeats.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	secrets := []string{gitlabtest.DefaultToken, slackToken, webhookSecret, "hush-hush"}
	echo := strings.Join(secrets, " ")
	for name, spoil := range map[string]func(*rig){
		"nothing": func(*rig) {},
		"401":     func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 401, Message: echo}) },
		"403":     func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 403, Message: echo}) },
		"404":     func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 404, Message: echo}) },
		"500":     func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 500, Message: echo}) },
		"a redirect": func(r *rig) {
			r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: 302, Location: "https://x:" + gitlabtest.DefaultToken + "@login.example.com/"})
		},
		"Slack refuses":      func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 99, Error: echo}) },
		"Slack is no Slack":  func(r *rig) { r.slack.Fail(slacktest.Fault{Times: 99, Body: echo}) },
		"the store":          func(r *rig) { r.Store, r.StoreErr = nil, errors.New("WRONGPASS "+echo) },
		"a store that fails": func(r *rig) { r.Store = &storeStub{err: errors.New(echo)} },
		"rules":              func(r *rig) { r.Rules, r.RulesErr = nil, errors.New(echo) },
		"the client":         func(r *rig) { r.GitLab, r.GitLabErr = nil, errors.New(echo) },
		"the token":          func(r *rig) { r.TokenErr = errors.New(echo) },
		"a weak secret":      func(r *rig) { r.WebhookTokens = []string{"hush-hush"} },
		"the server": func(r *rig) {
			r.Server = serverStub{doctor.ServerStatus{Address: "x", NotReady: echo, RulesErr: echo, Paused: []event.Pause{{Reason: echo, Rule: echo}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			r.Secrets = secrets
			spoil(r)
			text := encode(t, r.run())
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s is shown:\n%s", secret, text)
				}
			}
		})
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	found := []doctor.Finding{{Severity: doctor.OK}, {Severity: doctor.Problem}, {Severity: doctor.OK}}
	for s, want := range map[doctor.Severity]int{doctor.OK: 2, doctor.Problem: 1, doctor.Warning: 0} {
		if n := doctor.Count(found, s); n != want {
			t.Errorf("%d %s, want %d", n, s, want)
		}
	}
}
