package rules_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
)

// The notices of an entry with `together` are of one message where its text is the same, in
// one project; the text says of how many branches, tags and merge requests that is, and only
// the first mentions people.
func TestTogether(t *testing.T) {
	rs := load(t, `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: red
    on: job
    notify:
      - {together: "{{ job.name }}", mention: ["@oncall"], text: "{{ job.name }}: {{ outcome.together }} wait"}
      - {channel: "#all", text: "{{ job.name }} alone, {{ outcome.together }}"}
`)
	notices := func(refs int, change func(*event.Event)) []event.Notice {
		e := fixture.JobEvent()
		e.Job.Name = "lint"
		change(&e)
		o := event.Outcome{Decision: only(t, rs, e), Result: event.ResultDone}
		if len(o.Together) != 1 || o.Together[0].Subject == "" {
			t.Fatalf("together %+v, want one message", o.Together)
		}
		o.Together[0].Refs = refs
		all, errs := rs.Notices(t.Context(), o, &facts{}, anywhere(strings.Clone))
		if len(all) != 2 || errs != nil {
			t.Fatalf("notices %+v, errors %v, want two", all, errs)
		}
		return all
	}
	same := func(*event.Event) {}
	first, later := notices(1, same), notices(14, func(e *event.Event) { e.Pipeline.ID, e.Job.ID, e.Pipeline.Ref = 9, 9, "refs/merge-requests/9/head" })
	type seen struct {
		Text    string
		Mention []string
		Count   int
	}
	of := func(n event.Notice) seen { return seen{n.Text, n.Mention, n.Together} }
	if diff := cmp.Diff([]seen{{"lint: 1 wait", []string{"@oncall"}, 1}, {"lint alone, 0", nil, 0}}, []seen{of(first[0]), of(first[1])}); diff != "" {
		t.Errorf("the first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(seen{"lint: 14 wait", nil, 14}, of(later[0])); diff != "" {
		t.Errorf("a later one (-want +got):\n%s", diff)
	}
	if first[0].Subject != later[0].Subject || first[1].Subject != "" {
		t.Errorf("subjects %q, %q and %q, want the same for both, and none for the other entry", first[0].Subject, later[0].Subject, first[1].Subject)
	}
	for name, change := range map[string]func(*event.Event){
		"another text":    func(e *event.Event) { e.Job.Name = "rspec" },
		"another project": func(e *event.Event) { e.Project.ID = 8 },
	} {
		if other := notices(1, change); other[0].Subject == first[0].Subject {
			t.Errorf("%s has the same message", name)
		}
	}
}
