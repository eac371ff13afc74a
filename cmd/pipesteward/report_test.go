package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/report/periodic"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/keys"
)

// TestReport: a retry whose job passes, and a dry run whose job somebody else runs again, are
// summed by the command, over the wiring of production.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		dryRun bool
		want   []string
	}{
		{name: "a retry", want: []string{
			"2 outcomes since 20", ": 1 done, 1 recovered.", "1 retry was started: 1 of 1 (100 %) passed.",
			"Retried most: rspec of platform/shop (1 time).", "│ retry-stuck │", "│ stuck │", "Saved: 45m of waiting, if a person would have retried each of the jobs that passed 45m after it failed.",
			"EUR 0.00 for those that failed again", "│ platform/shop: rspec │ 1 of 1 (100 %) │ 0s (EUR 0.00) │ 1 done, 1 recovered │",
		}},
		{name: "a dry run", dryRun: true, want: []string{
			"Dry run since 20", "1 decision would have been carried out: 1 retry.", "1 of 1 retry would have been of jobs that passed later anyway", "│ 1 of 1 retry │ 1 │",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			args := []string{"report", "--since", "1h", "--project", "platform/*", "--person-after", "45m"}
			env.write("rules.yaml", testRules+"prices: {currency: EUR, runners: [{minute: 0.5}]}\n")
			if test.dryRun {
				env.write("rules.yaml", strings.Replace(testRules, "    on: job\n", "    on: job\n    dry_run: true\n", 1))
				args = append(args, "--dry-run")
			}
			p := env.run()
			p.wants(args, "since 20", "The journal is empty: it keeps decisions for 30d.")
			job := env.stuckJob()
			if code := p.post(env.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
				t.Fatalf("a stuck job is answered with %d, want 202", code)
			}
			p.workedOff()
			if test.dryRun {
				if _, err := env.gitlab.Retry(job.ID); err != nil {
					t.Fatal(err)
				}
			}
			run := env.gitlab.Latest(job.PipelineID, "rspec")
			if run.ID == job.ID {
				t.Fatal("the job has no other run")
			}
			env.gitlab.Finish(run.ID, "success", "")
			p.post(env.gitlab.JobHookBody(run.ID))
			p.workedOff()
			text := strings.Join(strings.Fields(p.wants(args)), " ")
			for _, part := range test.want {
				if !strings.Contains(text, part) {
					t.Errorf("the report lacks %q:\n%s", part, text)
				}
			}
			if code, _, errs := p.output(append(args, "--rule", "retry-stuk")...); code != 2 || !strings.Contains(errs, `--rule: there is no rule "retry-stuk" (did you mean "retry-stuck"?), and the journal has no decisions by one of this name since 20`) {
				t.Errorf("--rule of no rule: %d %s", code, errs)
			}
			p.wants(append(args, "--rule", "retry-stuck"), "since 20", "by rule retry-stuck")
			var r report.Report
			if err := json.Unmarshal([]byte(p.wants(append(args, "--json"))), &r); err != nil || r.Project != "platform/*" || len(r.Jobs) != 1 {
				t.Errorf("--json: %+v, %v", r, err)
			}
			file := filepath.Join(t.TempDir(), "report.html")
			p.wants(append(args, "--html", file), "The report is in "+file)
			if html, err := os.ReadFile(file); err != nil || !strings.Contains(string(html), `<th scope="row">platform/shop: rspec</th>`) {
				t.Errorf("--html: %v\n%s", err, html)
			}
			if html := p.wants(append(args, "--html", "-")); !strings.HasPrefix(html, "<!DOCTYPE html>") || strings.Contains(html, "open it in a browser") {
				t.Errorf("--html -:\n%s", html)
			}
			env.write("rules.yaml", strings.ReplaceAll(testRules, "retry-stuck", "renamed"))
			if code, text := p.request(http.MethodPost, "/-/reload", ""); code != http.StatusOK {
				t.Fatalf("reload: %d %s", code, text)
			}
			p.wants(append(args, "--rule", "retry-stuck"), "since 20", "by rule retry-stuck")
		})
	}
}

