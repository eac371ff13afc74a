package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/background"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const keeperRules = `
version: 1
defaults: {channel: "#ci"}
rules: [{name: retry, on: job, if: 'failed_with("api_failure")', actions: [retry]}]
`

// keeping is the service with a Keeper.
type keeping struct {
	*actionstest.Harness
	status atomic.Int64 // that the webhooks' receiver answers with
	config hooks.KeeperConfig
	keeper *hooks.Keeper
	held   string // why nothing may be changed
}

func newKeeping(t *testing.T, named ...string) *keeping {
	t.Helper()
	k := &keeping{Harness: actionstest.NewOn(t, gitlabtest.Options{DisablesHooks: true, Free: true}, keeperRules)}
	k.status.Store(http.StatusOK)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(k.status.Load())) }))
	t.Cleanup(receiver.Close)
	k.config = hooks.KeeperConfig{
		GitLab: k.Runner.GitLab, Instance: k.GitLab.URL(), Wanted: hooks.Wanted{URL: receiver.URL + path, Path: path, Token: secret}, Named: named,
		Known: func(context.Context) ([]string, error) { return []string{"1", "2"}, nil },
		Resolve: func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error) {
			return projects.Resolve(ctx, k.Runner.GitLab, entries)
		},
		Held: func(context.Context, string) (string, error) { return k.held, nil },
		Now:  k.Now, Log: slog.New(slog.NewJSONHandler(k.Logs, nil)),
	}
	k.restart()
	return k
}

// restart starts the service anew on its store, with another Keeper.
func (k *keeping) restart() {
	k.Helper()
	k.Start(actionstest.NewFuse(-1))
	k.config.GitLab, k.config.Store = k.Runner.GitLab, k.DB
	k.config.Listed = background.New[hooks.List](background.Keys{Claim: keys.WebhooksListed, Last: keys.WebhooksListed, Running: keys.WebhooksListedRunning}, k.DB, k.Now, k.config.Log)
	k.keeper = hooks.NewKeeper(k.config)
}

// round makes a round, and announces what there is.
func (k *keeping) round() hooks.Result {
	k.Helper()
	result, err := k.keeper.Round(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	k.Work()
	return result
}

// A webhook that GitLab has disabled is announced once, over restarts, and once more
// when it works again.
func TestDeadWebhookIsAnnouncedOnce(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	if result := k.round(); result.Counts.Created != 1 {
		t.Fatalf("%+v", result.Counts)
	}
	if posts := k.Posts(); len(posts) != 0 {
		t.Fatalf("a new webhook is announced: %q", posts)
	}
	k.status.Store(http.StatusBadGateway)
	k.GitLab.DisableHook(1, time.Time{})
	for i := range 3 {
		if i == 1 {
			k.restart()
		}
		k.round()
		k.Clock.Advance(time.Hour)
	}
	posts := k.Posts()
	if len(posts) != 1 || !strings.Contains(posts[0], "GitLab has disabled 1 webhook of Pipesteward and sends nothing for platform/shop") || !strings.Contains(posts[0], "the test delivery of webhook 1 failed: 422") {
		t.Fatalf("posts %q", posts)
	}
	if n := strings.Count(k.Logs.String(), `"level":"WARN","msg":"GitLab has disabled a webhook`); n != 1 {
		t.Errorf("%d warnings are logged, want 1:\n%s", n, k.Logs)
	}
	k.status.Store(http.StatusOK)
	for range 2 {
		k.round()
		k.Clock.Advance(time.Hour)
	}
	if posts := k.Posts(); len(posts) != 2 || !strings.Contains(posts[1], "1 webhook of Pipesteward works again, for platform/shop") {
		t.Errorf("posts %q", posts)
	}
	if state := k.GitLab.Hook(1); state.RecentFailures != 0 {
		t.Errorf("the webhook is %+v", state)
	}
}

// Webhooks that are enabled as soon as they are found dead are one message, however many.
func TestRevivedWebhooksAreOneMessage(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		k.GitLab.AddProject(gitlabtest.Project{Path: "platform/" + name})
	}
	k.round()
	for _, h := range k.GitLab.Hooks() {
		k.GitLab.DisableHook(h.ID, k.Now().Add(time.Hour))
	}
	for range 2 {
		k.round()
	}
	if posts := k.Posts(); len(posts) != 1 || !strings.Contains(posts[0], "GitLab had disabled 7 webhooks") || !strings.Contains(posts[0], "platform/e, and 2 more. A test delivery has enabled them again") {
		t.Errorf("posts %q", posts)
	}
}

