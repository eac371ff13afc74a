package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is named - is standard input or standard output.
func TestStandardStreams(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const (
		rules = "version: 1\nrules:\n  - {name: full, on: job, if: 'job.status == \"failed\" and log() contains \"No space\"', actions: [retry]}\n"
		tests = "version: 1\nrules: [rules.yaml]\ntests:\n  - {name: t, event: {kind: job, job: {name: rspec, status: failed}}, gitlab: {log: No space}, expect: [{rule: full}]}\n"
		hook  = `{"object_kind": "build", "build_id": 1, "build_name": "rspec", "build_status": "failed", "project_id": 1, "pipeline_id": 1, "sha": "abc", "project": {"id": 1, "path_with_namespace": "a/b", "web_url": "https://gitlab.com/a/b"}}`
	)
	rulesFile, hookFile := file("rules.yaml", rules), file("hook.json", hook)
	file("rules.test.yaml", tests)
	for _, c := range []struct {
		args  []string
		stdin string
		code  int
		says  string
	}{
		{[]string{"check", "-"}, rules, 0, "ok: 1 rule in 1 file"},
		{[]string{"check", "-"}, strings.Replace(rules, "actions", "acts", 1), 1, "-:3:"},
		{[]string{"check", "-", "-"}, rules, 2, `the rule files: only one can be "-", standard input`},
		{[]string{"test", "-"}, tests, 0, "1 passed"},
		{[]string{"explain", "--rules", rulesFile, "--event", "-"}, hook, 0, "full"},
		{[]string{"explain", "--rules", rulesFile, "--event", hookFile, "--log", "-"}, "No space left", 0, "log() is a text of length 13"},
		{[]string{"explain", "--rules", rulesFile, "--event", "-", "--log", "-"}, hook, 2, `--event and --log: only one can be "-", standard input`},
		{[]string{"backtest", "--rules", rulesFile, "--project", "a/b", "--gitlab-token", "x", "--compare", "nope"}, "", 1, "--compare: open nope: "},
		{[]string{"backtest", "--rules", "nope", "--project", "a/b", "--gitlab-token", "x", "--compare", rulesFile}, "", 1, "--rules: open nope: "},
		{[]string{"backtest", "--rules", rulesFile, "--project", "a/b", "--gitlab-token", "x", "--compare", "-"}, "x: 1", 1, "--compare: the rules can't be used:\n-:1:1: "},
	} {
		code, stdout, stderr := withInput(t, dir, c.stdin, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%v: exit status %d, want %d and %q:\n%s%s", c.args, code, c.code, c.says, stdout, stderr)
		}
	}
	code, stdout, stderr := withInput(t, dir, "", "test", "--junit", "-", "rules.test.yaml")
	if code != 0 || xml.Unmarshal([]byte(stdout), new(struct{ XMLName xml.Name })) != nil || !strings.HasPrefix(stdout, xml.Header) {
		t.Errorf("exit status %d, and no XML: %s%s", code, stdout, stderr)
	}
}

// withInput runs the program in a directory with a standard input.
func withInput(t *testing.T, dir, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = append(os.Environ(), asProgram+"=1"), dir, strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
