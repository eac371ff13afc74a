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

	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const goodRules = "version: 1\nrules: [{name: good, on: job, if: failed_with(\"api_failure\"), actions: [retry]}]\n"

// checked runs check in a directory of its own with rule files in it, given as
// name and content in turn.
func checked(t *testing.T, files []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for i := 0; i < len(files); i += 2 {
		if err := os.MkdirAll(filepath.Dir(files[i]), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[i], []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"pipesteward", "check"}, args...), &out, &err)
	return code, out.String(), err.String()
}

func TestCheck(t *testing.T) {
	const warned = "version: 1\ndefaults: {channel: ci}\nrules:\n  - name: warned\n    on: job\n    if: job.attempt < 1\n    notify: [{}]\n"
	for _, c := range []struct {
		name  string
		files []string
		args  []string
		code  int
		want  string
	}{
		{"all is well", []string{"rules.yaml", goodRules}, nil, 0, "ok: 1 rule in 1 file\n"},
		{"several files, each once", []string{"a.yaml", goodRules, "d/b.yaml", strings.Replace(goodRules, "good", "better", 1)}, []string{"a.yaml", "d", "./a.yaml"}, 0, "ok: 2 rules in 2 files\n"},
		{"a warning", []string{"rules.yaml", warned}, nil, 0, `rules.yaml:6:9: rule "warned": warning: this can never be true: attempts count from 1 [constant-condition]
    if: job.attempt < 1
        ^~~~~~~~~~~
1 warning in 1 file
`},
		{"a budget in two files", []string{"a.yaml", goodRules + "limits: {per_job: 2}\n", "b.yaml", "version: 1\nlimits: {total: 5/1h}\nrules: []\n"}, []string{"a.yaml", "b.yaml"}, 1, `b.yaml:2:9: ` + "`limits` is already set in a.yaml:3: it applies to the rules of all files, so only one of them can set it" + `
    limits: {total: 5/1h}
            ^
1 error in 2 files
`},
		{"a class of another file", []string{"a.yaml", strings.Replace(goodRules, `failed_with("api_failure")`, `job.failure_class == "disk-full"`, 1), "b.yaml", "version: 1\nclasses: [{name: disk-full, log: No space left}]\nrules: []\n"}, []string{"a.yaml", "b.yaml"}, 0, "ok: 1 rule in 2 files\n"},
		{"a warning that counts", []string{"rules.yaml", warned}, []string{"--strict"}, 1, `rules.yaml:6:9: rule "warned": warning: this can never be true: attempts count from 1 [constant-condition]
    if: job.attempt < 1
        ^~~~~~~~~~~
1 warning in 1 file
`},
		{"errors and warnings of all files", []string{"a.yaml", warned, "b.yaml", "version: 2\nrule: []\n", "c.yaml", goodRules}, []string{"a.yaml", "b.yaml", "c.yaml"}, 1, `a.yaml:6:9: rule "warned": warning: this can never be true: attempts count from 1 [constant-condition]
    if: job.attempt < 1
        ^~~~~~~~~~~
b.yaml:1:10: version must be 1, the only one there is, not "2"
    version: 2
             ^
b.yaml:2:1: unknown key "rule" in the rule file (did you mean "rules"?); known are classes, defaults, learning, limits, prices, receivers, reports, rules, storm, templates, version
    rule: []
    ^~~~
2 errors, 1 warning in 3 files
`},
		// A terminal shows 50 cells before the tab.
		{
			"tabs, wide characters and none",
			[]string{"rules.yaml", "version: 1\r\nrules:\r\n  - {name: 构建, on: job, if: 'job.name == \"测试e\u0301🚀\"\tand job.stats == \"x\"', actions: [cancel]}\r\n"},
			nil, 1,
			"rules.yaml:3:58: rule \"构建\": a job has no field \"stats\" (did you mean \"status\"?)\n" +
				"    - {name: 构建, on: job, if: 'job.name == \"测试e\u0301🚀\"\tand job.stats == \"x\"', actions: [cancel]}\n" +
				strings.Repeat(" ", 4+50) + "\t        ^~~~~\n" +
				"1 error in 1 file\n",
		},
		{
			"a text in quotes",
			[]string{"rules.yaml", strings.Replace(goodRules, "api_failure", "apy failure", 1)},
			nil, 1,
			`rules.yaml:2:47: rule "good": unknown failure reason "apy failure" (did you mean "api_failure"?)` + "\n" +
				"    rules: [{name: good, on: job, if: failed_with(\"apy failure\"), actions: [retry]}]\n" +
				"                                                  ^~~~~~~~~~~~~\n1 error in 1 file\n",
		},
		{"an empty file", []string{"rules.yaml", ""}, nil, 1, "rules.yaml:1:1: the file is empty: write at least `version: 1` and `rules:`\n    \n    ^\n1 error in 1 file\n"},
		{"JSON", []string{"rules.yaml", warned}, []string{"--format", "json"}, 0, `[
  {
    "file": "rules.yaml",
    "line": 6,
    "column": 9,
    "severity": "warning",
    "rule": "warned",
    "check": "constant-condition",
    "message": "this can never be true: attempts count from 1"
  }
]
`},
		{"JSON of nothing", []string{"rules.yaml", goodRules}, []string{"--format=json"}, 0, "[]\n"},
		{"a check that is disabled", []string{"rules.yaml", warned}, []string{"--disable", "constant-condition"}, 0, "ok: 1 rule in 1 file\n"},
		{"a class of the pack explained", nil, []string{"--explain", "registry-login"}, 0, "A container registry refused the credentials, or there were none. Somebody must\n  mend them. A retry does not help.\n"},
		{"a check explained", nil, []string{"--explain", "single-attempt"}, 0, "`max_attempts` counts the first run of a job, so `max_attempts: 1` never\n  retries.\n"},
		{"GitLab's of nothing", []string{"rules.yaml", goodRules}, []string{"rules.yaml", "--format", "gitlab"}, 0, "[]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, got, stderr := checked(t, c.files, c.args...)
			if diff := cmp.Diff(c.want, got); diff != "" || code != c.code || stderr != "" {
				t.Errorf("exit status %d, want %d, %s (-want +got):\n%s", code, c.code, stderr, diff)
			}
		})
	}
}

