package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
	"github.com/pipesteward/pipesteward/rules/schema"
)

func testCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "test",
		Usage:     "run tests of rules: events in, decisions expected",
		ArgsUsage: "FILE…",
		Description: "A test file gives events, and what the rules must decide on them. Nothing is requested of GitLab, and nothing is\n" +
			"changed. rules.test.yaml has the tests of rules.yaml:\n\n" +
			"   version: 1\n" +
			"   tests:\n" +
			"     - name: a failure of the runner is retried\n" +
			"       event:\n" +
			"         kind: job\n" +
			"         job: {status: failed, failure_reason: runner_system_failure}\n" +
			"       expect:\n" +
			"         - {rule: retry-infrastructure, delay: 30s}\n\n" +
			"rules.example.test.yaml shows all that a test can have.\n\n" +
			"Exit status: 0 if all tests pass; 1 if one fails, or with --require-coverage a rule fires in none; 2 for a wrong\n" +
			"command line.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "run", Usage: "run only tests whose name matches this `REGEXP`"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "also list the tests that pass"},
			&cli.BoolFlag{Name: "require-coverage", Usage: "fail if a rule fires in no test"},
			&cli.StringFlag{Name: "junit", Usage: "write the results to `FILE` as JUnit XML, for GitLab's artifacts:reports:junit; - is standard output, which has nothing else then"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if !c.Args().Present() {
				return &usageError{errors.New("test needs the FILE of the tests, like rules.test.yaml")}
			}
			only, err := regexp.Compile(c.String("run"))
			if err != nil {
				return &usageError{fmt.Errorf("--run: %w", err)}
			}
			if c.IsSet("run") && c.Bool("require-coverage") {
				return &usageError{errors.New("--require-coverage is about all tests: leave --run out")}
			}
			if err := readOnce("the files of tests", c.Args().Slice()...); err != nil {
				return err
			}
			files, err := loadTests(c.Args().Slice())
			if err != nil {
				return err
			}
			r := testRun{only: only, verbose: c.Bool("verbose"), print: newPrinter(stdout)}
			r.run(ctx, files)
			r.sum(files, !c.IsSet("run"))
			junit := c.String("junit")
			if junit != standardStream {
				if _, err := io.WriteString(stdout, r.out.String()); err != nil {
					return err
				}
			}
			if junit != "" {
				if err := r.writeJUnit(stdout, junit); err != nil {
					return fmt.Errorf("--junit: %w", err)
				}
			}
			return r.verdict(c.Bool("require-coverage"))
		},
	}
}

// loadTests loads test files, or returns the mistakes of all of them.
func loadTests(paths []string) ([]*ruletest.File, error) {
	var all []*ruletest.File
	var mistakes schema.FileErrors
	for _, path := range paths {
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		tests, err := ruletest.Load(rulefile.Source{Name: path, Data: data}, testFiles{filepath.Dir(path)})
		if found, ok := errors.AsType[schema.FileErrors](err); ok {
			for _, mistake := range found {
				if !slices.Contains(mistakes, mistake) { // two may name the same rule file
					mistakes = append(mistakes, mistake)
				}
			}
			continue
		}
		all = append(all, tests)
	}
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("the tests can't be run:\n%w", mistakes)
	}
	return all, nil
}

// testFiles reads the files that a test file in the directory names.
type testFiles struct{ directory string }

var _ ruletest.Files = testFiles{}

// Rules implements rules.TestFiles.
func (f testFiles) Rules(path string) ([]rulefile.Source, error) { return app.ReadRules(f.path(path)) }

// Hook implements rules.TestFiles.
func (f testFiles) Hook(path string) (event.Event, error) {
	body, err := os.ReadFile(f.path(path))
	if err != nil {
		return event.Event{}, err
	}
	return webhook.Decode(body, "")
}

// Log implements rules.TestFiles.
func (f testFiles) Log(path string) (string, error) {
	text, err := os.ReadFile(f.path(path))
	return string(text), err
}

func (f testFiles) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.directory, path)
}

// testRun runs tests and collects their results.
type testRun struct {
	only    *regexp.Regexp
	verbose bool
	print   printer

	out            strings.Builder
	suites         []junitSuite
	passed, failed int
	fired          map[firedRule]bool
	neverFired     int
}

// firedRule names a rule over all rule files.
type firedRule struct{ file, name string }

