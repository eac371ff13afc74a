package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const recipesPage = "../../rules/RECIPES.md"

// recipe is a section of the page of recipes: a rule file, its tests, and the message that
// people read.
type recipe struct{ title, rules, tests, message string }

// recipesOf returns the recipes of the page.
func recipesOf(t *testing.T, page string) (all []recipe) {
	t.Helper()
	for _, section := range strings.Split(page, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		found := blocks(body)
		if len(found) != 3 || found[0].language != "yaml" || found[1].language != "yaml" || found[2].language != "text" || !strings.Contains(body, "\nWatch out: ") {
			t.Errorf("the recipe %q is not rules, tests and a message, with what to watch out for", title)
			continue
		}
		all = append(all, recipe{title, found[0].text, found[1].text, found[2].text})
	}
	return all
}

// TestRecipes checks the rules of each recipe with all warnings, runs its tests, which
// every rule must fire in, and plays what the message is about. With -update it writes
// the messages.
func TestRecipes(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(recipesPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	all := recipesOf(t, page)
	if len(all) != len(scenes) {
		t.Errorf("the page has %d recipes, and %d are played", len(all), len(scenes))
	}
	for _, r := range all {
		t.Run(r.title, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"rules.yaml": r.rules, "rules.test.yaml": r.tests} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range [][]string{
				{"check", "--strict", filepath.Join(dir, "rules.yaml")},
				{"test", "--require-coverage", filepath.Join(dir, "rules.test.yaml")},
			} {
				var out strings.Builder
				if code := run(t.Context(), append([]string{"pipesteward"}, args...), &out, &out); code != 0 {
					t.Errorf("`pipesteward %s` ends with exit status %d:\n%s", args[0], code, out.String())
				}
			}
			play := scenes[r.title]
			if play == nil {
				t.Fatal("nothing in `scenes` plays this recipe")
			}
			h := actionstest.New(t, r.rules)
			h.Rights = actionstest.Rights(actionstest.Everybody)
			h.Start(actionstest.NewFuse(-1))
			message := strings.TrimSpace(play(h)) + "\n"
			switch {
			case message == r.message:
			case *update:
				_, rest, _ := strings.Cut(page, "\n## "+r.title+"\n")
				before, after, _ := strings.Cut(rest, "````text\n"+r.message+"````\n")
				page = strings.Replace(page, rest, before+"````text\n"+message+"````\n"+after, 1)
			default:
				t.Errorf("people read another message (-page +program): the test writes it with -update\n%s", cmp.Diff(r.message, message))
			}
		})
	}
	if *update && page != string(data) {
		if err := os.WriteFile(recipesPage, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// scenes plays each recipe until people are notified, and returns what they read.
var scenes = map[string]func(h *actionstest.Harness) string{
	"Moving from GitLab's `retry:`": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		ends(h, "rspec", "failed", "runner_system_failure")
		ends(h, "rspec", "success", "")
		return said(h, "ci")
	},
	"A flaky test runs once more": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{Ref: "basket"}, gitlabtest.Job{Name: "e2e"}, gitlabtest.Job{Name: "docs"})
		failsTimes(h, 2, "e2e", "script_failure", "Checkout\n  1) pays with a card\nAssertionError: expected 3 to equal 4\nERROR: Job failed: exit code 1\n")
		return said(h, "ci")
	},
	"Retry by exit code": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "firmware"}, gitlabtest.Job{Name: "docs"})
		failsTimes(h, 3, "firmware", "script_failure", "no device is free\nERROR: Job failed: exit code 75\n")
		return said(h, "ci")
	},
	"A registry limits pulls": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "lint"}, gitlabtest.Job{Name: "docs"})
		failsTimes(h, 1, "lint", "runner_system_failure", `ERROR: Job failed: failed to pull image "node:24" with specified policies [always]: Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit. (manager.go:251:0s)`+"\n")
		return said(h, "ci")
	},
	"Spot machines go away": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		failsTimes(h, 4, "rspec", "runner_system_failure", `ERROR: Job failed (system failure): pod "runner-x-project-7-concurrent-0" is disrupted: reason "EvictionByEvictionAPI", message "Eviction API: evicting"`+"\n")
		return said(h, "platform")
	},
	"An outage is no reason to retry everything": func(h *actionstest.Harness) string {
		for i := range 20 {
			project := h.GitLab.AddProject(gitlabtest.Project{Path: fmt.Sprintf("platform/shop-%d", i)})
			h.Pipeline = h.GitLab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			h.Deliver(h.GitLab.JobHookBody(h.End("rspec", "failed", "runner_system_failure")))
		}
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "platform")
	},
	"The nightly pipeline": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{Source: "schedule"}, gitlabtest.Job{Name: "rspec", Status: "success"}, gitlabtest.Job{Name: "crawl"})
		for range 3 {
			h.End("crawl", "failed", "runner_system_failure")
			h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
			h.Pass(2*time.Hour, time.Minute)
		}
		return said(h, "ci")
	},
	"One failure cancels the whole pipeline": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "jest"}, gitlabtest.Job{Name: "docs"})
		h.End("docs", "success", "")
		h.End("rspec", "failed", "runner_system_failure")
		h.End("jest", "canceled", "")
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "ci")
	},
	"A project or a label opts out": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{Message: "Add a basket"}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		ends(h, "rspec", "failed", "runner_system_failure")
		return said(h, "ci")
	},
	"A label brings a review app": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{MergeRequest: mergeRequest("shop", "review-app")}, gitlabtest.Job{Name: "rspec", Status: "success"}, gitlabtest.Job{Name: "deploy-review", Stage: "deploy", When: "manual"})
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "ci")
	},
	"Deploy in order, once a person agrees": func(h *actionstest.Harness) string {
		var jobs []gitlabtest.Job
		for _, name := range []string{"migrate-database", "deploy-production", "purge-cache"} {
			jobs = append(jobs, gitlabtest.Job{Name: name, Stage: "deploy", When: "manual", Environment: gitlabtest.Environment{Name: "production"}})
		}
		h.AddPipeline(gitlabtest.Pipeline{Ref: "v1.4.0", Tag: true, Message: "Add a basket"}, jobs...)
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "releases")
	},
	"Old pipelines take the runners": func(h *actionstest.Harness) string {
		older := h.AddPipeline(gitlabtest.Pipeline{Ref: "basket", Message: "Add a basket"}, gitlabtest.Job{Name: "rspec"})
		h.GitLab.Run(h.GitLab.Latest(older.ID, "rspec").ID)
		h.Clock.Advance(time.Minute)
		h.Pipeline = h.GitLab.AddPipeline(older.ProjectID, gitlabtest.Pipeline{Ref: "basket", Message: "Add a basket with a test"}, gitlabtest.Job{Name: "rspec"})
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "ci")
	},
	"Job logs fill the disk": func(h *actionstest.Harness) string {
		var jobs []gitlabtest.Job
		for _, name := range []string{"rspec", "jest", "docs"} {
			job := h.OldJob(name, 200*actionstest.Day)
			job.Log, job.LogSize = "", 12_000_000
			jobs = append(jobs, job)
		}
		old := h.AddPipeline(gitlabtest.Pipeline{Ref: "basket", CreatedAt: h.Now().Add(-200 * actionstest.Day)}, jobs...)
		for range 10 { // the newest, which are kept
			h.GitLab.AddPipeline(old.ProjectID, gitlabtest.Pipeline{Ref: "basket"}, gitlabtest.Job{Name: "rspec", Status: "success"})
		}
		h.Sweep("erase-old-logs")
		h.WorkOff()
		return said(h, "ci-maintenance")
	},
	"The default branch is red": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{Message: "Add a basket"}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		h.End("docs", "success", "")
		h.End("rspec", "failed", "script_failure")
		h.Deliver(h.GitLab.PipelineHookBody(h.Pipeline.ID))
		h.Pass(time.Minute, 10*time.Second)
		return said(h, "platform")
	},
	"No runner takes the job": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "build", TagList: []string{"linux", "bigg"}}, gitlabtest.Job{Name: "docs"})
		ends(h, "build", "failed", "stuck_pending_no_matching_runners")
		return said(h, "ci")
	},
	"A job runs into its timeout": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		for range 2 {
			job := h.GitLab.Latest(h.Pipeline.ID, "rspec")
			h.GitLab.SetLog(job.ID, "Checkout\n  waits for the payment service\nERROR: Job failed: execution took longer than 1h0m0s seconds\n")
			h.GitLab.Run(job.ID)
			h.Clock.Advance(time.Hour)
			h.GitLab.Finish(job.ID, "failed", "job_execution_timeout")
			h.Deliver(h.GitLab.JobHookBody(job.ID))
			h.Pass(time.Minute, 10*time.Second)
		}
		return said(h, "ci")
	},
	"Nobody reads messages at night": func(h *actionstest.Harness) string {
		h.Clock.Advance(10 * time.Hour) // 22:00
		h.AddPipeline(gitlabtest.Pipeline{Ref: "v1.4.0", Tag: true}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "deploy", Environment: gitlabtest.Environment{Name: "production"}}, gitlabtest.Job{Name: "docs"})
		failsTimes(h, 2, "rspec", "runner_system_failure", "")
		ends(h, "deploy", "failed", "script_failure")
		return said(h, "ci")
	},
	"Authors look at the merge request": func(h *actionstest.Harness) string {
		h.AddPipeline(gitlabtest.Pipeline{MergeRequest: mergeRequest()}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "docs"})
		ends(h, "rspec", "failed", "runner_system_failure")
		ends(h, "rspec", "success", "")
		notes := h.GitLab.Notes(h.Pipeline.ProjectID, 7)
		if len(notes) != 1 {
			h.Fatalf("the merge request has %d notes, want one", len(notes))
		}
		_, body, _ := strings.Cut(notes[0].Body, "-->\n") // by which the program knows it, and people don't see it
		return readable(h, body)
	},
}

