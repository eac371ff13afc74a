package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

const onDefaultRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - name: not-red-on-main
    on: job
    if: job.status == "failed" and not on_default().failed
    actions: [retry: {delay: 0s, allow_stale: true}]
  - name: red-on-main
    on: job
    if: job.status == "failed" and on_default().failed
    notify:
      - together: "{{ job.name }} {{ on_default().since_sha }}"
        text: "{{ job.name }} is red on {{ project.default_branch }} since {{ on_default().since_sha[:6] }}: {{ outcome.together }} wait, see {{ on_default().url }}"
`

// A merge request's job that fails on the default branch, too, is not retried, and one
// message says since which commit and how many merge requests wait; others are retried.
// GitLab is asked once for all of them, and the events
// wait while it does not answer.
func TestOnDefault(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", onDefaultRules)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	on := func(sha, lint string) gitlabtest.Pipeline {
		return env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{SHA: strings.Repeat(sha, 8)},
			gitlabtest.Job{Name: "lint", Status: lint}, gitlabtest.Job{Name: "rspec", Status: "success"})
	}
	onMain := []gitlabtest.Pipeline{on("aaaaa", "success"), on("bbbbb", "failed"), on("ccccc", "failed")}
	main := onMain[2]
	onMain = append(onMain, env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Source: "security_orchestration_policy"}, gitlabtest.Job{Name: "sast", Status: "success"}))
	red := env.gitlab.Latest(main.ID, "lint")
	begins := time.Now()
	p := env.run()
	env.gitlab.Fail(gitlabtest.Fault{Path: "/pipelines", Times: 3, Status: http.StatusServiceUnavailable})
	for _, iid := range []int64{1, 2, 3, 3} { // the last one twice
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{MergeRequest: &gitlabtest.MergeRequest{IID: iid, SourceBranch: "cart", TargetBranch: "main"}},
			gitlabtest.Job{Name: "lint"}, gitlabtest.Job{Name: "rspec"})
		for _, name := range []string{"lint", "rspec"} {
			job := env.gitlab.Latest(pipeline.ID, name)
			env.gitlab.Finish(job.ID, "failed", "runner_system_failure")
			p.post(env.gitlab.JobHookBody(job.ID))
		}
		defer func() {
			runs := map[string]int{}
			for _, j := range env.gitlab.Jobs(pipeline.ID) {
				runs[j.Name]++
			}
			if runs["lint"] != 1 || runs["rspec"] != 2 {
				t.Errorf("merge request %d: runs %v, want one of lint, which is red on main, and two of rspec", iid, runs)
			}
		}()
	}
	p.workedOff()

	lists := 0
	var jobs []string
	for _, r := range env.gitlab.Requests() {
		switch {
		case r.Status != http.StatusOK:
		case r.Query.Get("scope") == "finished":
			lists++
		case slices.ContainsFunc(onMain, func(p gitlabtest.Pipeline) bool {
			return strings.HasSuffix(r.Path, fmt.Sprintf("/pipelines/%d/jobs", p.ID))
		}):
			jobs = append(jobs, r.Path+"?"+r.Query.Encode())
		}
	}
	if most := 1 + int(time.Since(begins)/time.Minute); lists < 1 || lists > most || len(jobs) != 3 {
		t.Errorf("%d lists of pipelines and the lists of jobs %q were read, want 1 to %d, one a minute, and 3: of each pipeline once, but not of the scan", lists, jobs, most)
	}
	want := "lint is red on main since bbbbbb: 3 wait, see " + red.WebURL
	messages := env.slack.Messages("ci")
	i := slices.IndexFunc(messages, func(m slacktest.Message) bool { return m.ThreadTS == "" && strings.Contains(m.Plain(), want) })
	if i < 0 {
		t.Fatalf("no message says %q: %v", want, messages)
	}
	message := messages[i]
	for iid := range 3 {
		if link := fmt.Sprintf("• !%d (%s/platform/shop/-/merge_requests/%[1]d)", 1+iid, env.gitlab.URL()); strings.Count(message.Plain(), link) != 1 {
			t.Errorf("the message does not list merge request %d once:\n%s", 1+iid, message.Plain())
		}
	}
	if !strings.Contains(message.Text, "3 wait") {
		t.Errorf("a notification of the edited message shows %q", message.Text)
	}
	for _, m := range messages {
		if m.ThreadTS == message.TS && (!strings.Contains(m.Plain(), "/-/merge_requests/") || !strings.Contains(m.Plain(), "/-/pipelines/") || !strings.Contains(m.Plain(), "/-/jobs/")) {
			t.Errorf("a reply does not link its merge request, pipeline and job:\n%s", m.Plain())
		}
	}
	begun := 0
	for _, post := range env.slack.Posts() {
		if post.ThreadTS == "" && strings.Contains(post.Plain(), "is red on main") {
			begun++
		}
	}
	if begun != 1 {
		t.Errorf("%d messages say that it is red on main, want one", begun)
	}
}

const knownFlakyRules = `
version: 1
defaults: {channel: "#ci", group: false}
rules:
  - name: known-flaky
    on: job
    if: job.status == "failed" and all(tests(), .recent_failures >= 3) and len(tests()) > 0
    actions: [retry: {delay: 0s}]
  - name: not-known
    on: job
    if: job.status == "failed" and any(tests(), .recent_failures < 3)
    notify: [{text: "{{ join(map(tests(), .name), \", \") }} failed"}]
`

// A job is retried where all tests that failed are known to be flaky, by GitLab's count;
// secrets in the names of tests are masked, and a dry run reads them, too.
func TestKnownFlakyTests(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", knownFlakyRules)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	flaky := gitlabtest.TestCase{Status: "failed", Name: "signs in with glpat-abcdefghij0123456789", Classname: "login"}
	for range 3 {
		env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec", Status: "failed", Tests: []gitlabtest.TestCase{flaky}})
	}
	p := env.run()
	env.gitlab.Fail(gitlabtest.Fault{Path: "/graphql", Times: 3, Status: http.StatusServiceUnavailable})
	runs := func(tests ...gitlabtest.TestCase) int {
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "cart"}, gitlabtest.Job{Name: "rspec", Tests: tests})
		job := env.gitlab.Latest(pipeline.ID, "rspec")
		env.gitlab.Finish(job.ID, "failed", "script_failure")
		p.post(env.gitlab.JobHookBody(job.ID))
		p.workedOff()
		return len(env.gitlab.Jobs(pipeline.ID))
	}
	for _, c := range []struct {
		name  string
		tests []gitlabtest.TestCase
		want  int // runs
	}{
		{"only flaky ones failed", []gitlabtest.TestCase{flaky, {Status: "success", Name: "adds"}}, 2},
		{"another one, too", []gitlabtest.TestCase{flaky, {Status: "failed", Name: "adds"}}, 1},
		{"there is no report", nil, 1},
	} {
		if got := runs(c.tests...); got != c.want {
			t.Errorf("%s: %d runs, want %d", c.name, got, c.want)
		}
	}
	told := 0
	for _, post := range env.slack.Posts() {
		if strings.Contains(post.Plain(), "abcdefghij0123456789") {
			t.Errorf("a post has the secret: %s", post.Plain())
		}
		if strings.Contains(post.Plain(), "signs in with [masked], adds failed") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d posts name the tests, want 1", told)
	}
}
