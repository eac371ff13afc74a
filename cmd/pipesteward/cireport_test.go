package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/ownpipeline"
	"github.com/pipesteward/pipesteward/rules/event"
)

// TestCIReportSteersNothing: names and messages of others reach the job's log without
// control characters: they neither colour it, nor end the report's section, nor begin a
// line.
func TestCIReportSteersNothing(t *testing.T) {
	t.Parallel()
	const odd = "rs\x1b[31mpec\u009b\u202e\r\x1b[0Ksection_end:1:pipesteward\r\nPipesteward: all is done"
	now := time.Now()
	decision := event.Decision{Rule: odd, Action: event.Action{Verb: event.VerbRetry}}
	decision.Project, decision.Pipeline = event.Project{Path: odd}, event.Pipeline{ID: 7, Ref: odd}
	decision.Job = event.Job{ID: 8, Name: odd, Ref: odd, FailureReason: odd}
	var entries []ownpipeline.Entry
	for _, result := range append([]string{""}, event.Results...) {
		entries = append(entries, ownpipeline.Entry{Outcome: event.Outcome{Decision: decision, Result: result, Reason: odd}, Due: now.Add(time.Minute)})
	}
	place := ownpipeline.Place{AgentsErr: errors.New(odd)}
	place.Project.Path = odd
	place.Job = gitlab.Job{}
	place.Job.Name, place.Job.Pipeline.Ref, place.Job.Pipeline.URL = odd, odd, odd
	withAgents := place
	withAgents.AgentsErr, withAgents.Agents = nil, []gitlab.Agent{{ID: 5, ConfigProject: event.Project{Path: odd}}}
	for i, place := range []ownpipeline.Place{place, withAgents} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			report := ciReport{
				place: place, events: ownpipeline.Events{Status: odd}, access: true,
				result: ownpipeline.Result{Entries: entries, Trouble: odd},
			}
			var out bytes.Buffer
			if err := report.print(&out, now, now); err != nil {
				t.Fatal(err)
			}
			printWaiting(&out, entries, time.Hour)
			text := out.String()
			for _, marker := range []string{"section_start", "section_end"} { // those of the report itself
				text = strings.Replace(text, "\x1b[0K"+marker+fmt.Sprintf(":%d:pipesteward\r\x1b[0K", now.Unix()), "", 1)
			}
			if strings.ContainsAny(text, "\x1b\u009b\u202e\r") || strings.Contains(text, "\nPipesteward: all is done") {
				t.Errorf("the report steers the log:\n%q", text)
			}
			if !strings.Contains(text, "rs?[31mpec") {
				t.Errorf("the report names nothing:\n%s", text)
			}
		})
	}
}