// TestRecipesForRetryWhen: in the table for those who move from GitLab's `retry:`, the condition
// of a row is true of jobs that failed with the reasons in its first cell.
func TestRecipesForRetryWhen(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(section(t, "rules/RECIPES.md", "## Moving from GitLab's `retry:`"), "| --- | --- | --- |\n")
	rows := 0
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if len(cells) < 3 || !strings.Contains(cells[1], "failed_with") {
			continue
		}
		rows++
		condition := quoted.FindStringSubmatch(cells[1])[1]
		for _, reason := range quoted.FindAllStringSubmatch(cells[0], -1) {
			dir := t.TempDir()
			for name, text := range map[string]string{
				"rules.yaml":      "version: 1\nrules: [{name: r, on: job, if: '" + condition + "', actions: [retry]}]\n",
				"rules.test.yaml": "version: 1\ntests: [{name: t, event: {kind: job, job: {name: rspec, status: failed, failure_reason: " + reason[1] + "}}, expect: [{rule: r}]}]\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if code := run(t.Context(), []string{"pipesteward", "test", filepath.Join(dir, "rules.test.yaml")}, &out, &out); code != 0 {
				t.Errorf("%s is not true of %s:\n%s", condition, reason[1], out.String())
			}
		}
	}
	if rows < 14 {
		t.Errorf("only %d rows have a condition", rows)
	}
}

