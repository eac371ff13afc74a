package notify_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

var page = flag.String("page", "", "write the page of TestPage to a `file`: `make pictures` does")

// TestPage: the picture in README.md is of what the program posts, of a pipeline in which one
// job is retried and passes, and another one is given up.
func TestPage(t *testing.T) {
	t.Parallel()
	h := actionstest.New(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - {name: retry-infrastructure, on: job, if: 'failed_with("stuck_or_timeout_failure", "runner_system_failure")', actions: [retry: {max_attempts: 2}], notify: [{}]}
`)
	h.AddPipeline(gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "e2e"})
	ends := func(name, status, reason string) {
		h.Deliver(h.GitLab.JobHookBody(h.End(name, status, reason)))
		h.Pass(3*time.Minute, 10*time.Second)
	}
	ends("rspec", "failed", "runner_system_failure")
	ends("e2e", "failed", "stuck_or_timeout_failure")
	ends("rspec", "success", "")
	ends("e2e", "failed", "stuck_or_timeout_failure")
	h.WorkOff()
	html, err := h.Slack.Page("ci")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<h1># ci</h1>", "Gave up on <a>e2e</a>", "rspec</a>", "3 replies", "<code>retry-infrastructure</code>"} {
		if !strings.Contains(html, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	if *page != "" {
		if err := os.WriteFile(*page, []byte(html), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
