package main

import (
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// isTerminal reports whether the writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
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

// newTable returns a table as all commands draw it, with its head.
func newTable(head ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.AppendHeader(head)
	return t
}
