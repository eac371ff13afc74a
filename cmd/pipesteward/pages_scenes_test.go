//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/unknown"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

// secretsByFile are the secrets that a person writes into files, by their names.
var secretsByFile = map[string]string{"gitlab-token": gitlabtest.DefaultToken, "webhook-token": testSecret}

// pageScenes are what sections of the documents speak of, by file and anchor.
var pageScenes = map[string]func(*sandbox){
	"README.md#five-steps-to-your-gitlab": newcomer,

	"cmd/README.md#is-it-set-up-right":         missingRole,
	"cmd/README.md#webhooks-of-many-projects":  manyWebhooks,
	"cmd/README.md#what-arrives":               wrongToken,
	"cmd/README.md#why-did-it-or-didnt-it":     notRetried,
	"cmd/README.md#does-it-help":               retriesThatHelped,
	"cmd/README.md#what-fails-without-a-class": unclassified,
	"cmd/README.md#propose":                    unclassified,
	"cmd/README.md#would-it-help":              pastWeek,
	"cmd/README.md#steer-it":                   outOfBudget,
	"cmd/README.md#pause-actions":              stopping,
	"cmd/README.md#mute-notifications":         stopping,

	"rules/README.md#checking-rules": mistakes,

	"handlers/README.md#by-signing-in-at-gitlab": signingIn,

	"deploy/README.md#compose":                          newService,
	"deploy/README.md#systemd":                          fromSources,
	"deploy/README.md#one-container":                    newService,
	"deploy/README.md#webhooks-by-hand":                 wrongToken,
	"deploy/README.md#what-must-persist-and-its-backup": stores,

	"deploy/helm/pipesteward/README.md#the-chart-pipesteward": withValues,
}

// newcomer is a GitLab with a group, which has a job of the past and no webhooks.
func newcomer(s *sandbox) {
	text, err := os.ReadFile(repositoryTop + "/rules.example.yaml")
	if err != nil {
		s.Fatal(err)
	}
	s.write("rules.yaml", string(text))
	s.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
	s.stuckJob()
	s.isPublic()
	s.statuses["doctor"] = 1 // there are no webhooks
	s.happens = func() {
		s.stuckJob()
		s.gitlab.Flush()
		s.serving.eventually("it is decided", func() bool { return len(s.serving.outcomes()) > 0 })
	}
}

// isPublic lets the simulated GitLab reach what serves, and returns the address of its
// webhooks, which pages write as https://pipesteward.example.com/webhooks/gitlab.
func (s *sandbox) isPublic() (address string) {
	address, s.reachedAt = s.publicAddress()
	s.words = append(s.words, "https://pipesteward.example.com/webhooks/gitlab", address)
	return address
}

// newJob makes a job in a pipeline of its own.
func (s *sandbox) newJob(project gitlabtest.Project) gitlabtest.Job {
	return s.gitlab.Latest(s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}).ID, "rspec")
}

// newService is what runs after an installation: nothing is set up in GitLab yet, and the
// settings are in files.
func newService(s *sandbox) {
	s.words = append(s.words, "PIPESTEWARD_GITLAB_URL=https://gitlab.com\n", "PIPESTEWARD_GITLAB_URL="+s.gitlab.URL()+"\n")
	for _, secret := range []string{"GITLAB_TOKEN", "WEBHOOK_TOKEN", "SLACK_TOKEN"} {
		delete(s.settings, "PIPESTEWARD_"+secret)
	}
	s.stuckJob()
	s.statuses["doctor"] = 1 // there are no webhooks
}

// fromSources is newService where `make build` has been run.
func fromSources(s *sandbox) {
	newService(s)
	s.write("pipesteward", "")
}

// withValues is newService with the values and the rules of the chart in files.
func withValues(s *sandbox) {
	newService(s)
	s.write("values.yaml", "")
	s.write("rules.yaml", testRules)
}

// stores are the store of a server that runs, and of one that does not.
func stores(s *sandbox) {
	s.run().stop()
	s.serving = s.run("--store", "bolt:"+s.path("served.db"))
}

