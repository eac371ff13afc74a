package main

import (
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
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules"
)

func whyCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "say what happened to a job or a pipeline at a running server, and why",
		ArgsUsage: "URL",
		Description: "URL is the address of the job or the pipeline in GitLab, as in the browser. The server answers which deliveries\n" +
			"came, what the rules made of each event, what was decided, deferred and sent to GitLab, who was notified, and\n" +
			"what GitLab says of the job now.",
		Flags: append(adminFlags(),
			&cli.BoolFlag{Name: "all", Usage: "print also the events that led to nothing, as expected"},
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
			return storyPrinter{newPrinter(stdout), wrap.Width(stdout), c.Bool("all")}.print(stdout, s)
		},
	}
}

// maxRulesShown is how many rules of an event are printed.
const maxRulesShown = 15

// storyPrinter prints stories for people.
type storyPrinter struct {
	printer
	width int  // of lines, in columns
	all   bool // minor items, too
}

func (p storyPrinter) print(w io.Writer, s story.Story) error {
	var b strings.Builder
	b.WriteString(p.bold(wrap.Text(printable(s.Answer), p.width, 0, 0)) + "\n")
	for _, note := range s.Notes {
		p.item(&b, "! ", note, p.yellow)
	}
	b.WriteString("\n" + wrap.Text(printable(subjectLine(s)), p.width, 0, 2) + "\n")
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
	p.heading(b, wrap.Text(printable("What the rules made of "+s.Of), p.width, 0, 2))
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
		b.WriteString("  " + mark + " " + wrap.Text(printable(r.Rule+" "+r.Text+place), p.width, 4, 6) + "\n")
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
		const indent = 12
		line := wrap.Text(printable(item.Text), p.width, indent, indent)
		if item.Failed {
			line = p.red(line)
		}
		fmt.Fprintf(b, "  %s  %s\n", item.At.UTC().Format(time.TimeOnly), line)
	}
	if minor > 0 {
		b.WriteString(p.dim(wrap.Text(fmt.Sprintf("  and %s that led to nothing, as expected: --all prints them", english.Plural(minor, "event", "")), p.width, 0, 2)) + "\n")
	}
}

func (p storyPrinter) list(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.heading(b, title)
	for _, line := range lines {
		p.item(b, "  - ", line, func(text string) string { return text })
	}
}

// item prints a text behind a mark, and below it the command for it, if there is one:
// unbroken, so that it can be copied.
func (p storyPrinter) item(b *strings.Builder, mark, line string, paint func(string) string) {
	line, command, is := strings.Cut(line, "\n")
	b.WriteString(paint(mark+wrap.Text(printable(line), p.width, len(mark), len(mark))) + "\n")
	if is {
		b.WriteString(strings.Repeat(" ", len(mark)+2) + p.bold(printable(command)) + "\n")
	}
}
