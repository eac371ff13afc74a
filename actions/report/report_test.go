package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// prices are those of the reports: runners with other tags have none.
var prices = rules.Prices{Currency: "EUR", Runners: []rules.RunnerPrice{{Tag: "gpu", Minute: 0.5}, {Tag: "free"}}}

// entries is a journal in memory, oldest first. Its cursors count from the newest.
type entries []store.Entry

func (j entries) Entries(_ context.Context, cursor string, n int) (page []store.Entry, next string, err error) {
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil {
			return nil, "", store.BadCursor(cursor)
		}
	}
	for ; from < len(j) && len(page) < n; from++ {
		page = append(page, j[len(j)-1-from])
	}
	if from < len(j) {
		next = strconv.Itoa(from)
	}
	return page, next, nil
}

// note adds an outcome, made so long before noon.
func (j *entries) note(ago time.Duration, o event.Outcome) {
	body, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	*j = append(*j, store.Entry{ID: o.ID, At: noon.Add(-ago), Body: body})
}

// delivered are deliveries, newest first.
type delivered []event.Delivery

func (d delivered) Deliveries(_ context.Context, match func(*event.Delivery) bool, since time.Time, _ string, limit int) (list []event.Delivery, next string, err error) {
	for i := range d {
		if !d[i].At.Before(since) && match(&d[i]) && len(list) < limit {
			list = append(list, d[i])
		}
	}
	return list, "", nil
}

// outcome returns an outcome about a job of a rule that wants an action.
func outcome(rule, verb, result string, job event.Job) event.Outcome {
	var o event.Outcome
	o.ID = fmt.Sprintf("%s:%s:%d", rule, verb, job.ID)
	o.Meta = event.Meta{Kind: event.KindJob, Instance: "https://gitlab.example.com"}
	o.Project = event.Project{ID: 7, Path: "platform/shop"}
	o.Pipeline.ID = 70
	o.Rule, o.Action.Verb, o.Result, o.Job = rule, verb, result, job
	return o
}

func failedJob(id int64, name string, duration float64) event.Job {
	return event.Job{ID: id, Name: name, Status: "failed", FailureClass: "runner", Duration: duration}
}

// resultOf returns the result of a retry.
func resultOf(retry event.Outcome, result string, job event.Job) event.Outcome {
	retry.ID += ":" + result
	retry.Retried = event.RetriedRun(retry.Job, job)
	retry.Result, retry.Job = result, job
	return retry
}

// week is a journal of some days: rspec is retried twice, and passes; lint fails again, and
// nobody retries it; a retry of build has no end; a sweep erases.
func week() entries {
	var j entries
	j.note(200*time.Hour, outcome("old", event.VerbRetry, event.ResultSkipped, failedJob(1, "rspec", 5)))
	first := outcome("retry-runner", event.VerbRetry, event.ResultDone, failedJob(10, "rspec", 60))
	first.NewJobID, first.Job.FinishedAt = 11, noon.Add(-50*time.Hour)
	j.note(50*time.Hour, first)
	second := outcome("retry-runner", event.VerbRetry, event.ResultDone, failedJob(11, "rspec", 90))
	second.NewJobID, second.Job.StartedAt, second.Job.FinishedAt = 12, noon.Add(-50*time.Hour+30*time.Second), noon.Add(-49*time.Hour)
	j.note(49*time.Hour, second)
	j.note(48*time.Hour, resultOf(second, event.ResultRecovered, event.Job{ID: 12, Name: "rspec", Status: "success", Duration: 3600, StartedAt: noon.Add(-49*time.Hour + 2*time.Minute), Runner: event.Runner{Tags: []string{"gpu"}}}))
	lint := outcome("retry-all", event.VerbRetry, event.ResultDone, failedJob(20, "lint", 0))
	lint.NewJobID = 21
	j.note(30*time.Hour, lint)
	j.note(29*time.Hour, resultOf(lint, event.ResultGaveUp, failedJob(21, "lint", 30)))
	build := outcome("retry-all", event.VerbRetry, event.ResultDone, event.Job{ID: 30, Name: "build", Status: "failed", FailureClass: "stuck", FinishedAt: noon})
	build.NewJobID = 31
	j.note(3*time.Hour, build)
	erase := outcome("erase-old", event.VerbErase, event.ResultDone, event.Job{})
	erase.Project, erase.Pipeline, erase.Sweep = event.Project{}, event.Pipeline{}, event.Sweep{ID: "s1", SweepCounts: event.SweepCounts{Erased: 12, Freed: 3_400_000}}
	j.note(2*time.Hour, erase)
	waits := outcome("retry-all", event.VerbRetry, "", failedJob(40, "deploy", 1))
	j.note(time.Hour, waits)
	return j
}

