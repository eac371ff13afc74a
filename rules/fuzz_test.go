package rules_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// loadAny loads an arbitrary file, and fails the test if the position of an
// error is outside the file.
func loadAny(t *testing.T, data []byte) *rules.Rules {
	rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: data})
	if err == nil {
		return rs
	}
	var mistakes schema.FileErrors
	if !errors.As(err, &mistakes) || len(mistakes) == 0 {
		t.Fatalf("Load gave %v, want FileErrors", err)
	}
	// YAML has more line breaks than \n.
	lines := strings.FieldsFunc(strings.NewReplacer("\r\n", " \n", "\n", " \n", "\r", " \n", "\u0085", " \n", "\u2028", " \n", "\u2029", " \n").Replace(string(data))+" ", func(r rune) bool { return r == '\n' })
	longest := 0
	for _, line := range lines {
		longest = max(longest, len([]rune(line)))
	}
	for _, m := range mistakes {
		if m.Message == "" || m.File != "r.yaml" || m.Line < 1 || m.Line > len(lines)+1 || m.Column < 1 || m.Column > longest+1 {
			t.Errorf("%d lines of up to %d characters, and an error at %v", len(lines), longest, m)
		}
	}
	return nil
}

// evaluateAny evaluates arbitrary rules.
func evaluateAny(t *testing.T, rs *rules.Rules, log string) {
	for _, e := range []event.Event{fixture.JobEvent(), fixture.PipelineEvent()} {
		decisions, errs := rs.Evaluate(t.Context(), e, &facts{log: log})
		allDecisions, allErrs := rs.EvaluateAll(t.Context(), e, &facts{log: log})
		if diff := cmp.Diff(allDecisions, decisions) + cmp.Diff(fmt.Sprint(allErrs), fmt.Sprint(errs)); diff != "" {
			t.Errorf("Evaluate differs from evaluating all rules (-all +got):\n%s", diff)
		}
		if len(decisions) > 0 && !rs.Wants(e) {
			t.Error("an event is not wanted that has decisions")
		}
		rs.Explain(t.Context(), e, &facts{log: log})
		for _, d := range decisions {
			rs.Notices(t.Context(), event.Outcome{Decision: d, Result: event.ResultDone}, &facts{log: log}, anywhere(strings.ToUpper))
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("rulefile/testdata/*/*.yaml") // broken and mistyped
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "../rules.example.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("version: 1\nrules: [&a {name: a, on: job, actions: [retry: {}]}, *a, &b [*b]]"))
	f.Add([]byte("version: 1\nrules: [{name: a, on: pipeline, actions: [retry_pipeline, cancel_pipeline: {}, {play: {jobs: 'bridges()', wait: success, allow_stale: true}}, retry: {jobs: 'concat(jobs(), bridges())', allow_stale: true}]}]"))
	f.Add([]byte("version: 1\nrules: [{name: a, on: pipeline, if: 'merge_request_details().draft', stop: true}, {name: b, on: pipeline, actions: [play: {jobs: ['deploy-*', x, '[a'], wait: success}, retry: {jobs: ['*']}]}]"))
	f.Add([]byte("version: 1\nclasses: {include: [common], define: [{name: full, log: 'no space', retry: false}]}\nrules: [{name: a, on: job, if: job.failure_class == 'dns', actions: [retry]}]"))
	f.Add([]byte("version: 1\nlimits: {per_job: 2, total: 10/1h, per_class: {full: 1/1d, api: 5/10m}}\nstorm: {failures: 2, within: 1m, pause: 1h}\nclasses: [{name: full, log: '(?i)no space|quota'}]\nrules: [{name: a, on: job, if: job.failure_class == 'full', actions: [retry]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if rs := loadAny(t, data); rs != nil {
			evaluateAny(t, rs, "No space left")
		}
	})
}

// quote returns a text as a YAML string. JSON strings are YAML strings.
func quote(t *testing.T, text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		`failed_with("stuck_or_timeout_failure") and log() contains "No space left on device"`,
		`pipeline.ref == project.default_branch and all(pipeline.jobs, .stage != "test" or .status == "success")`,
		`any(split(log(), "\n"), # matches "exit code [0-9]+") ? job.attempt < 3 : not (job.name in ["a", "b"])`,
		`glob(project.path, "{platform,tools}/**") && age(job.finished_at) >= duration("10m")`,
		`let names = map(jobs(), .name); len(uniq(names)) > 1 and join(names, ",") != "" and any(names, # startsWith "l")`,
		`reduce(1..9, #acc + # * 2 ** 2, 0) > 10 ?? false`, `toJSON(details()) contains "x" or "docker" in job.runner.tags`,
		`groupBy(pipeline.jobs, .stage)["test"] | count(.manual) == 0`, `{"a": [1, 2.5, nil]}.a[1:] == [2.5] or bridges()[0]?.downstream.id in 1..100`,
		`all(tests(), .recent_failures >= 3) and len(tests()) > 0 and map(tests(), .name + .suite + .file)[0] != ""`, `on_default().failed and age(on_default().since) > duration("1h") or on_default().failure_reason == job.failure_reason`, `superseded() and any(bridges(), any(.downstream.failed_jobs, .failure_class in ["runner", "stuck"]))`, `log_excerpt() contains "x" or log_excerpt(job.attempt) matches "exit code [0-9]+"`,
	} {
		f.Add(text, "No space left on device\nexit code 137\n")
	}
	f.Fuzz(func(t *testing.T, text, log string) {
		for _, on := range []string{"job", "pipeline"} {
			if rs := loadAny(t, fmt.Appendf(nil, "version: 1\nrules: [{name: r, on: %s, if: %s, notify: [{channel: ci}]}]", on, quote(t, text))); rs != nil {
				evaluateAny(t, rs, log)
			}
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"Gave up on <{{ job.url }}|{{ job.name }}> after {{ job.attempt }} attempts: {{ job.failure_reason }}",
		"{{ {\"a\": 1.50} }} {{ 'a}}b' }} {{ `}}` }}{{ job.started_at }}", "{{", "{{ }}", "{{ {} }}}}", "{{ \"\\\"}}\" }}",
		`{{ join(map(filter(jobs(), .status == "failed"), .name), ", ") }}`, "{{ log_excerpt() }}{{ log_excerpt(3) }} {{ bridges()[0].downstream.failed_jobs[0].name }}", "{{ toJSON(project) }} {{ now() }} {{ duration(\"1d\") }}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := quote(t, text)
		data := fmt.Appendf(nil, "version: 1\nrules: [{name: r, on: job, actions: [play: {variables: {A: %s}}], notify: [{channel: ci, text: %s}]}]", quoted, quoted)
		if rs := loadAny(t, data); rs != nil {
			evaluateAny(t, rs, "")
		}
	})
}
