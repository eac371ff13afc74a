package rules_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
)

const mega = 1 << 20 // default size of a log (--log-window)

// aLog returns a log of 1 MB with the lines of a typical job.
func aLog() string {
	var b strings.Builder
	for i := 0; b.Len() < mega; i++ {
		fmt.Fprintf(&b, "2026-11-22T12:00:%02dZ step %d of the build; no errors, 3 warnings =====\n", i%60, i)
	}
	return b.String()[:mega]
}

func times(n int, text, between string) string {
	return strings.TrimSuffix(strings.Repeat(text+between, n), between)
}

// bigEvent is a job event with a pipeline of many jobs and a long message.
func bigEvent() event.Event {
	e := fixture.JobEvent()
	e.Job.Name = strings.Repeat("a", 255)
	e.Commit.Message = strings.Repeat("a", 100_000)
	return e
}

// doubling returns an expression that doubles the size of a value repeatedly.
func doubling(start, twice, end string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "let v0 = %s; ", start)
	for i := range 60 {
		fmt.Fprintf(&b, "let v%d = %s; ", i+1, strings.ReplaceAll(twice, "v", fmt.Sprintf("v%d", i)))
	}
	return b.String() + end
}

// TestTooMuchWorkIsStopped checks that an expression that exceeds the limits
// on time or memory is stopped, and that other rules are evaluated.
func TestTooMuchWorkIsStopped(t *testing.T) {
	t.Parallel()
	as := strings.Repeat("a", mega)
	for _, text := range []string{
		// loops
		`let l = 1..9999; any(l, any(l, # == -1))`,
		`any(1..9999, any(1..9999, # == -1))`,
		times(50, `any(1..9999, any(1..99, # == -1))`, " or "),
		`any(jobs(), any(1..9999, any(1..9999, # == 0)))`,
		`any(1..job.id * 10000000, # == 0)`,
		`any(split(log(), ""), any(split(log(), ""), # == "b"))`,
		`reduce(1..9999, #acc + count(1..9999, # > 2), 0) == 1`,
		`len(uniq(split(log(), ""))) > 1`,
		`any(1..9999, commit.message contains "b")`,
		`all(1..9999, split(commit.message, "")[5] == "a")`,
		`any(1..9999, any(1..9999, "a" matches "b"))`,
		`any(1..9999, log_excerpt() contains "b")`,
		`len(map(1..100, log_excerpt(#))) == 0`,
		// texts and lists that grow
		`reduce(1..60, #acc + #acc, "x") == "y"`,
		`reduce(1..60, concat(#acc, #acc), ["x"]) == []`,
		doubling(`log()`, `v + v`, `v60 == ""`),
		`repeat(log(), 999999) == ""`,
		`repeat("a", 9223372036854775807) == ""`,
		`len(map(1..9999, repeat("a", 1000000))) == 0`,
		`replace(log(), "", log()) == ""`,
		`join(map(1..9999, log()), "") == ""`,
		`join(1..9999 | map("a"), log()) == ""`,
		`len(map(1..9999, upper(log()))) == 0`,
		`len([` + times(50, `split(log(), "")`, ", ") + `]) == 0`,
		// nested lists, each referenced twice
		doubling(`[1, 2]`, `[v, v]`, `v60 == v59`),
		doubling(`[1, 2]`, `[v, v]`, `toJSON(v60) == ""`),
		doubling(`[1, 2]`, `[v, v]`, `string(v60) == ""`),
		doubling(`[1, 2]`, `[v, v]`, `mean(v60) == 1`),
		doubling(`{"a": 1}`, `{"a": v, "b": v}`, `v60 in [v59]`),
		`toJSON(reduce(1..9999, [#acc], [1])) == ""`,
		// memory
		`len(groupBy(split(log(), ""), #)) > 99990`,
		`len(map(split(log(), ""), # + "b")) == 0`,
		`len(filter(concat(split(log(), ""), split(log(), "")), # != "b")) == 0`,
		`len(sortBy(split(log(), ""), #)) == 0`,
		times(5, `split(log(), job.name[:1])[5] == "b"`, " or "),
		`len(fromJSON("[" + replace(log()[:1000000], "a", "{},") + "1]")) == 0`,
		// patterns
		`log() matches "x.{0,300}y"`,
		`log() matches "a{200}b"`,
		`log() matches "` + strings.Repeat("ab", 100) + `c"`,
		`any(1..9999, job.name matches "(x{0,30}){0,30}y")`,
		`glob(log(), "` + strings.Repeat("?", 200) + "*" + strings.Repeat("a", 200) + `b")`,
	} {
		rs := load(t, fmt.Sprintf("version: 1\nrules:\n  - {name: r, on: job, if: %q, actions: [retry]}\n  - {name: other, on: job, actions: [erase]}\n", text))
		decisions, errs := rs.Evaluate(t.Context(), bigEvent(), &facts{log: as})
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "does too much") || len(errs[0].Error()) > 300 {
			t.Errorf("%.100s: errors %.500v, want one that it does too much", text, errs)
		}
		if len(decisions) != 1 || decisions[0].Rule != "other" {
			t.Errorf("%.100s: decisions %.200v, want the one of the other rule", text, decisions)
		}
	}
}

