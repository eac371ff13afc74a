package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUnracedTestsAreRun: `make test` runs the tests that a build with -race skips.
func TestUnracedTestsAreRun(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^UNRACED_TESTS := (.*)$`).FindSubmatch(makefile)
	packages := regexp.MustCompile(`\$\(UNRACED_TESTS\)'.* \./actions \$\(addprefix \./actions/,(.*)\)\n`).FindSubmatch(makefile)
	if names == nil || packages == nil {
		t.Fatal("the Makefile lacks UNRACED_TESTS, or what runs them")
	}
	pattern := regexp.MustCompile(string(names[1]))
	run := map[string]bool{"actions": true}
	for _, name := range strings.Fields(string(packages[1])) {
		run["actions/"+name] = true
	}
	found := 0
	err = filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel("../..", filepath.Dir(name))
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			test, is := d.(*ast.FuncDecl)
			if !is || !callsUnraced(test) {
				continue
			}
			found++
			if (!run[dir] || !pattern.MatchString(test.Name.Name)) && !strings.Contains(string(makefile), "'^"+test.Name.Name+"$$' ./"+dir+"\n") {
				t.Errorf("%s in %s is skipped with the race detector, and `make unraced` does not run it: add it there", test.Name.Name, dir)
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d tests call await.Unraced: %v", found, err)
	}
}

// callsUnraced reports whether a build with -race skips the test or a part of it.
func callsUnraced(test *ast.FuncDecl) (calls bool) {
	ast.Inspect(test, func(n ast.Node) bool {
		if s, is := n.(*ast.SelectorExpr); is && (s.Sel.Name == "Unraced" || s.Sel.Name == "KilledTwice") {
			calls = true
		}
		return !calls
	})
	return calls
}
