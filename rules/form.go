package rules

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// form is what a value of a rule file must be. The loader reads values by it
// and the JSON Schema is made of it, so that an editor knows what the loader
// knows. A form is made for the place that its value is read to; what stands
// in that place before is the default.
type form struct {
	// read reads the value that a node holds, or notes what is wrong with it.
	// what is the key that it has, for messages.
	read   func(f *file, n *yaml.Node, what string)
	schema func() schema
	// missing says what is wrong where the key is not there; "" if it may.
	missing string
}

// fields are the keys that a mapping may have. They are read in this order,
// whatever their order in the file, so that what is read may depend on what
// stands above it here.
type fields []field

type field struct {
	key  string
	doc  string // what it does, for people who write rules
	form form
}

func (fs fields) keys() []string {
	keys := make([]string, len(fs))
	for i, field := range fs {
		keys[i] = field.key
	}
	return keys
}

// mapping reads a mapping strictly: a key that is not known, or that stands
// twice, is an error. name names the mapping in messages.
func mapping(name string, known fields) form {
	return form{
		read: func(f *file, n *yaml.Node, _ string) {
			keys := known.keys()
			if n.Kind != yaml.MappingNode {
				f.failAt(n, "%s must be a mapping of %s", name, list(keys))
				return
			}
			for _, field := range known {
				if value := valueOf(n, field.key); value != nil {
					field.form.read(f, resolve(value), field.key)
				} else if field.form.missing != "" {
					f.failAt(n, "%s", field.form.missing)
				}
			}
			seen := map[string]int{}
			for key := range pairs(n) {
				switch first := seen[key.Value]; {
				case !slices.Contains(keys, key.Value):
					f.failAt(key, "unknown key %q in %s%s; known are %s", key.Value, name, spelling.Suggestion(key.Value, keys), list(keys))
				case first > 0:
					f.failAt(key, "key %q stands twice in %s, first in line %d", key.Value, name, first)
				default:
					seen[key.Value] = key.Line
				}
			}
		},
		schema: func() schema {
			properties := schema{}
			var required []string
			for _, field := range known {
				value := field.form.schema()
				value["description"] = field.doc
				properties[field.key] = value
				if field.form.missing != "" {
					required = append(required, field.key)
				}
			}
			s := schema{"type": "object", "properties": properties, "additionalProperties": false}
			if required != nil {
				s["required"] = required
			}
			return s
		},
	}
}

// required makes a form that of a key that must be there.
func required(f form, missing string) form {
	f.missing = missing
	return f
}

// list writes words in order, for a message.
func list(words []string) string {
	return strings.Join(slices.Sorted(slices.Values(words)), ", ")
}

// listOf reads a list of at least so many values; item gives the form of one.
func listOf[T any](to *[]T, least int, item func(*T) form) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if n.Kind != yaml.SequenceNode {
				f.failAt(n, "%s must be a list (lines that start with `- `)", what)
				return
			}
			if len(n.Content) < least {
				f.failAt(n, "%s is empty: leave it out, or say what it is to hold", what)
			}
			*to = nil
			for _, n := range n.Content {
				var value T
				item(&value).read(f, resolve(n), what)
				*to = append(*to, value)
			}
		},
		schema: func() schema {
			s := schema{"type": "array", "items": item(new(T)).schema()}
			if least > 0 {
				s["minItems"] = least
			}
			if len(*to) > 0 {
				s["default"] = *to
			}
			return s
		},
	}
}

// text reads a text; numbers and the like are taken as they are written.
func text(to *string) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if !isText(n) {
				f.failAt(n, "%s must be a text", what)
				return
			}
			*to = n.Value
		},
		schema: func() schema { return schema{"type": "string"} },
	}
}

func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" }

// matching reads a text of a pattern; otherwise says what it must be.
func matching(to *string, pattern *regexp.Regexp, otherwise string) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			switch {
			case !isText(n):
				f.failAt(n, "%s must be a text", what)
			case !pattern.MatchString(n.Value):
				f.failAt(n, "%s", otherwise)
			default:
				*to = n.Value
			}
		},
		schema: func() schema {
			return schema{"type": "string", "pattern": pattern.String(), "errorMessage": otherwise}
		},
	}
}

// oneOf reads a word of a closed set.
func oneOf(to *string, known []string) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if n.Kind != yaml.ScalarNode || !slices.Contains(known, n.Value) {
				f.failAt(n, "%s must be one of %s, not %q%s", what, strings.Join(known, ", "), n.Value, spelling.Suggestion(n.Value, known))
				return
			}
			*to = n.Value
		},
		schema: func() schema {
			s := schema{"type": "string", "enum": known}
			if *to != "" {
				s["default"] = *to
			}
			return s
		},
	}
}

func boolean(to *bool) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if n.ShortTag() != "!!bool" || n.Decode(to) != nil {
				f.failAt(n, "%s must be true or false, not %q", what, n.Value)
			}
		},
		schema: func() schema { return schema{"type": "boolean", "default": *to} },
	}
}

// wholeNumber reads a whole number from 1 on.
func wholeNumber(to *int) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			i, err := strconv.Atoi(n.Value)
			if err != nil || i < 1 {
				f.failAt(n, "%s must be a whole number of at least 1, not %q", what, n.Value)
				return
			}
			*to = i
		},
		schema: func() schema { return schema{"type": "integer", "minimum": 1, "default": *to} },
	}
}

// duration reads a duration like 30s, 10m, 1h30m, 7d.
func duration(to *event.Duration) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			d, err := expression.ParseDuration(n.Value)
			if err != nil {
				f.failAt(n, "%s: %v", what, err)
				return
			}
			*to = event.Duration(d)
		},
		schema: func() schema {
			return schema{
				"default": *to,
				"if":      schema{"const": 0}, // the one number that needs no unit
				"else":    schema{"type": "string", "pattern": expression.DurationPattern, "minLength": 1, "errorMessage": expression.DurationHelp},
			}
		},
	}
}

// size reads a number of bytes like 500kB, 10MB or 1GiB.
func size(to *int64) form {
	const help = "write a number with a unit, like 500kB, 10MB or 1GiB"
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			bytes, err := humanize.ParseBytes(n.Value)
			if err != nil || bytes > math.MaxInt64 {
				f.failAt(n, "%s: %q is not a size: %s", what, n.Value, help)
				return
			}
			*to = int64(bytes)
		},
		schema: func() schema {
			return schema{"type": []string{"string", "integer"}, "pattern": `^[0-9][0-9.,]*\s*([kKMGT]?i?[bB]?)$`, "minimum": 0, "errorMessage": help}
		},
	}
}

// upTo reads a whole number from 1 to most.
func upTo(most int, to *int) form {
	inner := wholeNumber(to)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			inner.read(f, n, what)
			if *to > most {
				f.failAt(n, "%s must be at most %d, not %d", what, most, *to)
			}
		},
		schema: func() schema {
			s := inner.schema()
			s["maximum"] = most
			return s
		},
	}
}

// between reads a duration within bounds.
func between(to *event.Duration, least, most time.Duration) form {
	inner := duration(to)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			inner.read(f, n, what)
			if d := time.Duration(*to); d < least || d > most {
				f.failAt(n, "%s must be from %s to %s, not %s", what, event.Duration(least), event.Duration(most), *to)
			}
		},
		schema: inner.schema,
	}
}

// withoutDefault is a form of what has no default where it stands.
func withoutDefault(f form) form {
	of := f.schema
	f.schema = func() schema {
		s := of()
		delete(s, "default")
		return s
	}
	return f
}
