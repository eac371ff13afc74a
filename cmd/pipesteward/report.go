package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules/event"
)

// reportFilters are the filters of the API.
var reportFilters = []filterFlag{
	{"since", "decisions that were made since `WHEN`: so long ago, like 24h or 30d, or a time, like 2026-12-24T18:00:00Z (default: 7d)"},
	{"rule", "only those of the rule of this `NAME`"},
	{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
	{"person-after", "assume that a person would have retried a job so `LONG` after it failed (default: 30m)"},
}

func reportCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "sum what a running server has done, and whether its retries helped",
		Description: "Sums the decisions since some time by their outcomes, the retries by how the new runs ended, and the time that runners worked\n" +
			"on these runs and what that cost, if the rules have \"prices\": in all, and by rule, action, project, failure class and job, those\n" +
			"with the most retries first, and by runner, those on which most retries failed first.\n" +
			"With --dry-run, it sums what would have been done: the decisions with the outcome dry_run.",
		Flags: append(append(adminFlags(), filterFlags(reportFilters)...),
			&cli.BoolFlag{Name: "dry-run", Usage: "sum what would have been done"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON, with up to 100 rows of each table"},
			&cli.StringFlag{Name: "html", Usage: "write a page with charts to this `FILE`, which needs nothing else; - is standard output"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			query, err := queryOf(c, reportFilters)
			if err == nil && c.Bool("json") && c.String("html") != "" {
				err = &usageError{errors.New("--html and --json: choose one")}
			}
			if err != nil {
				return err
			}
			query.Set("dry_run", strconv.FormatBool(c.Bool("dry-run")))
			var r report.Report
			if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/report?"+query.Encode(), nil, &r); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(stdout, r)
			}
			if name := c.String("html"); name != "" {
				return writePage(stdout, name, r)
			}
			return reportPrinter{newPrinter(stdout), wrap.Width(stdout), wrap.Columns(stdout)}.print(stdout, r)
		},
	}
}

// maxRowsShown is how many rows of a table of a report are printed.
const maxRowsShown = 10

// reportPrinter prints reports for people.
type reportPrinter struct {
	printer
	prose int // width of lines of prose, in columns
	width int // of the terminal, in columns; 0: it is none
}

func (p reportPrinter) print(w io.Writer, r report.Report) error {
	r = cleaned(r)
	head, err := report.Text(r, words.Plain)
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(head) {
		b.WriteString(wrap.Text(strings.TrimSpace(line), p.prose, 0, 2) + "\n")
	}
	for _, table := range []struct {
		what string
		rows []report.Row
	}{
		{"rule", r.Rules}, {"action", r.Actions}, {"project", r.Projects}, {"failure class", r.Classes}, {"job", r.Jobs},
	} {
		p.table(&b, table.what, table.rows, r)
	}
	p.runners(&b, r.Runners)
	_, err = io.WriteString(w, b.String())
	return err
}

// table prints the first rows of a table.
func (p reportPrinter) table(b *strings.Builder, what string, rows []report.Row, of report.Report) {
	if len(rows) == 0 {
		return
	}
	shown := rows[:min(len(rows), maxRowsShown)]
	l := listing{head: []any{what, "passed", "wasted", "outcomes"}}
	if of.DryRun {
		l.head = []any{what, "passed anyway", "would have been done"}
	}
	for _, r := range shown {
		name, cells := report.RowName(what, r), []string{report.RateText(r.Retries), report.WastedText(r.Retries, of.Currency), report.OutcomesText(r.Outcomes)}
		if of.DryRun {
			cells = []string{"", strconv.Itoa(r.Outcomes[event.ResultDryRun])}
			if n := r.WouldRetry.Retries; n > 0 {
				cells[0] = fmt.Sprintf("%d of %s", r.WouldRetry.PassedAnyway, english.Plural(n, "retry", "retries"))
			}
		}
		line := row{cells: []any{name}, paragraph: []string{p.bold(name)}}
		for i, cell := range cells {
			line.cells, line.paragraph = append(line.cells, cell), append(line.paragraph, labelled(l.head[i+1], cell))
		}
		l.rows = append(l.rows, line)
	}
	p.listing(b, l, len(rows)-len(shown))
}

// runners prints the first runners.
func (p reportPrinter) runners(b *strings.Builder, all []report.Runner) {
	if len(all) == 0 {
		return
	}
	shown := all[:min(len(all), maxRowsShown)]
	l := listing{head: []any{"runner", "failed there, and retried", "retries there that passed"}}
	for _, r := range shown {
		name, before, passed := report.RunnerName(r), strconv.Itoa(r.FailedBefore), report.RunnerRateText(r)
		l.rows = append(l.rows, row{cells: []any{name, before, passed}, paragraph: []string{p.bold(name), labelled(l.head[1], before), labelled(l.head[2], passed)}})
	}
	p.listing(b, l, len(all)-len(shown))
}

// listing prints the first rows of a table; more are left out.
func (p reportPrinter) listing(b *strings.Builder, l listing, more int) {
	b.WriteString("\n" + l.render(p.width) + "\n")
	if more > 0 {
		b.WriteString(p.dim(fmt.Sprintf("and %d more: --json has them", more)) + "\n")
	}
}

// labelled returns a text with what it is, "" if it is empty.
func labelled(what any, text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s", what, text)
}

// writePage writes the report as a page to a file, or to standard output.
func writePage(stdout io.Writer, name string, r report.Report) error {
	var b bytes.Buffer
	if err := page.Write(&b, r); err != nil {
		return err
	}
	err := writeFile(stdout, name, b.Bytes())
	switch {
	case err != nil:
		return fmt.Errorf("the page can't be written: %w", err)
	case name == standardStream:
		return nil
	}
	_, err = fmt.Fprintf(stdout, "The report is in %s: open it in a browser.\n", name)
	return err
}
