package doctor_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

func TestToken(t *testing.T) {
	t.Parallel()
	token := func(a gitlabtest.AccessToken) func(*rig) {
		return func(r *rig) { r.gitlab.SetAccessToken(a) }
	}
	for _, tt := range []struct {
		name     string
		options  gitlabtest.Options
		spoil    func(*rig)
		check    string
		severity doctor.Severity
		says     []string
	}{
		{"whose it is", gitlabtest.Options{}, nil, "token-valid", doctor.OK, []string{"valid: token of a bot, @pipesteward-bot"}},
		{"a group's", gitlabtest.Options{Bot: gitlabtest.User{ID: 7, Username: "group_42_bot_f00d"}}, nil, "token-valid", doctor.OK, []string{"group access token"}},
		{"a project's", gitlabtest.Options{Bot: gitlabtest.User{ID: 7, Username: "project_5_bot"}}, nil, "token-valid", doctor.OK, []string{"project access token"}},
		{"an admin's", gitlabtest.Options{Admin: true}, nil, "token-valid", doctor.OK, []string{"of an administrator"}},
		{"revoked", gitlabtest.Options{}, token(gitlabtest.AccessToken{Revoked: true}), "token-valid", doctor.Problem, []string{"GitLab refuses the access token", "Token was revoked", "PIPESTEWARD_GITLAB_TOKEN"}},
		{"expired", gitlabtest.Options{}, token(gitlabtest.AccessToken{ExpiresAt: noon}), "token-valid", doctor.Problem, []string{"Token is expired"}},
		{"revoked, scopes", gitlabtest.Options{}, token(gitlabtest.AccessToken{Revoked: true}), "token-scopes", doctor.Unknown, []string{"not checked, because GitLab refuses the access token"}},
		{"revoked, and GitLab answers", gitlabtest.Options{}, token(gitlabtest.AccessToken{Revoked: true}), "gitlab-reachable", doctor.OK, nil},
		{"a blocked user", gitlabtest.Options{}, func(r *rig) {
			r.gitlab.Fail(gitlabtest.Fault{Times: -1, Status: http.StatusForbidden, Message: "403 Forbidden - Your account has been blocked."})
		}, "token-valid", doctor.Problem, []string{"your user is active", "account has been blocked"}[1:]},
		{"api", gitlabtest.Options{}, nil, "token-scopes", doctor.OK, []string{"scope api"}},
		{"read_api", gitlabtest.Options{}, token(gitlabtest.AccessToken{Scopes: []string{"read_api"}}), "token-scopes", doctor.Problem, []string{"lacks the scope api: it has read_api"}},
		{"read_user", gitlabtest.Options{}, token(gitlabtest.AccessToken{Scopes: []string{"read_user"}}), "token-scopes", doctor.Problem, []string{"lacks the scope api: it has read_user"}},
		{"read_user, projects", gitlabtest.Options{}, token(gitlabtest.AccessToken{Scopes: []string{"read_user"}}), "project-role", doctor.Unknown, []string{"the access token may not read this"}},
		{"an old GitLab", gitlabtest.Options{Version: "15.4.0"}, nil, "token-scopes", doctor.Note, []string{"15.5 and later do"}},
		{"never", gitlabtest.Options{}, nil, "token-expiry", doctor.OK, []string{"never expires"}},
		{"later", gitlabtest.Options{}, token(gitlabtest.AccessToken{ExpiresAt: noon.AddDate(0, 0, 90)}), "token-expiry", doctor.OK, []string{"expires in 89 days, on 2027-02-20"}},
		{"soon", gitlabtest.Options{}, token(gitlabtest.AccessToken{ExpiresAt: noon.AddDate(0, 0, 5)}), "token-expiry", doctor.Warning, []string{"the access token expires in 4d12h, on 2026-11-27", "make a new one"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.options)
			if tt.spoil != nil {
				tt.spoil(r)
			}
			r.wants(r.run(), tt.check, tt.severity, tt.says)
		})
	}
}

// everything are the grants of a fine-grained token that lacks nothing.
func everything(except ...string) []gitlabtest.Grant {
	grants := []gitlabtest.Grant{
		{Access: "user", Permissions: []string{"read_user", "read_project", "read_personal_access_token"}},
		{Access: "instance", Permissions: []string{"read_metadata"}},
		{Access: "all_memberships", Permissions: []string{
			"read_project", "read_job", "read_pipeline", "run_job", "update_job", "delete_job", "update_pipeline", "read_deployment", "read_merge_request",
			"read_protected_branch", "read_protected_tag", "read_webhook", "create_webhook", "update_webhook", "delete_webhook", "trigger_webhook", "read_branch",
			"read_work_item", "create_work_item", "update_work_item", "create_commit_status",
		}},
	}
	for i, g := range grants {
		var left []string
		for _, p := range g.Permissions {
			if !strings.Contains(strings.Join(except, " "), p) {
				left = append(left, p)
			}
		}
		grants[i].Permissions = left
	}
	return grants
}

