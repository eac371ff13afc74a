package schema

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// CommentHint returns the end of an error message about a value that is missing
// because YAML takes its # for the beginning of a comment; "" for any other value.
func (d *Document) CommentHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!null" || n.Value != "" {
		return ""
	}
	line := d.line(n.Line)
	if at := strings.Index(line, " #"); at >= 0 && strings.TrimSpace(line[at+2:]) != "" {
		text := strings.TrimSpace(line[at+1:])
		text, _, _ = strings.Cut(text, "}")
		return fmt.Sprintf(": in YAML a # after a space begins a comment, so write it in quotes: %q", text)
	}
	return ""
}

// TextHint returns the end of an error message about a value that is no text.
func (d *Document) TextHint(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode && d.Begins(n, "{{"):
		return ": in YAML a { begins a mapping, so write the text in quotes, like \"{{ job.name }} failed\""
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0:
		return ": in YAML `: ` makes a mapping, so write the text in quotes"
	case n.Kind == yaml.SequenceNode:
		return ", not a list"
	}
	return d.CommentHint(n)
}

// listHint returns the end of an error message about a value that is no list.
func listHint(d *Document, n *yaml.Node, what string) string {
	switch {
	case IsText(n) && n.Value != "" && !strings.ContainsAny(n.Value, "\n:{}[]#,*&!"):
		return fmt.Sprintf(", like `%s: [%s]`", what, n.Value)
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
		return ": write it between [ and ]"
	case n.Kind == yaml.MappingNode:
		return ": begin each entry with `- `"
	}
	return " (lines that start with `- `)" + d.CommentHint(n)
}

// boolHint returns the end of an error message about a value that is neither true nor
// false.
func boolHint(n *yaml.Node) string {
	switch strings.ToLower(n.Value) {
	case "yes", "on", "y":
		return ": write true"
	case "no", "off", "n":
		return ": write false"
	case "true", "false":
		return ": write it without quotes, in small letters"
	}
	return ""
}

// line returns a line of the file.
func (d *Document) line(number int) string {
	starts := d.lineStarts()
	if number < 1 || number > len(starts) {
		return ""
	}
	end := len(d.text)
	if number < len(starts) {
		end = starts[number]
	}
	return strings.TrimRight(string(d.text[starts[number-1]:end]), "\r\n")
}

// Begins reports whether the text of a node in the file begins with a prefix.
func (d *Document) Begins(n *yaml.Node, prefix string) bool {
	line := []rune(d.line(n.Line))
	return strings.HasPrefix(string(line[min(max(n.Column-1, 0), len(line)):]), prefix)
}
