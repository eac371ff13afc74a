package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

const (
	// helpIndent is the indent of all that stands below a heading of the help, in columns.
	helpIndent = 3
	// usageColumn is the column in which the descriptions of flags begin.
	usageColumn = 28
)

// printHelp prints the help of a command, in lines that fit the terminal.
func printHelp(c *cli.Command) error {
	out := c.Root().Writer
	h := help{width: wrap.Width(out)}
	h.heading("NAME")
	h.paragraph(c.FullName() + " - " + c.Usage)
	h.heading("USAGE")
	h.paragraph(usageOf(c))
	if c.Description != "" {
		h.heading("DESCRIPTION")
		h.description(c.Description)
	}
	if below := c.VisibleCommands(); len(below) > 0 {
		h.heading("COMMANDS")
		column := 0
		for _, b := range below {
			column = max(column, helpIndent+len(b.Name)+2)
		}
		for _, b := range below {
			h.item(b.Name, b.Usage, column)
		}
		h.paragraph("")
		h.paragraph("`" + c.FullName() + " COMMAND --help` describes a command.")
	}
	h.heading("OPTIONS")
	for _, f := range c.VisibleFlags() {
		names, usage := flagHelp(f)
		h.item(names, usage, usageColumn)
	}
	h.item("--help, -h", "show this help", usageColumn)
	_, err := io.WriteString(out, strings.TrimPrefix(h.b.String(), "\n"))
	return err
}

// flagHelp returns how a flag is written, and what it means.
func flagHelp(f cli.Flag) (names, usage string) {
	names, usage, _ = strings.Cut(f.String(), "\t")
	names, _, _ = strings.Cut(names, " [ ") // what can be repeated says so
	return names, usage
}

// usageOf returns how a command is written.
func usageOf(c *cli.Command) string {
	if len(c.Commands) > 0 {
		return c.FullName() + " COMMAND [options]"
	}
	return strings.TrimSpace(c.FullName() + " [options] " + c.ArgsUsage)
}

// help is the text of a help.
type help struct {
	b     strings.Builder
	width int // of lines, in columns
}

func (h *help) heading(title string) { fmt.Fprintf(&h.b, "\n%s:\n", title) }

func (h *help) paragraph(text string) {
	if text = wrap.Text(text, h.width, helpIndent, helpIndent); text != "" {
		text = strings.Repeat(" ", helpIndent) + text
	}
	h.b.WriteString(text + "\n")
}

// description prints paragraphs, between which there are empty lines. Indented lines are
// not wrapped: they are examples.
func (h *help) description(description string) {
	var lines []string
	flush := func() {
		if len(lines) > 0 {
			h.paragraph(strings.Join(lines, " "))
		}
		lines = nil
	}
	for line := range strings.SplitSeq(description, "\n") {
		switch {
		case line == "":
			flush()
			h.b.WriteString("\n")
		case strings.HasPrefix(line, " "):
			flush()
			fmt.Fprintf(&h.b, "%*s%s\n", helpIndent, "", line)
		default:
			lines = append(lines, line)
		}
	}
	flush()
}

// item prints a name and, from a column on, what it means.
func (h *help) item(name, meaning string, column int) {
	fmt.Fprintf(&h.b, "%*s%s", helpIndent, "", name)
	if at := helpIndent + text.StringWidthWithoutEscSequences(name); at+2 <= column {
		h.b.WriteString(strings.Repeat(" ", column-at))
	} else {
		fmt.Fprintf(&h.b, "\n%*s", column, "")
	}
	h.b.WriteString(wrap.Text(meaning, h.width, column, column) + "\n")
}
