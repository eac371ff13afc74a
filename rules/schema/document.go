// Package schema reads YAML documents. A Schema describes a value once: the
// loader reads the value by it and reports every mistake with line and column,
// and the JSON Schema for editors is generated from it.
package schema

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits on a document. A larger document is an error.
const (
	maxFile     = 8 << 20   // bytes of a file
	maxYAML     = 1_000_000 // values of a file, counted after the expansion of aliases (*name)
	MaxProblems = 1_000     // mistakes that are reported for a file
)

// Document is a YAML document that is read node by node. It collects all
// mistakes, each with its line and column.
type Document struct {
	Name   string
	data   []byte
	text   []rune
	shown  []rune // the text without secrets; see masked
	starts []int  // indexes in text at which lines start; see lineStarts

	Rule     func() string // returns the name of the current rule, for messages; nil outside of rules
	Problems []FileError
}

// NewDocument returns a document that has not been parsed yet.
func NewDocument(name string, data []byte) *Document {
	return &Document{Name: name, data: data, text: []rune(string(data))}
}

// Parse returns the root node of the file. It records the errors and returns
// nil if the file can't be parsed.
func (d *Document) Parse() *yaml.Node {
	data := d.data
	if strings.TrimSpace(string(data)) == "" {
		d.Fail(1, 1, "the file is empty: write at least `version: 1` and `rules:`")
		return nil
	}
	if at, message := d.tooLarge(data); message != "" {
		line, column := d.lineColumn(at)
		d.Fail(line, column, "%s", message)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		d.syntaxError(err)
		return nil
	}
	if expanded(&doc) > maxYAML {
		d.FailAt(doc.Content[0], "the file has more than %d values, counted after the expansion of aliases (*name)", maxYAML)
		return nil
	}
	return Resolve(doc.Content[0])
}

// Fail records a mistake. After MaxProblems mistakes it records only that
// there are more.
func (d *Document) Fail(line, column int, format string, args ...any) {
	switch len(d.Problems) {
	case MaxProblems:
		format, args = "there are more mistakes: mend these first", nil
	case MaxProblems + 1:
		return
	}
	d.Problems = append(d.Problems, d.finding(SeverityError, line, column, format, args...))
}

func (d *Document) finding(severity string, line, column int, format string, args ...any) FileError {
	e := FileError{File: d.Name, Line: max(line, 1), Column: max(column, 1), Severity: severity, Message: d.masked(line, fmt.Sprintf(format, args...))}
	if d.Rule != nil {
		e.Rule = d.Rule()
	}
	return e
}

// FailAt records a mistake at a node.
func (d *Document) FailAt(n *yaml.Node, format string, args ...any) {
	d.Fail(n.Line, n.Column, format, args...)
}

// Pairs yields the keys and values of a mapping. It yields nothing for any
// other node.
func Pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// Value returns the value of a key of a mapping; nil if there is none.
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

// Resolve returns the node that an alias refers to. It returns any other node
// unchanged.
func Resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Position returns the line and column of a character of a scalar's value. The
// value is the text of the file without quotes, escapes and folded line ends.
// So both are scanned in parallel: each character of the value is searched for
// from the current position on, and white space in the value matches any
// sequence of white space.
func (d *Document) Position(n *yaml.Node, offset int) (line, column int) {
	line, column = n.Line, n.Column
	at := d.offset(line, column)
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		at++
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for at < len(d.text) && d.text[at] != '\n' {
			at++
		}
	}
	for i, r := range []rune(n.Value) {
		if unicode.IsSpace(r) {
			if i == offset {
				break
			}
			for at < len(d.text) && unicode.IsSpace(d.text[at]) {
				at++
			}
			continue
		}
		for at < len(d.text) && d.text[at] != r {
			at++
		}
		if at == len(d.text) {
			return line, column // the character is escaped: return the start of the scalar
		}
		if i >= offset {
			break
		}
		at++
	}
	return d.lineColumn(at)
}

// offset returns the index in the text of a line and column.
func (d *Document) offset(line, column int) int {
	starts := d.lineStarts()
	return min(starts[min(max(line, 1), len(starts))-1]+column-1, len(d.text))
}

func (d *Document) lineColumn(at int) (line, column int) {
	at = min(at, len(d.text))
	line, found := slices.BinarySearch(d.lineStarts(), at)
	if found {
		line++
	}
	return line, at - d.starts[line-1] + 1
}

// lineStarts returns the index in the text at which each line starts, by
// YAML's line breaks.
func (d *Document) lineStarts() []int {
	if d.starts == nil {
		d.starts = []int{0}
		for i, r := range d.text {
			isCRLF := r == '\r' && i+1 < len(d.text) && d.text[i+1] == '\n'
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) && !isCRLF {
				d.starts = append(d.starts, i+1)
			}
		}
	}
	return d.starts
}

// Sort sorts errors by file, line and column.
func Sort(errs FileErrors) {
	slices.SortStableFunc(errs, func(a, b FileError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// tooLarge returns the position, in characters, and the message of an error
// that prevents parsing; "" if there is none.
func (d *Document) tooLarge(data []byte) (at int, message string) {
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

// expanded returns the number of nodes in a tree after the expansion of
// aliases. It stops counting just above maxYAML.
func expanded(root *yaml.Node) int {
	counts := map[*yaml.Node]int{}
	var count func(n *yaml.Node) int
	count = func(n *yaml.Node) int {
		if known, ok := counts[n]; ok {
			return known
		}
		counts[n] = maxYAML + 1 // a node that contains itself is infinite
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

// Place returns the file and line of a node as FILE:LINE.
func (d *Document) Place(n *yaml.Node) string { return fmt.Sprintf("%s:%d", d.Name, n.Line) }
