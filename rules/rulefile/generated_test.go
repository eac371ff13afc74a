package rulefile_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
)

// TestGenerated checks that the JSON Schemas in deploy/ match the code.
func TestGenerated(t *testing.T) {
	for name, schema := range map[string]func() ([]byte, error){
		"rules.schema.json":      rulefile.Schema,
		"rules.test.schema.json": ruletest.Schema,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := schema()
			if err != nil {
				t.Fatal(err)
			}
			golden.File(t, "../../deploy/"+name, string(got))
		})
	}
}

// TestGeneratedKeys checks that the reference of keys in rules/README.md has all keys of the
// schema, each with an example from testdata/keys.yaml, which loads.
func TestGeneratedKeys(t *testing.T) {
	text := fixture.Read(t, "testdata/keys.yaml")
	if err := loads(text); err != nil {
		t.Fatal(err)
	}
	var examples yaml.Node
	if err := yaml.Unmarshal([]byte(text), &examples); err != nil {
		t.Fatal(err)
	}
	data, err := rulefile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	k := keys{T: t, examples: map[string]*yaml.Node{}}
	k.collect("", examples.Content[0])
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	k.describe("", schema)
	golden.Section(t, "../README.md", "<!-- Made from rules/rulefile by `make generate` -->\n", "<!-- The end of the keys. -->\n", strings.TrimSuffix(k.b.String(), "\n"))
}

// keys writes the reference of keys.
type keys struct {
	*testing.T
	examples map[string]*yaml.Node // by path, such as rules[].actions[].retry.delay
	b        strings.Builder
}

// collect collects the first example of each key.
func (k *keys) collect(path string, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			below := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
			if k.examples[below] == nil {
				k.examples[below] = n.Content[i+1]
			}
			k.collect(below, n.Content[i+1])
		}
		return
	}
	for _, item := range n.Content { // of a list
		if item.Kind == yaml.ScalarNode && k.examples[path+"[]."+item.Value] == nil {
			k.examples[path+"[]."+item.Value] = item // an action without parameters
		}
		k.collect(path+"[]", item)
	}
}

// describe writes a heading for each key of a mapping, and for those below it.
func (k *keys) describe(path string, mapping map[string]any) {
	properties := propertiesOf(mapping)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := properties[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		level := "####"
		if path == "" {
			level = "###"
		}
		fmt.Fprintf(&k.b, "%s `%s`\n\n%s\n\n", level, at, asMarkdown(fmt.Sprint(property["description"])))
		details := []string{kindOf(property)}
		if required, _ := mapping["required"].([]any); slices.Contains(required, any(name)) {
			details = append(details, "required")
		}
		if value, has := property["default"]; has {
			text, err := json.Marshal(value)
			if err != nil {
				k.Fatal(err)
			}
			details = append(details, "default `"+strings.Trim(string(text), `"`)+"`")
		}
		k.b.WriteString("- " + strings.Join(details, ", ") + "\n")
		if example := k.example(at, name); example != "" {
			k.b.WriteString("- example: `" + example + "`\n")
		}
		k.b.WriteString("\n")
		switch at {
		case "defaults.notify": // an entry has the keys of one of rules[].notify
		case "templates": // a table of their own has them
		default:
			below := ""
			if list := itemsOf(property); list != nil {
				property, below = list, "[]"
			}
			k.describe(at+below, property)
		}
	}
}

// example returns the example of a key, in one line; "": it is too long, and those of the
// keys below it say as much.
func (k *keys) example(at, name string) string {
	value := k.examples[at]
	if value == nil {
		if k.examples[at+"_file"] != nil || k.examples[strings.TrimSuffix(at, "_file")] != nil {
			return "" // a value and its file exclude each other: the example is that of the other one
		}
		if !slices.Contains([]string{"defaults.receiver", "storm.receiver"}, at) { // excluded by the channel beside it
			k.Errorf("testdata/keys.yaml lacks the key %s", at)
		}
		return ""
	}
	if value.Kind == yaml.ScalarNode && value.Value == name {
		return name
	}
	flow := *value
	flow.Style = yaml.FlowStyle | value.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle)
	text, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: name}, &flow}})
	if err != nil {
		k.Fatal(err)
	}
	line := strings.TrimSuffix(strings.TrimPrefix(strings.Join(strings.Fields(string(text)), " "), "{"), "}")
	if len(line) > 120 {
		return ""
	}
	return line
}

// propertiesOf returns the properties of a mapping, in whatever part of its schema they
// stand; those of which only the restriction stands there are left out.
func propertiesOf(schema map[string]any) map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, part := range partsOf(schema) {
		properties, _ := part["properties"].(map[string]any)
		for name, property := range properties {
			if described, is := property.(map[string]any); is && described["description"] != nil {
				all[name] = described
			}
		}
	}
	return all
}

// itemsOf returns the schema of the items of a list of mappings; nil: it is none.
func itemsOf(schema map[string]any) map[string]any {
	for _, part := range partsOf(schema) {
		if items, is := part["items"].(map[string]any); is && len(propertiesOf(items)) > 0 && len(propertiesOf(schema)) == 0 {
			return items
		}
	}
	return nil
}

// partsOf returns a schema and its alternatives and conditional parts.
func partsOf(schema map[string]any) []map[string]any {
	all := []map[string]any{schema}
	for _, key := range []string{"then", "else"} {
		if part, is := schema[key].(map[string]any); is {
			all = append(all, partsOf(part)...)
		}
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := schema[key].([]any)
		for _, part := range list {
			if part, is := part.(map[string]any); is {
				all = append(all, partsOf(part)...)
			}
		}
	}
	return all
}

// kindOf returns what a value is, in words.
func kindOf(schema map[string]any) string {
	words := map[string]string{"string": "text", "boolean": "`true` or `false`", "integer": "whole number", "number": "number", "object": "mapping", "array": "list", "null": ""}
	if values, is := schema["enum"].([]any); is {
		var all []string
		for _, value := range values {
			all = append(all, fmt.Sprintf("`%v`", value))
		}
		return strings.Join(all, " or ")
	}
	var kinds []string
	for _, part := range partsOf(schema) {
		types, is := part["type"].([]any)
		if !is {
			types = []any{part["type"]}
		}
		for _, name := range types {
			name, _ := name.(string)
			word := words[name]
			if message, _ := part["errorMessage"].(string); strings.HasPrefix(message, "write a number with a unit, like 30s") {
				word = "duration"
			}
			if word != "" && !slices.Contains(kinds, word) {
				kinds = append(kinds, word)
			}
		}
		if value, is := part["const"]; is && value != 0.0 {
			kinds = append(kinds, fmt.Sprintf("`%v`", value))
		}
	}
	if len(kinds) == 0 {
		return "value"
	}
	return strings.Join(kinds, " or ")
}

// asMarkdown returns a description in which nothing but code in backticks is markup.
func asMarkdown(description string) string {
	parts := strings.Split(description, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("*", `\*`, "<", `\<`, "[", `\[`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
