package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// TestInputsKeepTheirTypes checks that inputs keep their types, because GitLab
// refuses the text "3" for a number.
func TestInputsKeepTheirTypes(t *testing.T) {
	for _, test := range []struct{ yaml, want string }{
		{`staging`, `"staging"`},
		{`"3"`, `"3"`},
		{`3`, `3`},
		{`9007199254740993`, `9007199254740993`},
		{`123456789012345678901234567890`, `123456789012345678901234567890`},
		{`0.5`, `0.5`},
		{`1_000`, `1000`},
		{`true`, `true`},
		{`[eu, us]`, `["eu","us"]`},
		{`[1, true, "{{ job.id }}", "n-{{ job.id }}"]`, `[1,true,55,"n-55"]`},
		{`"{{ job.id }}"`, `55`},
		{`"{{ job.status == 'failed' }}"`, `true`},
		{`"{{ 1.5 }}"`, `1.5`},
		{`"{{ ['a', 'b'] }}"`, `["a","b"]`},
		{`"{{ job.name }}"`, `"rspec"`},
		{`" {{ job.id }}"`, `" 55"`},
		{`"{{ duration('1h') }}"`, `"1h0m0s"`},
		{`"{{ job }}"`, ``}, // text: the job as JSON
	} {
		rs := load(t, fmt.Sprintf("version: 1\nrules:\n  - {name: r, on: job, actions: [play: {inputs: {x: %s}}]}\n", test.yaml))
		e := fixture.JobEvent()
		e.Job.ID, e.Job.Name, e.Job.Status = 55, "rspec", "failed"
		decisions, errs := rs.Evaluate(t.Context(), e, nil)
		if len(errs) > 0 || len(decisions) != 1 {
			t.Fatalf("%s: %v, %v", test.yaml, decisions, errs)
		}
		body, err := json.Marshal(decisions[0])
		if err != nil {
			t.Fatal(err)
		}
		var stored event.Decision // as the queue stores it
		if err := json.Unmarshal(body, &stored); err != nil {
			t.Fatal(err)
		}
		got := string(stored.Action.Inputs["x"])
		if test.want == "" {
			if !strings.HasPrefix(got, `"{\"id\":55`) {
				t.Errorf("%s: got %.80s, want a text", test.yaml, got)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.yaml, diff)
		}
	}
	for yaml, want := range map[string]string{
		`{a: b}`: "an input must be a text, a number, a boolean or a list",
		`[[1]]`:  "an input may be a list of texts, numbers or booleans, and of nothing else",
		`010`:    "010 is octal to some and decimal to others",
		`.inf`:   ".inf is not a number that JSON has",
		`null`:   "must be a text",
	} {
		_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: fmt.Appendf(nil, "version: 1\nrules:\n  - {name: r, on: job, actions: [play: {inputs: {x: %s}}]}\n", yaml)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want …%s…", yaml, err, want)
		}
	}
}
