package rulefile_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/internal/fixture"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
)

func loads(text string) error {
	_, err := rulefile.Load(rulefile.Options{}, rulefile.Source{Name: "rules.yaml", Data: []byte(text)})
	return err
}

func TestSchemaTakesTheExamples(t *testing.T) {
	refuses := fixture.Editor(t, rulefile.Schema)
	examples := []string{fixture.Read(t, "../../rules.example.yaml")}
	for i, block := range strings.Split(fixture.Read(t, "../README.md"), "```") {
		text, ok := strings.CutPrefix(block, "yaml\n")
		switch {
		case !ok || i%2 == 0 || !strings.HasPrefix(text, "version: 1"):
		case strings.Contains(text, "\ntests:"):
			if err := fixture.Editor(t, ruletest.Schema)(text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		default:
			examples = append(examples, text)
		}
	}
	if len(examples) < 2 {
		t.Error("rules/README.md shows no rule file")
	}
	for _, text := range examples {
		if err := loads(text); err != nil {
			t.Errorf("does not load: %v\n%s", err, text)
		}
		if err := refuses(text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// TestSchemaRefusesWhatIsBroken checks that the schema refuses the broken
// files, except for mistakes in expressions and between parts of a file.
func TestSchemaRefusesWhatIsBroken(t *testing.T) {
	beyond := []string{
		"bad-cron", "bad-glob", "bad-regular-expression", "bad-class-pattern", "costly-classes", "duplicate-class", "unknown-class", "class-not-included", "no-receivers", "quiet-without-end", "group-out-of-bounds", "limits-out-of-bounds", "storm-out-of-bounds", "failed-with-no-reason", "bridges-to-cancel", "excerpt-of-too-much", "job-on-pipeline", "jobs-not-a-list", "log-in-a-text",
		"log-on-pipeline", "several-in-one-expression", "syntax-of-expression", "unknown-failure-reason", "unknown-field",
		"unknown-function", "unknown-name", "unknown-names-everywhere", "unknown-status", "wrong-type",
	}
	refuses := fixture.Editor(t, rulefile.Schema)
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no broken files: %v", err)
	}
	for _, name := range files {
		base := strings.TrimSuffix(filepath.Base(name), ".yaml")
		t.Run(base, func(t *testing.T) {
			err := refuses(fixture.Read(t, name))
			if slices.Contains(beyond, base) != (err == nil) {
				t.Errorf("the schema says %v", err)
			}
		})
	}
}

// TestSchemaRefuses breaks one property of a key in each case.
func TestSchemaRefuses(t *testing.T) {
	refuses := fixture.Editor(t, rulefile.Schema)
	rule := func(keys string) string { return "version: 1\nrules: [{name: r, " + keys + "}]" }
	action := func(a string) string { return rule("on: job, actions: [" + a + "]") }
	const good = "version: 1\nrules: [{name: r, on: job, actions: [retry]}]"
	if err := refuses(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"version":                 strings.Replace(good, "1", "2", 1),
		"no version":              strings.TrimPrefix(good, "version: 1"),
		"no rules":                "version: 1",
		"unknown key":             good + "\nrule: []",
		"unknown key in defaults": good + "\ndefaults: {dryrun: true}",
		"template of no language": good + "\ntemplates: {gave_up: {}}",
		"rules not a list":        "version: 1\nrules: {name: r}",
		"a rule not a mapping":    "version: 1\nrules: [retry]",
		"name with white space":   strings.Replace(good, "name: r", `name: " r"`, 1),
		"no name":                 strings.Replace(good, "name: r, ", "", 1),
		"no on":                   rule("actions: [retry]"),
		"unknown event":           rule("on: build, actions: [retry]"),
		"nothing to do":           rule("on: job"),
		"empty if":                rule("on: job, if: '', actions: [retry]"),
		"if not an expression":    rule("on: job, if: [a], actions: [retry]"),
		"empty actions":           rule("on: job, actions: []"),
		"unknown verb alone":      action("rety"),
		"unknown verb":            action("rety: {}"),
		"two verbs":               action("{retry: {}, play: {}}"),
		"no verb":                 action("{}"),
		"unknown parameter":       action("retry: {attempts: 3}"),
		"another's parameter":     action("cancel: {max_attempts: 3}"),
		"too small":               action("retry: {max_attempts: 0}"),
		"not whole":               action("retry: {max_attempts: 1.5}"),
		"no unit":                 action("retry: {delay: 30}"),
		"empty duration":          action("retry: {delay: ''}"),
		"units in a wrong order":  action("retry: {delay: 5m1h}"),
		"unknown backoff":         action("retry: {backoff: linear}"),
		"a pass rate of none":     action("retry: {min_pass_rate: 0%}"),
		"a pass rate of all":      action("retry: {min_pass_rate: 100%}"),
		"a pass rate as a share":  action("retry: {min_pass_rate: 0.2}"),
		"not a boolean":           action("cancel: {force: yes}"),
		"name of a variable":      action("play: {variables: {A-B: c}}"),
		"name of an input":        action("play: {inputs: {A.B: c}}"),
		"null variable":           action("play: {variables: {A: null}}"),
		"unknown wait":            action("play: {wait: passed}"),
		"a parameter of none":     action("cancel_pipeline: {delay: 1m}"),
		"a word for none":         action("retry_pipeline: now"),
		"pipeline, verb alone":    rule("on: pipeline, actions: [cancel]"),
		"pipeline, no parameters": rule("on: pipeline, actions: [{cancel: }]"),
		"pipeline, no jobs":       rule("on: pipeline, actions: [cancel: {force: true}]"),
		"hours that are none":     good + "\ndefaults: {quiet: {from: '24:00', to: '07:00'}}",
		"no end of quiet hours":   good + "\ndefaults: {quiet: {from: '20:00'}}",
		"no days":                 good + "\ndefaults: {quiet: {from: '20:00', to: '07:00', days: []}}",
		"quiet with no boolean":   rule("on: job, notify: [{channel: ci, quiet: never}]"),
		"group as a word":         good + "\ndefaults: {group: on}",
		"no burst":                good + "\ndefaults: {group: {burst: 0}}",
		"empty notify":            rule("on: job, notify: []"),
		"unknown key in notify":   rule("on: job, notify: [{chanel: ci}]"),
		"unknown outcome":         rule("on: job, notify: [{channel: ci, when: [giveup]}]"),
		"empty when":              rule("on: job, notify: [{channel: ci, when: []}]"),
		"mention of an address":   rule("on: job, notify: [{channel: ci, mention: [a@example.com]}]"),
		"channel and receiver":    rule("on: job, notify: [{channel: ci, receiver: ops}]"),
		"both in defaults":        good + "\ndefaults: {channel: ci, receiver: ops}",
		"receiver without a kind": good + "\nreceivers: [{name: ops}]",
		"receiver of two kinds":   good + "\nreceivers: [{name: ops, feishu: {url: x}, lark: {url: x}}]",
		"another kind's setting":  good + "\nreceivers: [{name: ops, wecom: {secret: x}}]",
		"an address as a path":    good + "\nreceivers: [{name: ops, wecom: {url_file: 'https://x'}}]",
		"receiver named slack":    good + "\nreceivers: [{name: slack, wecom: {url_file: x}}]",
		"empty mention":           rule("on: job, notify: [{channel: ci, mention: []}]"),
		"null text":               rule("on: job, notify: [{channel: ci, text: null}]"),
		"learning as a boolean":   good + "\nlearning: false",
		"unknown limit":           good + "\nlimits: {per_day: 3}",
		"no retries at all":       good + "\nlimits: {per_job: 0}",
		"budget without a time":   good + "\nlimits: {total: 100}",
		"budget without a count":  good + "\nlimits: {total: 1h}",
		"budget of a bad class":   good + "\nlimits: {per_class: {Disk: 1/1h}}",
		"no failures":             good + "\nstorm: {failures: 0}",
		"too many pipelines":      good + "\nstorm: {pipelines: 10001}",
		"pause without a unit":    good + "\nstorm: {pause: 15}",
		"unknown key in storm":    good + "\nstorm: {after: 15m}",
		"no classes":              good + "\nclasses: []",
		"neither of them":         good + "\nclasses: {}",
		"an unknown pack":         good + "\nclasses: {include: [rare]}",
		"no pack":                 good + "\nclasses: {include: []}",
		"no classes to define":    good + "\nclasses: {define: []}",
		"class without a log":     good + "\nclasses: [{name: a}]",
		"class without a name":    good + "\nclasses: [{log: a}]",
		"class with a bad name":   good + "\nclasses: [{name: A, log: a}]",
		"class of Pipesteward":    good + "\nclasses: [{name: stuck, log: a}]",
		"class with an empty log": good + "\nclasses: [{name: a, log: ''}]",
		"unknown key in a class":  good + "\nclasses: [{name: a, log: a, if: b}]",
	} {
		t.Run(name, func(t *testing.T) {
			if err := refuses(text); err == nil {
				t.Errorf("the schema takes\n%s", text)
			}
			if err := loads(text); err == nil {
				t.Errorf("loads:\n%s", text)
			}
		})
	}
}

// TestSchemaTakesWhatLoads checks that the schema accepts every file that
// loads, so that an editor does not mark valid files.
func TestSchemaTakesWhatLoads(t *testing.T) {
	refuses := fixture.Editor(t, rulefile.Schema)
	rapid.Check(t, func(t *rapid.T) {
		g := generator{T: t}
		text, err := json.Marshal(g.ruleFile())
		if err != nil {
			t.Fatal(err)
		}
		loadError, schemaError := loads(string(text)), refuses(string(text))
		if loadError != nil && !g.spoilt {
			t.Errorf("does not load: %v\n%s", loadError, text)
		}
		if loadError == nil && schemaError != nil {
			t.Errorf("loads, but: %v\n%s", schemaError, text)
		}
	})
}

// generator draws rule files. Some of them contain a mistake.
type generator struct {
	*rapid.T
	spoilt bool // the file should not load
}

// value draws a value, in most cases a valid one.
func (g *generator) value(key string, good ...any) any {
	if rapid.IntRange(0, 49).Draw(g.T, key+" spoilt") > 0 {
		return rapid.SampledFrom(good).Draw(g.T, key)
	}
	g.spoilt = true
	bad := []any{"", " ", "x y", "-1s", nil, []any{}, []any{""}, map[string]any{}, map[string]any{"k": 1}}
	// A number or a boolean loads as a text, but the schema requires quotes.
	if slices.ContainsFunc(good, func(v any) bool { _, ok := v.(string); return !ok }) {
		bad = append(bad, 0, 0.5, -1, true)
	}
	return rapid.SampledFrom(bad).Draw(g.T, key)
}

// maybe sets a key in some of the cases.
func (g *generator) maybe(m map[string]any, key string, good ...any) {
	if rapid.Bool().Draw(g.T, "has "+key) {
		m[key] = g.value(key, good...)
	}
}

func (g *generator) ruleFile() map[string]any {
	defaults := map[string]any{"channel": "#ci"}
	g.maybe(defaults, "dry_run", true, false)
	g.maybe(defaults, "group", false, map[string]any{}, map[string]any{"burst": 1, "wait": "1s", "interval": "10m"})
	g.maybe(defaults, "quiet", map[string]any{"from": "20:00", "to": "07:30", "timezone": "Europe/Berlin", "days": []any{"mon", "sun"}, "except": []any{"gave_up"}}, map[string]any{"from": "00:00", "to": "23:59"})
	file := map[string]any{
		"version": 1, "defaults": g.value("defaults", defaults),
		"rules": g.value("rules", []any{}, []any{g.rule()}),
	}
	g.maybe(file, "limits", g.limits())
	g.maybe(file, "storm", g.storm())
	class := map[string]any{"name": g.value("class's name", "disk-full", "x"), "log": g.value("log", "No space", `(?m)^ERROR \d+$`)}
	g.maybe(class, "retry", true, false)
	defined := []any{g.value("class", class)}
	g.maybe(file, "classes", defined, map[string]any{"include": g.value("include", []any{"common"})}, map[string]any{"define": defined})
	return file
}

func (g *generator) limits() any {
	budgets := []any{"1/1s", "100/1h", "1000000/30d", "20/1h30m"}
	l := map[string]any{}
	g.maybe(l, "per_job", 1, 3)
	g.maybe(l, "per_pipeline", 1, 20)
	g.maybe(l, "per_project", budgets...)
	g.maybe(l, "total", budgets...)
	g.maybe(l, "per_class", map[string]any{}, map[string]any{"script": "20/1h", "stuck": "1/1d"})
	return l
}

func (g *generator) storm() any {
	s := map[string]any{}
	g.maybe(s, "failures", 1, 10000)
	g.maybe(s, "pipelines", 1, 10000)
	g.maybe(s, "within", "10s", "5m", "1d")
	g.maybe(s, "pause", "1m", "1h30m", "24h")
	g.maybe(s, "channel", "#ops")
	return s
}

func (g *generator) rule() any {
	r := map[string]any{"name": g.value("name", "r", "retry it", strings.Repeat("é", 100))}
	on := g.value("on", event.KindJob, event.KindPipeline)
	r["on"] = on
	g.maybe(r, "if", true, `pipeline.status == "failed"`)
	g.maybe(r, "stop", true, false)
	g.maybe(r, "dry_run", true, false)
	var all []any
	for _, verb := range []string{event.VerbRetry, event.VerbPlay, event.VerbCancel, event.VerbErase, event.VerbRetryPipeline, event.VerbCancelPipeline} {
		if rapid.Bool().Draw(g.T, verb) {
			all = append(all, g.action(verb, on == event.KindPipeline))
		}
	}
	if all != nil {
		r["actions"] = g.value("actions", all)
	}
	if all == nil || rapid.Bool().Draw(g.T, "notify") {
		r["notify"] = g.value("notify", []any{g.value("notice", g.notice())})
	}
	return r
}

func (g *generator) action(verb string, onPipeline bool) any {
	p := map[string]any{}
	durations := []any{0, "0", "0s", "90s", "1h30m", "7d", "2w", "1y2w3d4h5m6s7ms"}
	switch verb {
	case event.VerbRetry:
		g.maybe(p, "max_attempts", 1, 3, 100)
		g.maybe(p, "delay", durations...)
		g.maybe(p, "backoff", event.BackoffConstant, event.BackoffExponential)
		g.maybe(p, "max_delay", durations...)
		g.maybe(p, "min_pass_rate", "5%", "20%", "95%")
		g.maybe(p, "allow_stale", true, false)
	case event.VerbPlay:
		g.maybe(p, "variables", map[string]any{}, map[string]any{"A": "b", "_b1": "{{ pipeline.id }}", "N": 7, "ok": true})
		g.maybe(p, "inputs", map[string]any{"a-b": "", "2": 0.5})
		g.maybe(p, "delay", durations...)
		g.maybe(p, "wait", event.WaitNone, event.WaitSuccess)
		if rapid.Bool().Draw(g.T, "confirm") {
			p["confirm"] = g.value("confirm", "#deploys", "C024BE91L", "author", "#deploys-{{ job.stage }}")
			g.maybe(p, "confirm_within", "1m", "24h", "7d")
		}
		g.maybe(p, "allow_stale", true, false)
	case event.VerbCancel:
		g.maybe(p, "force", true, false)
	case event.VerbErase:
		g.maybe(p, "older_than", durations...)
		g.maybe(p, "artifacts", true, false)
	}
	if verb == event.VerbRetryPipeline || verb == event.VerbCancelPipeline {
		return g.value("action", verb, map[string]any{verb: nil}, map[string]any{verb: p})
	}
	if onPipeline {
		p["jobs"] = g.value("jobs", "jobs()")
		return map[string]any{verb: p}
	}
	g.maybe(p, "jobs", "jobs()")
	return g.value("action", verb, map[string]any{verb: nil}, map[string]any{verb: p})
}

func (g *generator) notice() any {
	n := map[string]any{}
	g.maybe(n, "when", []any{event.ResultDone}, []any{event.ResultGaveUp, event.ResultSkipped})
	g.maybe(n, "channel", "#builds", "C024BE91L", "author", "#ci-{{ project.name }}")
	g.maybe(n, "mention", []any{"author", "triggerer", "@on-call", "U024BE7LH"})
	g.maybe(n, "text", "…", "{{ pipeline.ref }}: {{ project.path }}")
	return n
}
