package doctor_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// Projects with the same trouble of their webhooks are one finding.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{DisablesHooks: true})
	add := func(path string, role gitlabtest.Role, hooks ...gitlabtest.Hook) {
		p := r.gitlab.AddProject(gitlabtest.Project{Path: path, Role: role})
		for _, h := range hooks {
			h.ProjectID = p.ID
			added := r.gitlab.AddHook(h)
			if path == "a/disabled" {
				r.gitlab.DisableHook(added.ID, noon.AddDate(1, 0, 0))
			}
		}
	}
	good := gitlabtest.Hook{URL: hookURL, Token: webhookSecret, JobEvents: true, PipelineEvents: true}
	add("a/none", gitlabtest.Maintainer)
	add("a/others", gitlabtest.Maintainer, gitlabtest.Hook{URL: "https://ci.example.com/hook", JobEvents: true})
	add("a/disabled", gitlabtest.Maintainer, good)
	add("a/jobs-only", gitlabtest.Maintainer, gitlabtest.Hook{URL: hookURL, Token: webhookSecret, JobEvents: true})
	add("a/twice", gitlabtest.Maintainer, good, good)
	add("a/developer", gitlabtest.Developer, good)
	found := r.run()
	r.wants(found, "webhook-state", doctor.Problem, []string{"no webhook posts job and pipeline events", "`pipesteward hooks ensure a/none a/others` makes one in each"}, "a/none", "a/others")
	r.wants(found, "webhook-state", doctor.Problem, []string{"GitLab has stopped sending", "test delivery"}, "a/disabled")
	r.wants(found, "webhook-state", doctor.Warning, []string{"the webhook needs: pipeline events on", "`pipesteward hooks ensure a/jobs-only` repairs it"}, "a/jobs-only")
	r.wants(found, "webhook-state", doctor.Warning, []string{"all events come twice, from two webhooks with the same address"}, "a/twice")
	r.wants(found, "webhook-state", doctor.Unknown, []string{"not checked: GitLab shows webhooks to Maintainers only", "give the token's user the role Maintainer"}, "a/developer")
}

// One finding names a few of many projects in its command.
func TestWebhooksOfMany(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	for i := range 5 {
		r.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("a/%d", i)})
	}
	r.wants(r.run(), "webhook-state", doctor.Problem, []string{"`pipesteward hooks ensure a/0 a/1 a/2 …`"}, "a/0", "a/1", "a/2", "a/3", "a/4")
}

// The answer to the last delivery is the cause that somebody has to know.
func TestDisabledWebhookHasACause(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{DisablesHooks: true})
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(refuses.Close)
	url := refuses.URL + "/webhooks/gitlab"
	r.Webhook.URL = url
	p := r.gitlab.AddProject(gitlabtest.Project{Path: "a/wrong-secret"})
	r.gitlab.AddHook(gitlabtest.Hook{ProjectID: p.ID, URL: url, Token: "lost", JobEvents: true, PipelineEvents: true})
	for range 5 {
		r.gitlab.Finish(r.gitlab.Latest(r.gitlab.AddPipeline(p.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID, "rspec").ID, "failed", "script_failure")
		r.gitlab.Flush()
	}
	r.wants(r.run(), "webhook-state", doctor.Problem, []string{"GitLab has stopped sending", "the last answer was 401, the secret of the webhook is not one of this service's"}, "a/wrong-secret")
}

