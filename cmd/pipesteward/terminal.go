package main

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules/event"
)

// isTerminal reports whether the writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return false
	}
	return term.IsTerminal(int(f.Fd()))
}

// printer colours words on a terminal, unless NO_COLOR is set
// (https://no-color.org).
type printer struct{ colour bool }

func newPrinter(w io.Writer) printer {
	return printer{isTerminal(w) && os.Getenv("NO_COLOR") == ""}
}

func (p printer) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p printer) bold(text string) string   { return p.paint("1", text) }
func (p printer) dim(text string) string    { return p.paint("2", text) }
func (p printer) red(text string) string    { return p.paint("31", text) }
func (p printer) green(text string) string  { return p.paint("32", text) }
func (p printer) yellow(text string) string { return p.paint("33", text) }

// printable returns a text of somebody else for a terminal: in one line, and with a question
// mark for each character that would steer the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case event.IsControl(r), r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
}

// printableLines is printable for a text of several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// wrapped breaks the lines of a text that have more than width columns; what goes on below
// is indented more than the line.
func wrapped(lines string, width int) string {
	all := strings.Split(lines, "\n")
	for i, line := range all {
		if text.StringWidthWithoutEscSequences(line) > width {
			all[i] = wrap.Text(line, width, 0, len(line)-len(strings.TrimLeft(line, " "))+2)
		}
	}
	return strings.Join(all, "\n")
}

// newTable returns a table as all commands draw it, with its head.
func newTable(head ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.AppendHeader(head)
	return t
}
