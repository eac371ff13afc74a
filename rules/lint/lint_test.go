package lint_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// TestCheckWarns compares the warnings about each file of testdata/warnings,
// which is named for its mistake, with the file beside it.
func TestCheckWarns(t *testing.T) {
	golden.Each(t, "testdata/warnings/*.yaml", func(_ *testing.T, name string, data []byte) string {
		_, found := lint.Load(rulefile.Options{}, nil, rulefile.Source{Name: name, Data: data})
		return found.Error()
	})
}

// TestDisable checks that a disabled check reports nothing, and that the
// others still do.
func TestDisable(t *testing.T) {
	source := rulefile.Source{Name: "rules.yaml", Data: []byte("version: 1\nrules: [{name: r, on: job, if: 'log() contains \"x\" and job.attempt > 0', actions: [retry: {max_attempts: 1}]}]")}
	_, all := lint.Load(rulefile.Options{}, nil, source)
	var ids []string
	for _, e := range all {
		ids = append(ids, e.Check)
	}
	if want := []string{"costly-first", "constant-condition", "single-attempt"}; !slices.Equal(ids, want) {
		t.Fatalf("checks %q, want %q", ids, want)
	}
	for _, id := range ids {
		_, rest := lint.Load(rulefile.Options{}, []string{id}, source)
		if len(rest) != len(all)-1 || slices.ContainsFunc(rest, func(e schema.FileError) bool { return e.Check == id }) {
			t.Errorf("without %s: %v", id, rest)
		}
	}
}

// TestChecks checks that each check has a unique id, a documentation text and
// an example in testdata.
func TestChecks(t *testing.T) {
	names, err := filepath.Glob("testdata/warnings/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, name := range names {
		shown.WriteString(fixture.Read(t, name))
	}
	seen := map[string]bool{}
	for _, c := range lint.Checks {
		if seen[c.ID] || c.Doc == "" || !strings.Contains(shown.String(), "["+c.ID+"]") {
			t.Errorf("%s: occurs twice, or lacks its text or its example in testdata", c.ID)
		}
		seen[c.ID] = true
	}
}

// TestGenerated checks that CHECKS.md matches the checks.
func TestGenerated(t *testing.T) {
	golden.File(t, "CHECKS.md", lint.Docs())
}