// ends ends a job, delivers its hook, and lets an hour pass, in which its retry is made.
func ends(h *actionstest.Harness, name, status, reason string) {
	h.Helper()
	h.Deliver(h.GitLab.JobHookBody(h.End(name, status, reason)))
	h.Pass(time.Hour, time.Minute)
}

// failsTimes lets a job fail so often, each time with the log.
func failsTimes(h *actionstest.Harness, times int, name, reason, log string) {
	h.Helper()
	for range times {
		h.GitLab.SetLog(h.GitLab.Latest(h.Pipeline.ID, name).ID, log)
		ends(h, name, "failed", reason)
	}
}

func mergeRequest(labels ...string) *gitlabtest.MergeRequest {
	return &gitlabtest.MergeRequest{IID: 7, Title: "Add a basket", SourceBranch: "basket", TargetBranch: "main", Labels: labels}
}

// said returns the first message that was posted to a channel, without addresses.
func said(h *actionstest.Harness, channel string) string {
	h.Helper()
	messages := h.Slack.Messages(channel)
	if len(messages) == 0 {
		h.Fatalf("nothing was posted to #%s:\n%v\n%s", channel, h.Posts(), h.Logs)
	}
	return readable(h, messages[0].Plain())
}

// readable returns a text without what differs from run to run: addresses of the simulated
// GitLab.
func readable(h *actionstest.Harness, text string) string {
	text = regexp.MustCompile(` \(https?://[^ )]*\)`).ReplaceAllString(text, "")
	return strings.ReplaceAll(text, h.GitLab.URL(), "https://gitlab.example.com")
}
