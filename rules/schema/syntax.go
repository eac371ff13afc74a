package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntaxError records the errors of the YAML parser, which ends at the first one
// that it can't get over.
func (d *Document) syntaxError(err error) {
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		for _, e := range all.Errors {
			d.syntax(e.Mark.Line, e.Mark.Column, e.Message)
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		d.syntax(one.Mark.Line, one.Mark.Column, one.Message)
		return
	}
	d.syntax(1, 1, err.Error())
}

// syntax records an error of the YAML parser, and what to write instead.
func (d *Document) syntax(line, column int, message string) {
	for _, hint := range []func(line, column int, message string) (int, int, string){
		d.documents, d.tab, d.reserved, d.comment, d.quotedStart, d.missingSpace, d.colonInValue, d.indentation, d.open,
	} {
		if l, c, text := hint(line, column, message); text != "" {
			d.Fail(l, c, "%s", text)
			return
		}
	}
	d.Fail(line, column, "YAML: %s", message)
}

// keyed matches a line with a key, and the value behind it.
var keyed = regexp.MustCompile(`^(\s*(?:- +)*)([\w.-]+):\s+(\S.*)$`)

// documents finds the line between two documents.
func (d *Document) documents(_, _ int, message string) (int, int, string) {
	if !strings.Contains(message, "single document") {
		return 0, 0, ""
	}
	last := 1
	for at := 2; at <= len(d.lineStarts()); at++ {
		if strings.HasPrefix(d.line(at), "---") {
			last = at
			break
		}
	}
	return last, 1, "a file is one YAML document: put what is behind the --- into a file of its own, or remove the ---"
}

// tab finds a tab in the indentation.
func (d *Document) tab(line, _ int, message string) (int, int, string) {
	if !strings.Contains(message, "cannot start any token") && !strings.Contains(message, "tab") {
		return 0, 0, ""
	}
	text := d.line(line)
	indentation := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	at := strings.IndexByte(indentation, '\t')
	if at < 0 {
		return 0, 0, ""
	}
	return line, at + 1, "this line is indented by a tab: YAML is indented by spaces only"
}

// reserved finds a value that begins with a character of YAML's own.
func (d *Document) reserved(line, column int, message string) (int, int, string) {
	switch {
	case strings.Contains(message, "alphabetic or numeric"): // after * or &
		column--
	case strings.Contains(message, "cannot start any token"), strings.Contains(message, "unknown anchor"):
	case strings.Contains(message, "expected comment or line break"): // after > or |
		column--
	default:
		return 0, 0, ""
	}
	text := []rune(d.line(line))
	if column < 1 || column > len(text) {
		return 0, 0, ""
	}
	return line, column, fmt.Sprintf("in YAML a value can't begin with %c: write it in quotes, like %s", text[column-1], d.inQuotes(line, column))
}

// inQuotes returns the value at a place in quotes, up to the end of the line or of
// the list that it stands in.
func (d *Document) inQuotes(line, column int) string {
	text := []rune(d.line(line))
	value := strings.TrimSpace(string(text[column-1:]))
	if before := string(text[:column-1]); strings.Count(before, "[") > strings.Count(before, "]") {
		value, _, _ = strings.Cut(value, "]")
		value, _, _ = strings.Cut(value, ",")
	}
	return quoted(value)
}