// missingRole is a bot without rights in most projects, whose token will expire.
func missingRole(s *sandbox) {
	s.write("rules.yaml", `version: 1
rules:
  - {name: erase, on: schedule, schedule: {cron: "0 3 * * *", projects: [apps]}, if: 'age(job.finished_at) > duration("90d")', actions: [erase: {older_than: 90d}]}
`)
	for i := range 5 {
		s.gitlab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("apps/%c", 'a'+i), Role: gitlabtest.Developer})
	}
	s.gitlab.SetAccessToken(gitlabtest.AccessToken{ExpiresAt: time.Now().AddDate(0, 0, 5)})
	s.serving = s.run()
	s.statuses["doctor"] = 1
}

// manyWebhooks is a group without a webhook, a project whose webhook is wrong, and one
// where the bot may not change that.
func manyWebhooks(s *sandbox) {
	s.reaches(gitlabtest.Start(s.T, gitlabtest.Options{Now: time.Now, DisablesHooks: true}))
	address := s.isPublic()
	s.gitlab.AddGroup(gitlabtest.Group{Path: "platform"})
	s.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	shop := s.gitlab.AddProject(gitlabtest.Project{Path: "apps/shop/web"})
	s.gitlab.AddProject(gitlabtest.Project{Path: "apps/vault/web", Role: gitlabtest.Developer})
	hook := s.gitlab.AddHook(gitlabtest.Hook{ProjectID: shop.ID, URL: address, PipelineEvents: true})
	s.gitlab.DisableHook(hook.ID, time.Time{})
	s.serving = s.run()
	s.reachedAt(s.serving.webhooks)
	s.statuses["hooks ensure"] = 1
}

// wrongToken is a delivery that is taken, and one that is not.
func wrongToken(s *sandbox) {
	s.serving = s.run("--dry-run")
	taken := s.stuckJob()
	refused := s.newJob(s.gitlab.AddProject(gitlabtest.Project{Path: "platform/cart"}))
	s.gitlab.Run(refused.ID)
	s.gitlab.Flush()
	s.gitlab.AddHook(gitlabtest.Hook{URL: s.serving.webhooks, Token: "another's", JobEvents: true})
	s.gitlab.Finish(refused.ID, "failed", "script_failure")
	s.gitlab.Flush()
	s.serving.post(s.gitlab.JobHookBody(taken.ID))
	s.serving.workedOff()
}

