package main

import (
	"encoding/json"
	"errors"
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
	"go.yaml.in/yaml/v4"
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

// document is one of the repository's documents.
type document struct{ name, text string } // the name is the path from the repository's top

// documents returns all Markdown files of the repository.
func documents(t *testing.T) (all []document) {
	t.Helper()
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "testdata", "bin", "dist", "dist-documents"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel("../..", name)
		all = append(all, document{filepath.ToSlash(relative), string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents are found", len(all))
	}
	return all
}

// sections returns the sections of a document, from each heading up to the next one.
func sections(text string) (all []part) {
	headings := regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatchIndex(withoutCode(text), -1)
	for i, at := range headings {
		end := len(text)
		if i+1 < len(headings) {
			end = headings[i+1][0]
		}
		all = append(all, part{text[at[2]:at[3]], text[at[0]:end]})
	}
	return all
}

// withoutCode returns a document with blanks in place of its blocks of code, in which a #
// is no heading.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```+$").ReplaceAllStringFunc(text, func(code string) string { return strings.Repeat(" ", len(code)) })
}

// quoted matches what a document has in backticks.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestMetricsAreDocumented: the table of metrics in handlers/README.md has all that the program
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
	_, table, _ := strings.Cut(section(t, "handlers/README.md", "## Metrics"), "| metric | type | is |\n")
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			metric, _, _ := strings.Cut(match[1], "{")
			documented[metric] = true
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(registered)) {
		if !documented[metric] {
			t.Errorf("handlers/README.md lacks the metric %s: add it to the table in the section Metrics", metric)
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(documented)) {
		if !registered[metric] {
			t.Errorf("handlers/README.md has the metric %s, which the program does not register", metric)
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

// TestCommandsAreDocumented: cmd/README.md names each command, and each command line in any
// document can be used: the command and its flags are there.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	root := commandTree(&output{w: io.Discard}, io.Discard)
	operate, _, _ := strings.Cut(section(t, "cmd/README.md", "## Which command"), "\n### ")
	for _, c := range root.Commands {
		if admin := slices.ContainsFunc(slices.Concat(c.Flags, flagsOfAll(c.Commands)), func(f cli.Flag) bool { return slices.Contains(f.Names(), "admin-url") }); admin &&
			!strings.Contains(operate, "`"+c.Name) && !strings.Contains(operate, "pipesteward "+c.Name) {
			t.Errorf("the section Which command of cmd/README.md lacks the command %s", c.Name)
		}
	}
	used := 0
	line := regexp.MustCompile("(?m)(?:`|script: |^ *)(?:.*[ /])?pipesteward +([a-z][^`#\n]*)")
	otherNames := strings.NewReplacer("-n pipesteward ", "", "helm install pipesteward ", "helm install ") // of a namespace, of a release
	for _, d := range documents(t) {
		var lines []string
		for _, block := range blocks(d.text) {
			for _, match := range line.FindAllStringSubmatch(otherNames.Replace(block.text), -1) {
				if !strings.Contains(match[0], "[options]") { // how a command is written, in general
					lines = append(lines, match[1])
				}
			}
		}
		for _, match := range regexp.MustCompile("`pipesteward ([a-z][^`]*)`").FindAllStringSubmatch(withoutCode(d.text), -1) {
			lines = append(lines, match[1])
		}
		for _, line := range lines {
			used++
			if wrong := unusable(root, line); wrong != "" {
				t.Errorf("%s has the command line %q: there is no %s", d.name, "pipesteward "+line, wrong)
			}
		}
	}
	if used < 100 {
		t.Errorf("only %d command lines are found in the documents", used)
	}
}

// unusable returns what a command line names and the program does not have; "": all is
// there.
func unusable(root *cli.Command, line string) string {
	line = regexp.MustCompile(` (>|\||&&|2>) .*|[;'].*`).ReplaceAllString(line, "")
	c := root
	var known []cli.Flag
	for _, word := range strings.Fields(line) {
		word = strings.TrimRight(word, ".,:")
		flag, is := strings.CutPrefix(word, "-")
		flag, _, _ = strings.Cut(strings.TrimPrefix(flag, "-"), "=")
		i := slices.IndexFunc(c.Commands, func(below *cli.Command) bool { return below.Name == word })
		switch {
		case i >= 0:
			c = c.Commands[i]
			known = append(known, c.Flags...)
		case word == "completion" || word == "help":
			return ""
		case len(c.Commands) > 0 && !is:
			return "command " + word
		case is && flag != "" && flag != "help" && flag != "version" && !slices.ContainsFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }):
			return "flag --" + flag
		}
	}
	return ""
}

func flagsOfAll(commands []*cli.Command) (flags []cli.Flag) {
	for _, c := range commands {
		flags = append(flags, c.Flags...)
	}
	return flags
}

// block is a block of code in a document.
type block struct{ language, text string }

// blocks returns the blocks of code of a document, without their indent.
func blocks(text string) (all []block) {
	for _, match := range regexp.MustCompile("(?ms)^( *)```+(\\w*)[^\n]*\n(.*?)^ *```+$").FindAllStringSubmatch(text, -1) {
		all = append(all, block{match[2], regexp.MustCompile("(?m)^"+match[1]).ReplaceAllString(match[3], "")})
	}
	return all
}

