package evaluated_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestItem(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	record := event.Record{Without: []string{"0123456789abcdef"}}
	record.Meta = event.Meta{Kind: event.KindJob, ID: "1", ReceivedAt: at}
	record.Job = event.Job{ID: 77, Name: "rspec\n1", Attempt: 3}
	large := record
	large.Meta.Kind = event.KindPipeline
	for range 200 {
		large.Pipeline.Jobs = append(large.Pipeline.Jobs, event.Job{Name: strings.Repeat("x", 300)})
	}
	result := evaluated.Result{At: at, Rules: "abc", Waits: "503", Trace: rules.Trace{
		Steps:     []rules.Step{{Rule: "r", Result: rules.VerdictFailed, Reason: "if: no"}},
		StoppedBy: "s",
	}}
	huge := record
	huge.Pipeline.Variables, huge.Commit.Title = map[string]string{"X": strings.Repeat("x", 1<<20)}, "Fix"
	many := result
	for range 1000 {
		many.Steps = append(many.Steps, rules.Step{Rule: "n", Result: rules.VerdictNotMatched})
	}
	many.Steps = append(many.Steps, rules.Step{Rule: "m", Result: rules.VerdictMatched, Reason: strings.Repeat("x", 1000)})
	corrected := result
	corrected.Attempt, corrected.ProjectID = 2, 380

	for name, c := range map[string]struct {
		result evaluated.Result
		record event.Record
		want   func(*evaluated.Evaluation)
	}{
		"as it came":    {result, record, func(*evaluated.Evaluation) {}},
		"corrected":     {corrected, record, func(ev *evaluated.Evaluation) { ev.Record.Job.Attempt, ev.Record.Project.ID = 2, 380 }},
		"without rules": {evaluated.Result{At: at}, record, func(*evaluated.Evaluation) {}},
		"huge": {result, huge, func(ev *evaluated.Evaluation) {
			ev.Cut, ev.Record.Pipeline.Variables, ev.Record.Commit.Title = true, nil, ""
		}},
		"many rules": {many, record, func(ev *evaluated.Evaluation) {
			last := rules.Step{Rule: "m", Result: rules.VerdictMatched, Reason: strings.Repeat("x", 500) + "…"}
			ev.More, ev.Steps = 801, append(append([]rules.Step{}, many.Steps[:200]...), last)
		}},
		"large": {result, large, func(ev *evaluated.Evaluation) { ev.Cut, ev.Record.Pipeline.Jobs = true, nil }},
	} {
		body, err := json.Marshal(c.record)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := evaluated.Item(c.result, c.record, body)
		if err != nil {
			t.Fatal(err)
		}
		item := bytes.Join(parts, nil)
		if bytes.Contains(item, []byte("\n")) {
			t.Errorf("%s: the item has a newline", name)
		}
		got, err := evaluated.Parse(item)
		if err != nil {
			t.Fatalf("%s: %v in %s", name, err, item)
		}
		want := evaluated.Evaluation{Result: c.result, Record: c.record}
		c.want(&want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	huge.Job.Name = strings.Repeat("x", 1<<20)
	if _, err := evaluated.Item(result, huge, make([]byte, 1<<20)); err == nil {
		t.Error("an event that can't be made small: no error")
	}
	if _, err := evaluated.Parse([]byte("{")); err == nil {
		t.Error("an item that is cut short: no error")
	}
}
