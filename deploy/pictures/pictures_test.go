// Package pictures has the pictures of the documents: messages that the program posts to a
// simulated Slack, and the page for browsers. `make pictures` draws them anew.
package pictures_test

import (
	"flag"
	"html"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

var update = flag.Bool("update", false, "write the pages of which `make pictures` makes the pictures")

// TestPages: the pages of which the pictures were made show what the program posts now, all
// of it, as people read it.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, page := range []struct {
		name    string
		channel string
		play    func(*testing.T) *actionstest.Harness
	}{
		{"pipeline", "ci", pipeline},
		{"digest", "ci", digest},
		{"question", "releases", question},
		{"together", "ci", together},
	} {
		t.Run(page.name, func(t *testing.T) {
			t.Parallel()
			messages := page.play(t).Slack.Messages(page.channel)
			drawn, err := slacktest.Page(page.channel, messages)
			if err != nil {
				t.Fatal(err)
			}
			showsAll(t, drawn, messages)

			file := page.name + ".html"
			if *update {
				if err := os.WriteFile(file, []byte(drawn), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(before), drawn); diff != "" {
				t.Errorf("what the program posts is not what %s.png shows: run `make pictures` (-shown +posted):\n%s", page.name, diff)
			}
			checkSize(t, page.name)
		})
	}
	checkSize(t, "page") // of the page for browsers, which a test in cmd/pipesteward photographs
}

// checkSize checks that documents open soon with a picture.
func checkSize(t *testing.T, name string) {
	t.Helper()
	const most = 100_000 // bytes
	if picture, err := os.Stat(name + ".png"); err != nil || picture.Size() > most {
		t.Errorf("%s.png is missing or has more than %d bytes: %v", name, most, err)
	}
}

var (
	head      = regexp.MustCompile(`(?s)<style>.*</style>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
	addresses = regexp.MustCompile(` \(https?://[^ )]*\)`)
	raw       = regexp.MustCompile("\\*|`|&[a-z]+;|<|\\||:[a-z_]+:")
)

// showsAll checks that a page shows all texts of the messages, and no markup.
func showsAll(t *testing.T, page string, messages []slacktest.Message) {
	t.Helper()
	if len(messages) == 0 {
		t.Fatal("there are no messages")
	}
	shown := html.UnescapeString(tag.ReplaceAllString(head.ReplaceAllString(page, ""), ""))
	for _, m := range messages {
		for _, button := range m.Buttons() {
			if !button.Menu && !strings.Contains(shown, button.Text) { // options are seen once the menu is open
				t.Errorf("the page lacks the button %q:\n%s", button.Text, shown)
			}
		}
		for line := range strings.Lines(addresses.ReplaceAllString(m.Plain(), "")) {
			if line = strings.ReplaceAll(strings.TrimSpace(line), "`", ""); !strings.Contains(shown, line) {
				t.Errorf("the page lacks %q:\n%s", line, shown)
			}
		}
	}
	if markup := raw.FindAllString(shown, -1); markup != nil {
		t.Errorf("the page shows markup, %q:\n%s", markup, shown)
	}
}

// withButtons returns a harness with a Slack app, whose messages have buttons.
func withButtons(t *testing.T, ruleFile string) *actionstest.Harness {
	t.Helper()
	h := actionstest.New(t, ruleFile)
	h.Rights = actionstest.Rights(actionstest.Everybody)
	h.Start(actionstest.NewFuse(-1))
	return h
}

// pipeline has two jobs that are retried: one recovers, one is given up.
func pipeline(t *testing.T) *actionstest.Harness {
	h := withButtons(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-infrastructure, on: job, if: 'failed_with("stuck_or_timeout_failure", "runner_system_failure")', actions: [retry: {max_attempts: 2}], notify: [{}]}
`)
	h.AddPipeline(gitlabtest.Pipeline{Message: "Add a basket"}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "e2e"})
	ends := func(name, status, reason string) {
		h.Deliver(h.GitLab.JobHookBody(h.End(name, status, reason)))
		h.Pass(3*time.Minute, 10*time.Second)
	}
	ends("rspec", "failed", "runner_system_failure")
	ends("e2e", "failed", "stuck_or_timeout_failure")
	ends("rspec", "success", "")
	ends("e2e", "failed", "stuck_or_timeout_failure")
	h.WorkOff()
	return h
}

// digest has jobs of many pipelines that fail at once.
func digest(t *testing.T) *actionstest.Harness {
	h := withButtons(t, `
version: 1
defaults: {channel: "#ci", group: {burst: 1}}
rules:
  - {name: red-jobs, on: job, if: 'job.status == "failed"', notify: [{text: "{{ job.name }} failed: {{ job.failure_reason }}"}]}
`)
	for _, failed := range []struct{ project, job, reason string }{
		{"platform/shop", "e2e", "script_failure"},
		{"platform/search", "integration", "runner_system_failure"},
		{"platform/search", "lint", "script_failure"},
		{"platform/website", "integration", "runner_system_failure"},
		{"platform/billing", "integration", "runner_system_failure"},
		{"platform/billing", "deploy-staging", "stuck_or_timeout_failure"},
	} {
		project := h.GitLab.AddProject(gitlabtest.Project{Path: failed.project})
		h.Pipeline = h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{Message: "Faster index"}, gitlabtest.Job{Name: failed.job})
		h.Deliver(h.GitLab.JobHookBody(h.End(failed.job, "failed", failed.reason)))
	}
	h.WorkOff()
	return h
}

// together has three merge requests in which a job fails that is red on the default branch.
func together(t *testing.T) *actionstest.Harness {
	h := withButtons(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: red-on-main
    on: job
    if: job.status == "failed" and job.ref startsWith "refs/merge-requests/" and on_default().failed
    notify:
      - together: "{{ job.name }} {{ on_default().since_sha }}"
        text: >-
          {{ job.name }} is <{{ on_default().url }}|red on {{ project.default_branch }}>
          since <{{ project.url }}/-/commit/{{ on_default().since_sha }}|{{ on_default().since_sha[:8] }}>:
          {{ outcome.together }} merge request{{ outcome.together == 1 ? " waits" : "s wait" }}
`)
	project := h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint", Status: "failed"}).ProjectID
	for i, message := range []string{"Add a basket", "Faster search", "Update the licenses"} {
		h.Pipeline = h.GitLab.AddPipeline(project, gitlabtest.Pipeline{Message: message, MergeRequest: &gitlabtest.MergeRequest{IID: int64(7 + i), SourceBranch: "topic", TargetBranch: "main"}}, gitlabtest.Job{Name: "lint"})
		h.Deliver(h.GitLab.JobHookBody(h.End("lint", "failed", "script_failure")))
		h.Pass(3*time.Minute, 10*time.Second)
	}
	return h
}

// question has a deployment that a person must confirm.
func question(t *testing.T) *actionstest.Harness {
	h := withButtons(t, `
version: 1
rules:
  - name: release
    on: pipeline
    if: pipeline.tag and pipeline.status == "manual"
    actions:
      - play: {jobs: [deploy-production], confirm: "#releases", confirm_within: 4h}
`)
	h.AddPipeline(gitlabtest.Pipeline{Message: "Add a basket", Ref: "v1.4.0", Tag: true}, gitlabtest.Job{Name: "deploy-production", Stage: "deploy", When: "manual", Environment: gitlabtest.Environment{Name: "production"}})
	h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
	h.Pass(10*time.Second, time.Second)
	return h
}
