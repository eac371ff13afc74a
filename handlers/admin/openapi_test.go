package admin_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/actions/report"
	reportpage "github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The types below have the part of OpenAPI that the description uses.
type (
	openAPIDocument struct {
		Paths      map[string]map[string]openAPIOperation
		Components struct {
			Parameters map[string]openAPIParameter
			Responses  map[string]openAPIResponse
		}
	}
	openAPIOperation struct {
		Parameters []openAPIParameter
		Responses  map[string]openAPIResponse
	}
	openAPIParameter struct {
		Ref  string `json:"$ref"`
		Name string
		In   string
	}
	openAPIResponse struct {
		Ref     string `json:"$ref"`
		Content map[string]any
	}
)

// openAPI is openapi.yaml, with the compiler of its schemas.
type openAPI struct {
	openAPIDocument
	patterns map[string]*regexp.Regexp // of the paths

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // compiled, by their place
	checked  map[string]int                // how many large answers were checked, by the place of their schema
}

// A larger answer is long to check: not more than maxLargeChecks of each kind are.
const (
	largeAnswer    = 16 << 10 // bytes
	maxLargeChecks = 3
)

const openAPIName = "openapi.yaml"

// readOpenAPI returns the description.
func readOpenAPI(tb testing.TB) *openAPI {
	tb.Helper()
	d, err := loadOpenAPI()
	if err != nil {
		tb.Fatalf("%s: %v", openAPIName, err)
	}
	return d
}

// loadOpenAPI reads the description, once for all tests. Its schemas are made strict: a
// member that they do not name is an error.
var loadOpenAPI = sync.OnceValues(func() (*openAPI, error) {
	text, err := os.ReadFile(openAPIName)
	if err != nil {
		return nil, err
	}
	var value any
	if err := yaml.Load(text, &value); err != nil {
		return nil, err
	}
	closed(value)
	text, err = json.Marshal(value)
	if err != nil {
		return nil, err
	}
	d := &openAPI{
		compiler: jsonschema.NewCompiler(), patterns: map[string]*regexp.Regexp{}, schemas: map[string]*jsonschema.Schema{}, checked: map[string]int{},
	}
	if err := json.Unmarshal(text, &d.openAPIDocument); err != nil {
		return nil, err
	}
	for path := range d.Paths {
		d.patterns[path] = regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(openAPIName, doc)
})

// parameter matches a parameter in the quoted text of a path.
var parameter = regexp.MustCompile(`\\\{[^/]*\\\}`)

// closed forbids other members in the schemas of objects that name theirs.
func closed(value any) {
	switch v := value.(type) {
	case map[string]any:
		_, isMap := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; isMap && v["type"] == "object" && !said {
			v["additionalProperties"] = false
		}
		for _, member := range v {
			closed(member)
		}
	case []any:
		for _, item := range v {
			closed(item)
		}
	}
}

// operation returns the operation that a request is for, and its path with parameters.
func (d *openAPI) operation(method, path string) (openAPIOperation, string) {
	for template, pattern := range d.patterns {
		if pattern.MatchString(path) {
			return d.Paths[template][strings.ToLower(method)], template
		}
	}
	return openAPIOperation{}, ""
}

// check checks a response to a request.
func (d *openAPI) check(method, path string, code int, contentType string, body []byte) error {
	op, template := d.operation(method, path)
	if op.Responses == nil {
		if code == http.StatusNotFound || code == http.StatusMethodNotAllowed {
			return nil // there is nothing at this address
		}
		return fmt.Errorf("%s %s is answered with %d, and is not described", method, path, code)
	}
	response, ok := op.Responses[strconv.Itoa(code)]
	if !ok {
		return fmt.Errorf("%s %s is answered with %d, which is not described: %s", method, template, code, body)
	}
	place := "#/paths/" + pointer(template, strings.ToLower(method), "responses", strconv.Itoa(code))
	if name, is := strings.CutPrefix(response.Ref, "#/components/responses/"); is {
		place = "#/components/responses/" + pointer(name)
		if response, ok = d.Components.Responses[name]; !ok {
			return fmt.Errorf("%s %s: there is no %s", method, template, response.Ref)
		}
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("%s %s is answered with Content-Type %q: %w", method, template, contentType, err)
	}
	if _, ok := response.Content[kind]; !ok {
		return fmt.Errorf("%s %s is answered with %d and %s, which is not described", method, template, code, kind)
	}
	if kind != echo.MIMEApplicationJSON {
		return nil
	}
	schema, err := d.schema(place+"/"+pointer("content", kind, "schema"), len(body) > largeAnswer)
	if schema == nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w in %s", method, template, err, body)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s %s is answered with %d and what %s does not describe: %.2000s\n%.2000s", method, template, code, openAPIName, err.Error(), body)
	}
	return nil
}

