package rules_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func TestWants(t *testing.T) {
	for _, c := range []struct {
		on, text string
		want     string // statuses of many that are wanted
	}{
		{"job", `true`, "failed success running"},
		{"job", `failed_with("api_failure")`, "failed"},
		{"job", `failed_with("api_failure") or failed_with("script_failure") and log() contains "x"`, "failed"},
		{"job", `job.status in ["failed", "success"] and job.name == "x"`, "failed success"},
		{"job", `"failed" == job.status or job.status == "running"`, "failed running"},
		{"job", `job.status == "failed" or job.name == "x"`, "failed success running"},
		{"job", `job.status != "failed"`, "failed success running"},
		{"job", `not (job.status == "failed")`, "failed success running"},
		{"job", `job.failure_reason == "api_failure"`, "failed"},
		{"job", `job.failure_class in ["runner", "stuck"]`, "failed"},
		{"job", `job.failure_reason == ""`, "failed success running"},
		{"job", `job.failure_class == ""`, "failed success running"},
		{"job", `pipeline.status == "failed"`, "failed success running"},
		{"job", `job.status == "failed" and job.status == "success"`, ""},
		{"pipeline", `pipeline.status == "failed"`, "failed"},
		{"pipeline", `any(pipeline.jobs, .status == "failed")`, "failed success running"},
	} {
		rs := condition(t, c.on, c.text)
		var got []string
		for _, status := range []string{"failed", "success", "running"} {
			e := event.Event{Meta: event.Meta{Kind: c.on}}
			e.Job.Status, e.Pipeline.Status = status, status
			if rs.Wants(e) {
				got = append(got, status)
			}
			for _, other := range []string{event.KindJob, event.KindPipeline, event.KindSchedule} {
				if e.Meta.Kind = other; other != c.on && rs.Wants(e) {
					t.Errorf("%s: a rule on %s wants a %s event", c.text, c.on, other)
				}
			}
		}
		if diff := cmp.Diff(strings.Fields(c.want), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", c.text, c.on, diff)
		}
	}
}

// TestWantsTheEndsOfPipelines: a receiver that gets one message at the end of a pipeline needs
// that, a program and one without digests do not.
func TestWantsTheEndsOfPipelines(t *testing.T) {
	const text = `version: 1
receivers: [{name: ops, discord: {url: "https://discord.com/api/webhooks/1/token"}}, {name: audit, webhook: {url: "https://a.example.com", signing_token: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=}}]
defaults: {receiver: %s, group: %s}
rules: [{name: r, on: job, actions: [retry], notify: [{when: [done]}]}]
`
	const five = "{burst: 5}"
	for c, want := range map[[2]string]bool{{"ops", five}: true, {"ops", "false"}: false, {"audit", five}: false} {
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r", Data: fmt.Appendf(nil, text, c[0], c[1])})
		if err != nil {
			t.Fatal(err)
		}
		for status, ended := range map[string]bool{"failed": true, "success": true, "canceled": true, "running": false} {
			e := event.Event{Meta: event.Meta{Kind: event.KindPipeline}, Pipeline: event.Pipeline{Status: status}}
			if got := rs.Wants(e); got != (want && ended) {
				t.Errorf("%q: wants a pipeline that is %s: %t", c, status, got)
			}
		}
	}
}

// TestWantsTheEndsOfRetriedJobs checks that, with a rule that retries jobs,
// the end of every run that may be a retry is wanted, whatever the rules'
// conditions: it shows whether the retry helped.
func TestWantsTheEndsOfRetriedJobs(t *testing.T) {
	const text = "version: 1\nrules: [{name: r, on: job, if: 'failed_with(\"api_failure\") and project.path == \"a/b\"', actions: [%s]}]\n"
	for _, c := range []struct {
		action  string
		attempt int // 0: not in the hook
		status  string
		want    bool
	}{
		{"retry", 2, "success", true},
		{"retry", 0, "success", true},
		{"retry", 1, "success", false},
		{"retry", 2, "running", false},
		{"retry", 1, "failed", true}, // by the condition
		{"cancel", 2, "success", false},
	} {
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r", Data: fmt.Appendf(nil, text, c.action)})
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event{Meta: event.Meta{Kind: event.KindJob}, Job: event.Job{Status: c.status, Attempt: c.attempt}}
		if got := rs.Wants(e); got != c.want {
			t.Errorf("%s: a job's attempt %d that is %s is wanted: %v, want %v", c.action, c.attempt, c.status, got, c.want)
		}
	}
}