// In a dry run a dead webhook is announced, and nothing is written.
func TestKeeperDryRun(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	shop := k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/site"})
	k.GitLab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: k.config.Wanted.URL, Token: secret, JobEvents: true, PipelineEvents: true})
	k.GitLab.DisableHook(1, time.Time{})
	k.held = "dry run"
	for range 2 {
		k.round()
	}
	for _, r := range k.GitLab.Requests() {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.Path)
		}
	}
	if n := strings.Count(k.Logs.String(), "not changed (dry run)"); n != 2 {
		t.Errorf("%d lines say what would be changed, want one for each project:\n%s", n, k.Logs)
	}
	if posts := k.Posts(); len(posts) != 1 {
		t.Errorf("posts %q", posts)
	}
}

// While changes are held, as by a pause, a dead webhook is announced with the reason, and
// nothing is written; afterwards it is enabled. What a pause of a project covers is held
// only there.
func TestKeeperHeld(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	shop := k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	k.GitLab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: k.config.Wanted.URL, Token: secret, JobEvents: true, PipelineEvents: true})
	k.GitLab.DisableHook(1, time.Time{})
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/site"})
	var unknown error
	k.config.Held = func(_ context.Context, owner string) (string, error) {
		if owner == "platform/shop" {
			return k.held, unknown
		}
		return "", nil
	}
	k.held = "paused (project:platform/shop) by ann"
	k.restart()
	if result := k.round(); result.Counts.Created != 1 || len(result.Reports[0].Done) > 0 || len(k.GitLab.Hooks()) != 2 {
		t.Errorf("while one project is held: %+v", result)
	}
	if posts := k.Posts(); len(posts) != 1 || !strings.Contains(posts[0], "sends nothing for platform/shop. Reason: it is not enabled again now: paused (project:platform/shop) by ann.") {
		t.Errorf("posts %q", posts)
	}
	if k.GitLab.Count("POST", "/test/push_events") > 0 {
		t.Error("a held webhook is tried")
	}
	unknown = errors.New("the store is away")
	if _, err := k.keeper.Round(t.Context()); !errors.Is(err, unknown) || k.GitLab.Count("POST", "/test/push_events") > 0 {
		t.Errorf("while nobody knows whether it is held: %v", err)
	}
	k.held, unknown = "", nil
	k.round()
	if posts := k.Posts(); len(posts) != 2 || !strings.Contains(posts[1], "works again") || k.GitLab.Count("POST", "/test/push_events") != 1 {
		t.Errorf("posts %q", posts)
	}
}

// Whose death the rounds announce: our webhooks of the projects and groups they look at.
func TestKeeperWatches(t *testing.T) {
	t.Parallel()
	shop := event.Project{ID: 7, Path: "platform/shop"}
	const address = "https://bot.example.com/webhooks/gitlab"
	own, ofGroup := gitlab.Hook{Project: 7, URL: address}, gitlab.Hook{Group: "platform", URL: address}
	for _, c := range []struct {
		named []string
		hook  gitlab.Hook
		want  bool
	}{
		{nil, own, true},
		{nil, ofGroup, false}, // it is read as what sends a project's events only
		{nil, gitlab.Hook{Project: 7, URL: "https://old.example.com/webhooks/gitlab"}, false},
		{[]string{"apps", "Platform/Shop"}, own, true},
		{[]string{"7"}, own, true},
		{[]string{"70"}, own, false},
		{[]string{"platform"}, own, true},
		{[]string{"plat"}, own, false},
		{[]string{"*/shop"}, own, true},
		{[]string{"*/site"}, own, false},
		{[]string{"platform"}, ofGroup, true},
		{[]string{"platform/shop"}, ofGroup, false},
	} {
		k := hooks.NewKeeper(hooks.KeeperConfig{Named: c.named, Wanted: hooks.Wanted{URL: address, Path: path}})
		if got := k.Watches(c.hook, shop); got != c.want {
			t.Errorf("with --projects %q, %+v is watched: %t", c.named, c.hook, got)
		}
	}
}

// Without named projects, the webhooks of those that sent events are repaired. None is
// created: what sent the events may be hidden.
func TestKnownProjectsAreRepairedOnly(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	shop := k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/site"})
	k.GitLab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: k.config.Wanted.URL, Token: secret, JobEvents: true})
	if result := k.round(); result.Counts.Repaired != 1 || result.Counts.Created != 0 || len(k.GitLab.Hooks()) != 1 || !k.GitLab.Hook(1).PipelineEvents {
		t.Errorf("%+v, %+v", result.Counts, k.GitLab.Hooks())
	}
	if strings.Contains(k.Logs.String(), "WARN") {
		t.Errorf("something is warned of:\n%s", k.Logs)
	}
}

