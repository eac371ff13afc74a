package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

const (
	// leastLastColumn is how wide the last column of a table is at least, in columns of
	// the terminal, unless all of it is shorter: below that, rows are paragraphs.
	leastLastColumn = 32
	// indent is the indent of all lines of a paragraph but the first, in columns.
	indent = 4
)

// timeText returns a time as all commands print it: in UTC, as in logs and in the texts of
// the server, and so that a flag such as --since takes it.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// itemPrinter prints items, such as decisions: a list of them, or those that are followed
// one by one.
type itemPrinter struct {
	w      io.Writer
	colour printer
	width  int // of the terminal, in columns; 0: it is none
	json   bool
}

func newItemPrinter(w io.Writer, json bool) itemPrinter {
	return itemPrinter{w, newPrinter(w), wrap.Columns(w), json}
}

// all prints items: as JSON, or as the listing has them; none is what is printed without
// any.
func (p itemPrinter) all(items any, l listing, none string) error {
	if p.json {
		return printJSON(p.w, items)
	}
	text := none
	if len(l.rows) > 0 {
		text = l.render(p.width)
	}
	_, err := fmt.Fprintln(p.w, text)
	return err
}

// one prints one item, on one line where that is read by a program: as JSON, or the lines
// of its paragraph.
func (p itemPrinter) one(item any, lines []string) error {
	if p.json {
		return writeJSON(p.w, item, "")
	}
	if p.width == 0 {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
		lines = []string{strings.ReplaceAll(strings.Join(lines, ": "), "\n", ", ")}
	}
	_, err := fmt.Fprintln(p.w, paragraph(lines, p.width))
	return err
}

// listing is a list that is printed as a table where the terminal is wide enough, and
// else as a paragraph for each item.
type listing struct {
	head []any
	rows []row
}

// row is one item: its cells, of which the last one may be long, and its lines as a
// paragraph.
type row struct {
	cells     []any
	paragraph []string
}

// render returns the list for a terminal of a width, in columns; 0: for anything that is
// no terminal, where lines may be long.
func (l listing) render(width int) string {
	last := len(l.head) - 1
	t := newTable(l.head...)
	for _, r := range l.rows {
		t.AppendRow(r.cells)
	}
	if width == 0 {
		return t.Render()
	}
	const borders, border = 3, 1 // of each cell, and the last one
	others := border
	for i := range last {
		others += l.widest(i) + borders
	}
	if left := width - others - borders; left >= min(l.widest(last), max(leastLastColumn, l.longestWord())) {
		t.SetColumnConfigs([]table.ColumnConfig{{Number: last + 1, WidthMax: left, WidthMaxEnforcer: text.WrapSoft}})
		return t.Render()
	}
	paragraphs := make([]string, len(l.rows))
	for i, r := range l.rows {
		paragraphs[i] = paragraph(r.paragraph, width)
	}
	return strings.Join(paragraphs, "\n")
}

// widest returns the width of a column.
func (l listing) widest(column int) int {
	most := text.StringWidthWithoutEscSequences(toText(l.head[column]))
	for _, r := range l.rows {
		most = max(most, text.LongestLineLen(toText(r.cells[column])))
	}
	return most
}

// longestWord returns the width of the longest word of the last column.
func (l listing) longestWord() (width int) {
	for _, r := range l.rows {
		width = max(width, longestWord(toText(r.cells[len(r.cells)-1])))
	}
	return width
}

// longestWord returns the width of the longest word: words, such as ids, are not broken.
func longestWord(s string) (width int) {
	for word := range strings.FieldsSeq(s) {
		width = max(width, text.StringWidthWithoutEscSequences(word))
	}
	return width
}

// toText returns the text of a cell.
func toText(cell any) string {
	s, _ := cell.(string)
	return s
}

// paragraph returns the lines of an item, of at most width columns; 0: any number. All
// but the first are indented.
func paragraph(lines []string, width int) string {
	return wrap.Text(strings.Join(lines, "\n"), width, 0, indent)
}