// TestBlocksOfDocuments: each rule file in a document can be used, and all other YAML and
// JSON in it can be parsed.
func TestBlocksOfDocuments(t *testing.T) {
	t.Parallel()
	ruleFiles := 0
	for _, d := range documents(t) {
		for _, b := range blocks(d.text) {
			var wrong error
			switch {
			case b.language == "json":
				wrong = json.Unmarshal([]byte(b.text), new(any))
			case b.language != "yaml":
			case strings.HasPrefix(b.text, "version: 1") && !strings.Contains(b.text, "\ntests:"):
				ruleFiles++
				file := filepath.Join(t.TempDir(), "rules.yaml")
				if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				if code := run(t.Context(), []string{"pipesteward", "check", file}, &out, &out); code != 0 {
					wrong = errors.New(out.String())
				}
			default:
				wrong = yaml.Unmarshal([]byte(b.text), new(any))
			}
			if wrong != nil {
				t.Errorf("%s has a block that can't be used: %v\n%s", d.name, wrong, b.text)
			}
		}
	}
	if ruleFiles < 10 {
		t.Errorf("only %d rule files are found in the documents", ruleFiles)
	}
}

// TestNamesInDocuments: routes of the API, targets of make and files that documents name are
// there.
func TestNamesInDocuments(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[match[1]] = true
	}
	routes := map[string]bool{"/webhooks/gitlab": true}
	paths := openAPIPaths(t)
	for i := 0; i < len(paths.Content); i += 2 {
		routes[paths.Content[i].Value] = true
	}
	route := regexp.MustCompile(`(?:/api/v1/|127\.0\.0\.1:90\d\d/)[a-zA-Z0-9./{}-]*[a-z}]`)
	for _, d := range documents(t) {
		for _, match := range route.FindAllString(d.text, -1) {
			if _, path, found := strings.Cut(match, ":90"); found {
				match = path[2:]
			}
			if !routes[match] && !strings.HasPrefix(match, "/debug/pprof/") && !strings.HasPrefix(match, "/api/v1/queue/") {
				t.Errorf("%s has the route %s, which the admin address does not have", d.name, match)
			}
		}
		for _, match := range regexp.MustCompile("(?m)(?:^ *(?:\\$ )?|`)make ([a-z-]+)(?:$|[ `])").FindAllStringSubmatch(d.text, -1) {
			if !targets[match[1]] {
				t.Errorf("%s has `make %s`, and Makefile does not", d.name, match[1])
			}
		}
		for _, match := range regexp.MustCompile("`((?:actions|cmd|deploy|handlers|rules|store)/[\\w./-]*\\w)`").FindAllStringSubmatch(withoutCode(d.text), -1) {
			_, fromTop := os.Stat("../../" + match[1])
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(d.name), match[1])); err != nil && fromTop != nil {
				t.Errorf("%s names the file %s, which there is not", d.name, match[1])
			}
		}
	}
}

// anchorOf returns the anchor that GitHub and GitLab give a heading.
func anchorOf(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// ourFiles are the addresses at which files of the repository can be read.
var ourFiles = regexp.MustCompile(`^https://(?:github\.com/pipesteward/pipesteward/blob|raw\.githubusercontent\.com/pipesteward/pipesteward)/main/`)

// TestLinksOfDocuments: each link to a file of the repository has that file, and each to a
// heading that heading.
func TestLinksOfDocuments(t *testing.T) {
	t.Parallel()
	all := documents(t)
	anchors := map[string]map[string]bool{}
	for _, d := range all {
		anchors[d.name] = map[string]bool{}
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(d.text), -1) {
			anchors[d.name][anchorOf(heading[1])] = true
		}
	}
	llms, err := os.ReadFile("../../llms.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(all, document{"llms.txt", string(llms)}) {
		for _, link := range regexp.MustCompile(`(?:\]\(|<img src=")([^)"\s]+)[)"]`).FindAllStringSubmatch(withoutCode(d.text), -1) {
			target := ourFiles.ReplaceAllString(link[1], "")
			if regexp.MustCompile(`^[a-z]+:`).MatchString(target) {
				continue // a page of others
			}
			file, anchor, _ := strings.Cut(target, "#")
			switch {
			case target != link[1]:
			case file == "":
				file = d.name
			default:
				file = path.Join(path.Dir(d.name), file)
			}
			if _, err := os.Stat("../../" + file); err != nil {
				t.Errorf("%s links to %s: %v", d.name, link[1], err)
			}
			if anchor != "" && path.Ext(file) == ".md" && !anchors[file][anchor] {
				t.Errorf("%s links to %s: %s has no such heading", d.name, link[1], file)
			}
		}
	}
}

// TestLLMs: llms.txt is as https://llmstxt.org describes it: a title, a summary, and sections
// of links with what each is about; and it lists all documents for people who use Pipesteward.
func TestLLMs(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../llms.txt")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	form := regexp.MustCompile(`^# [^\n]+\n\n> [^\n]+\n\n(?:[^#\n][^\n]*\n+)*(?:## [^\n]+\n\n(?:- \[[^\n\]]+\]\(https://[^\s)]+\): [^\n]+\n)+\n?)+$`)
	if !form.MatchString(text) {
		t.Errorf("llms.txt has not the form %s", form)
	}
	for _, d := range documents(t) {
		if !strings.Contains(text, "/main/"+d.name+")") && !strings.Contains(d.name, ".zh-CN.") {
			t.Errorf("llms.txt lacks %s", d.name)
		}
	}
}
