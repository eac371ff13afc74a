package page_test

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/report/page"
	"github.com/pipesteward/pipesteward/rules/event"
)

var keep = flag.String("keep", "", "write the pages to this directory, to look at")

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func retries(passed, failed, open int) report.Retries {
	r := report.Retries{Started: passed + failed + open, Passed: passed, Failed: failed, Open: open, Later: failed, Saved: float64(passed) * 1800}
	r.PassedRuns = report.RunTime{Seconds: 340 * float64(passed), Cost: 0.12 * float64(passed)}
	r.FailedAgain = report.RunTime{Seconds: 95 * float64(failed), Cost: 0.04 * float64(failed)}
	if passed+failed > 0 {
		rate := float64(passed) / float64(passed+failed)
		r.PassRate = &rate
	}
	return r
}

func sums(r report.Retries) report.Sums {
	return report.Sums{Outcomes: map[string]int{event.ResultDone: r.Started, event.ResultRecovered: r.Passed, event.ResultGaveUp: r.Failed}, Retries: r}
}

// week is a report with all parts.
func week() report.Report {
	r := report.Report{
		Since: noon.AddDate(0, 0, -7), Until: noon, PersonAfter: event.Duration(30 * time.Minute), Currency: "EUR", LastBefore: noon.AddDate(0, 0, -9), Total: sums(retries(93, 25, 4)),
		Rules:    []report.Row{{Name: "retry-runner-failures", Sums: sums(retries(80, 8, 3))}, {Name: "retry-registry", Sums: sums(retries(13, 17, 1))}},
		Classes:  []report.Row{{Name: "runner", Sums: sums(retries(80, 8, 3))}, {Name: "registry-pull", Sums: sums(retries(13, 17, 1))}},
		Projects: []report.Row{{Name: "platform/shop", Sums: sums(retries(60, 20, 2))}, {Name: "platform/backend/services/checkout", Sums: sums(retries(33, 5, 2))}},
		Jobs:     []report.Row{{Name: "<script>alert(1)</script>", Project: "platform/shop", Sums: sums(retries(60, 20, 2))}, {Others: 7, Sums: sums(retries(33, 5, 2))}},
		Actions:  []report.Row{{Name: event.VerbRetry, Sums: sums(retries(93, 25, 4))}, {Name: event.VerbErase, Sums: report.Sums{Outcomes: map[string]int{event.ResultDone: 12}}}},
		Delays: []report.Delay{
			{Below: event.Duration(time.Minute), Passed: 12, Failed: 18},
			{AtLeast: event.Duration(time.Minute), Below: event.Duration(5 * time.Minute), Passed: 60, Failed: 6},
			{AtLeast: event.Duration(2 * time.Hour), Passed: 21, Failed: 1},
		},
	}
	for i := range 8 {
		r.Days = append(r.Days, report.Day{Date: r.Since.AddDate(0, 0, i).Format(time.DateOnly), Retries: retries(6+3*i, (i*5)%7, i%2)})
	}
	return r
}

// short is a report with hardly any runner time.
func short() report.Report {
	r := week()
	for i := range r.Days {
		r.Days[i].Retries.PassedRuns.Seconds, r.Days[i].Retries.FailedAgain.Seconds = 0, 0
	}
	r.Days[3].Retries.PassedRuns.Seconds = 8
	r.Days[5].Retries.FailedAgain.Seconds = 1e-12
	return r
}

// few is the report of one day with one retry that took a second, beside a dry run by the
// same rule.
func few() report.Report {
	r := week()
	one := report.Retries{Started: 1, Passed: 1, PassedRuns: report.RunTime{Seconds: 1}}
	r.Days, r.Delays = []report.Day{{Date: "2026-11-30", Retries: one}}, nil
	r.Rules = []report.Row{{Name: "retry-stuck", Sums: report.Sums{Outcomes: map[string]int{event.ResultDone: 1, event.ResultDryRun: 1}, Retries: one}}}
	return r
}

func render(t *testing.T, name string, r report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	if *keep != "" {
		if err := os.WriteFile(*keep+"/"+name+".html", b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestPage: a page has the summary, the charts and the tables, escapes names, and needs
// nothing else.
func TestPage(t *testing.T) {
	t.Parallel()
	dry := report.Report{Since: noon.AddDate(0, 0, -7), Until: noon, DryRun: true, PersonAfter: event.Duration(time.Hour), Total: report.Sums{Outcomes: map[string]int{event.ResultDryRun: 3}, WouldRetry: report.WouldRetry{Retries: 3, PassedAnyway: 2}}}
	dry.Rules = []report.Row{{Name: "retry-runner-failures", Sums: dry.Total}}
	for _, test := range []struct {
		name   string
		r      report.Report
		charts int
		has    []string
		lacks  []string
	}{
		{"week", week(), 3, []string{
			"retries since 2026-11-23", "if a person would have retried each of the jobs that passed 30m after it failed", "Wasted: 39m35s of runner time",
			"Which delay helps", ">from 1m to 5m<", ">11-30<",
			`<th scope="row">retry-registry</th><td>31</td><td>13 of 30 (43 %)</td><td>6h30m</td><td>26m55s</td><td>EUR 2.24</td>`,
			"&lt;script&gt;alert(1)&lt;/script&gt;", "7 others",
		}, []string{"<script"}},
		{"short runs", short(), 3, []string{"Minutes of runner time a day"}, nil},
		{"few", few(), 2, []string{">1<", "<td>1 done, 1 dry run</td>"}, []string{">0.4<", ">0.2<", ">-"}},
		{"dry", dry, 0, []string{"2 of 3 retries would have been of jobs that passed later anyway", `<th scope="row">retry-runner-failures</th><td>3</td><td>2 of 3</td><td>3 dry run</td>`}, []string{"Saved", "Cost"}},
		{"nothing", report.Report{Since: noon.AddDate(0, 0, -7), Until: noon, Total: report.Sums{Outcomes: map[string]int{}}}, 0, []string{"No decisions since 2026-11-23T12:00:00Z."}, []string{"<table"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			html := render(t, test.name, test.r)
			for _, part := range test.has {
				if !strings.Contains(html, part) {
					t.Errorf("the page lacks %q:\n%s", part, html)
				}
			}
			for _, part := range append(test.lacks, "src=", "url(", "<link", "@import") {
				if strings.Contains(html, part) {
					t.Errorf("the page has %q", part)
				}
			}
			if bad := regexp.MustCompile(`>-\d|>\d*\.\d{3,}<`).FindString(html); bad != "" {
				t.Errorf("an axis has %q", bad)
			}
			if n := strings.Count(html, "<svg"); n != test.charts {
				t.Errorf("%d charts, want %d", n, test.charts)
			}
			checkWellFormed(t, html)
		})
	}
}

// checkWellFormed fails if elements are not closed in order.
func checkWellFormed(t *testing.T, html string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Entity = xml.HTMLEntity
	for {
		_, err := d.Token()
		if err == io.EOF { //nolint:errorlint // Token returns it as it is
			return
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, html)
		}
	}
}
