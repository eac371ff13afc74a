// Package schema reads YAML documents. A Schema describes a value once: the loader
// reads by it, with the line and column of every mistake, and the JSON Schema for
// editors is generated from it.
package schema

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds on a document. A larger one is refused.
const (
	maxFile     = 8 << 20   // bytes of a file
	maxYAML     = 1_000_000 // values of a file, each counted as often as aliases (*name) stand for it
	MaxProblems = 1_000     // reported of a file
)

// Document is a YAML document that is read node by node. It collects all mistakes,
// each with its line and column.
type Document struct {
	Name   string
	data   []byte
	text   []rune
	starts []int // of lines in text; see lineStarts

	Rule     func() string // the name of the rule that is being read, for messages; nil outside of rules
	Problems []FileError
}

// NewDocument returns a document that has not been parsed.
func NewDocument(name string, data []byte) *Document {
	return &Document{Name: name, data: data, text: []rune(string(data))}
}

// Parse returns the root node of the file, or nil after it recorded the error.
func (f *Document) Parse() *yaml.Node {
	data := f.data
	if strings.TrimSpace(string(data)) == "" {
		f.Fail(1, 1, "the file is empty: write at least `version: 1` and `rules:`")
		return nil
	}
	if at, message := f.tooLarge(data); message != "" {
		line, column := f.lineColumn(at)
		f.Fail(line, column, "%s", message)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		f.syntaxError(err)
		return nil
	}
	if expanded(&doc) > maxYAML {
		f.FailAt(doc.Content[0], "the file has more than %d values, each counted as often as an alias (*name) stands for it", maxYAML)
		return nil
	}
	return Resolve(doc.Content[0])
}

func (f *Document) syntaxError(err error) {
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		for _, e := range all.Errors {
			f.Fail(e.Mark.Line, e.Mark.Column, "YAML: %s", e.Message)
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		f.Fail(one.Mark.Line, one.Mark.Column, "YAML: %s", one.Message)
		return
	}
	f.Fail(1, 1, "YAML: %v", err)
}

// Fail records a mistake. Of more than MaxProblems it records only that there are
// more.
func (f *Document) Fail(line, column int, format string, args ...any) {
	switch len(f.Problems) {
	case MaxProblems:
		format, args = "there are more mistakes: mend these first", nil
	case MaxProblems + 1:
		return
	}
	f.Problems = append(f.Problems, f.finding(SeverityError, line, column, format, args...))
}

func (f *Document) finding(severity string, line, column int, format string, args ...any) FileError {
	e := FileError{File: f.Name, Line: max(line, 1), Column: max(column, 1), Severity: severity, Message: fmt.Sprintf(format, args...)}
	if f.Rule != nil {
		e.Rule = f.Rule()
	}
	return e
}

// FailAt records a mistake at a node.
func (f *Document) FailAt(n *yaml.Node, format string, args ...any) {
	f.Fail(n.Line, n.Column, format, args...)
}

// Pairs yields the keys and values of a mapping; none for any other node.
func Pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// Value returns the value of a key of a mapping, or nil.
func Value(n *yaml.Node, key string) *yaml.Node {
	for k, v := range Pairs(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// Has reports whether a mapping has a key.
func Has(n *yaml.Node, key string) bool { return Value(n, key) != nil }

// Resolve returns the node that an alias stands for; any other node unchanged.
func Resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Position finds where in the file a character of a scalar's value stands.
// The value is the text without quotes, escapes and folded line ends, so the
// two are walked side by side: each character of the value is looked for
// further on, and white space in the value stands for any run of it.
func (f *Document) Position(n *yaml.Node, offset int) (line, column int) {
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
func (f *Document) offset(line, column int) int {
	starts := f.lineStarts()
	return min(starts[min(max(line, 1), len(starts))-1]+column-1, len(f.text))
}

func (f *Document) lineColumn(at int) (line, column int) {
	at = min(at, len(f.text))
	line, found := slices.BinarySearch(f.lineStarts(), at)
	if found {
		line++
	}
	return line, at - f.starts[line-1] + 1
}

// lineStarts gives where each line starts in the text, as YAML has lines.
func (f *Document) lineStarts() []int {
	if f.starts == nil {
		f.starts = []int{0}
		for i, r := range f.text {
			isCRLF := r == '\r' && i+1 < len(f.text) && f.text[i+1] == '\n'
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) && !isCRLF {
				f.starts = append(f.starts, i+1)
			}
		}
	}
	return f.starts
}

// Sort sorts errors by file, line and column.
func Sort(errs FileErrors) {
	slices.SortStableFunc(errs, func(a, b FileError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// tooLarge says why a file is not even parsed, and where; "" if it is.
func (f *Document) tooLarge(data []byte) (at int, message string) {
	if len(data) > maxFile {
		return 0, fmt.Sprintf("the file has %d bytes, more than %d: spread the rules over several files of a directory", len(data), maxFile)
	}
	for i := 0; i < len(data); at++ {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return at, "the file is not UTF-8"
		}
		i += size
	}
	return 0, ""
}

// expanded counts a node and all in it, each alias as what it stands for, but
// no further than just beyond maxYAML.
func expanded(root *yaml.Node) int {
	counts := map[*yaml.Node]int{}
	var count func(n *yaml.Node) int
	count = func(n *yaml.Node) int {
		if known, ok := counts[n]; ok {
			return known
		}
		counts[n] = maxYAML + 1 // where it stands in itself, it has no end
		total := 1
		for _, child := range n.Content {
			total = min(total+count(child), maxYAML+1)
		}
		if n.Alias != nil {
			total = min(total+count(n.Alias), maxYAML+1)
		}
		counts[n] = total
		return total
	}
	return count(root)
}

// Place returns the file and line of a node, as FILE:LINE.
func (f *Document) Place(n *yaml.Node) string { return fmt.Sprintf("%s:%d", f.Name, n.Line) }
