package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
)

func manCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page, with all commands and flags",
		Description: "Read it, or install it where man looks for pages:\n\n" +
			"   pipesteward man | man -l -\n" +
			"   pipesteward man > /usr/local/share/man/man1/pipesteward.1",
		Action: func(_ context.Context, c *cli.Command) error {
			_, err := io.WriteString(stdout, manualOf(c.Root(), thisBuild()))
			return err
		},
	}
}

// manualOf returns the manual page of the program in man(7), the markup of roff, from the
// same commands and flags as the help.
func manualOf(root *cli.Command, built build) string {
	day, _, _ := strings.Cut(built.date, "T")
	var m manual
	fmt.Fprintf(&m.b, ".TH %s 1 %q %q %q\n", strings.ToUpper(root.Name), day, root.Name+" "+built.version, "User Commands")
	m.macro("SH", "NAME")
	m.line(root.Name + " - " + root.Usage)
	m.macro("SH", "SYNOPSIS")
	m.line(usageOf(root))
	m.macro("SH", "DESCRIPTION")
	m.description(root.Description)
	m.macro("SH", "OPTIONS")
	m.flags(root)
	m.macro("SH", "COMMANDS")
	m.commands(root)
	m.macro("SH", "SEE ALSO")
	m.line("https://github.com/pipesteward/pipesteward")
	return m.b.String()
}

// manual is the text of a manual page.
type manual struct{ b strings.Builder }

// roffText writes characters that roff would read as markup or print as typographic ones.
var roffText = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, `"`, `\(dq`)

// macro prints a macro with its arguments.
func (m *manual) macro(name string, args ...string) {
	m.b.WriteString("." + name)
	for _, arg := range args {
		fmt.Fprintf(&m.b, ` "%s"`, roffText.Replace(arg))
	}
	m.b.WriteByte('\n')
}

// line prints a line of text.
func (m *manual) line(text string) {
	text = roffText.Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text // or it would be a macro
	}
	m.b.WriteString(text + "\n")
}

// commands prints the commands below c, at any depth.
func (m *manual) commands(c *cli.Command) {
	for _, below := range c.VisibleCommands() {
		m.macro("SS", usageOf(below))
		m.line(strings.ToUpper(below.Usage[:1]) + below.Usage[1:] + ".")
		if below.Description != "" {
			m.macro("PP")
			m.description(below.Description)
		}
		m.flags(below)
		m.commands(below)
	}
}

// description prints paragraphs, between which there are empty lines; indented lines are
// examples.
func (m *manual) description(description string) {
	example := false
	for line := range strings.SplitSeq(description, "\n") {
		indented := strings.HasPrefix(line, " ")
		switch {
		case indented && !example:
			m.macro("RS", "4")
			m.macro("EX")
		case !indented && example:
			m.macro("EE")
			m.macro("RE")
		}
		example = indented
		switch {
		case line == "":
			m.macro("PP")
		case indented:
			m.line(strings.TrimPrefix(line, "   "))
		default:
			m.line(line)
		}
	}
	if example {
		m.macro("EE")
		m.macro("RE")
	}
}

// flags prints the flags of a command.
func (m *manual) flags(c *cli.Command) {
	for _, f := range c.VisibleFlags() {
		names, usage := flagHelp(f)
		m.macro("TP")
		m.line(names)
		m.line(usage)
	}
}
