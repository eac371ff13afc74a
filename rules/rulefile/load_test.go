package rulefile_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// TestLoadReportsEveryMistake loads each file of testdata/broken, which is
// named for its mistake. The expected errors are in the file beside it.
func TestLoadReportsEveryMistake(t *testing.T) {
	golden.Each(t, "testdata/broken/*.yaml", func(t *testing.T, name string, data []byte) string {
		_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: name, Data: data})
		var mistakes schema.FileErrors
		if !errors.As(err, &mistakes) {
			t.Fatalf("Load gave %v, want FileErrors", err)
		}
		return mistakes.Error()
	})
}

// TestMistyped loads each file of testdata/mistyped, which has one mistake, of the
// kind that people make who know other languages and tools, and is named for it. The
// one message in the file beside it says what to write instead.
func TestMistyped(t *testing.T) {
	golden.Each(t, "testdata/mistyped/*.yaml", func(t *testing.T, name string, data []byte) string {
		_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: name, Data: data})
		var mistakes schema.FileErrors
		if !errors.As(err, &mistakes) {
			t.Fatalf("Load gave %v, want FileErrors", err)
		}
		if len(mistakes) != 1 || strings.Contains(mistakes[0].Message, "YAML: ") {
			t.Errorf("%v, want one message that says what to write", err)
		}
		return mistakes.Error()
	})
}

func TestExampleFileLoads(t *testing.T) {
	data, err := os.ReadFile("../../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.example.yaml", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if rs.Len() == 0 {
		t.Error("the example has no rules")
	}
}

// TestLoadSeveralFiles checks that names are unique over all files, and that
// errors are in the order of the files.
func TestLoadSeveralFiles(t *testing.T) {
	source := func(name, text string) rulefile.Source { return rulefile.Source{Name: name, Data: []byte(text)} }
	const good = "version: 1\nrules: [{name: r, on: job, actions: [retry]}]\n"
	_, err := rulefile.Load(rulefile.Options{}, source("a.yaml", good), source("b.yaml", good), source("c.yaml", "version: 3\nrules: []\n"))
	want := "b.yaml:2:9: another rule has the name \"r\" already\nc.yaml:1:10: version must be 1, the only one there is, not \"3\""
	if err == nil || err.Error() != want {
		t.Errorf("Load gave\n%v\nwant\n%s", err, want)
	}
}