// TestReportUsage: what makes no sense is a usage error, with the names of the flags.
func TestReportUsage(t *testing.T) {
	t.Parallel()
	p := newEnvironment(t).run()
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--since", "yesterday"}, "--since: it must be a duration like 2h or 7d"},
		{[]string{"--since", "2999-01-01T00:00:00Z"}, "--since: 2999-01-01T00:00:00Z is in the future"},
		{[]string{"--project", ""}, "--project is empty"},
		{[]string{"--person-after", "soon"}, `--person-after: "soon" is not a duration`},
		{[]string{"--person-after", "0s"}, "--person-after: 0s is not a time of more than 0 and at most 30d"},
		{[]string{"--html", "x.html", "--json"}, "--html and --json: choose one"},
	} {
		if code, out, errs := p.output(append([]string{"report"}, test.args...)...); code != 2 || out != "" || !strings.Contains(errs, test.says) {
			t.Errorf("%q: exit status %d, %q, %q, want 2 and %q", test.args, code, out, errs, test.says)
		}
	}
}

// TestReportFitsTheTerminal: no line is wider than the terminal; what can't be shown there
// as a table is in paragraphs, and long tables are cut.
func TestReportFitsTheTerminal(t *testing.T) {
	t.Parallel()
	r := report.Report{Since: time.Now(), Until: time.Now(), Total: report.Sums{Outcomes: map[string]int{}}}
	rate := 0.5
	for i := range 12 {
		row := report.Row{Name: fmt.Sprintf("retry-all-%d", i), Sums: report.Sums{Outcomes: map[string]int{}, Retries: report.Retries{Started: 150, Passed: 50, Failed: 50, Open: 50, PassRate: &rate}}}
		for _, result := range event.Results {
			row.Outcomes[result], r.Total.Outcomes[result] = 1000, 12_000
		}
		r.Rules = append(r.Rules, row)
		row.Name, row.Project = "integration-tests 3/7", "platform/backend/services/checkout\x1b[2J"
		r.Jobs = append(r.Jobs, row)
	}
	r.Classes = []report.Row{{Sums: r.Total}, {Others: 7, Sums: r.Total}}
	r.Total.Retries = r.Rules[0].Retries
	for _, width := range []int{60, 80, 120, 0} {
		var out bytes.Buffer
		if err := (reportPrinter{printer{colour: width == 60}, min(width, 80), width}).print(&out, r); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, part := range []string{"retry-all-9", "and 2 more: --json has them", "50 of 100 (50 %)", "1000 gave up", "no failure class", "7 others", "integration-tests 3/7"} {
			if !strings.Contains(text, part) {
				t.Errorf("width %d: the report lacks %q:\n%s", width, part, &out)
			}
		}
		if width == 80 && !slices.ContainsFunc(strings.Split(out.String(), "\n"), func(line string) bool { return strings.HasPrefix(line, "│ retry-all-9") }) {
			t.Errorf("width 80: the rules are no table:\n%s", &out)
		}
		if strings.Contains(out.String(), "\x1b[2J") {
			t.Errorf("width %d: a name steers the terminal:\n%q", width, out.String())
		}
		checkWidth(t, out.String(), width)
	}
}

// TestPeriodicReport: a report that was due while nothing ran is sent, and the next one waits
// in the queue.
func TestPeriodicReport(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", testRules+"reports: [{name: weekly, cron: \"0 9 * * 1\", channel: \"#reports\"}]\n")
	due := time.Now().UTC().Truncate(24 * time.Hour).Add(9 * time.Hour)
	for due.Weekday() != time.Monday || due.After(time.Now()) {
		due = due.AddDate(0, 0, -1)
	}
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err == nil {
		_, err = db.Put(t.Context(), store.Record{ID: keys.Report("weekly", due), Kind: periodic.RecordKind, Body: fmt.Appendf(nil, `{"report": "weekly", "due": %q}`, due.Format(time.RFC3339))})
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	p := env.run()
	p.eventually("the report is sent", func() bool { return len(env.slack.Messages("reports")) == 1 })
	if text := env.slack.Messages("reports")[0].Plain(); !strings.HasPrefix(text, "weekly: No decisions since "+due.AddDate(0, 0, -7).Format(time.RFC3339)) {
		t.Errorf("the report is %q", text)
	}
	p.eventually("the next report is queued", func() bool { return strings.Contains(p.wants([]string{"queue", "list"}), "report weekly") })
}