// quoted returns a value as a YAML text in quotes.
func quoted(value string) string {
	if strings.ContainsAny(value, `"\\`) {
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return `"` + value + `"`
}

// comment finds a # in a list or mapping between brackets, which begins a comment.
func (d *Document) comment(line, _ int, message string) (int, int, string) {
	if !strings.Contains(message, "',' or '") {
		return 0, 0, ""
	}
	for at := line; at > 0 && at > line-20; at-- {
		text := d.line(at)
		open := strings.LastIndexAny(text, "{[")
		hash := strings.Index(text, " #")
		if open >= 0 && hash > open {
			value := strings.TrimRight(text[hash+1:], " ]}")
			return at, len([]rune(text[:hash+1])) + 1, fmt.Sprintf("in YAML a # after a space begins a comment, so write it in quotes: %q", value)
		}
	}
	return 0, 0, ""
}

// quotedStart finds a value that begins with a text in quotes, a list or {{, and goes
// on after it.
func (d *Document) quotedStart(line, column int, message string) (int, int, string) {
	m := keyed.FindStringSubmatchIndex(d.line(line))
	if m == nil || !strings.Contains(message, "expected key") {
		return 0, 0, ""
	}
	text := d.line(line)
	value, at := text[m[6]:], len([]rune(text[:m[6]]))+1
	if column <= at || !strings.ContainsAny(value[:1], `"'[{`) {
		return 0, 0, ""
	}
	if end := strings.LastIndexByte(value, value[0]); end > 0 && strings.ContainsAny(value[:1], `"'`) && strings.Count(value, value[:1]) == 2 && strings.TrimSpace(value[end+1:]) == "" {
		return 0, 0, "" // nothing is behind it
	}
	return line, at, fmt.Sprintf("in YAML a value ends where the %s that it begins with is closed: write all of it in quotes, like %s: %s", closes[value[0]], text[m[4]:m[5]], quoted(value))
}

// closes names what a value begins with.
var closes = map[byte]string{'"': "quotation mark", '\'': "quotation mark", '[': "[", '{': "{"}

// noSpace matches a line whose colon or dash lacks the space after it.
var noSpace = regexp.MustCompile(`^(\s*(?:- +)*)(?:-[\w]+:|[\w-]+:[^\s/])`)

// missingSpace finds a key without a space after its colon, or a - without one, at
// or above the line at which the parser gave up.
func (d *Document) missingSpace(line, _ int, message string) (int, int, string) {
	if !strings.Contains(message, "mapping values") && !strings.Contains(message, "expected ':'") {
		return 0, 0, ""
	}
	for at := line; at > 0 && at >= line-1; at-- {
		text := d.line(at)
		if strings.ContainsRune(text, '\u00a0') {
			return at, len([]rune(text[:strings.IndexRune(text, '\u00a0')])) + 1, "there is a no-break space here: write an ordinary one"
		}
		m := noSpace.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		rest := text[len(m[1]):]
		if strings.HasPrefix(rest, "-") {
			return at, len(m[1]) + 1, "a list entry needs a space after its -: write - " + rest[1:]
		}
		colon := strings.IndexByte(rest, ':')
		return at, len(m[1]) + colon + 1, "a key needs a space after its colon: write " + rest[:colon+1] + " " + rest[colon+1:]
	}
	return 0, 0, ""
}

// colonInValue finds a value that contains a colon and a space.
func (d *Document) colonInValue(line, column int, message string) (int, int, string) {
	text := d.line(line)
	m := keyed.FindStringSubmatchIndex(text)
	if m == nil || !strings.Contains(message, "mapping values") || column <= len([]rune(text[:m[6]])) {
		return 0, 0, ""
	}
	return line, column, fmt.Sprintf("in YAML a colon with a space after it makes a mapping: write all of the value in quotes, or after `%s: |` on a line of its own", text[m[4]:m[5]])
}

// keyOf matches a line with the first key of a list entry, or with a key.
var keyOf = regexp.MustCompile(`^(\s*(?:- +)*)[\w.-]+:(\s|$)`)

// indentation finds a key that does not stand below the one before it.
func (d *Document) indentation(line, _ int, message string) (int, int, string) {
	here := keyOf.FindStringSubmatch(d.line(line))
	switch {
	case strings.Contains(message, "expected ':'"), strings.Contains(message, "'-' indicator"), strings.Contains(message, "mapping values"), strings.Contains(message, "expected key"):
	case strings.Contains(message, "<document start>") && strings.HasPrefix(d.line(1), " "):
		return 1, 1, "the first line is indented, and the others are not: the keys of the file begin in column 1"
	default:
		return 0, 0, ""
	}
	for at := line - 1; at > 0; at-- {
		text := d.line(at)
		if block.MatchString(text) && indent(d.line(at+1)) <= indent(text) {
			return at + 1, indent(d.line(at+1)) + 1, "the text after > or | must be indented more than its key"
		}
		before := keyOf.FindStringSubmatch(text)
		if here == nil || before == nil {
			continue
		}
		if own, wanted := len(here[1])+1, len(before[1])+1; own != wanted {
			return line, own, fmt.Sprintf("this key begins in column %d, and the one before it, in line %d, in column %d: keys of one mapping stand below one another", own, at, wanted)
		}
		return 0, 0, ""
	}
	return 0, 0, ""
}

// block matches a key whose value is a text on the lines after it.
var block = regexp.MustCompile(`:\s+[>|][+-]?\s*$`)

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// open describes brackets and quotation marks that are not closed.
func (d *Document) open(line, column int, message string) (int, int, string) {
	switch {
	case strings.Contains(message, "',' or '}'"):
		return line, column, "a { that was opened before is not closed, or a comma is missing"
	case strings.Contains(message, "',' or ']'"):
		return line, column, "a [ that was opened before is not closed, or a comma is missing"
	case strings.Contains(message, "unexpected end of stream"):
		return line, column, "a quotation mark that was opened before is not closed"
	case strings.Contains(message, "expected key"):
		return line, column, "YAML expects a key here: a quotation mark or a bracket before it is not closed, or the line is not indented like the ones before it"
	}
	return 0, 0, ""
}
