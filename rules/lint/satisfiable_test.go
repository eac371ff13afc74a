package lint

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/parser"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// someCondition draws a condition of the given depth on a job event. It has
// few different values, so that parts often exclude or imply each other.
func someCondition(depth int) *rapid.Generator[string] {
	pick := func(t *rapid.T, from ...string) string { return rapid.SampledFrom(from).Draw(t, "of") }
	quote := func(s string) string { return fmt.Sprintf("%q", s) }
	fields := map[string][]string{
		"job.status":         {"failed", "success", "running"},
		"job.failure_reason": {"", "api_failure", "script_failure", "stuck_or_timeout_failure", "no_updates_running"},
		"job.failure_class":  {"", event.ClassAPI, event.ClassScript, event.ClassStuck},
		"job.name":           {"lint", "lint-all", "rspec"},
		"project.path":       {"platform/shop", "platform/web", "sales/crm"},
	}
	texts := []string{"job.status", "job.failure_reason", "job.failure_class", "job.name", "project.path"}
	return rapid.Custom(func(t *rapid.T) string {
		form := rapid.IntRange(0, 20).Draw(t, "form")
		if depth == 0 {
			form %= 13
		}
		field := pick(t, texts...)
		value := func() string { return quote(pick(t, fields[field]...)) }
		number := func() string { return pick(t, "-1", "0", "1", "2", "2.5") }
		part := func() string { return someCondition(depth-1).Draw(t, "part") }
		switch form {
		case 0, 1:
			return field + pick(t, " == ", " != ") + value()
		case 2:
			return value() + pick(t, " == ", " != ") + field
		case 3, 4:
			list := make([]string, rapid.IntRange(0, 3).Draw(t, "length"))
			for i := range list {
				list[i] = value()
			}
			return field + pick(t, " in ", " not in ") + "[" + strings.Join(list, ", ") + "]"
		case 5:
			return field + pick(t, " startsWith ", " not startsWith ", " endsWith ", " contains ", " matches ") + quote(pick(t, "", "lint", "l", "script", "platform", "success"))
		case 6:
			return "failed_with(" + quote(pick(t, fields["job.failure_reason"][1:]...)) + ")"
		case 7, 8:
			return pick(t, "job.attempt", "job.duration") + pick(t, " == ", " != ", " < ", " <= ", " > ", " >= ") + number()
		case 9:
			return number() + pick(t, " == ", " < ", " <= ", " > ", " >= ") + pick(t, "job.attempt", "job.duration", "2")
		case 10:
			return "glob(project.path, " + quote(pick(t, "platform/*", "**", "sales/crm")) + ")"
		case 11:
			return pick(t, "job.tag", "not job.tag", "job.manual", "job.tag == true", "job.manual != true", "true", "false", `"a" == "a"`)
		case 12:
			return "age(job.finished_at)" + pick(t, " < ", " > ", " <= ") + pick(t, `duration("1h")`, `duration("1d")`)
		case 13, 14, 15:
			return "(" + part() + " and " + part() + ")"
		case 16, 17:
			return "(" + part() + " or " + part() + ")"
		case 18:
			return "not (" + part() + ")"
		case 19:
			return "(" + part() + " ? " + part() + " : " + part() + ")"
		default:
			return "any(jobs(), " + strings.NewReplacer("job.", ".", "project.path", ".name").Replace(pick(t, `job.name == "lint"`, `project.path != "x"`)) + ")"
		}
	})
}

// someJobEvent draws an event as GitLab sends it: a job has a reason only if
// it failed, and the reason determines the class.
func someJobEvent() *rapid.Generator[event.Event] {
	return rapid.Custom(func(t *rapid.T) event.Event {
		e := event.Event{Meta: event.Meta{Kind: event.KindJob}}
		e.Project.Path = rapid.SampledFrom([]string{"platform/shop", "platform/web", "sales/crm", "x"}).Draw(t, "path")
		e.Job = event.Job{
			Name:     rapid.SampledFrom([]string{"lint", "lint-all", "rspec", "success"}).Draw(t, "name"),
			Status:   rapid.SampledFrom([]string{"failed", "failed", "success", "running"}).Draw(t, "status"),
			Attempt:  rapid.IntRange(1, 3).Draw(t, "attempt"),
			Duration: rapid.SampledFrom([]float64{0, 1, 1.5, 2, 2.25, 2.5, 3}).Draw(t, "duration"),
			Tag:      rapid.Bool().Draw(t, "tag"), Manual: rapid.Bool().Draw(t, "manual"),
		}
		if e.Job.Status == "failed" {
			e.Job.FailureReason = rapid.SampledFrom([]string{"", "api_failure", "script_failure", "stuck_or_timeout_failure", "no_updates_running", "brand_new_failure"}).Draw(t, "reason")
			e.Job.FailureClass = event.ClassOf(e.Job.FailureReason)
		}
		return e
	})
}

// rounds is the number of draws of a test until it has found examples.
const rounds = 10