// A fine-grained token needs the permissions of the verbs that the rules use.
func TestFineGrained(t *testing.T) {
	t.Parallel()
	const erase = ruleFile + "  - {name: erase, on: job, actions: [erase]}\n"
	for _, tt := range []struct {
		name     string
		rules    string
		grants   []gitlabtest.Grant
		severity doctor.Severity
		says     []string
	}{
		{"all", erase, everything(), doctor.OK, []string{"with the permissions that the rules need"}},
		{"no retry", ruleFile, everything("run_job"), doctor.Problem, []string{`lacks a permission: "Job: Run Job" (retry)`}},
		{"no erase, which no rule wants", ruleFile, everything("delete_job"), doctor.OK, nil},
		{"no erase", erase, everything("delete_job"), doctor.Problem, []string{`"Job: Delete" (erase)`}},
		{"another name of a permission", ruleFile, append(everything("run_job"), gitlabtest.Grant{Access: "selected_memberships", Permissions: []string{"retry_job"}, Project: 1}), doctor.OK, nil},
		{"no lists", ruleFile, append(everything("read_project"), gitlabtest.Grant{Access: "all_memberships", Permissions: []string{"read_project"}}), doctor.Warning, []string{`"Project: Read, of the user" (lists of all projects: globs, doctor)`}},
		{"no webhooks", ruleFile, everything("read_webhook"), doctor.Warning, []string{`"Webhook: Read" (catch-up by failed deliveries, doctor, hooks)`}},
		{"may not change webhooks", ruleFile, everything("create_webhook", "trigger_webhook"), doctor.Note, []string{
			`lacks permissions: "Webhook: Create" (hooks ensure), "Webhook: Trigger" (hooks ensure, to enable what GitLab has disabled)`, "before `pipesteward hooks ensure`",
		}},
		{"an older name of a permission", ruleFile, append(everything("trigger_webhook"), gitlabtest.Grant{Access: "all_memberships", Permissions: []string{"test_webhook"}}), doctor.OK, nil},
		{"no merge requests, which a rule reads", ruleFile + "  - {name: draft, on: job, if: merge_request_details().draft, actions: [retry]}\n", everything("read_merge_request"), doctor.Problem, []string{
			`lacks a permission: "Merge Request: Read" (merge_request_details())`,
		}},
		{"no merge requests", ruleFile, everything("read_merge_request"), doctor.Warning, []string{"outdated"}},
		{"no notes, which no rule wants", ruleFile, everything("work_item"), doctor.OK, nil},
		{"no notes", noteRule, everything("create_work_item"), doctor.Problem, []string{`lacks a permission: "Work Item: Create" (merge_request: note)`}},
		{"no statuses", statusRule, everything("create_commit_status"), doctor.Problem, []string{`"Commit Status: Create" (commit: status)`}},
		{"hidden", ruleFile, everything("read_personal_access_token"), doctor.Unknown, []string{"Personal Access Token: Read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{Version: "19.4.0"})
			r.gitlab.SetAccessToken(gitlabtest.AccessToken{Grants: tt.grants})
			r.rules(tt.rules)
			r.wants(r.run(), "token-scopes", tt.severity, tt.says)
		})
	}
}

// A service that keeps webhooks in order needs the permissions to change them.
func TestFineGrainedToEnsureHooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{Version: "19.4.0"})
	r.EnsuresHooks = true
	r.gitlab.SetAccessToken(gitlabtest.AccessToken{Grants: everything("update_webhook")})
	r.wants(r.run(), "token-scopes", doctor.Problem, []string{`lacks a permission: "Webhook: Update" (hooks ensure)`})
}

// Where people press buttons in Slack, it is found out who they are in GitLab, and what they
// may do there.
func TestFineGrainedForButtons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		spoil    func(r *rig)
		severity doctor.Severity
		says     []string
	}{
		{"no buttons", nil, doctor.OK, []string{"with the permissions that the rules need"}},
		{"buttons", buttons(doctor.SlackApp{Signed: true}), doctor.Warning, []string{
			`lacks permissions: `, `"Protected Environment: Read" (buttons in Slack, for protected environments of projects and groups)`,
			`"User: Read, of the instance" (buttons in Slack, to find people by e-mail)`, `"Member: Read" (buttons in Slack, for the roles of people in projects and groups)`,
		}},
		{"buttons with all permissions", func(r *rig) {
			buttons(doctor.SlackApp{Signed: true})(r)
			r.gitlab.SetAccessToken(gitlabtest.AccessToken{Grants: append(everything(),
				gitlabtest.Grant{Access: "instance", Permissions: []string{"read_user"}},
				gitlabtest.Grant{Access: "all_memberships", Permissions: []string{"read_member", "read_protected_environment"}},
			)})
		}, doctor.OK, []string{"with the permissions that the rules need"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gitlabtest.Options{Version: "19.4.0"})
			r.gitlab.SetAccessToken(gitlabtest.AccessToken{Grants: everything()})
			r.rules(ruleFile)
			if tt.spoil != nil {
				tt.spoil(r)
			}
			r.wants(r.run(), "token-scopes", tt.severity, tt.says)
		})
	}
}
