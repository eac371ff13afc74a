// Package golden compares the output of tests with files that contain the
// expected output. With -update the files are written instead.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests produce to the golden files")

// File fails the test if the content of a file differs from got.
func File(t *testing.T, name, got string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	diff := cmp.Diff(string(data), got)
	switch {
	case diff == "":
	case *update:
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s differs (-file +test). Where the test is right, run it with -update:\n%s", name, diff)
	}
}

// Section fails the test if the content of a file between two lines differs from
// got.
func Section(t *testing.T, name, begin, end, got string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the lines\n%s%s", name, begin, end)
	}
	File(t, name, before+begin+"\n"+got+"\n"+end+after)
}

// Each calls test with each YAML file that the pattern matches, in a subtest. What
// test returns must be the content of the .txt file beside it.
func Each(t *testing.T, pattern string, test func(t *testing.T, name string, data []byte) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			File(t, strings.TrimSuffix(name, ".yaml")+".txt", test(t, filepath.Base(name), data)+"\n")
		})
	}
}