// TestOnlyRulesThatCanMatchAreRun checks which parts of conditions pin fields,
// by the events for which the rule is run.
func TestOnlyRulesThatCanMatchAreRun(t *testing.T) {
	for _, c := range []struct {
		on, text string
		run      bool // on jobEvent or pipelineEvent, which it doesn't match
	}{
		{"job", `project.path == "platform/other"`, false},
		{"job", `"platform/other" == project.path and job.attempt < 3`, false},
		{"job", `job.attempt < 3 and project.path in ["platform/other", "tools/shop"]`, false},
		{"job", `job.status == "failed" and failed_with("api_failure", "script_failure")`, false},
		{"job", `failed_with("api_failure") and log() contains "x"`, false},
		{"job", `project.path == "platform/shop" and job.failure_reason == "api_failure"`, false},
		{"job", `job.status == "success" or failed_with("api_failure")`, true}, // the operands pin no field in common
		{"job", `job.status == "success" or job.status == "running"`, false},
		{"job", `project.path == "platform/other" or job.status == "success"`, true},
		{"job", `glob(project.path, "tools/*")`, false},
		{"job", `glob(project.path, "platform/*") and job.name == "x"`, true},
		{"job", `glob(project.path, "tools/**")`, true},
		{"job", `project.path != "platform/shop"`, true},
		{"job", `not (project.path == "platform/shop")`, true},
		{"job", `project.path not in ["platform/shop"]`, true},
		{"job", `project.path + "" == "platform/other"`, true},
		// The first operand may send a request or fail, so it is evaluated.
		{"job", `log() contains "x" and project.path == "platform/other"`, true},
		{"job", `10 % job.attempt == 1 and project.path == "platform/other"`, true},
		{"pipeline", `pipeline.status == "failed" and any(pipeline.jobs, .status == "failed")`, false},
		{"pipeline", `any(pipeline.jobs, .status == "failed") and pipeline.status == "failed"`, true},
		{"pipeline", `project.path == "platform/other"`, false},
	} {
		e := fixture.JobEvent()
		if c.on == "pipeline" {
			e = fixture.PipelineEvent()
		}
		if got := condition(t, c.on, c.text).Candidates(e) > 0; got != c.run {
			t.Errorf("%s: run = %v, want %v", c.text, got, c.run)
		}
	}
}