// A round is due an hour after the last one of any replica.
func TestKeeperDue(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	due := func(when string, want time.Duration) {
		t.Helper()
		if wait, err := k.keeper.Due(t.Context()); wait != want || err != nil {
			t.Errorf("%s, a round is due in %s, %v, want %s", when, wait, err, want)
		}
	}
	due("at first", 0)
	k.round()
	k.restart()
	due("after a round of another process", time.Hour)
	k.Clock.Advance(45 * time.Minute)
	due("later", 15*time.Minute)
	k.Clock.Advance(15 * time.Minute)
	due("after an hour", 0)
	k.GitLab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusUnauthorized})
	if _, err := k.keeper.Round(t.Context()); !event.Unavailable(err) {
		t.Errorf("while GitLab refuses the token: %v", err)
	}
	due("after a round that failed", 0)
}

// The end of a pause that kept a round from a change makes the next one due at once, on all
// replicas, also where another pause holds some of that still. One in dry run, which
// changes nothing anyway, neither waits for that nor forgets it.
func TestKeeperDueAfterAPause(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform", "apps")
	k.GitLab.AddProject(gitlabtest.Project{Path: "apps/shop"})
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/site"})
	paused := map[string]string{} // by a prefix of paths
	k.config.Held = func(_ context.Context, owner string) (string, error) {
		for _, prefix := range []string{"", "platform/"} { // the pause of everything is the older one
			if reason := paused[prefix]; reason != "" && strings.HasPrefix(owner, prefix) {
				return reason, nil
			}
		}
		return "", nil
	}
	k.restart()
	other := hooks.NewKeeper(k.config)
	k.config.DryRun = true
	dry := hooks.NewKeeper(k.config)
	due := func(when string, want time.Duration) {
		t.Helper()
		for _, keeper := range []*hooks.Keeper{k.keeper, other} {
			if wait, err := keeper.Due(t.Context()); wait != want || err != nil {
				t.Errorf("%s, a round is due in %s, %v, want %s", when, wait, err, want)
			}
		}
		if wait, err := dry.Due(t.Context()); wait != time.Hour || err != nil {
			t.Errorf("%s, in dry run a round is due in %s, %v, want 1h", when, wait, err)
		}
	}
	webhooks := func(want int) {
		t.Helper()
		if n := len(k.GitLab.Hooks()); n != want {
			t.Errorf("%d webhooks, want %d", n, want)
		}
	}
	paused[""], paused["platform/"] = "paused (all)", "paused (project:platform/*)"
	k.round()
	due("while all is paused", time.Hour)
	if _, err := dry.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	due("after a round in dry run", time.Hour)
	webhooks(0)
	delete(paused, "")
	due("when the pause of everything has ended", 0)
	if _, err := other.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	webhooks(1)
	due("while platform is paused", time.Hour)
	paused["apps/"] = "of what the last round had no change for"
	due("while another pause begins", time.Hour)
	delete(paused, "platform/")
	due("when that has ended", 0)
	k.round()
	webhooks(3)
	due("after all", time.Hour)
}

// One replica makes a round at a time, and a new secret is used from the next one on.
func TestKeeperClaim(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "platform")
	k.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	_, release, err := store.HoldClaim(t.Context(), k.DB, keys.Webhooks, "another", time.Minute)
	if err != nil || release == nil {
		t.Fatal(err)
	}
	if _, err := k.keeper.Round(t.Context()); !errors.Is(err, hooks.ErrRunning) {
		t.Errorf("beside another replica: %v", err)
	}
	release()
	wanted := k.config.Wanted
	wanted.Token = "rotated"
	k.keeper.SetWanted(wanted)
	k.round()
	if h := k.GitLab.Hook(1); h.Token != "rotated" {
		t.Errorf("the webhook is %+v", h)
	}
	if strings.Contains(k.Logs.String(), "rotated") {
		t.Errorf("a secret is logged:\n%s", k.Logs)
	}
}

// Webhooks are announced in the language of the defaults.
func TestDeadWebhookIsAnnouncedInChinese(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, strings.Replace(keeperRules, `"#ci"`, `"#ci", language: zh`, 1))
	body, err := json.Marshal(hooks.Record{Found: hooks.Names{Count: 1, First: []string{"platform/<shop>"}}, Why: "a & b", Since: h.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.DB.Put(t.Context(), store.Record{ID: "webhooks", Kind: hooks.RecordKind, Body: body}); err != nil {
		t.Fatal(err)
	}
	h.Work()
	if posts := h.Posts(); len(posts) != 1 || !strings.Contains(posts[0], "GitLab 已禁用 Pipesteward 的 1 个 Webhook，不再发送以下项目或群组的事件：platform/<shop>。原因：a & b。") {
		t.Errorf("posts %q", posts)
	}
}
