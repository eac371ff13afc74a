package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// TestExplainJob: the event of a job or a pipeline is made from GitLab's API, for a
// rule file that no server has.
func TestExplainJob(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", DefaultBranch: "trunk"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{Ref: "trunk"}, gitlabtest.Job{Name: "rspec", Log: "tar: No space left on device\n"})
	job := env.gitlab.Latest(pipeline.ID, "rspec")
	env.gitlab.Finish(job.ID, "failed", "script_failure")
	again, err := env.gitlab.Retry(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	env.gitlab.Run(again.ID)
	env.gitlab.SetLog(again.ID, "tar: No space left on device\n")
	env.gitlab.Finish(again.ID, "failed", "script_failure")
	secret := env.gitlab.AddProject(gitlabtest.Project{Path: "secret/project"})
	hidden := env.gitlab.AddPipeline(secret.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	env.gitlab.SetRole(secret.ID, gitlabtest.NoAccess)

	rules := env.write("new.yaml", `
version: 1
rules:
  - {name: full-disk, on: job, if: 'failed_with("script_failure") and pipeline.ref == project.default_branch and job.attempt < 3 and log() contains "No space"', actions: [retry]}
  - {name: deploys, on: job, if: 'job.status == "failed" and job.environment.name == "staging" and pipeline.source == "push"', actions: [retry]}
  - {name: red, on: pipeline, if: 'pipeline.status == "failed" and project.path == "platform/shop"', notify: [{channel: ci}]}
`)
	page := func(path string) string { return env.gitlab.URL() + path }
	explain := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"pipesteward", "explain", "--rules", rules, "--gitlab-url", env.gitlab.URL()}, args...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	token := []string{"--gitlab-token", gitlabtest.DefaultToken}
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string // on standard output, or after an error on standard error
	}{
		{"a job", append(token, "--job", page(fmt.Sprintf("/platform/shop/-/jobs/%d#L1", again.ID))), 0, []string{
			fmt.Sprintf("job %d rspec, failed (script_failure), attempt 2, in platform/shop on trunk\n", again.ID),
			"as GitLab's API has it now; the API does not tell what a webhook may, so here these are empty: job.environment (read by deploys). With the body", "✓ full-disk matches", "requested of GitLab: log()", "other kinds of events: red",
		}},
		{"a pipeline", append(token, "--job", page(fmt.Sprintf("/platform/shop/-/pipelines/%d", pipeline.ID))), 0, []string{
			fmt.Sprintf("pipeline %d, failed, with 1 job, in platform/shop on trunk", pipeline.ID), "as GitLab's API has it now\n", "✓ red matches",
		}},
		{"another log", append(token, "--log", env.write("log.txt", "all is well"), "--job", page(fmt.Sprintf("/platform/shop/-/jobs/%d", again.ID))), 0, []string{"✗ full-disk does not match"}},
		{"JSON", append(token, "--json", "--job", page(fmt.Sprintf("/platform/shop/-/jobs/%d", job.ID))), 0, []string{fmt.Sprintf(`"id": %d`, job.ID), `"result": "matched"`}},
		{"without a token", []string{"--job", page("/platform/shop/-/jobs/1")}, 2, []string{"the job is read from GitLab: give --gitlab-token"}},
		{"another GitLab", append(token, "--job", "https://gitlab.com/platform/shop/-/jobs/1"), 2, []string{"gitlab.com is a page of another GitLab than " + env.gitlab.URL(), "--gitlab-alias"}},
		{"another GitLab that is not", append(token, "--gitlab-alias", "https://gitlab.example.com", "--job", fmt.Sprintf("https://gitlab.example.com/platform/shop/-/jobs/%d", again.ID)), 0, []string{"✓ full-disk matches"}},
		{"no job", append(token, "--job", page("/platform/shop/-/jobs/99999")), 1, []string{"does not show job 99999 of platform/shop to the user of the token (404", "no trigger job by its id"}},
		{"no pipeline", append(token, "--job", page("/platform/shop/-/pipelines/99999")), 1, []string{"does not show pipeline 99999 of platform/shop to the user of the token (404"}},
		{"a hidden project", append(token, "--job", page(fmt.Sprintf("/secret/project/-/pipelines/%d", hidden.ID))), 1, []string{"of secret/project to the user of the token (404", "no member of the project"}},
		{"no page", append(token, "--job", page("/platform/shop")), 2, []string{"is no page of a job or a pipeline: give the address"}},
		{"a wrong token", []string{"--gitlab-token", "glpat-wrong", "--job", page(fmt.Sprintf("/platform/shop/-/jobs/%d", job.ID))}, 1, []string{"401"}},
		{"both", append(token, "--event", "x", "--job", "y"), 2, []string{"one of --event"}},
		{"neither", token, 2, []string{"one of --event"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := explain(c.args...)
			out := stdout
			if c.code != 0 {
				out = stderr
			}
			for _, want := range c.says {
				if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
					t.Errorf("does not say %q:\n%s%s", want, stdout, stderr)
				}
			}
			if code != c.code {
				t.Errorf("exit status %d, want %d: %s", code, c.code, stderr)
			}
			if strings.Contains(stdout+stderr, gitlabtest.DefaultToken) {
				t.Error("the token is shown")
			}
		})
	}
}

// TestExplainAliases: the variable holds several aliases, as for serve.
func TestExplainAliases(t *testing.T) {
	env := newEnvironment(t)
	job := env.stuckJob()
	t.Setenv("PIPESTEWARD_GITLAB_ALIAS", "https://old.example.com, https://gitlab.example.com")
	for _, host := range []string{"https://old.example.com", "https://gitlab.example.com"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"pipesteward", "explain", "--rules", env.write("rules.yaml", delayedRules), "--gitlab-url", env.gitlab.URL(), "--gitlab-token", gitlabtest.DefaultToken, "--job", fmt.Sprintf("%s/platform/shop/-/jobs/%d", host, job.ID)}, &out, &errs)
		if code != 0 || !strings.Contains(out.String(), fmt.Sprintf("job %d", job.ID)) {
			t.Errorf("%s: exit status %d, %s%s", host, code, &out, &errs)
		}
	}
}