// TestTooMuchTextIsStopped checks that texts are limited like conditions.
func TestTooMuchTextIsStopped(t *testing.T) {
	for _, text := range []string{
		`{{ repeat("a", 9999999) }}`,
		`{{ ` + doubling(`[1, 2]`, `[v, v]`, `v60`) + ` }}`,
		times(50, `{{ repeat(job.name, 400) }}`, ""), // each is below the limit
	} {
		rs := load(t, fmt.Sprintf("version: 1\nrules: [{name: r, on: job, actions: [retry], notify: [{channel: ci, text: '%s'}]}]\n", text))
		_, errs := rs.Notices(t.Context(), event.Outcome{Decision: event.Decision{Event: bigEvent(), Rule: "r"}, Result: event.ResultDone}, &facts{}, anywhere(strings.ToUpper))
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "does too much") {
			t.Errorf("%.100s: errors %v, want one that it does too much", text, errs)
		}
	}
}

// TestUsualWorkIsNotStopped checks that realistic conditions run, also on a
// log of 1 MB and in large pipelines.
func TestUsualWorkIsNotStopped(t *testing.T) {
	t.Parallel()
	pipeline := fixture.PipelineEvent()
	for i := range 1000 {
		pipeline.Pipeline.Jobs = append(pipeline.Pipeline.Jobs, event.Job{ID: int64(1000 + i), Name: fmt.Sprintf("rspec %d/1000", i), Status: "success"})
	}
	for _, text := range []string{
		`any(split(log(), "\n"), # matches "exit code [0-9]+$")`,
		`any(split(log(), "\n"), # contains "OOMKilled" or # contains "Killed" or lower(#) startsWith "error")`,
		`log() matches "(?i)no space left on device|connection reset by peer|(timed out|timeout) after [0-9]+ ?s"`,
		times(5, `log() matches "error: .* exit code [0-9]+"`, " or "),
		times(100, `log() contains "No space left on device"`, " or "),
		`log_excerpt() contains "No space" or log_excerpt(50) matches "exit code [1-9]x"`,
		`let l = lower(log()); l contains "a bug" or l contains "another"`,
		`log() matches "` + times(40, "the runner said this", "|") + `"`,
		`project.path in [` + times(5000, `"group/subgroup/project-of-some-length"`, ", ") + `]`,
		`any(pipeline.jobs, .name matches "^rspec [0-9]+/9$" or glob(.name, "deploy*x") or .status in ["failed", "canceled"])`,
		`join(map(filter(pipeline.jobs, .status == "success"), .name), ", ") == ""`,
		`len(uniq(map(pipeline.jobs, .stage))) == 0`,
		`any(filter(pipeline.jobs, .status == "failed"), {let name = .name; any(pipeline.jobs, .name == name + " again")})`,
		`any(pipeline.jobs[:200], {let id = .id; count(pipeline.jobs, .id == id) > 1})`,
		`toJSON(pipeline) == ""`,
	} {
		e := fixture.JobEvent()
		on := "job"
		if strings.Contains(text, "pipeline.") {
			e, on = pipeline, "pipeline"
		}
		if decisions, errs := condition(t, on, text).Evaluate(t.Context(), e, &facts{log: aLog()}); len(errs) > 0 || len(decisions) > 0 {
			t.Errorf("%.100s: %.200v, %v, want no match", text, decisions, errs)
		}
	}
}

