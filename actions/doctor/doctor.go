// Package doctor checks whether Pipesteward can do its work, and says what to mend:
// GitLab and its access token, the rights in each project against what the rules need,
// webhooks, store, Slack and other receivers, rule files, and a running server. It changes nothing.
//
//	doctor.go   findings, the list of checks, and their run
//	exam.go     what several checks need, read once
//	fleet.go    the projects
//	watch.go    the cheap checks, as a service makes them
//	ondemand.go what each check of a service found last, and the checks that people request
//	settings.go, gitlab.go, token.go, roles.go, protection.go, webhooks.go, outbound.go, store.go, slack.go, slackapp.go, receivers.go, rules.go, server.go  the checks
//
// Checks are independent: one that can't be made says why, and the others go on.
//
// The package has more than 2,000 lines because it is one list of checks, a file for each
// subject, which share what was read once.
package doctor

import (
	"context"
	"slices"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // good to know
	Warning Severity = "warning" // works, and may stop working or do less than is meant
	Problem Severity = "problem" // does not work
	Unknown Severity = "unknown" // could not be checked
)

// Severities lists all severities, the worst first.
var Severities = []Severity{Problem, Warning, Unknown, Note, OK}

// Finding is what a check found.
type Finding struct {
	Check    string   `json:"check"`   // id
	Subject  string   `json:"subject"` // what the check is about
	Severity Severity `json:"severity"`
	Seen     string   `json:"seen"`
	Advice   string   `json:"advice,omitzero"`    // what to do
	Projects []string `json:"projects,omitempty"` // paths of the projects that it is about; none: of no single project

	// Passing is set if the check could not be made now and may be later.
	Passing bool `json:"-"`
}

// The subjects, in the order of the checks.
const (
	SubjectSettings  = "settings"
	SubjectRules     = "rules"
	SubjectStore     = "store"
	SubjectGitLab    = "GitLab"
	SubjectToken     = "access token"
	SubjectProjects  = "projects"
	SubjectWebhooks  = "webhooks"
	SubjectSlack     = "Slack"
	SubjectReceivers = "receivers"
	SubjectServer    = "server"
)

// Check is one check.
type Check struct {
	ID      string
	Subject string
	// Cheap is set for a check that sends a few requests, however many projects there
	// are: a service makes it at its start.
	Cheap bool
	run   func(context.Context, *exam) []Finding
}

// Checks lists all checks, in the order in which they are made. Those of the store come
// early and together, because a file is closed after them.
var Checks = []Check{
	{"settings", SubjectSettings, false, checkSettings},
	{"rules-load", SubjectRules, false, checkRulesLoad},
	{"store-open", SubjectStore, false, checkStoreOpen},
	{"store-durable", SubjectStore, false, checkStoreDurable},
	{"store-latency", SubjectStore, false, checkStoreLatency},
	{"store-space", SubjectStore, false, checkStoreSpace},
	{"gitlab-reachable", SubjectGitLab, true, checkReachable},
	{"gitlab-version", SubjectGitLab, true, checkVersion},
	{"gitlab-address", SubjectGitLab, true, checkAddress},
	{"gitlab-clock", SubjectGitLab, true, checkClock},
	{"gitlab-rate", SubjectGitLab, true, checkRate},
	{"token-valid", SubjectToken, true, checkTokenValid},
	{"token-scopes", SubjectToken, true, checkTokenScopes},
	{"token-expiry", SubjectToken, true, checkTokenExpiry},
	{"projects-exist", SubjectProjects, false, checkProjectsExist},
	{"project-role", SubjectProjects, false, checkRole},
	{"group-role", SubjectProjects, false, checkGroupRole},
	{"protected-branch", SubjectProjects, false, checkProtectedBranch},
	{"protected-branches", SubjectProjects, false, checkProtectedBranches},
	{"protected-environments", SubjectProjects, false, checkProtectedEnvironments},
	{"pipeline-variables", SubjectProjects, false, checkVariablesRole},
	{"project-archived", SubjectProjects, false, checkArchived},
	{"webhook-secret", SubjectWebhooks, true, checkWebhookSecret},
	{"webhook-state", SubjectWebhooks, false, checkWebhooks},
	{"webhook-outbound", SubjectWebhooks, false, checkOutbound},
	{"slack-token", SubjectSlack, true, checkSlackToken},
	{"slack-scopes", SubjectSlack, true, checkSlackScopes},
	{"slack-channels", SubjectSlack, true, checkSlackChannels},
	{"slack-app", SubjectSlack, false, checkSlackApp},
	{"receiver-settings", SubjectReceivers, true, checkReceivers},
	{"server-ready", SubjectServer, false, checkServerReady},
	{"server-version", SubjectServer, false, checkServerVersion},
	{"server-rules", SubjectServer, false, checkServerRules},
	{"server-work", SubjectServer, false, checkServerWork},
}

// Run makes the checks one after the other and returns all findings. Those that are
// left when ctx ends are unknown.
func Run(ctx context.Context, cfg Config, checks []Check) []Finding {
	x := newExam(cfg)
	var all []Finding
	for i, c := range checks {
		var found []Finding
		if i > 0 && checks[i-1].Subject == SubjectStore && c.Subject != SubjectStore {
			all = append(all, x.leaveStore(ctx)...)
		}
		if ctx.Err() != nil {
			found = []Finding{{Severity: Unknown, Seen: "not checked, because the run was stopped", Passing: true}}
		} else {
			found = c.run(ctx, x)
		}
		for _, f := range found {
			f.Check, f.Subject = c.ID, c.Subject
			f.Passing = f.Passing || f.Severity == Unknown && ctx.Err() != nil
			f.Seen, f.Advice = x.redact(f.Seen), x.redact(f.Advice)
			all = append(all, f)
		}
	}
	return all
}

// Count returns how many findings have the severity.
func Count(findings []Finding, s Severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Cheap returns the checks that a service makes at its start.
func Cheap() []Check {
	return slices.DeleteFunc(slices.Clone(Checks), func(c Check) bool { return !c.Cheap })
}

func ok(seen string) []Finding { return one(OK, seen, "") }

func one(s Severity, seen, advice string) []Finding {
	return []Finding{{Severity: s, Seen: seen, Advice: advice}}
}
