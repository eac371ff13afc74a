package main

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPackagesAreDrawn: the diagram in CONTRIBUTING.md shows the packages and their
// imports as they are. Imports that follow from others are left out.
func TestPackagesAreDrawn(t *testing.T) {
	generated(t, "CONTRIBUTING.md", "<!-- The packages, drawn from their imports by `make generate`. -->", "<!-- Up to here. -->", "```mermaid\n"+drawn(imports(t, "../.."))+"```\n")
}

// TestPackagesAreShort: a package has at most maxLines lines, tests aside, unless its
// comment gives the reason in a sentence that begins with longBecause.
func TestPackagesAreShort(t *testing.T) {
	const maxLines, longBecause = 2000, "The package has more than 2,000 lines because "
	lines, comments := map[string]int{}, map[string]string{}
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(name)
		lines[dir] += bytes.Count(source, []byte("\n"))
		comments[dir] += strings.Join(strings.Fields(file.Doc.Text()), " ") + " "
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range slices.Sorted(maps.Keys(lines)) {
		_, reason, given := strings.Cut(comments[dir], longBecause)
		switch long := lines[dir] > maxLines; {
		case long && strings.TrimSpace(reason) == "":
			t.Errorf("%s has %d lines, and at most %d are allowed: move a concept to a package of its own, or give the reason in the package comment: %q", dir, lines[dir], maxLines, longBecause+"…")
		case given && !long:
			t.Errorf("%s has %d lines: remove from the package comment that it has more than %d", dir, lines[dir], maxLines)
		}
	}
}

// imports maps each package of the module to those that it imports. Tests, and what
// exists for tests alone, are left out.
func imports(t *testing.T, root string) map[string]map[string]bool {
	const module = "github.com/pipesteward/pipesteward/"
	all := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "internal" || entry.Name() == "deploy" || isForTests(entry.Name())):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		from := filepath.ToSlash(relative)
		if all[from] == nil {
			all[from] = map[string]bool{}
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(imported, module); ours && !isForTests(to) && !strings.Contains(to, "/internal/") {
				all[from][to] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// isForTests reports whether a package exists for tests alone, by its path.
func isForTests(name string) bool {
	return strings.HasSuffix(name, "test") && !slices.Contains([]string{"backtest", "ruletest"}, path.Base(name))
}

// drawn returns a Mermaid flowchart of the packages, those of one folder together.
func drawn(imports map[string]map[string]bool) string {
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		for next := range imports[from] {
			if next == to || reaches(next, to) {
				return true
			}
		}
		return false
	}
	folders := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		folder, _, _ := strings.Cut(name, "/")
		folders[folder] = append(folders[folder], name)
	}
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	id := func(name string) string { return strings.ReplaceAll(name, "/", "_") }
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		fmt.Fprintf(&b, "  subgraph %s\n", folder)
		for _, name := range folders[folder] {
			label := name
			if rest, below := strings.CutPrefix(name, folder+"/"); below {
				label = rest
			}
			fmt.Fprintf(&b, "    %s[%s]\n", id(name), path.Clean(label))
		}
		b.WriteString("  end\n")
	}
	for _, from := range slices.Sorted(maps.Keys(imports)) {
		for _, to := range slices.Sorted(maps.Keys(imports[from])) {
			follows := false
			for other := range imports[from] {
				follows = follows || other != to && reaches(other, to)
			}
			if !follows {
				fmt.Fprintf(&b, "  %s --> %s\n", id(from), id(to))
			}
		}
	}
	return b.String()
}
