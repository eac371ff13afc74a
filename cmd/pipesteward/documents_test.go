package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// section returns the part of a document from a heading up to the next one of its level or
// above.
func section(t *testing.T, document, heading string) string {
	t.Helper()
	data, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut("\n"+string(data), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", document, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	if end := regexp.MustCompile(`(?m)^#{1,` + strconv.Itoa(len(level)) + `} `).FindStringIndex(withoutCode(rest)); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// withoutCode returns a document with blanks in place of its blocks of code, in which a #
// is no heading.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```+$").ReplaceAllStringFunc(text, func(code string) string { return strings.Repeat(" ", len(code)) })
}

// quoted matches what a document has in backticks.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestMetricsAreDocumented: the table of metrics in README.md has all that the program
// registers, and no others.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^pipesteward_[a-z_]+$`)
	registered := map[string]bool{}
	err := filepath.WalkDir("../..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, is := n.(*ast.BasicLit); is && literal.Kind == token.STRING {
				if value, err := strconv.Unquote(literal.Value); err == nil && name.MatchString(value) {
					registered[value] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	_, table, _ := strings.Cut(section(t, "README.md", "## HTTP"), "| metric | type | is |\n")
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			metric, _, _ := strings.Cut(match[1], "{")
			documented[metric] = true
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(registered)) {
		if !documented[metric] {
			t.Errorf("README.md lacks the metric %s: add it to the table in the section HTTP", metric)
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(documented)) {
		if !registered[metric] {
			t.Errorf("README.md has the metric %s, which the program does not register", metric)
		}
	}
	if len(registered) < 10 {
		t.Errorf("only %d metrics are found in the source", len(registered))
	}
}

// TestPackagesAreMapped: the map in CONTRIBUTING.md has a row for each package, with its
// path first or, below a package of the row, its name in backticks; and no others.
func TestPackagesAreMapped(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"testdata", "internal", "deploy"}, entry.Name()):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".go"):
			dir, err := filepath.Rel("../..", filepath.Dir(name))
			if err != nil {
				return err
			}
			there[filepath.ToSlash(dir)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mapped := map[string]bool{}
	_, table, _ := strings.Cut(section(t, "CONTRIBUTING.md", "## The map"), "| package | is |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		cells := strings.SplitN(strings.Trim(row, "|\n"), "|", 2)
		var packages []string
		for _, match := range quoted.FindAllStringSubmatch(cells[0], -1) {
			name := match[1]
			if len(packages) > 0 {
				name = path.Join(path.Dir(packages[0]), name)
			}
			packages = append(packages, name)
		}
		for _, name := range packages {
			if !there[name] && !strings.Contains(name, " ") {
				t.Errorf("CONTRIBUTING.md maps the package %s, which there is not", name)
			}
			mapped[name] = true
		}
		for _, match := range quoted.FindAllStringSubmatch(cells[1], -1) {
			for name := range there {
				for _, above := range packages {
					if strings.HasPrefix(name, above+"/") && (name == above+"/"+match[1] || path.Base(name) == match[1]) {
						mapped[name] = true
					}
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if !mapped[name] {
			t.Errorf("CONTRIBUTING.md lacks the package %s: add it to the table in the section The map", name)
		}
	}
}

// TestCommandsAreDocumented: README.md names each command, and each command line in it can
// be used: the command and its flags are there.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	all := map[string]*cli.Command{}
	for _, c := range commandTree(&output{w: io.Discard}, io.Discard).Commands {
		all[c.Name] = c
		if !strings.Contains(readme, "pipesteward "+c.Name) {
			t.Errorf("README.md does not name the command %s", c.Name)
		}
	}
	used := 0
	line := regexp.MustCompile("(?m)(?:`|^ *\\$ |^ *\\./|script: |run ./cmd/)pipesteward +([a-z][^`#\n]*)")
	for _, match := range line.FindAllStringSubmatch(readme, -1) {
		words := strings.Fields(strings.TrimRight(strings.SplitN(match[1], " > ", 2)[0], ":"))
		c := all[strings.Trim(words[0], ".,`")]
		if c == nil {
			t.Errorf("README.md has the command line %q, and there is no command %q", match[0], words[0])
			continue
		}
		used++
		known := c.Flags
		for _, word := range words[1:] {
			if i := slices.IndexFunc(c.Commands, func(sub *cli.Command) bool { return sub.Name == word }); i >= 0 {
				c = c.Commands[i]
				known = append(known, c.Flags...)
			}
			flag, is := strings.CutPrefix(word, "-")
			if flag = strings.TrimPrefix(flag, "-"); !is || flag == "" {
				continue
			}
			flag, _, _ = strings.Cut(flag, "=")
			if !slices.ContainsFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }) {
				t.Errorf("README.md has the command line %q, and there is no flag --%s", match[0], flag)
			}
		}
		if len(c.Commands) > 0 {
			t.Errorf("README.md has the command line %q, which lacks one of its commands", match[0])
		}
	}
	if used < 40 {
		t.Errorf("only %d command lines are found in README.md", used)
	}
	for _, c := range all { // those that operate a server are in one table
		if admin := slices.ContainsFunc(slices.Concat(c.Flags, flagsOfAll(c.Commands)), func(f cli.Flag) bool { return slices.Contains(f.Names(), "admin-url") }); admin {
			table, _, _ := strings.Cut(section(t, "README.md", "## Operate"), "\n### ")
			if !strings.Contains(table, "`"+c.Name) && !strings.Contains(table, "pipesteward "+c.Name) {
				t.Errorf("the section Operate of README.md lacks the command %s", c.Name)
			}
		}
	}
}

func flagsOfAll(commands []*cli.Command) (flags []cli.Flag) {
	for _, c := range commands {
		flags = append(flags, c.Flags...)
	}
	return flags
}

// TestLinksOfDocuments: each link within a document has a heading, and each link to a file of
// the repository, or picture, has that file.
func TestLinksOfDocuments(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "deploy/README.md", "deploy/RULES-FROM-GIT.md", "rules/RECIPES.md"} {
		data, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		anchors := map[string]bool{}
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(string(data)), -1) {
			anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
			anchors[strings.ReplaceAll(anchor, " ", "-")] = true
		}
		for _, link := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(data), -1) {
			if !anchors[link[1]] {
				t.Errorf("%s links to #%s, which no heading has", document, link[1])
			}
		}
		for _, link := range regexp.MustCompile(`(?:\]\(|<img src=")([\w./-]+)[)#"]`).FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(document), link[1])); err != nil {
				t.Errorf("%s links to %s: %v", document, link[1], err)
			}
		}
	}
}
