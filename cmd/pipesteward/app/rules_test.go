package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const goodRules = "version: 1\nrules: [{name: good, on: job, if: failed_with(\"api_failure\"), actions: [retry]}]\n"

// Rules with warnings are used, and the warnings are logged.
func TestServeLogsWarnings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(goodRules, "failed_with(\"api_failure\")", "job.attempt < 1", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	live, err := openRules(path, rulefile.Options{}, Options{}.checkConfirm, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if live.Rules().Len() != 1 || !strings.Contains(log.String(), `"rule":"good","reason":"this can never be true: attempts count from 1"`) {
		t.Errorf("%d rules, log:\n%s", live.Rules().Len(), log.String())
	}
}

const threeRules = `
version: 1
rules:
  - name: deploy-staging
    on: job
    if: job.name == "deploy-staging" and job.status == "manual"
    actions: [play: {allow_stale: true}]
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {allow_stale: true}]
  - name: retry-trigger-jobs
    on: job
    if: job.bridge and job.status == "failed"
    actions: [retry: {allow_stale: true}]
`

// The state of the rules, as the API has it, says when a schedule is due next.
func TestRulesStateHasNextRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	text := "version: 1\nrules: [{name: nightly, on: schedule, schedule: {cron: '@hourly', projects: [platform]}, if: 'true', actions: [erase]}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := openRules(path, rulefile.Options{}, Options{}.checkConfirm, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	next := live.State().Rules[0].NextRun
	if !next.After(before) || next.After(time.Now().Add(time.Hour)) || next.Minute() != 0 {
		t.Errorf("at %s, the next run is at %s", before, next)
	}
}

// A rule that is edited while the service runs begins then; one that comes back, too.
func TestRulesBeginWhenTheyAreReloaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(threeRules)
	live, err := openRules(path, rulefile.Options{}, Options{}.checkConfirm, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(threeRules, `"manual"`, `"scheduled"`, 1)
	for _, step := range []struct {
		name  string
		text  string
		since []bool // of each rule: it is known to have begun while serve runs
	}{
		{"at the start", threeRules, []bool{false, false, false}},
		{"a comment", threeRules + "# more to come\n", []bool{false, false, false}},
		{"the first is edited", edited, []bool{true, false, false}},
		{"and edited back", threeRules, []bool{true, false, false}},
		{"a file that can't be used", "version: 2\n", []bool{true, false, false}},
	} {
		write(step.text)
		if err := live.reload(false); (err != nil) != (step.text == "version: 2\n") {
			t.Errorf("%s: %v", step.name, err)
		}
		for i, identity := range live.Rules().Identities() {
			if begun := !live.Since(identity).IsZero(); begun != step.since[i] {
				t.Errorf("%s: rule %d has begun while serve runs: %t, want %t", step.name, i, begun, step.since[i])
			}
		}
	}
}
