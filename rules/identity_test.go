package rules_test

import (
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

const identityRules = `
version: 1
defaults: {channel: "#ci"}
classes:
  - {name: disk, log: "No space left"}
rules:
  - name: a # the first
    on: job
    if: job.status == "failed"
    actions: [retry]
  - {name: b, on: job, if: 'job.status == "success"', actions: [erase: {older_than: 1d}]}
`

// TestIdentities checks that a rule's identity changes if and only if its
// behaviour may have changed.
func TestIdentities(t *testing.T) {
	load := func(text string, o rulefile.Options) []string {
		t.Helper()
		rs, err := rulefile.Load(o, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return rs.Identities()
	}
	before := load(identityRules, rulefile.Options{})
	for _, test := range []struct {
		name     string
		old, new string
		o        rulefile.Options
		changed  []bool // of each rule
	}{
		{name: "nothing", changed: []bool{false, false}},
		{name: "a comment", old: "# the first", new: "# the last", changed: []bool{false, false}},
		{name: "the layout", old: "actions: [retry]", new: "actions:\n      - retry", changed: []bool{false, false}},
		{name: "limits", old: "classes:", new: "limits: {per_job: 2}\nclasses:", changed: []bool{false, false}},
		{name: "its condition", old: `"failed"`, new: `"canceled"`, changed: []bool{true, false}},
		{name: "its name", old: "name: a", new: "name: c", changed: []bool{true, false}},
		{name: "its action", old: "older_than: 1d", new: "older_than: 2d", changed: []bool{false, true}},
		{name: "its dry run", old: "on: job\n", new: "on: job\n    dry_run: true\n", changed: []bool{true, false}},
		{name: "a default", old: `"#ci"`, new: `"#builds"`, changed: []bool{true, true}},
		{name: "a class", old: "No space left", new: "disk full", changed: []bool{true, true}},
		{name: "the process's dry run", o: rulefile.Options{DryRun: true}, changed: []bool{true, true}},
	} {
		after := load(strings.Replace(identityRules, test.old, test.new, 1), test.o)
		for i, changed := range test.changed {
			if got := after[i] != before[i]; got != changed {
				t.Errorf("%s: rule %d has another identity: %t, want %t", test.name, i, got, changed)
			}
		}
	}
	both := load(strings.Replace(identityRules, "name: a", "&x name: a", 1), rulefile.Options{})
	if both[0] == both[1] {
		t.Error("two rules have one identity")
	}
}

// TestWithout checks that excluded rules want no event and decide nothing.
func TestWithout(t *testing.T) {
	rs := load(t, strings.Replace(identityRules, "classes:\n  - {name: disk, log: \"No space left\"}\n", "", 1))
	failed := event.Event{Meta: event.Meta{Kind: event.KindJob}, Job: event.Job{ID: 1, Status: "failed", Attempt: 1}}
	passed := failed
	passed.Job.Status = "success"
	for _, test := range []struct {
		name           string
		without        []string
		failed, passed int
	}{
		{"none", nil, 1, 1},
		{"the first", rs.Identities()[:1], 0, 1},
		{"the second", rs.Identities()[1:], 1, 0},
		{"both", rs.Identities(), 0, 0},
		{"one that is not there", []string{"0123456789abcdef"}, 1, 1},
	} {
		rest := rs.Without(test.without)
		for _, e := range []struct {
			event event.Event
			want  int
		}{{failed, test.failed}, {passed, test.passed}} {
			decisions, errs := rest.Evaluate(t.Context(), e.event, nil)
			if len(decisions) != e.want || len(errs) > 0 {
				t.Errorf("without %s, %s: %d decisions, %v, want %d", test.name, e.event.Job.Status, len(decisions), errs, e.want)
			}
			if wants := rest.Wants(e.event); wants != (e.want > 0) {
				t.Errorf("without %s, %s: wants it %t", test.name, e.event.Job.Status, wants)
			}
		}
	}
}

// TestWithoutStillStops checks that an excluded rule decides nothing, and that
// its `stop` still applies to the rules behind it.
func TestWithoutStillStops(t *testing.T) {
	rs := load(t, `
version: 1
rules:
  - {name: leave-alone, on: job, if: 'project.path == "legacy/a"', notify: [{channel: ci}], stop: true}
  - {name: retry, on: job, if: 'job.status == "failed"', actions: [retry]}
`)
	rest := rs.Without(rs.Identities()[:1])
	for path, want := range map[string]int{"legacy/a": 0, "platform/shop": 1} {
		e := event.Event{Meta: event.Meta{Kind: event.KindJob}, Project: event.Project{Path: path}, Job: event.Job{ID: 1, Status: "failed"}}
		if decisions, errs := rest.Evaluate(t.Context(), e, nil); len(decisions) != want || len(errs) > 0 {
			t.Errorf("%s: %d decisions, %v, want %d", path, len(decisions), errs, want)
		}
	}
}