// TestEventsOfNoInterestAllocateNothing checks that events that no rule can
// match allocate no memory, however many rules there are.
func TestEventsOfNoInterestAllocateNothing(t *testing.T) {
	rs := condition(t, "job", `glob(project.path, "platform/*") and failed_with("api_failure", "script_failure")`)
	e := fixture.JobEvent()
	if n := testing.AllocsPerRun(100, func() { rs.Evaluate(t.Context(), e, nil) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

var (
	someStatuses = []string{"failed", "success", "running", "pending"}
	someReasons  = []string{"", "api_failure", "script_failure", "stuck_or_timeout_failure", "no_updates_running"}
	somePaths    = []string{"platform/shop", "platform/sub/shop", "tools/shop", "shop"}
)

func quoted(values []string) *rapid.Generator[string] {
	return rapid.Map(rapid.SampledFrom(values), strconv.Quote)
}

func listed(values []string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(quoted(values), 0, 3), func(s []string) string { return "[" + strings.Join(s, ", ") + "]" })
}

// someClasses draws the failure classes of a rule file, or none.
var someClasses = rapid.SampledFrom([]string{"", "classes: [{name: ex, log: x}, {name: why, log: \"[xy]\"}]\n"})

// conditions draws conditions for rules on jobs or on pipelines.
func conditions(on string, depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		// draw returns one of several texts. Each %s in it is replaced by
		// another drawn text.
		draw := func(templates ...string) string {
			form := rapid.SampledFrom(templates).Draw(t, "form")
			texts := map[string]*rapid.Generator[string]{
				"FIELD": rapid.SampledFrom([]string{"job.status", "job.failure_reason", "pipeline.status", "project.path", "project.namespace"}),
				"ST":    quoted(someStatuses), "STS": listed(someStatuses),
				"RE": quoted(someReasons), "RES": listed(someReasons), "CAUSE": quoted(someReasons[1:]),
				"PA": quoted(somePaths), "PAS": listed(somePaths),
				"GLOB": quoted([]string{"platform/*", "tools/*", "platform/sub/*", "platform/**", "*/shop", "{platform,tools}/*", "plat?orm/*", "*/*", "*", "shop", "/*"}),
			}
			mayFail := []string{"10 % pipeline.iid == 0", "any(jobs(), .status == \"failed\")", "superseded()"}
			if on == event.KindJob {
				mayFail = append(mayFail, "log() contains \"x\"")
			}
			texts["MAYFAIL"] = rapid.SampledFrom(mayFail)
			if on == event.KindPipeline {
				texts["FIELD"] = rapid.SampledFrom([]string{"pipeline.status", "project.path", "project.namespace"})
			}
			if depth > 0 {
				texts["C"] = conditions(on, depth-1)
			}
			words := strings.Split(form, "~")
			for i, word := range words {
				if text, ok := texts[word]; ok {
					words[i] = text.Draw(t, word)
				}
			}
			return strings.Join(words, "")
		}
		forms := []string{
			"pipeline.status == ~ST", "~ST~ != pipeline.status", "pipeline.status in ~STS", "pipeline.status not in ~STS",
			"project.path == ~PA", "project.path != ~PA", "~PA~ == project.path", "project.path in ~PAS", "project.path not in ~PAS",
			"glob(project.path, ~GLOB~)", "not glob(project.path, ~GLOB~)", "project.path startsWith \"platform/\"",
			"~FIELD~ == ~FIELD", "lower(~FIELD~) == ~PA", "~FIELD~ + \"\" == ~PA", "pipeline.iid < 2", "true", "false",
			"~MAYFAIL~",
		}
		if on == event.KindJob {
			forms = append(forms,
				"job.status == ~ST", "job[\"status\"] == ~ST", "job?.status == ~ST", "~ST~ != job.status", "job.status in ~STS", "job.status not in ~STS",
				"job.failure_reason == ~RE", "job.failure_reason != ~RE", "job.failure_reason in ~RES", "job.failure_reason not in ~RES",
				"failed_with(~CAUSE~)", "failed_with(~CAUSE~, ~CAUSE~)", "not failed_with(~CAUSE~)", "job.failure_class in [\"api\", \"stuck\"]", "job.failure_class == \"script\"", "job.failure_class != \"\"", "job[\"failure_class\"] startsWith \"e\"")
		} else {
			forms = append(forms,
				"any(pipeline.jobs, .status == ~ST~)", "none(pipeline.jobs, .status in ~STS~)", "len(filter(pipeline.jobs, .status == ~ST~)) > 1",
				"all(pipeline.jobs, .status == ~ST~ or pipeline.status == ~ST~)")
		}
		if depth > 0 && rapid.IntRange(0, 2).Draw(t, "deeper") > 0 {
			return draw("(~MAYFAIL~ and ~C~)", "(~C~ and ~C~)", "(~C~ && ~C~)", "(~C~ or ~C~)", "(~C~ || ~C~)", "not (~C~)", "!(~C~)", "(~C~ ? ~C~ : ~C~)",
				"(if ~C~ { ~C~ } else { ~C~ })", "(let v"+strconv.Itoa(depth)+" = ~C~; v"+strconv.Itoa(depth)+" and ~C~)", "((~C~) == (~C~))", "(~C~; ~C~)")
		}
		return draw(forms...)
	})
}

