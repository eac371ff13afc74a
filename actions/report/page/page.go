// Package page writes a report for people to look at, with charts: as one HTML page, which
// needs nothing else, no network, no script; and as data, for pages that have other content.
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
)

//go:embed page.tmpl
var text string

var page = template.Must(template.New("page").Parse(text))

// Content is what the page of a report says.
type Content struct {
	Title   string   `json:"title"`
	Summary []string `json:"summary"` // lines
	Charts  []Chart  `json:"charts"`
	Tables  []Table  `json:"tables"`
	Runners []Runner `json:"runners"` // those on which most retries failed come first
	DryRun  bool     `json:"dry_run"`
	Cost    bool     `json:"cost"`  // there are prices
	Until   string   `json:"until"` // when it was made
}

// Chart is a picture.
type Chart struct {
	Title string        `json:"title"`
	About string        `json:"about"`
	SVG   template.HTML `json:"svg"`
}

// Table has the sums of a report by what its title says.
type Table struct {
	Title string `json:"title"`
	Rows  []Row  `json:"rows"`
}

// Runner is a runner with what became of retries there.
type Runner struct {
	Name         string `json:"name"`
	FailedBefore string `json:"failed_before"`
	Passed       string `json:"passed"`
}

// Row is a row of a table, in words.
type Row struct {
	Name     string `json:"name"`
	Retries  string `json:"retries"`
	Passed   string `json:"passed"`
	Saved    string `json:"saved"`
	Wasted   string `json:"wasted"`
	Cost     string `json:"cost"`
	Outcomes string `json:"outcomes"`
}

// Write writes the page of a report.
func Write(w io.Writer, r report.Report) error {
	content, err := Of(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, content); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Of returns what the page of a report says.
func Of(r report.Report) (Content, error) {
	summary, err := report.Text(r, words.Plain)
	if err != nil {
		return Content{}, err
	}
	v := Content{
		Charts: []Chart{}, Tables: []Table{}, Runners: []Runner{},
		Title: "Pipesteward: retries since " + r.Since.UTC().Format(time.DateOnly), Summary: strings.Split(summary, "\n"),
		DryRun: r.DryRun, Cost: r.Currency != "", Until: r.Until.UTC().Format(time.RFC3339),
	}
	if !r.DryRun {
		if v.Charts, err = chartsOf(r); err != nil {
			return Content{}, err
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
			v.Tables = append(v.Tables, Table{t.title, rowsOf(t.what, t.rows, r.Currency)})
		}
	}
	for _, r := range r.Runners {
		v.Runners = append(v.Runners, Runner{report.RunnerName(r), strconv.Itoa(r.FailedBefore), report.RunnerRateText(r)})
	}
	return v, nil
}

func rowsOf(what string, rows []report.Row, currency string) []Row {
	list := make([]Row, len(rows))
	for i, r := range rows {
		list[i] = Row{
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
	}
	return list
}
