package rules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
)

const (
	anew  = "go test ./rules -run TestGenerated -update" // makes them anew
	begin = "<!-- Made from rules/event/event.go and rules/functions.go: " + anew + " -->\n"
	end   = "<!-- Up to here. -->\n"
)

// What is made from the code is what the code says.
func TestGenerated(t *testing.T) {
	t.Run("README.md", func(t *testing.T) {
		const name = "../README.md"
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(string(data), begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("%s lacks the lines\n%s%s", name, begin, end)
		}
		golden(t, name, string(data), before+begin+"\n"+reference(t)+"\n"+end+after)
	})
	for name, schema := range map[string]func() ([]byte, error){
		"rules.schema.json":      rules.Schema,
		"rules.test.schema.json": rules.TestSchema,
	} {
		t.Run(name, func(t *testing.T) {
			schema, err := schema()
			if err != nil {
				t.Fatal(err)
			}
			name := "../deploy/" + name
			data, err := os.ReadFile(name)
			if err != nil && !*update {
				t.Fatal(err)
			}
			golden(t, name, string(data), string(schema))
		})
	}
}

// golden compares what a file holds with what it should, or writes that.
func golden(t *testing.T, name, has, want string) {
	t.Helper()
	diff := cmp.Diff(want, has)
	switch {
	case diff == "":
	case *update:
		if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the code says. Make it anew:\n\n\t%s\n\n(-code +file):\n%s", name, anew, diff)
	}
}

// reference is the Markdown of what expressions may use.
func reference(t *testing.T) string {
	types := parseStructs(t, "event/event.go")
	var b strings.Builder
	b.WriteString("| name | fields |\n| --- | --- |\n")
	for _, field := range types["Event"] {
		fmt.Fprintf(&b, "| `%s` | %s |\n", field.name, types.describe(field.of))
	}
	b.WriteString("\n| function | gives |\n| --- | --- |\n")
	var ask, need []string
	for _, f := range rules.FunctionDocs() {
		gives := f.Gives
		if f.Fields != "" {
			gives += " " + types.describe(f.Fields)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Call, gives)
		if f.AsksGitLab {
			ask = append(ask, "`"+f.Name+"()`")
		}
		if f.NeedsJob {
			need = append(need, "`"+f.Name+"()`")
		}
	}
	fmt.Fprintf(&b, "\n%s ask GitLab, only when reached and once per event: let cheap conditions stand first.\n", enumerate(ask))
	fmt.Fprintf(&b, "%s are about the event's job, so `if` and `jobs` of a rule `on: pipeline` can't use them.\n", enumerate(need))
	return b.String()
}

func enumerate(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// structs maps the names of struct types to the fields that expressions see.
type structs map[string][]structField

type structField struct {
	name string
	of   string // the name of its type, or of its items' type
	doc  string // its comment
}

// parseStructs reads a file of this package.
func parseStructs(t *testing.T, name string) structs {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	types := structs{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			types[spec.Name.Name] = fieldsOf(t, s)
		}
		return false
	})
	return types
}

func fieldsOf(t *testing.T, s *ast.StructType) []structField {
	var fields []structField
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue // an embedded type
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		of := f.Type
		if list, ok := of.(*ast.ArrayType); ok {
			of = list.Elt
		}
		field := structField{name: reflect.StructTag(tag).Get("expr"), doc: strings.TrimSpace(f.Comment.Text())}
		if id, ok := of.(*ast.Ident); ok {
			field.of = id.Name
		}
		fields = append(fields, field)
	}
	return fields
}

// describe lists the fields of a type: those with a comment together with it,
// those that are structs with their fields, all others just by name.
func (types structs) describe(name string) string {
	var parts, names []string
	flush := func() {
		if len(names) > 0 {
			parts = append(parts, "`"+strings.Join(names, " ")+"`")
		}
		names = nil
	}
	for _, field := range types[name] {
		doc := field.doc
		if doc == "" && types[field.of] != nil {
			doc = types.describe(field.of)
		}
		if doc == "" {
			names = append(names, field.name)
			continue
		}
		flush()
		parts = append(parts, fmt.Sprintf("`%s` (%s)", field.name, doc))
	}
	flush()
	return strings.Join(parts, ", ")
}

// The functions that are fields of the environment are all documented.
func TestFunctionsAreAllDocumented(t *testing.T) {
	documented := rules.FunctionDocs()
	bound := parseStructs(t, "environment.go")["environment"]
	if len(bound) == 0 {
		t.Fatal("no functions found")
	}
	for _, field := range bound {
		if !slices.ContainsFunc(documented, func(f rules.FunctionDoc) bool { return f.Name == field.name }) {
			t.Errorf("%s() is not in functions.go", field.name)
		}
	}
}