func TestCheckThatCantBegin(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no such file", []string{"none.yaml"}, 1, "none.yaml"},
		{"a directory without rules", []string{"."}, 1, "holds no *.yaml"},
		{"no such format", []string{"--format", "xml"}, 2, `must be text, json or gitlab, not "xml"`},
		{"no such check to disable", []string{"--disable", "shadowed"}, 2, `--disable: there is no check "shadowed" (did you mean "shadowed-rule"?)`},
		{"no such check to explain", []string{"--explain", "shadow-rule"}, 2, `--explain: there is no check and no failure class of a pack "shadow-rule" (did you mean "shadowed-rule"?)`},
		{"no such class to explain", []string{"--explain", "registry-log-in"}, 2, `(did you mean "registry-login"?)`},
		{"nothing near to explain", []string{"--explain", "xyz"}, 2, "the classes are artifact-missing, artifact-too-large, "},
		{"no such flag", []string{"--colour"}, 2, "colour"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, got, stderr := checked(t, nil, c.args...); code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit status %d: %s%s", code, got, stderr)
			}
		})
	}
}

// A merge request shows what is new in it. GitLab knows that by the
// fingerprint, which must not change because lines do.
func TestCheckForGitLab(t *testing.T) {
	type violation struct {
		Description string
		CheckName   string `json:"check_name"`
		Fingerprint string
		Severity    string
		Location    struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	report := func(text string) []violation {
		t.Helper()
		_, got, stderr := checked(t, []string{"deploy/rules.yaml", text}, "--format", "gitlab", "./deploy")
		var all []violation
		if err := json.Unmarshal([]byte(got), &all); err != nil {
			t.Fatalf("%v: %s%s", err, got, stderr)
		}
		return all
	}
	const text = "version: 1\nrules:\n  - {name: a, on: jobs, actions: [retry], stop: true, stop: false}\n  - {name: b, on: job, if: 'job.id < 1 and job.id > 1', actions: [cancel, cancel, cancel]}\n"
	before, after := report(text), report("\n# A comment.\n"+text)
	fingerprints := map[string]bool{}
	for i, v := range before {
		fingerprints[v.Fingerprint] = true
		if v.Description == "" || v.CheckName == "" || v.Location.Path != "deploy/rules.yaml" || v.Location.Lines.Begin != after[i].Location.Lines.Begin-2 {
			t.Errorf("got %+v", v)
		}
		if v.Fingerprint != after[i].Fingerprint {
			t.Errorf("the fingerprint moves with the lines: %+v, %+v", v, after[i])
		}
		if want := map[bool]string{true: "minor", false: "major"}[strings.Contains(v.Description, "never be true")]; v.Severity != want {
			t.Errorf("%s has severity %s", v.Description, v.Severity)
		}
	}
	if len(before) != 5 || len(after) != 5 || len(fingerprints) != 5 {
		t.Errorf("%d findings, then %d, with %d fingerprints; want 5 of each: %+v", len(before), len(after), len(fingerprints), before)
	}
}

// What ships is an example: there is nothing to warn of in it.
func TestShippedRulesHaveNoWarnings(t *testing.T) {
	for _, name := range []string{"../../rules.example.yaml", filepath.Join("demo", "demo.rules.yaml")} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := lint.Load(rulefile.Options{}, nil, rulefile.Source{Name: name, Data: data}); len(found) > 0 {
			t.Errorf("%v", found)
		}
	}
}

