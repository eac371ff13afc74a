package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// scheduled loads one rule with this cron and time zone.
func scheduled(t *testing.T, cron, zone string) rules.Schedule {
	t.Helper()
	rs := load(t, fmt.Sprintf(`
version: 1
rules:
  - name: nightly
    on: schedule
    schedule: {cron: %q, timezone: %s, projects: [platform]}
    actions: [erase]
`, cron, zone))
	return rs.Scheduled()[0].Schedule
}

func TestScheduleNext(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"each night", "0 3 * * *", "UTC", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:00:00Z", "2026-03-30T03:00:00Z"}},
		{"in a time zone, over the start of summer time", "0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
		{"an hour that summer time leaves out", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"an hour that comes twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
		{"either of two days, as crontab has it", "0 0 1 * MON", "UTC", "2026-06-02T00:00:00Z", []string{"2026-06-08T00:00:00Z", "2026-06-15T00:00:00Z", "2026-06-22T00:00:00Z", "2026-06-29T00:00:00Z", "2026-07-01T00:00:00Z"}},
		{"a leap day", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
		{"never", "0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"0001-01-01T00:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scheduled(t, c.cron, c.zone)
			at := moment(t, c.after)
			var got []string
			for range c.want {
				at = s.Next(at)
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("times (-want +got):\n%s", diff)
			}
		})
	}
}

// Summaries have the next run of a schedule, and other rules none.
func TestNextRuns(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: nightly, on: schedule, schedule: {cron: "0 3 * * *", timezone: Europe/Berlin, projects: [platform]}, actions: [erase]}
  - {name: never, on: schedule, schedule: {cron: "0 0 30 2 *", projects: [platform]}, actions: [erase]}
  - {name: retry, on: job, if: job.status == "failed", actions: [retry]}
`)
	got := map[string]string{}
	for _, s := range rs.WithNextRuns(rs.Summaries(), moment(t, "2026-12-24T12:00:00Z")) {
		got[s.Name] = s.NextRun.Format(time.RFC3339)
	}
	if diff := cmp.Diff(map[string]string{"nightly": "2026-12-25T02:00:00Z", "never": "0001-01-01T00:00:00Z", "retry": "0001-01-01T00:00:00Z"}, got); diff != "" {
		t.Errorf("next runs (-want +got):\n%s", diff)
	}
}

func TestScheduleLast(t *testing.T) {
	for _, c := range []struct{ name, cron, from, to, want string }{
		{"none yet", "0 3 * * *", "2026-06-02T04:00:00Z", "2026-06-02T12:00:00Z", "0001-01-01T00:00:00Z"},
		{"one", "0 3 * * *", "2026-06-02T02:00:00Z", "2026-06-02T12:00:00Z", "2026-06-02T03:00:00Z"},
		{"the last of many", "*/5 * * * *", "2025-06-02T02:00:00Z", "2026-06-02T12:01:00Z", "2026-06-02T12:00:00Z"},
		{"long ago", "0 0 29 2 *", "2024-01-01T00:00:00Z", "2026-06-02T12:01:00Z", "2024-02-29T00:00:00Z"},
		{"at the very time", "0 3 * * *", "2026-06-02T02:00:00Z", "2026-06-02T03:00:00Z", "2026-06-02T03:00:00Z"},
		{"not from the very time", "0 3 * * *", "2026-06-02T03:00:00Z", "2026-06-02T03:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := scheduled(t, c.cron, "UTC").Last(moment(t, c.from), moment(t, c.to))
			if want := moment(t, c.want); !got.Equal(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCovers(t *testing.T) {
	shop := event.Project{ID: 7, Path: "platform/web/shop"}
	for entry, want := range map[string]bool{
		"7": true, "8": false,
		"platform/web/shop": true, "platform/web/sho": false,
		"platform": true, "platform/web": true, "plat": false,
		"platform/*": false, "platform/**": true, "platform/*/shop": true, "platform/web/{shop,cart}": true,
	} {
		if got := rules.Covers(entry, shop); got != want {
			t.Errorf("%s: got %v, want %v", entry, got, want)
		}
	}
}

// TestEvaluateOnSchedule checks that a schedule rule is evaluated for the jobs
// of its projects and scope.
func TestEvaluateOnSchedule(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - name: erase-old-logs
    on: schedule
    schedule: {cron: "@daily", projects: ["platform/*"]}
    if: not job.tag
    actions:
      - erase: {older_than: 90d, artifacts: true, keep_pipelines: 5, keep_tags: true, keep_protected: true, larger_than: 1MB}
  - name: cancel-what-hangs
    on: schedule
    schedule: {cron: "@hourly", projects: [7], scope: [pending]}
    if: age(job.created_at) > duration("2h")
    actions: [cancel]
`)
	erase := event.Action{
		Verb: event.VerbErase, OlderThan: event.Duration(90 * 24 * time.Hour), Artifacts: true,
		KeepPipelines: 5, KeepTags: true, KeepProtected: true, LargerThan: 1_000_000,
	}
	now := moment(t, "2026-06-02T03:00:00Z")
	for _, c := range []struct {
		name string
		path string
		job  event.Job
		want []event.Action
	}{
		{"a job of a project", "platform/shop", event.Job{ID: 1, Status: "failed"}, []event.Action{erase}},
		{"another project", "tools/shop", event.Job{ID: 1, Status: "failed"}, nil},
		{"the condition", "platform/shop", event.Job{ID: 1, Status: "failed", Tag: true}, nil},
		{"another status", "platform/shop", event.Job{ID: 1, Status: "running"}, nil},
		{"a status of the other rule", "tools/shop", event.Job{ID: 1, Status: "pending", CreatedAt: now.Add(-3 * time.Hour)}, []event.Action{{Verb: event.VerbCancel}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			decisions, errs := rs.Evaluate(t.Context(), event.Event{
				Meta:    event.Meta{Kind: event.KindSchedule, ReceivedAt: now},
				Project: event.Project{ID: 7, Path: c.path}, Job: c.job,
			}, nil)
			var got []event.Action
			for _, d := range decisions {
				got = append(got, d.Action)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || len(errs) > 0 {
				t.Errorf("errors %v; actions (-want +got):\n%s", errs, diff)
			}
		})
	}
}

