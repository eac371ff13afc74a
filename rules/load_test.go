package rules_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
)

var update = flag.Bool("update", false, "write what the tests see as what they want")

// Each file of testdata/broken is named for its mistake and has beside it
// the errors that people are to read.
func TestLoadTellsEveryMistake(t *testing.T) {
	each(t, "testdata/broken/*.yaml", func(t *testing.T, s rules.Source) string {
		_, err := rules.Load(rules.Options{}, s)
		var mistakes rules.FileErrors
		if !errors.As(err, &mistakes) {
			t.Fatalf("Load gave %v, want FileErrors", err)
		}
		return mistakes.Error()
	})
}

// each runs a test for each of the rule files. What it gives must be what
// stands beside the file.
func each(t *testing.T, pattern string, test func(*testing.T, rules.Source) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := test(t, rules.Source{Name: filepath.Base(name), Data: data}) + "\n"
			golden := strings.TrimSuffix(name, ".yaml") + ".txt"
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
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExampleFileLoads(t *testing.T) {
	data, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rules.Load(rules.Options{}, rules.Source{Name: "rules.example.yaml", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if rs.Len() == 0 {
		t.Error("the example has no rules")
	}
}

// Names are unique over all files, and errors come in the files' order.
func TestLoadSeveralFiles(t *testing.T) {
	source := func(name, text string) rules.Source { return rules.Source{Name: name, Data: []byte(text)} }
	const good = "version: 1\nrules: [{name: r, on: job, actions: [retry]}]\n"
	_, err := rules.Load(rules.Options{}, source("a.yaml", good), source("b.yaml", good), source("c.yaml", "version: 3\nrules: []\n"))
	want := "b.yaml:2:9: another rule has the name \"r\" already\nc.yaml:1:10: version must be 1, the only one there is, not \"3\""
	if err == nil || err.Error() != want {
		t.Errorf("Load gave\n%v\nwant\n%s", err, want)
	}
}
