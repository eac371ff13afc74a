package schema

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
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// Schema describes a value of a YAML document. The loader reads values by it,
// and the JSON Schema is generated from it, so that an editor accepts exactly
// what the loader accepts. A Schema is created for the variable that receives
// the value. The variable's previous value is the default.
type Schema struct {
	// Read reads the value of a node into the variable, or records the
	// mistakes in it. what is the name of the value in messages.
	Read func(f *Document, n *yaml.Node, what string)
	JSON func() JSON
	// Missing is the error message if the key is absent; "" if the key is optional.
	Missing string
}

// Fields are the keys that a mapping may have. They are read in this order,
// whatever their order in the file, so a schema may depend on the values of
// preceding keys.
type Fields []Field

// Field is a key of a mapping, with its value.
type Field struct {
	Key    string
	Doc    string // the documentation of the key, for authors of rules
	Schema Schema
}

// Keys returns the keys.
func (fs Fields) Keys() []string {
	keys := make([]string, len(fs))
	for i, field := range fs {
		keys[i] = field.Key
	}
	return keys
}

// Mapping reads a mapping strictly: an unknown key and a duplicate key are
// errors. name is the name of the mapping in messages.
func Mapping(name string, known Fields) Schema { return MappingWithHints(name, known, nil) }

// MappingWithHints is Mapping with hints: what to write in place of keys that do
// not belong here, by key.
func MappingWithHints(name string, known Fields, hints map[string]string) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, _ string) {
			keys := known.Keys()
			if n.Kind != yaml.MappingNode {
				f.FailAt(n, "%s must be a mapping of %s%s", name, Enumerate(keys), f.CommentHint(n))
				return
			}
			meant := map[string]bool{} // keys that an unknown one stands for
			for key := range Pairs(n) {
				if !slices.Contains(keys, key.Value) {
					meant[spelling.Nearest(key.Value, keys)] = true
				}
			}
			for _, field := range known {
				if value := Value(n, field.Key); value != nil {
					field.Schema.Read(f, Resolve(value), field.Key)
				} else if field.Schema.Missing != "" && !meant[field.Key] && !Has(n, "<<") {
					f.FailAt(n, "%s", field.Schema.Missing)
				}
			}
			seen := map[string]int{}
			for key := range Pairs(n) {
				switch first := seen[key.Value]; {
				case slices.Contains(keys, key.Value) && first > 0:
					f.FailAt(key, "key %q occurs twice in %s, first in line %d", key.Value, name, first)
				case slices.Contains(keys, key.Value):
					seen[key.Value] = key.Line
				case key.Value == "<<":
					f.FailAt(key, "YAML 1.2 has no merge keys (<<): write the keys of %s themselves", name)
				case hints[key.Value] != "":
					f.FailAt(key, "unknown key %q in %s: %s", key.Value, name, hints[key.Value])
				default:
					f.FailAt(key, "unknown key %q in %s%s; known are %s", key.Value, name, spelling.Suggestion(key.Value, keys), Enumerate(keys))
				}
			}
		},
		JSON: func() JSON {
			properties := JSON{}
			var required []string
			for _, field := range known {
				value := field.Schema.JSON()
				value["description"] = field.Doc
				properties[field.Key] = value
				if field.Schema.Missing != "" {
					required = append(required, field.Key)
				}
			}
			s := JSON{"type": "object", "properties": properties, "additionalProperties": false}
			if required != nil {
				s["required"] = required
			}
			return s
		},
	}
}

// Key returns a Field.
func Key(key, doc string, s Schema) Field { return Field{key, doc, s} }

// Required returns a schema whose key must be present. missing is the error
// message if it is absent.
func Required(f Schema, missing string) Schema {
	f.Missing = missing
	return f
}

// Enumerate joins words in alphabetical order for a message.
func Enumerate(words []string) string {
	return strings.Join(slices.Sorted(slices.Values(words)), ", ")
}

// List reads a list of at least least values. item returns the schema of one
// value.
func List[T any](to *[]T, least int, item func(*T) Schema) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			if n.Kind != yaml.SequenceNode {
				f.FailAt(n, "%s must be a list%s", what, listHint(f, n, what))
				return
			}
			if len(n.Content) < least {
				f.FailAt(n, "%s is empty: omit it, or give it a value", what)
			}
			*to = nil
			for _, n := range n.Content {
				var value T
				item(&value).Read(f, Resolve(n), what)
				*to = append(*to, value)
			}
		},
		JSON: func() JSON {
			s := JSON{"type": "array", "items": item(new(T)).JSON()}
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

// Distinct reads a list as another schema does, in which no value may occur twice.
func Distinct(list Schema) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			list.Read(f, n, what)
			if n.Kind != yaml.SequenceNode {
				return
			}
			seen := map[string]bool{}
			for _, item := range n.Content {
				value := Resolve(item)
				if !IsText(value) {
					continue
				}
				if seen[value.Value] {
					f.FailAt(item, "%q occurs twice in %s", value.Value, what)
				}
				seen[value.Value] = true
			}
		},
		JSON: func() JSON {
			s := list.JSON()
			s["uniqueItems"] = true
			return s
		},
	}
}

// Text reads a text. A number or a boolean is read as its text in the file.
func Text(to *string) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			if !IsText(n) {
				f.FailAt(n, "%s must be a text%s", what, f.TextHint(n))
				return
			}
			*to = n.Value
		},
		JSON: func() JSON { return JSON{"type": "string"} },
	}
}