// TestSatisfiableRaisesNoFalseAlarm checks that the truth value of a condition
// on an event is never called impossible, which would cause a false warning.
func TestSatisfiableRaisesNoFalseAlarm(t *testing.T) {
	never, always := 0, 0
	try := func(t *rapid.T) {
		text := someCondition(3).Draw(t, "condition")
		tree, err := parser.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		cs := failureclass.List(nil)
		if rapid.Bool().Draw(t, "classes") {
			cs = failureclass.List{{Name: "disk-full", Log: []*regexp.Regexp{regexp.MustCompile("No space")}}}
		}
		program, findings := expression.Compile(text, expression.Purpose{Want: expression.WantBool, On: event.KindJob, HasJob: true, Classes: cs})
		if program == nil {
			t.Fatalf("%s: %v", text, findings)
		}
		l := newLogic()
		l.classes = cs.Names()
		canBeTrue, canBeFalse := l.satisfiable(assumption{tree.Node, true}), l.satisfiable(assumption{tree.Node, false})
		if !canBeTrue {
			never++
		}
		if !canBeFalse {
			always++
		}
		for range 10 {
			e := someJobEvent().Draw(t, "event")
			session, err := expression.Begin(t.Context(), nil, e, noFacts{log: rapid.SampledFrom([]string{"", "No space"}).Draw(t, "log")}, failureclass.NewMatcher(cs))
			if err != nil {
				t.Fatal(err)
			}
			truth, err := session.Run(program)
			session.End()
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if truth == true && !canBeTrue || truth == false && !canBeFalse {
				t.Fatalf("%s is called impossible to be %v, and is on %+v", text, truth, e)
			}
		}
	}
	for round := 0; round < rounds && !t.Failed() && (never == 0 || always == 0); round++ {
		rapid.Check(t, try)
	}
	if !t.Failed() && (never == 0 || always == 0) {
		t.Errorf("%d conditions were never true and %d always: the test tries nothing", never, always)
	}
}

// TestShadowedRulesNeverFire checks that a rule that is reported as shadowed
// never matches.
func TestShadowedRulesNeverFire(t *testing.T) {
	shadowed := 0
	try := func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("version: 1\ndefaults: {channel: ci}\n")
		if rapid.Bool().Draw(t, "classes") {
			b.WriteString("classes: [{name: disk-full, log: No space}]\n")
		}
		b.WriteString("rules:\n")
		for i := range rapid.IntRange(2, 6).Draw(t, "rules") {
			fmt.Fprintf(&b, "  - name: r%d\n    on: job\n    stop: %v\n    notify: [{}]\n    if: |\n      %s\n", i, rapid.Bool().Draw(t, "stop"), someCondition(rapid.IntRange(0, 2).Draw(t, "depth")).Draw(t, "condition"))
		}
		rs, found := Load(rulefile.Options{}, nil, rulefile.Source{Name: "rules.yaml", Data: []byte(b.String())})
		if rs == nil {
			t.Fatalf("%v in\n%s", found, b.String())
		}
		named := map[string]bool{}
		for _, e := range found {
			if e.Check == shadowedRule.ID {
				named[e.Rule] = true
				shadowed++
			}
		}
		for range 10 {
			decisions, errs := rs.Evaluate(t.Context(), someJobEvent().Draw(t, "event"), noFacts{log: rapid.SampledFrom([]string{"", "No space"}).Draw(t, "log")})
			if len(errs) > 0 {
				t.Fatalf("%v in\n%s", errs, b.String())
			}
			for _, d := range decisions {
				if named[d.Rule] {
					t.Fatalf("%s is said to be shadowed, and fires on %+v\n%s", d.Rule, d.Event, b.String())
				}
			}
		}
	}
	for round := 0; round < rounds && !t.Failed() && shadowed == 0; round++ {
		rapid.Check(t, try)
	}
	if !t.Failed() && shadowed == 0 {
		t.Error("no rule was shadowed: the test tries nothing")
	}
}

// noFacts is a GitLab without other jobs than the event's, which has a log.
type noFacts struct {
	expression.Facts
	log string
}

func (f noFacts) Log(context.Context, event.Event) (string, error) { return f.log, nil }

func (noFacts) Jobs(context.Context, event.Event) ([]event.Job, error) { return nil, nil }

// TestSatisfiableGivesUp checks that a search that would take too long ends
// without a warning.
func TestSatisfiableGivesUp(t *testing.T) {
	var text []string
	for i := range 30 {
		text = append(text, fmt.Sprintf(`(job.name contains "%d" or job.stage contains "%d")`, i, i))
	}
	text = slices.Insert(text, 15, "(job.tag ? job.manual : job.manual)", "(not job.manual or not job.manual)")
	tree, err := parser.Parse(strings.Join(text, " and "))
	if err != nil {
		t.Fatal(err)
	}
	if !newLogic().satisfiable(assumption{tree.Node, true}) {
		t.Error("it did not give up")
	}
}
