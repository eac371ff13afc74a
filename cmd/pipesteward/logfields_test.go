package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLogFields: the fields of all log lines have the names that CONTRIBUTING.md lists,
// and those only.
func TestLogFields(t *testing.T) {
	t.Parallel()
	listed := listedFields(t)
	used := map[string]bool{}
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasSuffix(entry.Name(), "test") && entry.Name() != "ruletest"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		fields, problems := loggedFields(file)
		for _, p := range problems {
			t.Errorf("%s: %s", files.Position(p.at), p.text)
		}
		for field, places := range fields {
			used[field] = true
			for _, at := range places {
				if !listed[field] {
					t.Errorf("%s: the log field %q is not in CONTRIBUTING.md: use one that is, or add it there", files.Position(at), field)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range slices.Sorted(maps.Keys(listed)) {
		if !used[field] {
			t.Errorf("CONTRIBUTING.md lists the log field %q, which no line has", field)
		}
	}
}

// TestLoggedFields: the fields are found in whichever way they are written, and what can't
// be followed is a problem.
func TestLoggedFields(t *testing.T) {
	for code, want := range map[string]string{
		`log.Info("m", "a", 1, "b", f("x"))`:                        "a b",
		`s.Log.Error("m", "a", 1, store.Outage(err))`:               "a error",
		`w.log.WarnContext(ctx, "m", slog.Int("a", 1))`:             "a",
		`n.Log.Log(ctx, level, "m", "a", 1)`:                        "a",
		`r.Log.Debug("m", append(event.LogAttrs(e), "a", 1)...)`:    "a",
		`about := []any{"a", 1, "b", 2}; log.Info("m", about...)`:   "a b",
		`n.Log.Error("m", append(about, "a", 1)...)`:                "a",
		`b.Announcer.Announce(ctx, key, notice, since, "a", class)`: "a",
		`log.Info("m", name, 1)`:                                    "!the name of a field is no constant text",
		`log.Info("m", others()...)`:                                "!these fields can't be followed: write them in the call",
		`log.With("a", 1).Info("m", "b", 2)`:                        "a b",
		`fmt.Errorf("m", "a")`:                                      "",
		`writer.Info("no logger", "a", 1)`:                          "",
		`n.Receiver.Announce(ctx, key, channel, text)`:              "",
		`log.Info("m", "a")`:                                        "a!the field \"a\" has no value",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f(about ...any) {"+code+"}", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		fields, problems := loggedFields(file)
		found := []string{strings.Join(slices.Sorted(maps.Keys(fields)), " ")}
		for _, p := range problems {
			found = append(found, p.text)
		}
		if got := strings.Join(found, "!"); got != want {
			t.Errorf("%s\nhas %q, want %q", code, got, want)
		}
	}
}

// listedFields reads the table in CONTRIBUTING.md.
func listedFields(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), "\n## Log fields\n")
	if !found {
		t.Fatal("CONTRIBUTING.md has no section Log fields")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			if listed[name[1]] {
				t.Errorf("CONTRIBUTING.md lists the log field %q twice", name[1])
			}
			listed[name[1]] = true
		}
	}
	return listed
}

// levelMethods are the methods of a *slog.Logger that take fields, with the number of
// arguments before those.
var levelMethods = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2, "Log": 3, "With": 0,
}

// fieldProblem is a call whose fields are not known.
type fieldProblem struct {
	at   token.Pos
	text string
}

// loggedFields returns the names of the fields in the log calls of a file, each with the
// places where it is used.
func loggedFields(file *ast.File) (fields map[string][]token.Pos, problems []fieldProblem) {
	c := fieldCollector{fields: map[string][]token.Pos{}}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			c.call(n)
		case *ast.FuncDecl:
			if n.Name.Name == "LogAttrs" {
				c.lists(n)
			}
		case *ast.AssignStmt: // fields that several lines share
			if name, ok := n.Lhs[0].(*ast.Ident); ok && name.Name == "about" {
				c.lists(n)
			}
		}
		return true
	})
	return c.fields, c.problems
}

type fieldCollector struct {
	fields   map[string][]token.Pos
	problems []fieldProblem
}

// call collects the fields of a call, if it logs.
func (c *fieldCollector) call(call *ast.CallExpr) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	before, levels := levelMethods[method.Sel.Name]
	switch {
	case levels && isLogger(method.X):
	case method.Sel.Name == "AddAttrs":
	case method.Sel.Name == "Announce" && len(call.Args) > 4: // it logs with further fields
		before = 4
	default:
		return
	}
	if len(call.Args) < before {
		return
	}
	args := call.Args[before:]
	if !call.Ellipsis.IsValid() {
		c.list(args)
		return
	}
	c.list(args[:len(args)-1])
	c.spread(args[len(args)-1])
}

// isLogger reports whether an expression is called like a logger: log, x.log, x.Log, or
// what their With returns.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log") || x.Name == "logger"
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	case *ast.CallExpr:
		with, ok := x.Fun.(*ast.SelectorExpr)
		return ok && with.Sel.Name == "With" && isLogger(with.X)
	}
	return false
}

// spread collects the fields of a list that is the last argument.
func (c *fieldCollector) spread(list ast.Expr) {
	switch list := list.(type) {
	case *ast.Ident:
		if list.Name == "about" { // its own place is checked
			return
		}
	case *ast.CallExpr:
		if name, ok := list.Fun.(*ast.SelectorExpr); ok && name.Sel.Name == "LogAttrs" {
			return
		}
		if name, ok := list.Fun.(*ast.Ident); ok && name.Name == "append" {
			c.spread(list.Args[0])
			c.list(list.Args[1:])
			return
		}
	}
	c.problem(list, "these fields can't be followed: write them in the call")
}

// lists collects the fields of the lists in a node: []any{"a", 1}.
func (c *fieldCollector) lists(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if list, ok := n.(*ast.CompositeLit); ok {
			if _, ok := list.Type.(*ast.ArrayType); ok {
				c.list(list.Elts)
			}
		}
		return true
	})
}

// list collects the names in a list of names and values, and of slog.Attrs.
func (c *fieldCollector) list(args []ast.Expr) {
	for i := 0; i < len(args); i++ {
		if call, ok := args[i].(*ast.CallExpr); ok {
			c.attr(call)
			continue
		}
		name, ok := c.name(args[i])
		if ok && i+1 == len(args) {
			c.problem(args[i], fmt.Sprintf("the field %q has no value", name))
			return
		}
		i++
	}
}

// attr collects the name of a slog.Attr that a call returns.
func (c *fieldCollector) attr(call *ast.CallExpr) {
	if f, ok := call.Fun.(*ast.SelectorExpr); ok {
		from, _ := f.X.(*ast.Ident)
		switch {
		case from != nil && from.Name == "store" && f.Sel.Name == "Outage":
			c.fields["error"] = append(c.fields["error"], call.Pos())
			return
		case from != nil && from.Name == "slog" && len(call.Args) == 2:
			c.name(call.Args[0])
			return
		}
	}
	c.problem(call, "the name of a field is no constant text")
}

// name collects the name of a field.
func (c *fieldCollector) name(x ast.Expr) (string, bool) {
	if text, ok := x.(*ast.BasicLit); ok && text.Kind == token.STRING {
		if name, err := strconv.Unquote(text.Value); err == nil {
			c.fields[name] = append(c.fields[name], x.Pos())
			return name, true
		}
	}
	c.problem(x, "the name of a field is no constant text")
	return "", false
}

func (c *fieldCollector) problem(at ast.Node, text string) {
	c.problems = append(c.problems, fieldProblem{at.Pos(), text})
}