// TestErrorsContainNoSecrets checks that an error of expr, which quotes the
// value, is hidden if the value may be secret.
func TestErrorsContainNoSecrets(t *testing.T) {
	for _, text := range []string{
		`int(log()) == 1`, `int(log_excerpt()) == 1`, `float(split(log(), ":")[1]) == 1`, `date(log()) == now()`, `duration(log()) == now() - now()`, `fromJSON(log()) == 1`,
		`int(pipeline.variables["KEY"]) == 1`, `timezone(log()) == nil`, `let x = fromJSON("[1]"); x[log()] == 1`,
	} {
		e := fixture.JobEvent()
		e.Pipeline.Variables = map[string]string{"KEY": "hunter:hunter2"}
		_, errs := condition(t, "job", text).Evaluate(t.Context(), e, &facts{log: "hunter:hunter2"})
		if len(errs) != 1 || strings.Contains(fmt.Sprint(errs), "hunter") || strings.Contains(fmt.Sprint(errs), "{") {
			t.Errorf("%s: errors %v, want one without the value", text, errs)
		}
	}
}

// TestLoadIsBounded checks that files that would take too much time or memory
// to load are refused.
func TestLoadIsBounded(t *testing.T) {
	t.Parallel()
	inRule := func(condition string) string {
		return "version: 1\nrules: [{name: r, on: job, actions: [retry], if: '" + condition + "'}]\n"
	}
	laughs := []byte("version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		laughs = fmt.Appendf(laughs, "a%d: &a%d [%s]\n", i+1, i+1, times(10, fmt.Sprintf("*a%d", i), ", "))
	}
	many := []byte("version: 1\nrules:\n")
	for i := range 50_001 {
		many = fmt.Appendf(many, "- {name: r%d, on: job, actions: [retry]}\n", i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a large file", strings.Repeat("# nothing\n", 900_000), "r.yaml:1:1: the file has 9000000 bytes, more than 8388608: spread the rules over several files of a directory"},
		{"many rules", string(many), "r.yaml:50003:3: there are more than 50000 rules"},
		{"not UTF-8", "version: 1\n# caf\xe9\n", "r.yaml:2:6: the file is not UTF-8"},
		{"billion laughs", string(laughs), "r.yaml:1:1: the file has more than 1000000 values, counted after the expansion of aliases (*name)"},
		{"a list in itself", "version: 1\nrules: &r [*r]\n", "r.yaml:1:1: the file has more than 1000000 values, counted after the expansion of aliases (*name)"},
		{"deep YAML", "version: 1\nrules: " + strings.Repeat("[", 20_000), "r.yaml:2:10008: YAML: exceeded max depth of 10000"},
		{"a long expression", inRule(strings.Repeat(" ", 300_000) + "true"), `r.yaml:2:51: rule "r": the expression has 300004 bytes, more than 262144`},
		{"an expression of many parts", inRule(times(20_000, "true", " or ")), "the expression has more than 10000 parts"},
		{"brackets in brackets", inRule(strings.Repeat("(", 30_000) + "true" + strings.Repeat(")", 30_000)), `r.yaml:2:251: rule "r": more than 200 brackets are open here`},
		{"a wide range", inRule("job.id in 1..1000000"), `r.yaml:2:62: rule "r": this range has more than 10000 numbers: compare with < and > instead`},
		{"a pattern of the event", inRule("log() matches job.name"), `r.yaml:2:69: rule "r": a regular expression must be in quotes`},
		{"a long pattern", inRule(`job.name matches "` + strings.Repeat("x", 20_000) + `"`), `r.yaml:2:68: rule "r": the regular expression has 20000 bytes, more than 10000`},
		{"a long glob pattern", inRule(`glob(job.name, "` + strings.Repeat("x", 600) + `")`), `r.yaml:2:66: rule "r": the glob pattern has 600 bytes, more than 500`},
		{"a glob pattern of many", inRule(`glob(job.name, "` + strings.Repeat("{a,b,{c,d}}", 9) + `")`), `r.yaml:2:66: rule "r": the {a,b} of the glob pattern expand to more than 1000 texts`},
		{"names of Go", inRule(`Event.job.id == 1 or Spend(1) == 1`), `r.yaml:2:51: rule "r": unknown name "Event"`},
		{"expr's way around types", inRule(`$env["job"].id == 1`), `r.yaml:2:51: rule "r": unknown name "$env"`},
	} {
		_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: []byte(c.text)})
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: error %.500v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestMistakesAreBounded checks that the number of reported mistakes is
// limited.
func TestMistakesAreBounded(t *testing.T) {
	text := "version: 1\nrules:\n" + strings.Repeat("- {name: r, if: 'a or b or c', x: y}\n", 5000)
	_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "r.yaml", Data: []byte(text)})
	var mistakes schema.FileErrors
	if !errors.As(err, &mistakes) || len(mistakes) != 1001 || !strings.HasSuffix(err.Error(), ": there are more mistakes: mend these first") {
		t.Errorf("%d mistakes, want 1000 and that there are more", len(mistakes))
	}
}