func (r *testRun) run(ctx context.Context, files []*ruletest.File) {
	r.fired = map[firedRule]bool{}
	for _, tests := range files {
		suite := junitSuite{Name: tests.File}
		rulesOf := map[string]string{} // the files that they are in
		for _, s := range tests.Rules.Summaries() {
			rulesOf[s.Name] = s.File
		}
		for _, t := range tests.All {
			if !r.only.MatchString(t.Name) {
				continue
			}
			begun := time.Now()
			result := t.Run(ctx)
			suite.add(t, time.Since(begun), result)
			for _, name := range result.Fired {
				r.fired[firedRule{rulesOf[name], name}] = true
			}
			r.report(t, tests.File, result)
		}
		r.suites = append(r.suites, suite)
	}
}

// report prints the result of a test.
func (r *testRun) report(t *ruletest.Test, file string, result ruletest.Result) {
	where := r.print.dim(fmt.Sprintf("%s:%d", file, t.Line))
	if result.Passed() {
		r.passed++
		if r.verbose {
			fmt.Fprintf(&r.out, "%s   %s  %s\n", r.print.green("ok"), t.Name, where)
		}
		return
	}
	r.failed++
	fmt.Fprintf(&r.out, "%s %s  %s\n%s\n", r.print.red("FAIL"), r.print.bold(t.Name), where, r.print.failure(result))
}

// failure says why a test failed.
func (p printer) failure(result ruletest.Result) string {
	var b strings.Builder
	for _, problem := range result.Problems {
		fmt.Fprintf(&b, "  %s\n", printable(problem))
	}
	if len(result.Diff) > 0 {
		b.WriteString("  decisions (- expected, + got):\n")
	}
	for _, line := range result.Diff {
		line = printable(line)
		switch line[0] {
		case '-':
			line = p.red(line)
		case '+':
			line = p.green(line)
		}
		fmt.Fprintf(&b, "    %s\n", line)
	}
	var why strings.Builder
	for _, v := range result.Verdicts {
		explanation{printer: p}.verdict(&why, v)
	}
	for line := range strings.Lines(why.String()) {
		fmt.Fprintf(&b, "  %s", line)
	}
	return b.String()
}

// sum says how many tests passed, and, of all tests, how many rules fired and
// which did not.
func (r *testRun) sum(files []*ruletest.File, coverage bool) {
	fmt.Fprintf(&r.out, "tests: %d passed, %d failed", r.passed, r.failed)
	if !coverage {
		r.out.WriteString("\n")
		return
	}
	rulesIn := 0
	var never []rules.Summary
	seen := map[firedRule]bool{}
	for _, tests := range files {
		for _, s := range tests.Rules.Summaries() {
			rule := firedRule{s.File, s.Name}
			if seen[rule] {
				continue
			}
			seen[rule] = true
			rulesIn++
			if !r.fired[rule] {
				never = append(never, s)
			}
		}
	}
	r.neverFired = len(never)
	fmt.Fprintf(&r.out, "; rules: %d of %d fired\n", rulesIn-len(never), rulesIn)
	for _, s := range never {
		fmt.Fprintf(&r.out, "  %s never fired  %s\n", r.print.bold(s.Name), r.print.dim(fmt.Sprintf("%s:%d", s.File, s.Line)))
	}
}

// verdict returns the error that ends the run; nil if all tests passed.
func (r *testRun) verdict(coverage bool) error {
	switch {
	case r.passed+r.failed == 0:
		return fmt.Errorf("--run: no test has a name that matches %q", r.only)
	case r.failed > 0:
		return fmt.Errorf("%d of %d tests failed", r.failed, r.passed+r.failed)
	case coverage && r.neverFired > 0:
		return errors.New("there are rules that no test fires: write a test for each, or leave --require-coverage out")
	}
	return nil
}

// The part of JUnit's XML that GitLab reads (lib/gitlab/ci/parsers/test/junit.rb
// in GitLab's source). It takes two test cases of the same suite, class and
// name for one; the class is what its page calls the suite. Of a failure it
// shows the text, never the message, and an attribute `type` there may garble
// both, because GitLab takes it for the type of the text.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`

		took time.Duration
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"` // seconds
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (s *junitSuite) add(t *ruletest.Test, took time.Duration, result ruletest.Result) {
	c := junitCase{Class: s.Name, File: s.Name, Name: t.Name, Time: seconds(took)}
	if !result.Passed() {
		c.Failure = &junitFailure{
			Message: "the rules did not do what was expected",
			Text:    fmt.Sprintf("%s:%d\n%s", s.Name, t.Line, printer{}.failure(result)),
		}
		s.Failures++
	}
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.took += took
	s.Time = seconds(s.took)
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

func (r *testRun) writeJUnit(stdout io.Writer, path string) error {
	report := junitReport{Tests: r.passed + r.failed, Failures: r.failed, Suites: r.suites}
	text, err := xml.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(stdout, path, append([]byte(xml.Header), append(text, '\n')...))
}