// events draws events that GitLab could send or, if odd, also others.
func events(odd bool) *rapid.Generator[event.Event] {
	return rapid.Custom(func(t *rapid.T) event.Event {
		e := fixture.JobEvent()
		e.Meta.Kind = rapid.SampledFrom([]string{event.KindJob, event.KindPipeline}).Draw(t, "kind")
		e.Project.Path = rapid.SampledFrom(append(somePaths, "platform/", "/", "")).Draw(t, "path")
		e.Project.Namespace = rapid.SampledFrom(somePaths).Draw(t, "namespace")
		e.Pipeline.Status = rapid.SampledFrom(append(someStatuses, "")).Draw(t, "pipeline status")
		e.Pipeline.IID = int64(rapid.IntRange(0, 3).Draw(t, "iid"))
		e.Job.Status = rapid.SampledFrom(someStatuses).Draw(t, "status")
		e.Job.FailureReason, e.Job.FailureClass = "", ""
		if odd || e.Job.Status == "failed" {
			e.Job.FailureReason = rapid.SampledFrom(someReasons).Draw(t, "reason")
			e.Job.FailureClass = event.ClassOf(e.Job.FailureReason)
		}
		if e.Meta.Kind == event.KindPipeline {
			for i := range rapid.IntRange(0, 3).Draw(t, "jobs") {
				e.Pipeline.Jobs = append(e.Pipeline.Jobs, event.Job{ID: int64(i + 1), Status: rapid.SampledFrom(someStatuses).Draw(t, "job's status")})
			}
		}
		return e
	})
}

// TestEvaluateIsEvaluatingAllRules checks that the index changes only the
// time: decisions, errors and requests to GitLab are those of evaluating all
// rules one after the other.
func TestEvaluateIsEvaluatingAllRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		text.WriteString("version: 1\n" + someClasses.Draw(t, "classes") + "rules:\n")
		for i := range rapid.IntRange(1, 8).Draw(t, "rules") {
			on := rapid.SampledFrom([]string{event.KindJob, event.KindPipeline}).Draw(t, "on")
			fmt.Fprintf(&text, "  - {name: r%d, on: %s, stop: %v, notify: [{channel: ci}]", i, on, rapid.IntRange(0, 3).Draw(t, "stop") == 0)
			if rapid.IntRange(0, 9).Draw(t, "conditional") > 0 {
				fmt.Fprintf(&text, ", if: %q", conditions(on, 3).Draw(t, "if"))
			}
			text.WriteString("}\n")
		}
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: []byte(text.String())})
		if err != nil {
			t.Fatalf("%s%v", text.String(), err)
		}
		down := errors.New("down")
		for range 10 {
			e := events(true).Draw(t, "event")
			gitlab, want := &facts{err: rapid.SampledFrom([]error{nil, down, passing{down}}).Draw(t, "error")}, &facts{}
			gitlab.log = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "log")
			*want = *gitlab
			decisions, errs := rs.Evaluate(t.Context(), e, gitlab)
			allDecisions, allErrs := rs.EvaluateAll(t.Context(), e, want)
			if diff := cmp.Diff(allDecisions, decisions); diff != "" {
				t.Fatalf("%s%+v: decisions (-all +got):\n%s", text.String(), e, diff)
			}
			if diff := cmp.Diff(fmt.Sprint(allErrs), fmt.Sprint(errs)); diff != "" {
				t.Fatalf("%s%+v: errors (-all +got):\n%s", text.String(), e, diff)
			}
			if diff := cmp.Diff(want.requested, gitlab.requested); diff != "" {
				t.Fatalf("%s%+v: requests (-all +got):\n%s", text.String(), e, diff)
			}
		}
	})
}