// BenchmarkWorst measures the longest runs of expressions until they end or
// are stopped.
func BenchmarkWorst(b *testing.B) {
	as := strings.Repeat("a", mega)
	for _, c := range []struct{ name, text string }{
		{"regular expression on 1 MB", `log() matches ".{0,33}y"`},
		{"loop in a loop", `let l = 1..1150; any(l, any(l, # == -1))`},
		{"loop in a loop over jobs", `any(jobs(), any(1..9999, any(jobs(), .name == "x")))`},
		{"upper in a loop", `any(1..9999, any(1..50, upper(job.name) == "b"))`},
		{"JSON in a loop", `any(1..9999, any(1..50, fromJSON("[1,2,3]") == 1))`},
		{"splitting 1 MB", times(3, `split(log(), "")[5] == "b"`, " or ")},
		{"long messages", `any(1..9999, commit.message contains "b")`},
		{"uniq", `len(uniq(1..3800)) == 1`},
		{"glob", `any(1..9999, glob(job.name, "a*a*a*a*a*a*a*a*b"))`},
	} {
		b.Run(c.name, func(b *testing.B) {
			rs := condition(b, "job", c.text)
			e := bigEvent()
			b.ReportAllocs()
			for b.Loop() {
				rs.Evaluate(b.Context(), e, &facts{log: as})
			}
		})
	}
}

// TestRulesShareTheWorkOfAnEvent checks that each rule may use an equal share
// of the work that remains after the rules before it, so a costly rule is
// stopped and a later rule is not.
func TestRulesShareTheWorkOfAnEvent(t *testing.T) {
	const costly = 40
	var file strings.Builder
	file.WriteString("version: 1\nrules:\n")
	for i := range costly {
		// Each would use 15 million units, a quarter of what an event may cost.
		fmt.Fprintf(&file, "  - {name: costly-%d, on: job, if: 'any(1..9999, any(1..500, # == -1))', actions: [retry]}\n", i)
	}
	// It needs 300,000 units.
	file.WriteString("  - {name: useful, on: job, if: 'count(1..9999, # > 2) > 0 and log() contains \"No space left\"', actions: [erase]}\n")
	rs, err := rulefile.Load(rulefile.Options{Capacity: limits.NewCapacity()}, rulefile.Source{Name: "r.yaml", Data: []byte(file.String())})
	if err != nil {
		t.Fatal(err)
	}
	e := event.Event{Meta: event.Meta{Kind: event.KindJob}, Job: event.Job{ID: 7, Status: "failed"}}
	decisions, errs := rs.Evaluate(t.Context(), e, &facts{log: "No space left on device"})
	if len(decisions) != 1 || decisions[0].Rule != "useful" {
		t.Errorf("decisions %.300v, want that of the rule useful", decisions)
	}
	if len(errs) != costly {
		t.Errorf("%d rules were stopped, want %d", len(errs), costly)
	}
	for _, err := range errs {
		if !errors.Is(err.Err, limits.ErrTooMuch) {
			t.Errorf("rule %s: %v, want that it does too much", err.Rule, err.Err)
		}
	}
}