// notRetried is a job that no rule retries.
func notRetried(s *sandbox) {
	s.write("rules.yaml", testRules)
	job := s.newJob(s.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"}))
	s.serving = s.run()
	s.gitlab.AddHook(gitlabtest.Hook{URL: s.serving.webhooks, Token: testSecret, JobEvents: true, PipelineEvents: true})
	s.gitlab.Run(job.ID)
	s.gitlab.Finish(job.ID, "failed", "script_failure")
	s.gitlab.Flush()
	s.serving.workedOff()
	s.words = append(s.words, "jobs/1977", fmt.Sprintf("jobs/%d", job.ID))
	s.write("hook.json", string(s.gitlab.JobHookBody(job.ID)))
	s.write("new.yaml", "version: 1\nrules:\n  - {name: retry-lint, on: job, if: 'job.status == \"failed\" and job.name == \"lint\" and log() contains \"timeout\"', actions: [retry]}\n")
}

// retriesThatHelped are retries of which some passed.
func retriesThatHelped(s *sandbox) {
	s.write("rules.yaml", testRules+"prices: {currency: EUR, runners: [{minute: 0.5}]}\n")
	ago := 2 * time.Hour
	s.reaches(gitlabtest.Start(s.T, gitlabtest.Options{Now: func() time.Time { return time.Now().Add(-ago) }}))
	s.serving = s.run()
	deliver := func(job gitlabtest.Job) {
		if code := s.serving.post(s.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
			s.Errorf("a job is answered with %d, want 202", code)
		}
		s.serving.workedOff()
	}
	for _, results := range [][]string{{"success"}, {"success"}, {"failed", "failed"}, {}} {
		job := s.stuckJob()
		deliver(job)
		for _, result := range results {
			job = s.gitlab.Latest(job.PipelineID, "rspec")
			s.gitlab.Run(job.ID)
			ago -= 5 * time.Minute
			reason := ""
			if result == "failed" {
				reason = "stuck_or_timeout_failure"
			}
			s.gitlab.Finish(job.ID, result, reason)
			deliver(job)
		}
	}
	s.words = append(s.words, "2026-11-23T12:00:00Z", "1d")
}

// unclassified are failures that no class covers, in one group.
func unclassified(s *sandbox) {
	s.write("rules.yaml", classRules)
	s.serving = s.run()
	project := s.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	for i := range 3 {
		pipeline := s.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", Runner: gitlabtest.Runner{ID: 21, Type: "instance_type", Description: fmt.Sprintf("big-%d", 1+i%2)}, Log: fmt.Sprintf("$ make\nlicense server lic-1.example.com refused job %d\nERROR: Job failed: exit code 1\n", 8801+i)})
		job := s.gitlab.Latest(pipeline.ID, "build")
		s.gitlab.Run(job.ID)
		s.gitlab.Finish(job.ID, "failed", "script_failure")
		s.serving.post(s.gitlab.JobHookBody(job.ID))
		s.serving.workedOff()
	}
	if err := os.Mkdir(s.path("logs"), 0o700); err != nil {
		s.Fatal(err)
	}
	s.write("logs/passed.log", "$ make\nlicense server lic-1.example.com is fine\n")
	s.words = append(s.words, "3f2a9c01", list[unknown.Cluster](s.serving, "unknown")[0].ID)
}

// pastWeek is a GitLab with the jobs of past days.
func pastWeek(s *sandbox) {
	past := week(s.T)
	s.reaches(past.gitlab)
	s.settings["PIPESTEWARD_RULES"] = past.dir + "/rules.yaml"
}

// outOfBudget is a decision that failed, and one that waits for its budget.
func outOfBudget(s *sandbox) {
	s.write("rules.yaml", strings.NewReplacer("per_project: 100000/1h", "per_project: 2/1h", "retry-stuck", "retry-infrastructure").Replace(testRules))
	s.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"}) // where the bot keeps its rights
	s.serving = s.run()
	_, failed := s.failedDecision(s.serving, "platform/shop")
	fails := func(job gitlabtest.Job) {
		s.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
		s.serving.post(s.gitlab.JobHookBody(job.ID))
	}
	cart := s.gitlab.AddProject(gitlabtest.Project{Path: "platform/cart"})
	used := s.newJob(cart)
	for range 2 {
		s.gitlab.Finish(used.ID, "failed", "stuck_or_timeout_failure")
		var err error
		if used, err = s.gitlab.Retry(used.ID); err != nil {
			s.Fatal(err)
		}
	}
	fails(used) // its attempts are used up
	for range 3 {
		fails(s.newJob(cart))
	}
	waiting := func() []admin.QueuedRecord {
		return list[admin.QueuedRecord](s.serving, "queue", "list", "--waits-for", "budget")
	}
	s.serving.eventually("a retry waits", func() bool { return len(waiting()) == 1 })
	s.words = append([]string{
		"retry:https://gitlab.example.com:7:700:failed@1796126651000000000", failed,
		"decision:retry:https://gitlab.example.com:8:704:failed", waiting()[0].ID,
	}, s.words...)
}

// stopping is a server that an operator stops.
func stopping(s *sandbox) {
	s.slack.AddChannel(slacktest.Channel{Name: "ci"})
	s.serving = s.run()
	s.serving.post(s.gitlab.JobHookBody(s.stuckJob().ID))
	s.serving.workedOff()
	s.words = append(s.words, "by ann", "by "+whoRuns())
}

// mistakes is a rule file with two.
func mistakes(s *sandbox) {
	s.write("rules.yaml", `version: 1

rules:
  - name: one
    on: job
    if: job.stats == "failed"
    actions: [retry]

  - name: two
    on: job
    if: job.status == "failed" and job.status == "success"
    actions: [cancel]
`)
	s.statuses["check"] = 1
}

// signingIn is a GitLab where people sign in.
func signingIn(s *sandbox) {
	people := authtest.Start(s.T, time.Now)
	s.words = append(s.words, "0123…", people.ClientID)
	s.settings["PIPESTEWARD_ADMIN_OIDC_ISSUER"] = people.URL
	s.settings["PIPESTEWARD_ADMIN_OIDC_CLIENT_SECRET"] = people.ClientSecret
}