func TestSweepProblems(t *testing.T) {
	var s event.Sweep
	for range 3 {
		s.Problem("platform/shop", 7, "403 Forbidden")
	}
	for i := range 200 {
		s.Problem(fmt.Sprintf("platform/p%d", i), 0, "404 Project Not Found")
	}
	if n := len(s.Problems); n != 100 {
		t.Fatalf("%d problems are kept", n)
	}
	for i, want := range map[int]string{0: "platform/shop: job 7: 403 Forbidden (3 times)", 1: "platform/p0: 404 Project Not Found", 99: "other problems (102 times)"} {
		if got := s.Problems[i].String(); got != want {
			t.Errorf("problem %d: got %q, want %q", i, got, want)
		}
	}
}

// TestSweepCount checks that each project has one line with all its jobs, and
// that up to a thousand lines with results are kept.
func TestSweepCount(t *testing.T) {
	var run event.Sweep
	quiet, busy := event.Project{ID: 1, Path: "a/quiet"}, event.Project{ID: 2, Path: "a/busy"}
	run.Count(quiet, event.SweepCounts{Jobs: 100, Kept: 100})
	run.End(quiet)
	run.Count(busy, event.SweepCounts{Jobs: 100, Kept: 100})
	run.Count(busy, event.SweepCounts{Jobs: 100, Kept: 99, Erased: 1, Freed: 10})
	run.Count(busy, event.SweepCounts{Jobs: 100, Before: 100})
	run.End(busy)
	want := []event.SweepProject{{ID: 2, Path: "a/busy", SweepCounts: event.SweepCounts{Jobs: 300, Erased: 1, Before: 100, Kept: 199, Freed: 10}}}
	if diff := cmp.Diff(want, run.Projects); diff != "" || run.Jobs != 400 || run.Finished != 2 {
		t.Errorf("%d jobs in %d projects (-want +got):\n%s", run.Jobs, run.Finished, diff)
	}
	for id := int64(3); id < 1010; id++ {
		for range 2 {
			run.Count(event.Project{ID: id}, event.SweepCounts{Jobs: 100, Erased: 100})
		}
		run.End(event.Project{ID: id})
	}
	if len(run.Projects) != 1000 || run.More != 8 {
		t.Errorf("%d lines and %d more, want 1000 and 8", len(run.Projects), run.More)
	}
}
