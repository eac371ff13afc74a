package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
)

// TestLevelsOfServe: debug shows what becomes of an event step by step, an outcome that
// failed is a warning, each outcome is one line, and nothing shows a secret.
func TestLevelsOfServe(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.serve("--log-level", "debug", "--log-format", "json")
	good, bad := env.stuckJob(), env.stuckJobOf("platform/api")
	env.gitlab.Fail(gitlabtest.Fault{Method: http.MethodPost, Path: fmt.Sprintf("/jobs/%d/retry", bad.ID), Times: -1, Status: http.StatusForbidden})
	p.post(env.gitlab.JobHookBody(good.ID))
	p.post(env.gitlab.JobHookBody(bad.ID))
	p.workedOff()
	lines := map[string][]map[string]any{}
	for text := range strings.Lines(p.logged()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		message := line["msg"].(string)
		lines[message] = append(lines[message], line)
	}
	levels := map[any]any{}
	for _, line := range lines["outcome"] {
		if _, twice := levels[line["job"]]; twice {
			t.Errorf("the outcome for job %v has two lines:\n%s", line["job"], p.tail())
		}
		levels[line["job"]] = line["level"]
	}
	if want := map[any]any{float64(good.ID): "INFO", float64(bad.ID): "WARN"}; !cmp.Equal(want, levels) {
		t.Errorf("levels of the outcomes by job are %v, want %v:\n%s", levels, want, p.tail())
	}
	for _, message := range []string{"the first delivery of a project since the start", "event evaluated", "request to GitLab"} {
		if len(lines[message]) < 2 {
			t.Errorf("%q is logged %d times:\n%s", message, len(lines[message]), p.tail())
		}
	}
	for _, line := range lines["event evaluated"] {
		if !cmp.Equal(line["matched"], any([]any{"retry-stuck"})) {
			t.Errorf("evaluated is %v", line)
		}
	}
	for _, secret := range []string{testSecret, testSlack, gitlabtest.DefaultToken} {
		if strings.Contains(p.logged(), secret) {
			t.Errorf("the log holds a secret:\n%s", p.tail())
		}
	}
}
