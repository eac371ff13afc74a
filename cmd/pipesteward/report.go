package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules/event"
)

// reportFilters are the filters of the API.
var reportFilters = []filterFlag{
	{"since", "decisions that were made since `WHEN`: so long ago, like 24h or 30d, or a time, like 2026-12-24T18:00:00Z (default: 7d)"},
	{"rule", "only those of the rule of this `NAME`"},
	{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
}

func reportCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "sum what a running server has done, and whether its retries helped",
		Description: "Sums the decisions since some time by their outcomes, the retries by how the new runs ended, and the time that runners worked\n" +
			"on these runs: in all, and by rule, action, project, failure class and job, those with the most retries first.\n" +
			"With --dry-run, it sums what would have been done: the decisions with the outcome dry_run.",
		Flags: append(append(adminFlags(), filterFlags(reportFilters)...),
			&cli.BoolFlag{Name: "dry-run", Usage: "sum what would have been done"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON, with up to 100 rows of each table"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			query, err := queryOf(c, reportFilters)
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
		p.table(&b, table.what, table.rows, r.DryRun)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// table prints the first rows of a table.
func (p reportPrinter) table(b *strings.Builder, what string, rows []report.Row, dryRun bool) {
	if len(rows) == 0 {
		return
	}
	shown := rows[:min(len(rows), maxRowsShown)]
	l := listing{head: []any{what, "passed", "outcomes"}}
	if dryRun {
		l.head = []any{what, "passed anyway", "would have been done"}
	}
	for _, r := range shown {
		name, passed, outcomes := rowName(what, r), report.RateText(r.Retries), report.OutcomesText(r.Outcomes)
		if dryRun {
			passed, outcomes = "", strconv.Itoa(r.Outcomes[event.ResultDryRun])
			if n := r.WouldRetry.Retries; n > 0 {
				passed = fmt.Sprintf("%d of %d retries", r.WouldRetry.PassedAnyway, n)
			}
		}
		l.rows = append(l.rows, row{
			cells:     []any{name, passed, outcomes},
			paragraph: []string{p.bold(name), labelled(l.head[1], passed), labelled(l.head[2], outcomes)},
		})
	}
	b.WriteString("\n" + l.render(p.width) + "\n")
	if more := len(rows) - len(shown); more > 0 {
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

// rowName names a row of a table.
func rowName(what string, row report.Row) string {
	switch {
	case row.Others > 0:
		return fmt.Sprintf("%d others", row.Others)
	case row.Name == "":
		return "no " + what
	case row.Project != "":
		return row.Project + ": " + row.Name
	}
	return row.Name
}
