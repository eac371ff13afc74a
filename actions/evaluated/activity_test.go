package evaluated_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/evaluated"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// items is a log in memory.
type items [][]byte

func (all items) Each(_ context.Context, visit func(subject string, item []byte) bool) error {
	for _, item := range all {
		if !visit("pipeline:1", item) {
			break
		}
	}
	return nil
}

// TestSum: each event counts once, for the rules that matched or failed on it.
func TestSum(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	record := event.Record{}
	record.Job.Name = `rspec ,"record":{` // as the text of a job
	body, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	var all items
	for _, r := range []evaluated.Result{
		{At: noon, Trace: rules.Trace{Steps: []rules.Step{{Rule: "a", Result: rules.VerdictMatched, Reason: `of ,"record":`}, {Rule: "b", Result: rules.VerdictNotMatched}}}},
		{At: noon.Add(-time.Hour), Trace: rules.Trace{Steps: []rules.Step{{Rule: "a", Result: rules.VerdictFailed, Reason: "if: no"}, {Rule: "b", Result: rules.VerdictMatched}}}},
		{At: noon.Add(-2 * time.Hour), Trace: rules.Trace{Steps: []rules.Step{{Rule: "a", Result: rules.VerdictFailed, Reason: "if: older"}}}},
		{At: noon.Add(-3 * time.Hour), Waits: "503", Trace: rules.Trace{Steps: []rules.Step{{Rule: "a", Result: rules.VerdictFailed}}}},
		{At: noon.Add(-4 * time.Hour), Dropped: "foreign"},
	} {
		parts, err := evaluated.Item(r, record, body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Join(parts, nil))
	}
	got, err := evaluated.Sum(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	want := evaluated.Activity{Since: noon.Add(-2 * time.Hour), Events: 3, Rules: map[string]*evaluated.RuleActivity{
		"a": {Rule: "a", Matched: 1, Failed: 2, LastMatch: noon, LastFailed: noon.Add(-time.Hour), Error: "if: no"},
		"b": {Rule: "b", Matched: 1, LastMatch: noon.Add(-time.Hour)},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := evaluated.Sum(t.Context(), items{[]byte("{")}); err == nil {
		t.Error("an item that is cut short: no error")
	}
}