// IsText reports whether a node is a scalar other than null.
func IsText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" }

// Matching reads a text that matches a pattern. otherwise is the error message
// for any other text.
func Matching(to *string, pattern *regexp.Regexp, otherwise string) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			switch {
			case !IsText(n):
				f.FailAt(n, "%s must be a text", what)
			case !pattern.MatchString(n.Value):
				f.FailAt(n, "%s", otherwise)
			default:
				*to = n.Value
			}
		},
		JSON: func() JSON {
			return JSON{"type": "string", "pattern": pattern.String(), "errorMessage": otherwise}
		},
	}
}

// OneOf reads a word that must be one of known.
func OneOf(to *string, known []string) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			if n.Kind != yaml.ScalarNode {
				f.FailAt(n, "%s must be one of %s, and only one", what, strings.Join(known, ", "))
				return
			}
			if !slices.Contains(known, n.Value) {
				f.FailAt(n, "%s must be one of %s, not %q%s", what, strings.Join(known, ", "), n.Value, spelling.Suggestion(n.Value, known))
				return
			}
			*to = n.Value
		},
		JSON: func() JSON {
			s := JSON{"type": "string", "enum": known}
			if *to != "" {
				s["default"] = *to
			}
			return s
		},
	}
}

// languages has the languages by other names that people write.
var languages = map[string]string{
	"cn": event.Chinese, "zh-cn": event.Chinese, "zh_cn": event.Chinese, "zh-hans": event.Chinese, "chinese": event.Chinese, "中文": event.Chinese,
	"en-us": event.English, "en_us": event.English, "en-gb": event.English, "english": event.English,
}

// Language reads a language of texts.
func Language(to *string) Schema {
	s := OneOf(to, event.Languages)
	read := s.Read
	s.Read = func(f *Document, n *yaml.Node, what string) {
		if meant := languages[strings.ToLower(n.Value)]; meant != "" {
			f.FailAt(n, "%s must be one of %s, not %q: write %s", what, strings.Join(event.Languages, ", "), n.Value, meant)
			return
		}
		read(f, n, what)
	}
	return s
}

// Bool reads true or false.
func Bool(to *bool) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			if n.ShortTag() != "!!bool" || n.Decode(to) != nil {
				f.FailAt(n, "%s must be true or false, not %q%s", what, n.Value, boolHint(n))
			}
		},
		JSON: func() JSON { return JSON{"type": "boolean", "default": *to} },
	}
}

// PositiveInt reads an integer of at least 1.
func PositiveInt(to *int) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			i, err := strconv.Atoi(n.Value)
			if err != nil || i < 1 {
				f.FailAt(n, "%s must be a whole number of at least 1, not %q", what, n.Value)
				return
			}
			*to = i
		},
		JSON: func() JSON { return JSON{"type": "integer", "minimum": 1, "default": *to} },
	}
}

// Duration reads a duration like 30s, 10m, 1h30m or 7d.
func Duration(to *event.Duration) Schema {
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			d, err := event.ParseDuration(n.Value)
			if err != nil && n.ShortTag() == "!!int" {
				f.FailAt(n, "%s: %s has no unit: write %ss for seconds, or another unit, as in 10m, 1h30m, 7d or 2w", what, n.Value, n.Value)
				return
			}
			if err != nil {
				f.FailAt(n, "%s: %v", what, err)
				return
			}
			*to = event.Duration(d)
		},
		JSON: func() JSON {
			return JSON{
				"default": *to,
				"if":      JSON{"const": 0}, // the only number without a unit
				"else":    JSON{"type": "string", "pattern": event.DurationPattern, "minLength": 1, "errorMessage": event.DurationHelp},
			}
		},
	}
}

// Bytes reads a size like 500kB, 10MB or 1GiB, in bytes.
func Bytes(to *int64) Schema {
	const help = "write a number with a unit, like 500kB, 10MB or 1GiB"
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			bytes, err := humanize.ParseBytes(n.Value)
			if err != nil || bytes > math.MaxInt64 {
				f.FailAt(n, "%s: %q is not a size: %s", what, n.Value, help)
				return
			}
			*to = int64(bytes)
		},
		JSON: func() JSON {
			return JSON{"type": []string{"string", "integer"}, "pattern": `^[0-9][0-9.,]*\s*([kKMGT]?i?[bB]?)$`, "minimum": 0, "errorMessage": help}
		},
	}
}

// AtMost reads an integer from 1 to most.
func AtMost(most int, to *int) Schema {
	inner := PositiveInt(to)
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			inner.Read(f, n, what)
			if *to > most {
				f.FailAt(n, "%s must be at most %d, not %d", what, most, *to)
			}
		},
		JSON: func() JSON {
			s := inner.JSON()
			s["maximum"] = most
			return s
		},
	}
}

// DurationBetween reads a duration from least to most.
func DurationBetween(to *event.Duration, least, most time.Duration) Schema {
	inner := Duration(to)
	return Schema{
		Read: func(f *Document, n *yaml.Node, what string) {
			inner.Read(f, n, what)
			if d := time.Duration(*to); d < least || d > most {
				f.FailAt(n, "%s must be from %s to %s, not %s", what, event.Duration(least), event.Duration(most), *to)
			}
		},
		JSON: inner.JSON,
	}
}

// WithoutDefault returns a schema whose JSON Schema has no default.
func WithoutDefault(f Schema) Schema {
	of := f.JSON
	f.JSON = func() JSON {
		s := of()
		delete(s, "default")
		return s
	}
	return f
}
