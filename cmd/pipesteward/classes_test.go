package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const includedRules = `
version: 1
defaults: {channel: "#ci"}
classes: {include: [common]}
rules:
  - name: retry-network
    on: job
    if: failed_with("script_failure") and job.failure_class in ["npm-registry", "dns"]
    actions: [retry: {allow_stale: true}]
    notify: [{when: [done], text: "retried {{ job.name }}: {{ job.failure_class }}"}]
`

// TestJobOfAPackedClass: a job whose log is of a class of the pack is retried, by the class,
// and those are not whose command was tried again and passed before the tests failed, or went
// on to say something else.
func TestJobOfAPackedClass(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", includedRules)
	p := env.run()
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	for name, log := range map[string]string{
		"build": "\x1b[32;1m$ npm ci\x1b[0;m\nnpm error code E503\nERROR: Job failed: exit code 1\n",
		"test":  "\x1b[32;1m$ npm ci || npm ci\x1b[0;m\nnpm error code E503\nadded 9 packages\n\x1b[32;1m$ npm test\x1b[0;m\nnot ok 1\nERROR: Job failed: exit code 1\n",
		"e2e":   "\x1b[32;1m$ ./e2e.sh\x1b[0;m\ncurl: (6) Could not resolve host: app.example.com\napp is up\nthe total is 3, not 4\nERROR: Job failed: exit code 1\n",
	} {
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: name, Log: log})
		job := env.gitlab.Latest(pipeline.ID, name)
		env.gitlab.Finish(job.ID, "failed", "script_failure")
		p.post(env.gitlab.JobHookBody(job.ID))
	}
	p.workedOff()
	if n := env.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	var posts []string
	for _, post := range env.slack.Posts() {
		posts = append(posts, post.Plain())
	}
	if !slices.ContainsFunc(posts, func(text string) bool { return strings.Contains(text, "retried build: npm-registry") }) {
		t.Errorf("nobody was told of the class: %s", fmt.Sprintf("%q", posts))
	}
}