// Of a long line the part around the mistake is shown, with the caret below it.
func TestCheckShowsPartOfALongLine(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, line := range []string{
		"rules: [{name: a, on: jb, if: 'job.name == \"" + long + "\"', actions: [retry]}]",
		"rules: [{name: a, description: \"" + long + "\", on: jb, actions: [retry]}]",
	} {
		_, out, _ := checked(t, []string{"rules.yaml", "version: 1\n" + line + "\n"}, "rules.yaml")
		lines := strings.Split(out, "\n")
		found := false
		for i, shown := range lines {
			at := strings.Index(shown, "^")
			if i == 0 || at < 0 {
				continue
			}
			above := []rune(lines[i-1])
			if len(above) <= 4+maxShown && at < len(above) && strings.HasPrefix(string(above[at:]), "jb") {
				found = true
			}
		}
		if !found || len(out) > 2000 {
			t.Errorf("%d bytes, and no caret at jb:\n%.1000s", len(out), out)
		}
	}
}

// TestCheckShowsNoSecret: a mistake's line is shown without the secrets in it, and the caret
// stands where the mistake is.
func TestCheckShowsNoSecret(t *testing.T) {
	t.Parallel()
	const line = `      - play: {jobs: [deploy], variables: {API_TOKEN: "hush-hush"}, dely: 1s, inputs: {password: hush-hush, n: "glpat-hush-hush"}}`
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nrules:\n  - name: deploy\n    on: pipeline\n    actions:\n"+line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := called(t, "check", file)
	const want = `…play: {jobs: [deploy], variables: {API_TOKEN: ***********}, dely: 1s, inputs: {password: *********, n: "**************…`
	before, _, _ := strings.Cut(want, "dely")
	caret := strings.Repeat(" ", utf8.RuneCountInString(before)) + "^~~~"
	if code != 1 || strings.Contains(stdout+stderr, "hush") || !strings.Contains(stdout, "\n    "+want+"\n    "+caret+"\n") {
		t.Errorf("exit status %d:\n%s%s", code, stdout, stderr)
	}
}