// The webhook of a group is that of its projects.
func TestWebhooksOfGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{DisablesHooks: true})
	for _, group := range []string{"good", "dead", "half"} {
		r.gitlab.AddGroup(gitlabtest.Group{Path: group, Role: gitlabtest.Maintainer})
		r.gitlab.AddProject(gitlabtest.Project{Path: group + "/one"})
		r.gitlab.AddProject(gitlabtest.Project{Path: group + "/two"})
		h := r.gitlab.AddHook(gitlabtest.Hook{Group: group, URL: hookURL, Token: webhookSecret, JobEvents: true, PipelineEvents: group != "half"})
		if group == "dead" {
			r.gitlab.DisableHook(h.ID, time.Time{})
		}
	}
	twice := r.gitlab.AddProject(gitlabtest.Project{Path: "good/twice"})
	r.gitlab.AddHook(gitlabtest.Hook{ProjectID: twice.ID, URL: hookURL, Token: webhookSecret, JobEvents: true, PipelineEvents: true})
	found := r.run()
	r.wants(found, "webhook-state", doctor.Problem, []string{"group dead, which sends their events: GitLab has stopped sending", "it is disabled for good", "`pipesteward hooks ensure dead` repairs it"}, "dead/one", "dead/two")
	r.wants(found, "webhook-state", doctor.Warning, []string{"group half, which sends their events: the webhook needs: pipeline events on", "`pipesteward hooks ensure half`"}, "half/one", "half/two")
	r.wants(found, "webhook-state", doctor.Warning, []string{"and from the webhook of the group good", "`pipesteward hooks list good/twice`"}, "good/twice")
	for _, f := range found {
		if f.Check == "webhook-state" && slices.Contains(f.Projects, "good/one") {
			t.Errorf("%s", encode(t, f))
		}
	}
}

// GitLab shows a group's webhooks to its Owners only: events that came prove that there
// may be one.
func TestWebhooksOfHiddenGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.gitlab.AddGroup(gitlabtest.Group{Path: "a", Role: gitlabtest.Maintainer, NotOwner: true})
	silent := r.gitlab.AddProject(gitlabtest.Project{Path: "a/silent"})
	sends := r.gitlab.AddProject(gitlabtest.Project{Path: "a/sends"})
	r.Projects = []string{silent.Path}
	r.Known = func(context.Context) ([]int64, error) { return []int64{sends.ID}, nil }
	found := r.run()
	r.wants(found, "webhook-state", doctor.Problem, []string{"unless a group has one", "`pipesteward hooks ensure a/silent` makes one"}, "a/silent")
	r.wants(found, "webhook-state", doctor.Unknown, []string{"all have sent events", "Owner of the group"}, "a/sends")
}

