// Package page writes a report as one HTML page with charts, which needs nothing else: no
// network, no script.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

//go:embed page.tmpl
var text string

var page = template.Must(template.New("page").Parse(text))

// view is the data of page.tmpl.
type view struct {
	Title   string
	Summary []string // lines
	Charts  []chart
	Tables  []table
	Runners []runner
	DryRun  bool
	Cost    bool // there are prices
	Until   string
}

type chart struct {
	Title, About string
	SVG          template.HTML
}

type table struct {
	Title string
	Rows  []row
}

type runner struct{ Name, FailedBefore, Passed string }

type row struct{ Name, Retries, Passed, Saved, Wasted, Cost, Outcomes string }

// Write writes the page of a report.
func Write(w io.Writer, r report.Report) error {
	summary, err := report.Text(r, words.Plain)
	if err != nil {
		return err
	}
	v := view{
		Title: "Pipesteward: retries since " + r.Since.UTC().Format(time.DateOnly), Summary: strings.Split(summary, "\n"),
		DryRun: r.DryRun, Cost: r.Currency != "", Until: r.Until.UTC().Format(time.RFC3339),
	}
	if !r.DryRun {
		if v.Charts, err = chartsOf(r); err != nil {
			return err
		}
	}
	for _, t := range []struct {
		title string
		what  string
		rows  []report.Row
	}{
		{"Rules", "rule", r.Rules}, {"Failure classes", "failure class", r.Classes}, {"Projects", "project", r.Projects}, {"Jobs", "job", r.Jobs}, {"Actions", "action", r.Actions},
	} {
		if len(t.rows) > 0 {
			v.Tables = append(v.Tables, table{t.title, rowsOf(t.what, t.rows, r.Currency)})
		}
	}
	for _, r := range r.Runners {
		v.Runners = append(v.Runners, runner{report.RunnerName(r), strconv.Itoa(r.FailedBefore), report.RunnerRateText(r)})
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

func rowsOf(what string, rows []report.Row, currency string) []row {
	list := make([]row, len(rows))
	for i, r := range rows {
		list[i] = row{
			Name: report.RowName(what, r), Passed: report.RateText(r.Retries), Saved: report.SavedText(r.Retries), Wasted: report.WastedText(r.Retries, ""),
			Outcomes: report.OutcomesText(r.Outcomes),
		}
		if r.Retries.Started > 0 {
			list[i].Retries = strconv.Itoa(r.Retries.Started)
			list[i].Cost = report.Money(currency, r.Retries.PassedRuns.Cost+r.Retries.FailedAgain.Cost)
		}
		if n := r.WouldRetry.Retries; n > 0 {
			list[i].Retries, list[i].Passed = strconv.Itoa(n), fmt.Sprintf("%d of %d", r.WouldRetry.PassedAnyway, n)
		}
		if n := r.Outcomes[event.ResultDryRun]; n > 0 && r.WouldRetry.Retries == 0 {
			list[i].Outcomes = fmt.Sprintf("%d dry run", n)
		}
	}
	return list
}
