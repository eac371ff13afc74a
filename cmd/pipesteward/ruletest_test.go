package main

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests see as what they want")

// runRuleTests runs `pipesteward test` and gives what a person sees of it.
func runRuleTests(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"pipesteward", "test"}, args...), &stdout, &stderr)
	return fmt.Sprintf("$ pipesteward test %s\n%s%s[exit status %d]\n", strings.Join(args, " "), stdout.String(), stderr.String(), code)
}

// Each of these has a file in testdata/ruletest that says what is printed.
func TestRuleTests(t *testing.T) {
	t.Chdir("testdata/ruletest")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"all pass", []string{"passes.test.yaml", "more.test.yaml"}},
		{"all pass, listed", []string{"-v", "passes.test.yaml", "more.test.yaml"}},
		{"rules that never fire", []string{"--require-coverage", "passes.test.yaml"}},
		{"rules that all fire", []string{"--require-coverage", "passes.test.yaml", "more.test.yaml"}},
		{"some of them", []string{"-v", "--run", "disk|red", "passes.test.yaml", "more.test.yaml"}},
		{"none of them", []string{"--run", "nothing like it", "passes.test.yaml"}},
		{"some fail", []string{"passes.test.yaml", "fails.test.yaml"}},
		{"files with mistakes", []string{"broken.test.yaml", "passes.test.yaml", "also-broken.test.yaml"}},
		{"a rule file", []string{"rules.yaml"}},
		{"no such file", []string{"none.test.yaml"}},
		{"no file", nil},
		{"no regular expression", []string{"--run", "(", "passes.test.yaml"}},
		{"coverage of some", []string{"--run", "disk", "--require-coverage", "passes.test.yaml"}},
		{"a report that can't be written", []string{"--junit", "none/report.xml", "passes.test.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runRuleTests(t, c.args...)
			golden := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(c.name) + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The example comes with tests that pass and that fire each of its rules, also
// when both are copied.
func TestRuleTestsOfTheExample(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "rules.test.yaml")
	for from, to := range map[string]string{
		"../../rules.example.yaml":      strings.Replace(copied, ".test", "", 1),
		"../../rules.example.test.yaml": copied,
	} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"../../rules.example.test.yaml", copied} {
		if got := runRuleTests(t, "--require-coverage", name); !strings.HasSuffix(got, "[exit status 0]\n") {
			t.Errorf("%s", got)
		}
	}
}

// What the example leaves out, for it needs buttons in Slack, is right once it is put in;
// without it, the example is in force where nobody can answer.
func TestConfirmOfTheExample(t *testing.T) {
	dir := t.TempDir()
	for name, change := range map[string][2]string{
		"rules.example.yaml":      {`# confirm: "#releases"`, `confirm: "#releases"`},
		"rules.example.test.yaml": {"wait: success, allow_stale: false}", `wait: success, allow_stale: false, confirm: "#releases", confirm_within: 24h}`},
	} {
		data, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(data), change[0], change[1], 1)
		if changed == string(data) {
			t.Fatalf("%s lacks %s", name, change[0])
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := runRuleTests(t, "--require-coverage", filepath.Join(dir, "rules.example.test.yaml")); !strings.HasSuffix(got, "[exit status 0]\n") {
		t.Errorf("%s", got)
	}
	env := newEnvironment(t)
	env.run("--rules", "../../rules.example.yaml")
}

// A directory of rules may hold their tests.
func TestRuleTestsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":      "version: 1\nrules: [{name: a, on: job, actions: [retry]}]\n",
		"b.yaml":      "version: 1\nrules: [{name: b, on: job, actions: [cancel]}]\n",
		"b.test.yaml": "version: 1\nrules: [.]\ntests: [{name: both, event: {kind: job, job: {name: x, status: failed}}, expect: [{rule: a}, {rule: b}]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := runRuleTests(t, filepath.Join(dir, "b.test.yaml")); !strings.Contains(got, "tests: 1 passed, 0 failed; rules: 2 of 2 fired") {
		t.Errorf("%s", got)
	}
}

// The report has what GitLab reads, and texts that XML can't have do no harm.
func TestRuleTestsJUnit(t *testing.T) {
	t.Chdir("testdata/ruletest")
	report := filepath.Join(t.TempDir(), "report.xml")
	runRuleTests(t, "--junit", report, "passes.test.yaml", "fails.test.yaml")
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suites []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Class   string  `xml:"classname,attr"`
				File    string  `xml:"file,attr"`
				Name    string  `xml:"name,attr"`
				Time    float64 `xml:"time,attr"`
				Failure *string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if len(got.Suites) != 2 || len(got.Suites[0].Cases) != 2 || len(got.Suites[1].Cases) != 8 {
		t.Fatalf("got %s", text)
	}
	passed, failed := got.Suites[0].Cases[0], got.Suites[1].Cases[3]
	if passed.Name != "a stuck job is retried" || passed.Class != "passes.test.yaml" || passed.File != "passes.test.yaml" || passed.Time <= 0 || passed.Failure != nil {
		t.Errorf("passed: %+v", passed)
	}
	if failed.Name != "other jobs, and more" || failed.Failure == nil || !strings.HasPrefix(*failed.Failure, "fails.test.yaml:19\n") || !strings.Contains(*failed.Failure, `+ {rule: deploy, action: play, jobs: [a/b 1, "c, d"]}`) {
		t.Errorf("failed: %+v", failed)
	}
	if regexp.MustCompile(`<failure[^>]* type=`).Match(text) {
		t.Errorf("GitLab takes the attribute type for the type of the text: %s", text)
	}
}
