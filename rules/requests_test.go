package rules_test

import "testing"

// A function counts wherever an expression of a rule calls it.
func TestRequests(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"if":        `{name: a, on: job, if: merge_request_details().draft, actions: [retry]}`,
		"jobs":      `{name: a, on: pipeline, actions: [{play: {jobs: 'filter(jobs(), merge_request_details().draft)'}}]}`,
		"variables": `{name: a, on: job, actions: [{play: {variables: {X: "{{ merge_request_details().title }}"}}}]}`,
		"inputs":    `{name: a, on: job, actions: [{play: {inputs: {x: ["{{ merge_request_details().title }}"]}}}]}`,
		"notify":    `{name: a, on: job, actions: [retry], notify: [{channel: "#ci", text: "{{ merge_request_details().title }}"}]}`,
	} {
		rs := load(t, "version: 1\nrules:\n  - "+rule+"\n")
		if !rs.Requests("merge_request_details") {
			t.Errorf("%s: it is not requested", name)
		}
		if rs.Requests("bridges") {
			t.Errorf("%s: bridges is requested", name)
		}
	}
	if load(t, "version: 1\nrules: [{name: a, on: job, if: superseded(), actions: [retry]}]\n").Requests("merge_request_details") {
		t.Error("it is requested, and no rule calls it")
	}
}
