package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/rules"
)

func whyCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "say what happened to a job or a pipeline at a running server, and why",
		ArgsUsage: "URL",
		Description: "URL is the address of the job or the pipeline in GitLab, as in the browser. The server tells which deliveries came, what the rules\n" +
			"made of each event, what was decided, deferred, sent to GitLab and answered, who was notified, and what GitLab says now.",
		Flags: append(adminFlags(),
			&cli.BoolFlag{Name: "all", Usage: "print also the events that led to nothing, as was to be expected"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			address := c.Args().First()
			switch {
			case address == "":
				return &usageError{errors.New("why needs the address of a job or a pipeline, such as https://gitlab.example.com/group/project/-/jobs/123")}
			case c.Args().Len() > 1:
				return &usageError{fmt.Errorf("why takes one address, but got %d: quote an address that has a & or a ?", c.Args().Len())}
			}
			var s story.Story
			if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/why?url="+url.QueryEscape(address), nil, &s); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(stdout, s)
			}
			width := min(cmp.Or(widthOf(stdout), lineWidth), maxLineWidth)
			return storyPrinter{newPrinter(stdout), width, c.Bool("all")}.print(stdout, s)
		},
	}
}

// maxRulesShown is how many rules of an event are printed.
const maxRulesShown = 15

// lineWidth is the width of lines where the terminal does not say its own, in columns,
// and maxLineWidth the greatest one, which is easy to read.
const (
	lineWidth    = 80
	maxLineWidth = 100
)

// storyPrinter prints stories for people.
type storyPrinter struct {
	printer
	width int  // of lines, in columns
	all   bool // minor items, too
}

func (p storyPrinter) print(w io.Writer, s story.Story) error {
	var b strings.Builder
	b.WriteString(p.bold(p.wrap(s.Answer, "")) + "\n")
	for _, note := range s.Notes {
		b.WriteString(p.yellow(p.wrap("! "+note, "  ")) + "\n")
	}
	b.WriteString("\n" + p.wrap(subjectLine(s), "  ") + "\n")
	if s.URL != "" {
		b.WriteString(p.dim(printable(s.URL)) + "\n")
	}
	p.rules(&b, s)
	p.timeline(&b, s.Timeline)
	p.list(&b, "What to do", s.Next)
	p.list(&b, "What could not be read", s.Problems)
	_, err := io.WriteString(w, b.String())
	return err
}

// subjectLine names the job or the pipeline, and its status.
func subjectLine(s story.Story) string {
	what, of := "pipeline", s.Pipeline
	if s.Job.ID != 0 {
		what, of = "job", s.Job
	}
	line := strings.TrimSpace(fmt.Sprintf("%s %d %s", what, of.ID, of.Name)) + " of " + s.Project
	if of.Ref != "" {
		line += " on " + of.Ref
	}
	if of.Status == "" {
		return line
	}
	line += ": " + of.Status
	if of.FailureReason != "" && of.Status == "failed" {
		line += " (" + of.FailureReason + ")"
	}
	if s.Job.ID != 0 && s.Pipeline.ID != 0 {
		line += fmt.Sprintf(", in pipeline %d", s.Pipeline.ID)
		if s.Pipeline.Status != "" {
			line += ", which is " + s.Pipeline.Status
		}
	}
	return line
}

func (p storyPrinter) heading(b *strings.Builder, title string) {
	b.WriteString("\n" + p.bold(title) + "\n")
}

// rules prints what each rule made of the last event.
func (p storyPrinter) rules(b *strings.Builder, s story.Story) {
	if len(s.Rules) == 0 {
		return
	}
	p.heading(b, p.wrap("What the rules made of "+s.Of, "  "))
	for i, r := range s.Rules {
		if i == maxRulesShown {
			fmt.Fprintf(b, "  %s and %d more: --json lists them\n", p.dim("·"), len(s.Rules)-i)
			break
		}
		mark := p.dim("·")
		switch r.Result {
		case rules.VerdictMatched:
			mark = p.green("✓")
		case rules.VerdictNotMatched:
			mark = p.red("✗")
		case rules.VerdictFailed:
			mark = p.red("!")
		}
		place := ""
		if r.File != "" {
			place = fmt.Sprintf("  (%s:%d)", path.Base(r.File), r.Line)
		}
		b.WriteString("  " + mark + " " + strings.TrimPrefix(p.wrap("    "+r.Rule+" "+r.Text+place, "      "), "    ") + "\n")
	}
}

// timeline prints what happened, with a line for each day.
func (p storyPrinter) timeline(b *strings.Builder, items []story.Item) {
	if len(items) == 0 {
		return
	}
	p.heading(b, "What happened (UTC)")
	day, minor := "", 0
	for _, item := range items {
		if item.Minor && !p.all {
			minor++
			continue
		}
		if d := item.At.UTC().Format(time.DateOnly); d != day {
			day = d
			b.WriteString("  " + p.dim(day) + "\n")
		}
		const indent = "            "
		line := strings.TrimPrefix(p.wrap(indent+item.Text, indent), indent)
		if item.Failed {
			line = p.red(line)
		}
		fmt.Fprintf(b, "  %s  %s\n", item.At.UTC().Format(time.TimeOnly), line)
	}
	if minor > 0 {
		b.WriteString(p.dim(p.wrap(fmt.Sprintf("  and %s that led to nothing, as was to be expected: --all prints them", english.Plural(minor, "event", "")), "  ")) + "\n")
	}
}

func (p storyPrinter) list(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.heading(b, title)
	for _, line := range lines {
		b.WriteString(p.wrap("  - "+line, "    ") + "\n")
	}
}

// wrap breaks a line, and indents all of the lines but the first one. A word that is
// longer, such as an address, is not broken. Names in it, such as a job's, can't steer the
// terminal.
func (p storyPrinter) wrap(line, indent string) string {
	line = printable(line)
	var b strings.Builder
	lead := line[:len(line)-len(strings.TrimLeft(line, " "))]
	width := 0
	for i, word := range strings.Fields(line) {
		n := text.StringWidthWithoutEscSequences(word)
		switch {
		case i == 0:
			b.WriteString(lead)
			width = len(lead)
		case width+1+n > p.width:
			b.WriteString("\n" + indent)
			width = len(indent)
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}
