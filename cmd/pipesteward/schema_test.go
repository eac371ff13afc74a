package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSchema(t *testing.T) {
	schema := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), append([]string{"pipesteward", "schema"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	t.Run("is the file that the example names", func(t *testing.T) {
		example, err := os.ReadFile("../../rules.example.yaml")
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(example), "\n")
		name, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
		if !ok {
			t.Fatalf("the example begins with %q", first)
		}
		want, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := schema()
		if diff := cmp.Diff(string(want), stdout); code != 0 || stderr != "" || diff != "" {
			t.Errorf("exit status %d, %s (-file +printed):\n%s", code, stderr, diff)
		}
	})
	t.Run("help says what to do with it", func(t *testing.T) {
		if code, stdout, _ := schema("--help"); code != 0 || !strings.Contains(stdout, "# yaml-language-server: $schema=rules.schema.json") {
			t.Errorf("exit status %d: %s", code, stdout)
		}
	})
	t.Run("an argument too many", func(t *testing.T) {
		if code, stdout, stderr := schema("rules.yaml"); code != 2 || stdout != "" || !strings.Contains(stderr, `schema takes no arguments, but got "rules.yaml"`) {
			t.Errorf("exit status %d: %s%s", code, stdout, stderr)
		}
	})
}