// grown is a journal with most retries at its end.
func grown() entries {
	j := week()[:1]
	for i, hours := range []int{8, 7, 5, 4, 4, 3, 2, 1} {
		o := outcome("retry-runner", event.VerbRetry, event.ResultDone, failedJob(int64(10*i+10), "rspec", 1))
		o.NewJobID = o.Job.ID + 1
		j.note(time.Duration(hours)*time.Hour, o)
	}
	return j
}

func reader(j entries, d delivered) report.Reader {
	return report.Reader{Journal: j, Deliveries: d, Now: func() time.Time { return noon }, Prices: func() rules.Prices { return prices }, MaxEntries: report.DefaultMaxEntries}
}

// TestText: the lines of reports, for the terminal and for Slack.
func TestText(t *testing.T) {
	t.Parallel()
	var dry entries
	for i := range int64(3) {
		dry.note(time.Duration(20-i)*time.Hour, outcome("retry-runner", event.VerbRetry, event.ResultDryRun, failedJob(100+i, "rspec", 60)))
	}
	dry.note(16*time.Hour, outcome("retry-runner", event.VerbRetry, event.ResultDryRun, failedJob(200, "<lint>", 60)))
	dry.note(15*time.Hour, outcome("notify", event.VerbNotify, event.ResultDone, event.Job{ID: 201, Name: "<lint>", Status: "success"}))
	dry.note(14*time.Hour, outcome("play-deploy", event.VerbPlay, event.ResultDryRun, event.Job{ID: 300, Name: "deploy", Status: "manual"}))
	erase := outcome("erase-old", event.VerbErase, event.ResultDryRun, event.Job{})
	erase.Sweep = event.Sweep{ID: "s1", SweepCounts: event.SweepCounts{Erased: 1}}
	dry.note(13*time.Hour, erase)
	job := event.Delivery{At: noon.Add(-time.Hour), Kind: event.KindJob, Result: event.DeliveryIgnored, ProjectID: 7, Pipeline: 70, Job: 102, JobName: "rspec", Status: "success"}
	failed, foreign := job, job
	failed.At, failed.Job, failed.Status = noon.Add(-10*time.Hour), 103, "failed"
	foreign.At, foreign.Job, foreign.Result = noon.Add(-11*time.Hour), 999, event.DeliveryForeign

	for _, test := range []struct {
		name       string
		journal    entries
		deliveries delivered
		q          report.Query
		most       int // entries; 0: many
		slack      bool
		want       []string
	}{
		{name: "a week", journal: week(), q: report.Query{Since: noon.Add(-7 * 24 * time.Hour)}, want: []string{
			"8 outcomes since 2026-11-23T12:00:00Z: 5 done, 1 gave up, 1 recovered, 1 waiting.",
			"4 retries were started: 1 of 3 (33 %) passed; 1 without a result yet.",
			"Runner time: 2m30s of the runs that were retried, 1h of retries that passed, 2m of retries that failed again; the journal lacks the time of 1 run.",
			"Saved: 30m of waiting, if a person would have retried each of the jobs that passed 30m after it failed. Wasted: 2m of runner time, on retries that failed again.",
			"Cost of the retries: EUR 30.00 for those that passed, EUR 0.00 for those that failed again; 2m were on runners without a price.",
			"Passed by the time between the two runs: 0 of 1 below 1m, 1 of 1 from 1m to 5m.",
			"Retried most: rspec of platform/shop (2 times), lint of platform/shop (1 time), build of platform/shop (1 time).",
			"Erased: 12 jobs, 3.4 MB of logs and artifacts.",
		}},
		{name: "one rule, in Slack", journal: week(), q: report.Query{Since: noon.Add(-7 * 24 * time.Hour), Rule: "retry-runner", Project: "PLATFORM/*", PersonAfter: 3 * time.Hour}, slack: true, want: []string{
			"3 outcomes since 2026-11-23T12:00:00Z of project PLATFORM/* by rule `retry-runner`: 2 done, 1 recovered.",
			"2 retries were started: 1 of 2 (50 %) passed.",
			"Runner time: 2m30s of the runs that were retried, 1h of retries that passed, 1m30s of retries that failed again.",
			"Saved: 3h of waiting, if a person would have retried each of the jobs that passed 3h after it failed. Wasted: 1m30s of runner time, on retries that failed again.",
			"Cost of the retries: EUR 30.00 for those that passed, EUR 0.00 for those that failed again; 1m30s were on runners without a price.",
			"Passed by the time between the two runs: 0 of 1 below 1m, 1 of 1 from 1m to 5m.",
			"Retried most: `rspec` of platform/shop (2 times).",
		}},
		{name: "a class grows", journal: grown(), q: report.Query{Since: noon.Add(-10 * time.Hour)}, want: []string{
			"8 outcomes since 2026-11-30T02:00:00Z: 8 done.",
			"8 retries were started; 8 without a result yet.",
			"Runner time: 8s of the runs that were retried, 0s of retries that passed, 0s of retries that failed again.",
			"More retries in the second half of this time: runner (6, before 2).",
			"Retried most: rspec of platform/shop (8 times).",
		}},
		{name: "longer than the journal", journal: week(), q: report.Query{Since: noon.Add(-90 * 24 * time.Hour), Rule: "old"}, want: []string{
			"1 outcome since 2026-10-31T12:00:00Z by rule old: 1 skipped.",
			"The journal begins at 2026-11-22T04:00:00Z: it keeps decisions for 30d.",
		}},
		{name: "too many", journal: week(), q: report.Query{Since: noon.Add(-7 * 24 * time.Hour)}, most: 2, want: []string{
			"2 outcomes since 2026-11-23T12:00:00Z: 1 done, 1 waiting.",
			"Erased: 12 jobs, 3.4 MB of logs and artifacts.",
			"There are too many decisions for one report: it has those since 2026-11-30T10:00:00Z.",
		}},
		{name: "nothing lately", journal: week(), q: report.Query{Since: noon.Add(-time.Minute)}, want: []string{
			"No decisions since 2026-11-30T11:59:00Z.",
			"The last decision before that was made at 2026-11-30T11:00:00Z.",
		}},
		{name: "nothing of a project", journal: week(), q: report.Query{Since: noon.Add(-1000 * time.Hour), Project: "8"}, want: []string{
			"No decisions since 2026-10-31T12:00:00Z of project 8.",
			"The journal begins at 2026-11-22T04:00:00Z: it keeps decisions for 30d.",
		}},
		{name: "nothing at all", q: report.Query{Since: noon.Add(-time.Hour)}, want: []string{
			"No decisions since 2026-11-30T11:00:00Z.",
			"The journal is empty: it keeps decisions for 30d.",
		}},
		{name: "an entry that can't be read", journal: append(week(), store.Entry{ID: "x", At: noon, Body: []byte("{")}), q: report.Query{Since: noon.Add(-time.Hour / 2)}, want: []string{
			"No decisions since 2026-11-30T11:30:00Z.",
			"The last decision before that was made at 2026-11-30T11:00:00Z.",
			"1 entry of the journal can't be read.",
		}},
		{name: "a dry run", journal: append(week(), dry...), deliveries: delivered{job, failed, foreign}, q: report.Query{Since: noon.Add(-7 * 24 * time.Hour), DryRun: true}, slack: true, want: []string{
			"Dry run since 2026-11-23T12:00:00Z: 6 decisions would have been carried out: 4 retry, 1 erase, 1 play.",
			"3 of 4 retries would have been of jobs that passed later anyway, as far as the deliveries since 2026-11-30T01:00:00Z and the journal show.",
			"Would have been retried most: `rspec` of platform/shop (3 times), `&lt;lint&gt;` of platform/shop (1 time).",
			"Would have erased: 1 job.",
		}},
		{name: "no dry run", journal: week(), q: report.Query{Since: noon.Add(-7 * 24 * time.Hour), DryRun: true}, want: []string{
			"Dry run: nothing would have been done since 2026-11-23T12:00:00Z.",
			"The last decision before that was made at 2026-11-22T04:00:00Z.",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			read := reader(test.journal, test.deliveries)
			if test.most > 0 {
				read.MaxEntries = test.most
			}
			r, err := read.Report(t.Context(), test.q)
			if err != nil {
				t.Fatal(err)
			}
			style := words.Plain
			if test.slack {
				style = mrkdwn.Style
			}
			text, err := report.Text(r, style)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Split(text, "\n"); !slices.Equal(got, test.want) {
				t.Errorf("the text is\n%s\nwant\n%s", text, strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestRows: a table has the rows with the most retries, and one of all others.
func TestRows(t *testing.T) {
	t.Parallel()
	var j entries
	const rules = report.MaxRows + 20
	for i := range int64(rules) {
		o := outcome(fmt.Sprintf("rule-%03d", i), event.VerbRetry, event.ResultDone, failedJob(1000+10*i, "rspec", 1))
		o.NewJobID = o.Job.ID + 1
		if i < 10 {
			o.Result = event.ResultSkipped
		}
		j.note(time.Hour, o)
	}
	r, err := reader(j, nil).Report(t.Context(), report.Query{Since: noon.Add(-2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	last := r.Rules[len(r.Rules)-1]
	switch {
	case len(r.Rules) != report.MaxRows+1 || r.Rules[0].Name != "rule-010" || r.Rules[0].Others != 0:
		t.Errorf("%d rows, the first is %+v", len(r.Rules), r.Rules[0])
	case last.Others != 20 || last.Name != "" || last.Decisions() != 20 || last.Outcomes[event.ResultSkipped] != 10 || last.Retries.Open != 10:
		t.Errorf("the others are %+v", last)
	case len(r.Jobs) != 1 || r.Jobs[0].Decisions() != rules || r.Jobs[0].Retries.Started != rules-10:
		t.Errorf("the jobs are %+v", r.Jobs)
	}
}

// BenchmarkReport sums a journal of 100,000 entries of usual size: retries and their
// results.
func BenchmarkReport(b *testing.B) {
	var j entries
	explanation := event.Part{Text: strings.Repeat("job.status == 'failed' and ", 20), Result: "true", Seen: make([]event.Seen, 12)}
	for i := range int64(50_000) {
		o := outcome("retry-runner", event.VerbRetry, event.ResultDone, failedJob(2*i+1, "rspec "+strconv.FormatInt(i%2000, 10), 60))
		o.Project.Path = "platform/p" + strconv.FormatInt(i%500, 10)
		o.Explanation.If, o.Commit.Message = explanation, strings.Repeat("a commit ", 30)
		o.NewJobID = 2*i + 2
		j.note(time.Hour, o)
		j.note(time.Hour, resultOf(o, event.ResultRecovered, event.Job{ID: o.NewJobID, Name: o.Job.Name, Status: "success", Duration: 90}))
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := reader(j, nil).Report(b.Context(), report.Query{Since: noon.Add(-2 * time.Hour)})
		if err != nil || r.Total.Retries.Passed != 50_000 {
			b.Fatal(err, r.Total)
		}
	}
	b.ReportMetric(float64(len(j)*b.N)/b.Elapsed().Seconds(), "entries/s")
}

// TestMoneyAndTimeAgree: no time that was paid for is shown as nothing, and no rate as none or
// all that is not.
func TestMoneyAndTimeAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		again report.RunTime
		want  string
	}{
		{report.RunTime{}, "0s (EUR 0.00)"},
		{report.RunTime{Seconds: 0.3, Cost: 0.46}, "1s (EUR 0.46)"},
		{report.RunTime{Seconds: 59.7, Cost: 0.0049}, "1m (< EUR 0.01)"},
		{report.RunTime{Seconds: 3600 + 59*60 + 40, Cost: 1}, "2h (EUR 1.00)"},
	} {
		if got := report.WastedText(report.Retries{PassRate: new(0.5), FailedAgain: c.again}, "EUR"); got != c.want {
			t.Errorf("%+v is shown as %q, want %q", c.again, got, c.want)
		}
	}
	for want, r := range map[string]report.Retries{
		"199 of 200 (99 %)": {Passed: 199, Failed: 1, PassRate: new(199. / 200)},
		"1 of 300 (1 %)":    {Passed: 1, Failed: 299, PassRate: new(1. / 300)},
		"2 of 2 (100 %)":    {Passed: 2, PassRate: new(1.)},
	} {
		if got := report.RateText(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := report.RowName("job", report.Row{Others: 1}); got != "1 other" {
		t.Errorf("%q, want 1 other", got)
	}
}