// schema returns the schema at a place; nil where enough large answers were checked.
func (d *openAPI) schema(place string, large bool) (schema *jsonschema.Schema, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if large {
		if d.checked[place]++; d.checked[place] > maxLargeChecks {
			return nil, nil
		}
	}
	if d.schemas[place] == nil {
		if d.schemas[place], err = d.compiler.Compile(openAPIName + place); err != nil {
			return nil, err
		}
	}
	return d.schemas[place], nil
}

// pointer returns a JSON pointer, for a fragment of a URL.
func pointer(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return strings.Join(parts, "/")
}

// described returns the handler, whose answers must be as openapi.yaml describes them.
func described(tb testing.TB, h http.Handler) http.Handler {
	tb.Helper()
	d := readOpenAPI(tb)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if err := d.check(r.Method, r.URL.EscapedPath(), answer.Code, answer.Header().Get("Content-Type"), answer.Body.Bytes()); err != nil {
			tb.Error(err)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// server returns the routes of the server.
func server(t *testing.T) *echo.Echo {
	t.Helper()
	e, ok := admin.New(admin.Config{Addr: &net.TCPAddr{IP: net.IPv4zero}, Assistants: assistants{}, Metrics: prometheus.NewRegistry()}).(*echo.Echo)
	if !ok {
		t.Fatal("the server is no Echo: its routes are not known")
	}
	return e
}

// TestOpenAPIRoutes: each route of the server is described, and each that is described is
// there.
func TestOpenAPIRoutes(t *testing.T) {
	d := readOpenAPI(t)
	described, served := map[string]bool{}, map[string]bool{}
	for path, operations := range d.Paths {
		for method := range operations {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, r := range server(t).Routes() {
		if r.Method == http.MethodHead {
			continue // as GET
		}
		served[r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}")] = true
	}
	for _, route := range slices.Sorted(maps.Keys(served)) {
		if !described[route] {
			t.Errorf("the server has the route %s, and %s does not describe it: add it under paths", route, openAPIName)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(described)) {
		if !served[route] {
			t.Errorf("%s describes %s, which the server does not have", openAPIName, route)
		}
	}
}

// TestOpenAPIParameters: the parameters that a route takes are those that are described.
// The address of a route that takes none says so, or is one that monitors call.
func TestOpenAPIParameters(t *testing.T) {
	d := readOpenAPI(t)
	r := newAdminRig(t)
	for path, operations := range d.Paths {
		op, ok := operations["get"]
		if !ok {
			continue
		}
		var want []string
		for _, p := range op.Parameters {
			if name, is := strings.CutPrefix(p.Ref, "#/components/parameters/"); is {
				p = d.Components.Parameters[name]
			}
			if p.Name == "" {
				t.Errorf("GET %s: there is no %s", path, p.Ref)
			}
			if p.In == "query" {
				want = append(want, p.Name)
			}
		}
		code, answer := r.get(t, path+"?no_such_parameter=1")
		_, list, _ := strings.Cut(answer, "there are ")
		list, _, _ = strings.Cut(list, `"`)
		var got []string
		if code == http.StatusBadRequest && list != "" {
			got = strings.Split(list, ", ")
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("GET %s takes the parameters %q, and %s describes %q", path, got, openAPIName, want)
		}
	}
}

// TestOpenAPISchemas: all schemas can be used.
func TestOpenAPISchemas(t *testing.T) {
	d := readOpenAPI(t)
	var components struct {
		Components struct{ Schemas map[string]any }
	}
	text, err := os.ReadFile(openAPIName)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Load(text, &components); err != nil {
		t.Fatal(err)
	}
	for name := range components.Components.Schemas {
		if _, err := d.compiler.Compile(openAPIName + "#/components/schemas/" + pointer(name)); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
}

// TestOpenAPIMembers: the schemas have the members of the types that the server encodes and
// decodes, and no others.
func TestOpenAPIMembers(t *testing.T) {
	text, err := os.ReadFile(openAPIName)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Load(text, &doc); err != nil {
		t.Fatal(err)
	}
	m := &members{T: t, doc: doc}
	for name, value := range map[string]any{
		"Status": admin.Status{}, "Rules": admin.RulesState{}, "Decision": event.Outcome{}, "Delivery": event.Delivery{}, "Story": story.Story{}, "Report": report.Report{}, "ReportPage": reportpage.Content{}, "Limits": admin.Limits{}, "Activity": admin.Activity{}, "Proposal": admin.Proposal{},
		"QueuedRecord": admin.QueuedRecord{}, "DeadRecord": admin.DeadRecord{}, "Change": event.Change{}, "Checkup": admin.Checkup{}, "CheckupRequest": admin.CheckupRequest{}, "HooksPage": admin.HooksPage{}, "HooksRequest": admin.HooksRequest{}, "Paused": admin.Paused{}, "Muted": admin.Muted{}, "MuteRequest": admin.MuteRequest{}, "UnmuteRequest": admin.UnmuteRequest{},
		"PauseRequest": admin.PauseRequest{}, "ResumeRequest": admin.ResumeRequest{}, "ChangeRequest": admin.ChangeRequest{}, "Error": struct {
			Error string `json:"error"`
		}{},
	} {
		m.compare(name, map[string]any{"$ref": "#/components/schemas/" + name}, reflect.TypeOf(value))
	}
}

// members compares schemas with types.
type members struct {
	*testing.T
	doc map[string]any
}

// compare compares a schema with the type of what is encoded. A schema that allows any
// member has none that could be missing.
func (m *members) compare(path string, schema any, of reflect.Type) {
	s, _ := schema.(map[string]any)
	for ref, is := s["$ref"].(string); is; ref, is = s["$ref"].(string) {
		var at any = m.doc
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[part]
		}
		s, _ = at.(map[string]any)
	}
	if s == nil {
		m.Errorf("%s has no schema", path)
		return
	}
	if s["additionalProperties"] == true || of.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return
	}
	switch of.Kind() {
	case reflect.Pointer:
		m.compare(path, schema, of.Elem())
	case reflect.Slice:
		m.compare(path+"[]", s["items"], of.Elem())
	case reflect.Map:
		m.compare(path+"{}", s["additionalProperties"], of.Elem())
	case reflect.Struct:
		properties, _ := s["properties"].(map[string]any)
		encoded := map[string]reflect.Type{}
		encodedMembers(of, encoded)
		for name, member := range encoded {
			if property, ok := properties[name]; ok {
				m.compare(path+"."+name, property, member)
			} else {
				m.Errorf("%s has a member %q, which %s does not describe", path, name, openAPIName)
			}
		}
		for name := range properties {
			if _, ok := encoded[name]; !ok {
				m.Errorf("%s describes a member %q of %s, which %v does not have", openAPIName, name, path, of)
			}
		}
	default:
	}
}

// encodedMembers adds the members of a struct in JSON, those of embedded ones included.
func encodedMembers(of reflect.Type, to map[string]reflect.Type) {
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			encodedMembers(field.Type, to)
		case field.IsExported() && name != "-":
			to[name] = field.Type
		}
	}
}

// TestOpenAPIIsServed: the server has the file.
func TestOpenAPIIsServed(t *testing.T) {
	want, err := os.ReadFile(openAPIName)
	if err != nil {
		t.Fatal(err)
	}
	if code, got := newAdminRig(t).get(t, "/api/v1/openapi.yaml"); code != http.StatusOK || got != strings.TrimSpace(string(want)) {
		t.Errorf("answer is %d %.200s", code, got)
	}
}
