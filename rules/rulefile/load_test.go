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

// A template is for the rules of all files: two definitions are a mistake that names both
// places.
func TestTemplateOfTwoFiles(t *testing.T) {
	source := func(name, text string) rulefile.Source { return rulefile.Source{Name: name, Data: []byte(text)} }
	const begins = "version: 1\nrules: []\ntemplates:\n"
	_, err := rulefile.Load(rulefile.Options{}, source("a.yaml", begins+"  done: a\n  failed: b\n"), source("b.yaml", begins+"  skipped: c\n  failed: {zh: d}\n"))
	want := `b.yaml:5:11: the template "failed" is already defined in a.yaml:5: it is for the rules of all files, so only one of them can define it`
	if err == nil || err.Error() != want {
		t.Errorf("Load gave\n%v\nwant\n%s", err, want)
	}
}

// The language of a notice is that of its entry, else of its receiver, else of the file's
// defaults; that of announcements is that of the receiver that they go to, else of the same
// defaults.
func TestLanguages(t *testing.T) {
	const receivers = "receivers: [{name: zh, language: zh, wecom: {url_file: /x}}, {name: en, language: en, wecom: {url_file: /x}}, {name: any, wecom: {url_file: /x}}]\n"
	for _, c := range []struct{ name, defaults, entry, storm, notice, announcement string }{
		{"nothing said", "channel: ci", "", "", "", ""},
		{"defaults", "channel: ci, language: zh", "", "", "zh", "zh"},
		{"an entry", "channel: ci, language: zh", "language: en", "", "en", "zh"},
		{"a receiver", "receiver: zh", "", "", "zh", "zh"},
		{"a receiver's before that of the defaults", "receiver: en, language: zh", "", "", "en", "en"},
		{"an entry's before that of its receiver", "receiver: en", "receiver: zh, language: en", "", "en", "en"},
		{"a receiver without one", "receiver: any, language: zh", "", "", "zh", "zh"},
		{"GitLab", "channel: ci, language: zh", "commit: status", "", "zh", "zh"},
		{"a storm's receiver", "channel: ci", "", "storm: {receiver: zh}\n", "", "zh"},
		{"a storm's channel", "receiver: zh", "receiver: en", "storm: {channel: ci}\n", "en", ""},
		{"a storm in the channel of defaults", "channel: ci, language: zh", "", "storm: {failures: 3}\n", "zh", "zh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "version: 1\ndefaults: {" + c.defaults + "}\n" + receivers + c.storm + "rules: [{name: r, on: job, actions: [retry], notify: [{" + c.entry + "}]}]\n"
			rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "a.yaml", Data: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			if got := rs.Rule("r").Notify[0].Language; got != c.notice {
				t.Errorf("the notice is in %q, want %q", got, c.notice)
			}
			if got := rs.Storm().Language; got != c.announcement {
				t.Errorf("announcements are in %q, want %q", got, c.announcement)
			}
		})
	}
}
