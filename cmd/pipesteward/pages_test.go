//go:build unix

package main

import (
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// languages are those of blocks of code, and whether TestPages runs what they show.
var languages = map[string]bool{
	"sh":      true, // a script
	"console": true, // commands after "$ ", each followed by what it prints
	"ini":     false, "json": false, "mermaid": false, "text": false, "yaml": false,
}

// example is a command that a page shows, with what it prints: "" where the page does not
// show that.
type example struct{ command, prints string }

// examples returns what a block shows.
func (b block) examples() (all []example) {
	if b.language == "sh" {
		return []example{{b.text, ""}}
	}
	for _, text := range strings.Split("\n"+b.text, "\n$ ")[1:] {
		command, prints, _ := strings.Cut(text, "\n")
		all = append(all, example{command, prints})
	}
	return all
}

// TestPages runs what all documents show: the scripts of their blocks sh, and the commands of
// their blocks console, which must print what the page shows. Each section has a sandbox of
// its own, which its blocks share, with a simulated GitLab and Slack, and the scene that
// the section speaks of, if pageScenes has one. Commands of other programs are checked as far
// as standIns does it. Translations have the same blocks, as TestTranslations checks.
func TestPages(t *testing.T) {
	unused := maps.Clone(pageScenes)
	ran := 0
	for _, d := range documents(t) {
		if strings.Contains(d.name, ".zh-CN.") {
			continue
		}
		for _, p := range sections(d.text) {
			var shown []example
			for _, b := range blocks(p.text) {
				if run, known := languages[b.language]; !known {
					t.Errorf("%s § %s has a block of the language %q: name one of %v after ```; blocks sh and console are run", d.name, p.heading, b.language, slices.Sorted(maps.Keys(languages)))
				} else if run {
					shown = append(shown, b.examples()...)
				}
			}
			name := d.name + "#" + anchorOf(p.heading)
			delete(unused, name)
			if len(shown) == 0 {
				continue
			}
			ran += len(shown)
			t.Run(name, func(t *testing.T) { newSandbox(t, pageScenes[name]).runs(shown) })
		}
	}
	for name := range unused {
		t.Errorf("there is a scene for %s, which has no commands", name)
	}
	if ran < 40 {
		t.Errorf("only %d scripts and commands are found in the documents", ran)
	}
}

// runs runs commands one after another in one shell.
func (s *sandbox) runs(shown []example) {
	s.Helper()
	var out strings.Builder
	shell := s.shell(&out)
	for _, e := range shown {
		out.Reset()
		file, err := syntax.NewParser().Parse(strings.NewReader(s.inSandbox(e.command)), "")
		if err != nil {
			s.Fatalf("%s\n%v", e.command, err)
		}
		for _, statement := range file.Stmts {
			s.runsStatement(shell, statement, &out)
		}
		if shown, printed := masked(e.prints), masked(s.onPage(out.String())); e.prints != "" && !matches(shown, printed) {
			s.Errorf("the page shows that %q prints\n%s\nand it prints\n%s\ncompared as\n%s\n%s", e.command, e.prints, s.onPage(out.String()), shown, printed)
		}
	}
}

// runsStatement runs a statement, and wants the exit status that the scene gives for it.
func (s *sandbox) runsStatement(shell *interp.Runner, statement *syntax.Stmt, out *strings.Builder) {
	s.Helper()
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, statement); err != nil {
		s.Fatal(err)
	}
	line := s.onPage(text.String())
	err := shell.Run(s.Context(), statement)
	status, ended := errors.AsType[interp.ExitStatus](err)
	if err != nil && !ended {
		s.Fatalf("%s\n%v", line, err)
	}
	want := 0
	for part, code := range s.statuses {
		if strings.Contains(line, part) {
			want = code
		}
	}
	if int(status) != want {
		s.Fatalf("%s\nends with exit status %d, want %d\n%s", line, status, want, out)
	}
}

var (
	numbers  = regexp.MustCompile(`\d+(?:[.,:]\d+)*(?:(?:ms|[dhms])(?:\d+(?:\.\d+)?)?)*`)
	instants = regexp.MustCompile(`\d{4}-\d\d-\d\d(?:T[\d:]+Z)?|\d\d:\d\d:\d\d`)
	frames   = regexp.MustCompile(`[─┼┬┴├┤┌┐└┘]+`)
)

// masked returns what a command prints without what differs from run to run: times,
// durations and numbers, the frames of tables, and where lines are broken.
func masked(text string) string {
	text = frames.ReplaceAllString(instants.ReplaceAllString(text, "<time>"), " ")
	return strings.Join(strings.Fields(numbers.ReplaceAllString(text, "<n>")), " ")
}

// matches reports whether a text is what a page shows, where … stands for any text.
func matches(shown, text string) bool {
	parts := strings.Split(shown, "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(p))
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(text)
}

// onTerminal is a writer to what is taken for a terminal of 80 columns, which shows nothing.
type onTerminal struct {
	io.Writer
	terminal *os.File
}

func (o onTerminal) Fd() uintptr { return o.terminal.Fd() }
