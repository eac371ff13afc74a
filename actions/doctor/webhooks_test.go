package doctor_test

import (
	"testing"

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
	r.wants(found, "webhook-state", doctor.Problem, []string{"no webhook posts job and pipeline events", "hooks ensure"}, "a/none", "a/others")
	r.wants(found, "webhook-state", doctor.Problem, []string{"GitLab has stopped sending", "test delivery"}, "a/disabled")
	r.wants(found, "webhook-state", doctor.Warning, []string{"settings of the webhook are wrong"}, "a/jobs-only")
	r.wants(found, "webhook-state", doctor.Warning, []string{"two webhooks deliver the same events"}, "a/twice")
	r.wants(found, "webhook-state", doctor.Unknown, []string{"takes the role Maintainer"}, "a/developer")
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
