package rulefile

import (
	"encoding/json"
	"regexp"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// leadingZero matches numbers that YAML 1.1 and YAML 1.2 read differently.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]`)

// inputs reads a mapping of names to inputs.
func (rd *reader) inputs(to *map[string]expression.Input, purpose func() expression.Purpose) schema.Schema {
	value := schema.JSON{"type": []string{"string", "number", "boolean"}}
	return schema.Schema{
		Read: named(to, inputName, "inputs", func(f *schema.Document, n *yaml.Node) expression.Input { return rd.input(f, n, purpose()) }),
		JSON: func() schema.JSON {
			return namedSchema(inputName, schema.JSON{"anyOf": []schema.JSON{value, {"type": "array", "items": value}}})
		},
	}
}

// named reads a mapping of names that match a pattern to values of any type.
func named[T any](to *map[string]T, name *regexp.Regexp, values string, value func(*schema.Document, *yaml.Node) T) func(f *schema.Document, n *yaml.Node, what string) {
	return func(f *schema.Document, n *yaml.Node, what string) {
		if n.Kind != yaml.MappingNode {
			f.FailAt(n, "%s must be a mapping of names to %s", what, values)
			return
		}
		*to = map[string]T{}
		for key, item := range schema.Pairs(n) {
			if _, twice := (*to)[key.Value]; twice {
				f.FailAt(key, "%q occurs twice in %s", key.Value, what)
				continue
			}
			if !name.MatchString(key.Value) {
				f.FailAt(item, "%q is not a name that GitLab takes in %s: %s", key.Value, what, namesHelp)
			}
			(*to)[key.Value] = value(f, item)
		}
	}
}

func namedSchema(name *regexp.Regexp, value schema.JSON) schema.JSON {
	return schema.JSON{
		"type":                 "object",
		"propertyNames":        schema.JSON{"pattern": name.String(), "errorMessage": namesHelp},
		"additionalProperties": value,
	}
}

func (rd *reader) input(f *schema.Document, n *yaml.Node, p expression.Purpose) expression.Input {
	n = schema.Resolve(n)
	switch n.Kind {
	case yaml.SequenceNode:
		in := expression.Input{Items: []expression.Input{}}
		for _, item := range n.Content {
			if item = schema.Resolve(item); item.Kind != yaml.ScalarNode {
				f.FailAt(item, "an input may be a list of texts, numbers or booleans, and of nothing else")
				continue
			}
			in.Items = append(in.Items, rd.input(f, item, p))
		}
		return in
	case yaml.MappingNode:
		f.FailAt(n, "an input must be a text, a number, a boolean or a list")
		return expression.Input{}
	default: // a scalar
	}
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool":
		switch {
		case json.Valid([]byte(n.Value)): // unchanged, with all digits
			return expression.Input{Fixed: json.RawMessage(n.Value)}
		case leadingZero.MatchString(n.Value):
			f.FailAt(n, "%s is octal to some and decimal to others: write a number without the 0 before it, or a text in quotes", n.Value)
			return expression.Input{}
		}
		var value any
		if err := n.Decode(&value); err == nil {
			if fixed, err := json.Marshal(value); err == nil {
				return expression.Input{Fixed: fixed}
			}
		}
		f.FailAt(n, "%s is not a number that JSON has", n.Value)
		return expression.Input{}
	}
	return expression.Input{Text: rd.parseTemplate(f, n, p)}
}
