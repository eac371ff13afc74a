package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

const redMainRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: red-main
    on: pipeline
    if: pipeline.ref == project.default_branch and pipeline.status in ["failed", "success"]
    notify:
      - {state: pipeline.status == "failed", text: "{{ project.path }} is red", resolved: "{{ project.path }} is green again"}
`

// TestStateOfABranch: people hear that a branch is red once, and that it is green again in
// the same message, though the process is killed between and old events come late; `why`
// says what each event did.
func TestStateOfABranch(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", redMainRules)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	ended := func(status string) (body []byte, page string) {
		pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		env.gitlab.Finish(env.gitlab.Latest(pipeline.ID, "rspec").ID, status, "script_failure")
		return env.gitlab.PipelineHookBody(pipeline.ID), fmt.Sprintf("%s/platform/shop/-/pipelines/%d", env.gitlab.URL(), pipeline.ID)
	}
	older, olderPage := ended("failed")
	p := env.serve()
	red, redPage := ended("failed")
	p.post(red)
	p.workedOff()
	p.kill()
	p = env.serve()
	stillRed, stillRedPage := ended("failed")
	p.post(stillRed)
	p.workedOff()
	green, greenPage := ended("success")
	p.post(green)
	p.workedOff()
	p.post(red)
	p.post(older)
	p.workedOff()

	var posts []string
	for _, post := range env.slack.Posts() {
		kind := "message"
		if post.ThreadTS != "" {
			kind = "reply"
		}
		_, text, _ := strings.Cut(post.Plain(), "🔔 ")
		posts = append(posts, kind+": "+text)
	}
	if got := fmt.Sprintf("%.50q", posts); len(posts) != 2 || posts[0] != "message: platform/shop is red" || !strings.HasPrefix(posts[1], "reply: platform/shop is green again") {
		t.Errorf("posts %s", got)
	}
	if messages := env.slack.Messages("ci"); len(messages) == 0 || !messages[0].Edited || !strings.Contains(messages[0].Plain(), "is green again") || strings.Contains(messages[0].Plain(), "is red") {
		t.Errorf("the message does not say that it is over: %+v", messages)
	}
	for page, want := range map[string]string{
		redPage:      `rule "red-main": its state is true since .*, and people are notified`,
		stillRedPage: `rule "red-main": its state is true since .*: there is no turn to notify of`,
		greenPage:    `rule "red-main": its state is false since .*, and people are notified`,
		olderPage:    `rule "red-main": the event is older than the one that set its state last, and changes nothing: the state is as it was since`,
	} {
		_, out, errs := p.why(page)
		before, after, _ := strings.Cut(want, ".*")
		if text := strings.Join(strings.Fields(out), " "); !strings.Contains(text, before) || !strings.Contains(text, after) || strings.Contains(text, "nobody was notified") {
			t.Errorf("it does not say %q:\n%s%s", want, out, errs)
		}
	}

	var out, errs bytes.Buffer
	hook := env.write("green.json", string(green))
	if code := run(t.Context(), []string{"pipesteward", "explain", "--rules", env.dir + "/rules.yaml", "--event", hook}, &out, &errs); code != 0 {
		t.Errorf("explain: %s", errs.String())
	}
	for _, want := range []string{"→ sets its state\n", `→ its state pipeline.status == "failed" is false`, `→ notifies #ci when the state pipeline.status == "failed" turns true, and when it turns false again`} {
		if !strings.Contains(inOneLine(out.String()), strings.TrimSpace(want)) {
			t.Errorf("explain does not say %q:\n%s", want, out.String())
		}
	}
}
