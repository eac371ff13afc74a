package expression_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
)

// TestGenerated checks that the reference in rules/README.md matches the code.
func TestGenerated(t *testing.T) {
	const (
		begin = "<!-- Made from rules/event/event.go and rules/expression/functions.go by `make generate` -->\n"
		end   = "<!-- Up to here. -->\n"
	)
	golden.Section(t, "../README.md", begin, end, reference(t))
}

// reference returns the Markdown reference of the names that expressions may
// use.
func reference(t *testing.T) string {
	types := parseStructs(t, "../event/event.go")
	var b strings.Builder
	b.WriteString("| name | fields |\n| --- | --- |\n")
	for _, field := range types["Event"] {
		fmt.Fprintf(&b, "| `%s` | %s |\n", field.name, types.describe(field.of))
	}
	fmt.Fprintf(&b, "| `outcome` | in the texts of notifications, and in `templates`: %s |\n", types.describe("TextOutcome"))
	b.WriteString("\n| function | returns |\n| --- | --- |\n")
	var requesting, need []string
	for _, f := range expression.FunctionDocs() {
		returns := f.Returns
		if f.Fields != "" {
			returns += " " + types.describe(f.Fields)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Call, returns)
		if f.RequestsGitLab {
			requesting = append(requesting, "`"+f.Name+"()`")
		}
		if f.NeedsJob {
			need = append(need, "`"+f.Name+"()`")
		}
	}
	fmt.Fprintf(&b, "\n%s send requests to GitLab, only when reached and once per event: put cheap conditions first.\n", enumerate(requesting))
	fmt.Fprintf(&b, "%s read the event's job, so `if` and `jobs` of a rule `on: pipeline` can't use them.\n", enumerate(need))
	return b.String()
}

func enumerate(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// structs maps the names of struct types to their fields with an expr tag.
type structs map[string][]structField

type structField struct {
	name string
	of   string // the name of the field's type, or of its items' type
	doc  string // the field's comment
}

// parseStructs returns the struct types that a file declares.
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

// describe lists the fields of a type: a field with a comment together with
// the comment, a struct with its fields, and any other field by its name.
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

// TestFunctionsAreAllDocumented checks that functions.go describes every
// function in the environment.
func TestFunctionsAreAllDocumented(t *testing.T) {
	documented := expression.FunctionDocs()
	bound := parseStructs(t, "environment.go")["environment"]
	if len(bound) == 0 {
		t.Fatal("no functions found")
	}
	for _, field := range bound {
		if field.name == "outcome" { // a value
			continue
		}
		if !slices.ContainsFunc(documented, func(f expression.FunctionDoc) bool { return f.Name == field.name }) {
			t.Errorf("%s() is not in functions.go", field.name)
		}
	}
}