// A project of which the rules want no events needs no webhook, and is not read.
func TestWebhooksThatNobodyNeeds(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another project's":    `{name: a, on: job, if: project.path == "platform/shop", actions: [retry]}`,
		"a schedule rule":      `{name: b, on: schedule, schedule: {cron: "0 3 * * *", projects: [a/none]}, if: job.status == "success", actions: [erase]}`,
		"rules that just stop": `{name: c, on: job, if: project.path == "a/none", stop: true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{})
			p := r.gitlab.AddProject(gitlabtest.Project{Path: "a/none"})
			r.rules("version: 1\nrules:\n  - " + text + "\n")
			r.Only = []string{"a/none"}
			found := r.run()
			r.wants(found, "webhook-state", doctor.Note, []string{"no rule wants their events"}, "a/none")
			for _, f := range found {
				if f.Check == "webhook-state" && f.Severity != doctor.Note {
					t.Errorf("%s", encode(t, f))
				}
			}
			if n := r.gitlab.Count(http.MethodGet, fmt.Sprintf("/projects/%d/hooks", p.ID)); n != 0 {
				t.Errorf("%d requests for its webhooks, want 0", n)
			}
		})
	}
}

// Without the public address, the path of a webhook's address tells whose it is.
func TestWebhooksWithoutAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.Webhook.URL = ""
	found := r.run()
	r.wants(found, "webhook-state", doctor.OK, []string{"events are delivered in 1 project"})
	r.wants(found, "webhook-state", doctor.Note, []string{"whose address ends in /webhooks/gitlab", "give --webhook-url"})
	r.gitlab.AddProject(gitlabtest.Project{Path: "a/none"})
	r.wants(r.run(), "webhook-state", doctor.Problem, []string{"`pipesteward hooks ensure --webhook-url URL a/none`"}, "a/none")
}

// A webhook of an earlier address is not replaced unless somebody says that it is one.
func TestWebhooksElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	p := r.gitlab.AddProject(gitlabtest.Project{Path: "a/moved"})
	r.gitlab.AddHook(gitlabtest.Hook{ProjectID: p.ID, URL: "https://old.example.com/webhooks/gitlab?key=hush-hush", JobEvents: true, PipelineEvents: true})
	r.wants(r.run(), "webhook-state", doctor.Problem, []string{
		"posts to another address, https://old.example.com/webhooks/gitlab?key=[masked]", "--replace-url to `pipesteward hooks ensure a/moved`",
	}, "a/moved")
}

// A fine-grained token without the permission is not advised to get a role.
func TestWebhooksThatTheTokenMayNotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{Version: "19.4.0"})
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Grants: everything("read_webhook")})
	r.wants(r.run(), "webhook-state", doctor.Unknown, []string{"not checked, because the access token may not read this", "Webhook: Read"}, "platform/shop")
}

// While GitLab refuses to send to the address, a webhook is of no use.
func TestWebhooksAndOutbound(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{Admin: true})
	r.Webhook.URL = "http://10.0.0.5:8080/webhooks/gitlab"
	found := r.run()
	r.wants(found, "webhook-outbound", doctor.Problem, []string{"GitLab sends nothing there"})
	r.wants(found, "webhook-state", doctor.Problem, []string{"posts to another address", "first do what webhook-outbound says; then: "}, "platform/shop")
}

// A GitLab that fails midway leaves the rest unchecked, and says so.
func TestWebhooksMidway(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	for _, path := range []string{"a/one", "a/two"} {
		r.gitlab.AddProject(gitlabtest.Project{Path: path})
	}
	r.gitlab.Fail(gitlabtest.Fault{Path: "/projects/3/hooks", Times: -1, Status: 502})
	found := r.run()
	r.wants(found, "webhook-state", doctor.Problem, []string{"no webhook posts"}, "a/one")
	r.wants(found, "webhook-state", doctor.Unknown, []string{"not checked, because GitLab can't be reached"}, "a/two", "platform/shop")
}

// GitLab sends nothing to its local network unless an administrator allows it.
func TestOutbound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		url      string
		options  gitlabtest.Options
		severity doctor.Severity
		says     []string
	}{
		{"a public address", hookURL, gitlabtest.Options{}, doctor.OK, nil},
		{"a private one", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{}, doctor.Unknown, []string{"http://10.0.0.5:8080/webhooks/gitlab is in a private network", "only to an administrator", "Outbound requests"}},
		{"to an admin", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{Admin: true}, doctor.Problem, []string{"GitLab sends nothing there"}},
		{"of a webhook that is there", "http://10.9.9.9/webhooks/gitlab", gitlabtest.Options{}, doctor.Note, []string{"GitLab has taken the address"}},
		{"allowed", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{Admin: true, LocalRequests: gitlabtest.LocalRequests{Allowed: true}}, doctor.OK, nil},
		{"on the list", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{Admin: true, LocalRequests: gitlabtest.LocalRequests{Allowlist: []string{"10.0.0.5"}}}, doctor.OK, nil},
		{"in a network on the list", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{Admin: true, LocalRequests: gitlabtest.LocalRequests{Allowlist: []string{"10.0.0.0/8"}}}, doctor.OK, nil},
		{"another port on the list", "http://10.0.0.5:8080/webhooks/gitlab", gitlabtest.Options{Admin: true, LocalRequests: gitlabtest.LocalRequests{Allowlist: []string{"10.0.0.5:80"}}}, doctor.Problem, nil},
		{"a name of the local network", "http://pipesteward/webhooks/gitlab", gitlabtest.Options{Admin: true}, doctor.Problem, []string{"http://pipesteward/"}},
		{"a name of a cluster", "http://pipesteward.ci.svc.cluster.local/webhooks/gitlab", gitlabtest.Options{Admin: true}, doctor.Problem, nil},
		{"with a secret", "http://user:hush-hush@10.0.0.5/webhooks/gitlab?key=hush-hush", gitlabtest.Options{}, doctor.Unknown, []string{"[masked]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.options)
			r.Webhook.URL = tt.url
			if tt.severity == doctor.Note {
				r.gitlab.AddHook(gitlabtest.Hook{ProjectID: 1, URL: tt.url, JobEvents: true})
			}
			r.wants(r.run(), "webhook-outbound", tt.severity, tt.says)
		})
	}
}
