package rules

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"
)

// file reads one rule file node by node, so that every mistake has its line
// and column, and gathers all of them.
type file struct {
	name string
	text []rune
	hash string // SHA-256 in hex
	rule string // the rule that is being read, for messages
	errs []FileError
}

// parse gives the root node of the file, or nil after noting the error.
func (f *file) parse(data []byte) *yaml.Node {
	if strings.TrimSpace(string(data)) == "" {
		f.fail(1, 1, "the file is empty: write at least `version: 1` and `rules:`")
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		f.syntaxError(err)
		return nil
	}
	return doc.Content[0]
}

func (f *file) syntaxError(err error) {
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		for _, e := range all.Errors {
			f.fail(e.Mark.Line, e.Mark.Column, "YAML: %s", e.Message)
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		f.fail(one.Mark.Line, one.Mark.Column, "YAML: %s", one.Message)
		return
	}
	f.fail(1, 1, "YAML: %v", err)
}

func (f *file) fail(line, column int, format string, args ...any) {
	f.errs = append(f.errs, FileError{
		File: f.name, Line: max(line, 1), Column: max(column, 1), Rule: f.rule,
		Message: fmt.Sprintf(format, args...),
	})
}

func (f *file) failAt(n *yaml.Node, format string, args ...any) {
	f.fail(n.Line, n.Column, format, args...)
}

// fields maps the keys that a mapping may have to what reads their values.
type fields map[string]func(*yaml.Node)

// mapping reads a mapping strictly: a key that known has not, or that stands
// twice, is an error. what names the mapping in messages.
func (f *file) mapping(n *yaml.Node, what string, known fields) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		f.failAt(n, "%s must be a mapping of %s", what, list(known))
		return
	}
	seen := map[string]int{}
	for key, value := range pairs(n) {
		read, ok := known[key.Value]
		switch first := seen[key.Value]; {
		case !ok:
			f.failAt(key, "unknown key %q in %s%s; known are %s", key.Value, what, didYouMean(key.Value, slices.Collect(maps.Keys(known))), list(known))
		case first > 0:
			f.failAt(key, "key %q stands twice in %s, first in line %d", key.Value, what, first)
		default:
			seen[key.Value] = key.Line
			read(value)
		}
	}
}

// pairs gives the keys and values of a mapping; of anything else, none.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func list[V any](known map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// items gives the nodes of a sequence.
func (f *file) items(n *yaml.Node, what string) []*yaml.Node {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		f.failAt(n, "%s must be a list (lines that start with `- `)", what)
		return nil
	}
	return n.Content
}

// some gives the nodes of a sequence that must not be empty.
func (f *file) some(n *yaml.Node, what string) []*yaml.Node {
	all := f.items(n, what)
	if resolve(n).Kind == yaml.SequenceNode && len(all) == 0 {
		f.failAt(n, "%s is empty: leave it out, or say what it is to hold", what)
	}
	return all
}

// entries gives the keys and values of a mapping whose keys are free.
func (f *file) entries(n *yaml.Node, what string, read func(key string, value *yaml.Node)) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		f.failAt(n, "%s must be a mapping of names to texts", what)
		return
	}
	seen := map[string]bool{}
	for key, value := range pairs(n) {
		if seen[key.Value] {
			f.failAt(key, "%q stands twice in %s", key.Value, what)
			continue
		}
		seen[key.Value] = true
		read(key.Value, value)
	}
}

func (f *file) word(n *yaml.Node, what string) string {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		f.failAt(n, "%s must be a text", what)
		return ""
	}
	return n.Value
}

func (f *file) boolean(n *yaml.Node, what string) bool {
	n = resolve(n)
	var b bool
	if n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
		f.failAt(n, "%s must be true or false, not %q", what, n.Value)
	}
	return b
}

func (f *file) integer(n *yaml.Node, what string, least int) int {
	n = resolve(n)
	i, err := strconv.Atoi(n.Value)
	if err != nil || i < least {
		f.failAt(n, "%s must be a whole number of at least %d, not %q", what, least, n.Value)
	}
	return i
}

func (f *file) duration(n *yaml.Node, what string) time.Duration {
	n = resolve(n)
	d, err := parseDuration(n.Value)
	if err != nil {
		f.failAt(n, "%s: %v", what, err)
	}
	return d
}

// parseDuration reads durations like 30s, 10m, 1h30m, 7d, 2w.
func parseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write a number with a unit, like 30s, 10m, 1h30m, 7d or 2w", s)
	}
	return time.Duration(d), nil
}

// oneOf reads a word of a closed set; "" for any other.
func (f *file) oneOf(n *yaml.Node, what string, known []string) string {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || !slices.Contains(known, n.Value) {
		f.failAt(n, "%s must be one of %s, not %q%s", what, strings.Join(known, ", "), n.Value, didYouMean(n.Value, known))
		return ""
	}
	return n.Value
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// position finds where in the file a character of a scalar's value stands.
// The value is the text without quotes, escapes and folded line ends, so the
// two are walked side by side: each character of the value is looked for
// further on, and white space in the value stands for any run of it.
func (f *file) position(n *yaml.Node, offset int) (line, column int) {
	line, column = n.Line, n.Column
	at := f.offset(line, column)
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		at++
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for at < len(f.text) && f.text[at] != '\n' {
			at++
		}
	}
	for i, r := range []rune(n.Value) {
		if unicode.IsSpace(r) {
			if i == offset {
				break
			}
			for at < len(f.text) && unicode.IsSpace(f.text[at]) {
				at++
			}
			continue
		}
		for at < len(f.text) && f.text[at] != r {
			at++
		}
		if at == len(f.text) {
			return line, column // written as an escape: where the scalar starts
		}
		if i >= offset {
			break
		}
		at++
	}
	return f.lineColumn(at)
}

// offset gives the index in the text of a line and column.
func (f *file) offset(line, column int) int {
	at := 0
	for l := 1; l < line && at < len(f.text); at++ {
		if f.text[at] == '\n' {
			l++
		}
	}
	return min(at+column-1, len(f.text))
}

func (f *file) lineColumn(at int) (line, column int) {
	line, column = 1, 1
	for _, r := range f.text[:min(at, len(f.text))] {
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

func sortErrors(errs FileErrors) {
	slices.SortStableFunc(errs, func(a, b FileError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
