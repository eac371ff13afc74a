// Package wrap breaks text into lines that fit a terminal.
package wrap

import (
	"cmp"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

const (
	// DefaultWidth is the width of lines where no terminal says its own, in columns.
	DefaultWidth = 80
	// maxWidth is the greatest width that is easy to read, in columns.
	maxWidth = 100
)

// Columns returns how many columns the terminal has that a writer is; 0 if it is none, or
// does not tell.
func Columns(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// Width returns how many columns lines of prose have at most on a writer.
func Width(w io.Writer) int { return min(cmp.Or(Columns(w), DefaultWidth), maxWidth) }

// Text breaks the lines of s between words, so that none has more than width columns; 0:
// any number. The first line begins at the column first, behind what its caller prints;
// spaces indent all others. A word that is too long, such as an id or an address, is not
// broken, nor is a text in backticks, which is a command. Empty lines are left out.
func Text(s string, width, first, indent int) string {
	var b strings.Builder
	column := first
	for line := range strings.SplitSeq(s, "\n") {
		begin := true
		for _, w := range wordsOf(line) {
			n := text.StringWidthWithoutEscSequences(w.text)
			switch {
			case begin && b.Len() == 0:
			case begin, width > 0 && column+w.spaces+n > width && column > indent:
				b.WriteString("\n" + strings.Repeat(" ", indent))
				column = indent
				if !begin {
					w.spaces = 0
				}
			}
			b.WriteString(strings.Repeat(" ", w.spaces) + w.text)
			column += w.spaces + n
			begin = false
		}
	}
	return b.String()
}

// word is a word with the number of spaces in front of it.
type word struct {
	spaces int
	text   string
}

// wordsOf returns the words of a line; one with a backtick ends with that which closes it.
func wordsOf(line string) (words []word) {
	spaces, open := 0, false
	for part := range strings.SplitSeq(line, " ") {
		switch {
		case open:
			words[len(words)-1].text += " " + part
		case part == "":
			spaces++
			continue
		default:
			words = append(words, word{spaces, part})
		}
		spaces = 1
		if strings.Count(part, "`")%2 == 1 {
			open = !open
		}
	}
	return words
}
