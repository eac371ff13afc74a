package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// longDecisions are decisions whose texts are long.
func longDecisions(t *testing.T) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	for i, result := range []string{"", event.ResultFailed, event.ResultDone} {
		var o event.Outcome
		o.ID = "retry:https://gitlab.example.com:7:" + strings.Repeat("7", i+1) + "00:failed@1764486000000000000"
		o.Project = event.Project{ID: 7, Path: "platform/backend/services/checkout"}
		o.Pipeline = event.Pipeline{ID: 1234567, Ref: "feature/make-the-checkout-faster"}
		o.Job = event.Job{ID: 98765432, Name: "integration-tests 3/7", Ref: o.Pipeline.Ref}
		o.Rule, o.Action.Verb, o.Result, o.DecidedAt = "retry-infrastructure-failures", event.VerbRetry, result, time.Now()
		if result != "" {
			o.At = time.Now()
			o.Reason = "GitLab refused: 403 Forbidden (403): check the token, its scope `api`, the rights of its user on the project, and, if the ref is protected, to push or merge there"
		}
		item, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

// TestDecisionsFitTheTerminal: no line is wider than the terminal, but for ids, which are
// not broken; what a table has is in the paragraphs, too.
func TestDecisionsFitTheTerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{60, 80, 120, 200, 300, 0} {
		var out bytes.Buffer
		p := decisionPrinter{itemPrinter{w: &out, colour: printer{colour: width == 80}, width: width}}
		if err := p.list(longDecisions(t)); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"waiting", "failed", "platform/backend/services/checkout", "feature/make-the-checkout-faster", "1234567", "98765432", "integration-tests 3/7", "retry-infrastructure-failures", "retry", "@1764486000000000000"} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("width %d: the list lacks %q:\n%s", width, part, &out)
			}
		}
		if table := strings.Contains(out.String(), "│"); table != (width == 0 || width == 300) {
			t.Errorf("width %d: table %v:\n%s", width, table, &out)
		}
		checkWidth(t, out.String(), width)
	}
}

// TestQueueFitsTheTerminal: likewise.
func TestQueueFitsTheTerminal(t *testing.T) {
	t.Parallel()
	now := time.Now()
	subject := admin.Subject{
		About: "retry of integration-tests 3/7", Rule: "retry-infrastructure-failures", Action: "retry", Project: "platform/backend/services/checkout",
		Ref: "feature/make-the-checkout-faster", Pipeline: 1234567, Job: 98765432, JobName: "integration-tests 3/7",
	}
	records := []admin.QueuedRecord{
		{ID: "decision:retry:https://gitlab.example.com:7:700:failed", State: admin.StateWaiting, Until: now.Add(5 * time.Minute), Tries: 3, WaitsFor: event.WaitBudget, Reason: "the budget of 100 retries in 1h for project platform/backend/services/checkout is used up", Subject: subject},
		{ID: "event:https://gitlab.example.com:0190", State: admin.StateLeased, Until: now.Add(30 * time.Second), Tries: 1, Subject: subject},
		{ID: "sweep:erase:1", Kind: "sweep", State: admin.StateDue, Until: now},
	}
	dead := []admin.DeadRecord{{ID: "event:https://gitlab.example.com:0190", Reason: "its processing was cut short 5 times in a row: by a crash or a kill, such as for want of memory", At: now, Subject: subject}}
	for _, width := range []int{60, 80, 120, 250, 0} {
		for _, p := range []printer{{}, {colour: true}} {
			text := listQueue(records, p, now).render(width) + "\n" + listDead(dead, p).render(width)
			for _, part := range []string{"waiting", "leased", "due", "budget", "is used up", "cut short", "decision:retry:https://gitlab.example.com:7:700:failed", "98765432"} {
				if !strings.Contains(strings.Join(strings.Fields(text), " "), part) {
					t.Errorf("width %d: the lists lack %q:\n%s", width, part, text)
				}
			}
			checkWidth(t, text, width)
		}
	}
}

// checkWidth wants each line with more than one word to fit.
func checkWidth(t *testing.T, list string, width int) {
	t.Helper()
	for line := range strings.Lines(list) {
		if n := text.StringWidthWithoutEscSequences(strings.TrimRight(line, "\n")); width > 0 && n > width && len(strings.Fields(line)) > 2 {
			t.Errorf("a line has %d columns of %d: %s", n, width, line)
		}
	}
	if testing.Verbose() {
		t.Logf("%d columns:\n%s", width, list)
	}
}