// TestWantsNeverLosesAnEvent checks that Wants returns true for every event
// that a rule matches, because other events are discarded. Wants is called
// before the event is fully decoded.
func TestWantsNeverLosesAnEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events(false).Draw(t, "event")
		text := conditions(e.Meta.Kind, 3).Draw(t, "condition")
		rs, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: fmt.Appendf(nil, "version: 1\n%srules: [{name: r, on: %s, if: %q, notify: [{channel: ci}]}]\n", someClasses.Draw(t, "classes"), e.Meta.Kind, text)})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		known := event.Event{Meta: event.Meta{Kind: e.Meta.Kind}, Project: event.Project{ID: e.Project.ID}}
		if e.Meta.Kind == event.KindJob {
			known.Job = event.Job{ID: e.Job.ID, Status: e.Job.Status}
		} else {
			known.Pipeline = event.Pipeline{ID: e.Pipeline.ID, Status: e.Pipeline.Status}
		}
		decisions, _ := rs.Evaluate(t.Context(), e, &facts{log: "x"})
		if len(decisions) > 0 && !rs.Wants(known) {
			t.Fatalf("%s: matches %+v, which is not wanted", text, e)
		}
	})
}

// manyRules returns a rule file of n rules for 5,000 projects. Ten of them may
// match jobEvent as far as the index shows; the last comparison of each
// determines whether they do.
func manyRules(b *testing.B, n int, matching bool) *rules.Rules {
	last := `job.attempt > 7`
	if matching {
		last = `job.attempt < 7`
	}
	text := []byte("version: 1\nrules:\n")
	add := func(condition string, args ...any) {
		text = fmt.Appendf(text, "  - {name: r%d, on: job, if: %q, actions: [retry]}\n", len(text), fmt.Sprintf(condition, args...)+" and "+last)
	}
	for range 4 {
		add(`project.path == "platform/shop" and failed_with("stuck_or_timeout_failure")`)
	}
	for range 2 {
		add(`failed_with("stuck_or_timeout_failure", "runner_system_failure")`)
		add(`glob(project.path, "platform/*") and job.status == "failed"`)
		add(`job.stage == "test"`)
	}
	for i := 10; i < n; i++ {
		project := fmt.Sprintf("group-%d/project-%d", i%500, i%5000)
		switch i % 10 {
		case 0:
			add(`failed_with(%q)`, []string{"api_failure", "script_failure", "scheduler_failure"}[i/10%3])
		case 1:
			add(`glob(project.path, "group-%d/*") and job.status == "failed"`, i%500)
		case 2:
			add(`project.path in [%q, "group-1/other", "group-2/other"] and job.name == "deploy"`, project)
		default:
			add(`project.path == %q and failed_with("runner_system_failure", "api_failure")`, project)
		}
	}
	rs := load(b, string(text))
	if got := rs.Candidates(fixture.JobEvent()); got != 10 {
		b.Fatalf("%d rules can match, want 10", got)
	}
	return rs
}

func BenchmarkEvaluate(b *testing.B) {
	for _, matching := range []bool{false, true} {
		for _, n := range []int{10, 1000, 10000} {
			b.Run(fmt.Sprintf("ten-that-can-match/matching=%v/rules=%d", matching, n), func(b *testing.B) {
				rs := manyRules(b, n, matching)
				e := fixture.JobEvent()
				b.ReportAllocs()
				for b.Loop() {
					rs.Evaluate(b.Context(), e, nil)
				}
			})
		}
	}
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("none-that-can-match/rules=%d", n), func(b *testing.B) {
			rs := manyRules(b, n, false)
			e := fixture.JobEvent()
			e.Job.Status, e.Job.FailureReason, e.Job.Stage, e.Project.Path = "success", "", "build", "group-7/unknown"
			b.ReportAllocs()
			for b.Loop() {
				rs.Evaluate(b.Context(), e, nil)
			}
		})
	}
	// No field is pinned, so each rule is run.
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("nothing-pinned/rules=%d", n), func(b *testing.B) {
			text := []byte("version: 1\nrules:\n")
			for i := range n {
				text = fmt.Appendf(text, "  - {name: r%d, on: job, if: 'job.name startsWith \"job-%d\" and job.attempt < 3', actions: [retry]}\n", i, i)
			}
			rs := load(b, string(text))
			e := fixture.JobEvent()
			b.ReportAllocs()
			for b.Loop() {
				rs.Evaluate(b.Context(), e, nil)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		manyRules(b, 1000, false)
	}
}
