package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

const explainRules = `
version: 1
rules:
  - name: retry-full-disk
    on: job
    if: failed_with("script_failure") and log() contains "No space left on device" and not job.allow_failure
    actions: [retry: {max_attempts: 2, delay: 2m}]
    notify: [{when: [gave_up], channel: "#ci"}]
  - {name: lint-only, on: job, if: 'job.status == "failed" and job.name == "lint" and job.manual', actions: [retry]}
  - {name: green, on: pipeline, notify: [{channel: "#ci"}]}
`

const explainHook = `{"object_kind":"build","build_id":1977,"build_name":"rspec","build_status":"failed","build_failure_reason":"script_failure",
"ref":"main","project_id":380,"project":{"id":380,"path_with_namespace":"platform/shop"},"pipeline_id":2366}`

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ruleFile, hook, log := write("rules.yaml", explainRules), write("hook.json", explainHook), write("log.txt", "tar: No space left on device\n")
	explain := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"pipesteward", "explain", "--rules", ruleFile, "--event", hook}, args...), &stdout, &stderr)
		return code, strings.ReplaceAll(stdout.String(), ruleFile, "rules.yaml"), stderr.String()
	}
	t.Run("for people", func(t *testing.T) {
		code, got, stderr := explain("--log", log)
		const want = `job 1977 rspec, failed (script_failure), attempt 1, in platform/shop on main

✓ retry-full-disk matches  rules.yaml:4
    ✓ all of
      ✓ failed_with("script_failure")
          job.status is "failed"
          job.failure_reason is "script_failure"
      ✓ log() contains "No space left on device"
          log() is a text of length 29
      ✓ not
        ✗ job.allow_failure
    requested of GitLab: log()
  → retry job 1977 rspec, at most 2 attempts, after 2m0s
  → notifies #ci when gave_up

✗ lint-only does not match  rules.yaml:9
    ✗ all of
      ✓ job.status == "failed"
          job.status is "failed"
      ✗ job.name == "lint"  ← decides
          job.name is "rspec"
      · job.manual  (not reached)

· not evaluated, because they are for other kinds of events: green
`
		got = strings.ReplaceAll(got, "\n  rules.yaml:", "  rules.yaml:") // the path that stood there was longer
		if diff := cmp.Diff(want, got); diff != "" || code != 0 {
			t.Errorf("exit status %d, %s (-want +got):\n%s", code, stderr, diff)
		}
	})
	t.Run("actions on more than a job", func(t *testing.T) {
		ruleFile := write("pipeline.yaml", `
version: 1
rules:
  - name: release
    on: pipeline
    actions:
      - cancel_pipeline
      - play: {jobs: pipeline.jobs, wait: success}
`)
		hook := write("pipeline.json", `{"object_kind":"pipeline","object_attributes":{"id":31,"ref":"main","status":"manual"},
"project":{"id":380,"path_with_namespace":"platform/shop"},"builds":[{"id":1,"name":"migrate","status":"manual"},{"id":2,"name":"deploy","status":"manual"}]}`)
		_, got, stderr := explain("--rules", ruleFile, "--event", hook)
		for _, want := range []string{
			"  → cancel pipeline 31\n",
			"  → play job 1 migrate, after the action before it\n",
			"  → play job 2 deploy, once migrate has passed\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("does not say %q:\n%s%s", want, got, stderr)
			}
		}
	})
	t.Run("without GitLab", func(t *testing.T) {
		_, got, _ := explain()
		if want := "! retry-full-disk can't be evaluated, so it does not fire: if: nothing is requested of GitLab: give --gitlab-token, or the log with --log"; !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("does not say %q:\n%s", want, got)
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("a line has %d columns: %s", n, line)
			}
		}
	})
	t.Run("JSON", func(t *testing.T) {
		_, got, _ := explain("--log", log, "--json")
		var page struct {
			Event event.Event
			Rules []rules.Verdict
		}
		if err := json.Unmarshal([]byte(got), &page); err != nil {
			t.Fatalf("%v:\n%s", err, got)
		}
		if page.Event.Job.ID != 1977 || len(page.Rules) != 3 || page.Rules[0].Result != rules.VerdictMatched || page.Rules[1].Explanation.If.Parts[1].Seen[0].Value != `"rspec"` {
			t.Errorf("got %s", got)
		}
		if strings.Contains(got, "tar:") {
			t.Errorf("the log is printed: %s", got)
		}
	})
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no such file", []string{"--event", filepath.Join(dir, "none.json")}, 1, "none.json"},
		{"no hook", []string{"--event", log}, 1, "the body is not JSON"},
		{"an argument too many", []string{"hook.json"}, 2, "name the event with --event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := explain(c.args...); code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit status %d: %s", code, stderr)
			}
		})
	}
}
