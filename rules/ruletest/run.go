package ruletest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Result is the result of a test.
type Result struct {
	// Fired contains the names of the rules that decided something, without
	// duplicates.
	Fired []string
	// Diff contains the expected and the actual decisions if they differ: one
	// decision per line, as in a test file, after "- ", "+ " or "  ".
	Diff []string
	// Problems are the other reasons why the test failed.
	Problems []string
	// Verdicts explain the rules that matched unexpectedly, or unexpectedly
	// did not match.
	Verdicts []rules.Verdict
}

// Passed reports whether the rules did what was expected.
func (r Result) Passed() bool { return len(r.Diff) == 0 && len(r.Problems) == 0 }

// Run runs the rules on the test's event.
func (t *Test) Run(ctx context.Context) Result {
	rs := t.file.Rules
	var trace rules.Trace
	decisions, errs := rs.EvaluateTraced(ctx, t.event, &t.gitlab, &trace)
	var result Result
	for _, d := range decisions {
		for _, name := range append([]string{d.Rule}, d.AlsoWantedBy...) {
			if !slices.Contains(result.Fired, name) {
				result.Fired = append(result.Fired, name)
			}
		}
	}
	got := t.entries(decisions)
	if r := rs.Rule(trace.StoppedBy); r != nil && r.OnlyStops() {
		got = append(got, entry{rule: r.Name, action: actionStop})
		result.Fired = append(result.Fired, r.Name)
	}
	for _, err := range errs {
		if errors.Is(err, expression.ErrNotGiven) {
			result.Problems = append(result.Problems, err.Error())
			continue
		}
		got = append(got, entry{rule: err.Rule, err: err.Part + ": " + err.Err.Error()})
	}
	position := func(name string) int {
		return slices.IndexFunc(rs.All(), func(r *rules.Rule) bool { return r.Name == name })
	}
	slices.SortStableFunc(got, func(a, b entry) int { return cmp.Compare(position(a.rule), position(b.rule)) })
	for i := range got {
		result.Problems = append(result.Problems, t.notices(ctx, &got[i])...)
	}
	result.Diff = t.diff(got)
	if !result.Passed() {
		result.Verdicts = t.explain(ctx, result.Fired)
	}
	return result
}

// actionStop is the action of a rule that only stops, as a test file names it.
const actionStop = "stop"

// entries describes decisions as a test file does: the decisions of one action
// of a rule on several jobs are one entry if they are alike.
func (t *Test) entries(decisions []event.Decision) []entry {
	var all []entry
	for _, d := range decisions {
		if n := len(all); n > 0 && all[n-1].takes(d) {
			continue
		}
		e := entry{rule: d.Rule, action: d.Action.Verb, compared: parametersOf(d), alsoWantedBy: d.AlsoWantedBy, decisions: []event.Decision{d}}
		if verb := d.Action.Verb; verb != event.VerbNotify && !event.OfPipeline(verb) {
			e.jobs = []string{d.Job.Name}
		}
		all = append(all, e)
	}
	return all
}

// takes adds a decision to the entry if it belongs to it.
func (e *entry) takes(d event.Decision) bool {
	last := e.decisions[len(e.decisions)-1]
	inTurn := slices.Equal(last.After, d.After) || d.AfterSuccess != "" && slices.Equal(d.After, []string{last.Key})
	values := parametersOf(d)
	values["class"] = e.compared["class"]
	if e.jobs == nil || last.Rule != d.Rule || last.Action.Verb != d.Action.Verb || !inTurn ||
		!slices.Equal(last.AlsoWantedBy, d.AlsoWantedBy) || !maps.Equal(e.compared, values) {
		return false
	}
	e.jobs = append(e.jobs, d.Job.Name)
	e.decisions = append(e.decisions, d)
	e.compared["class"] = scalar(classesOf(e.decisions))
	return true
}

// classesOf returns the failure class of the jobs. If they differ, it returns
// all of them, joined to a text that is no class.
func classesOf(decisions []event.Decision) string {
	var classes []string
	for _, d := range decisions {
		if !slices.Contains(classes, d.Job.FailureClass) {
			classes = append(classes, d.Job.FailureClass)
		}
	}
	return strings.Join(classes, ", ")
}

// mentioned returns the expectations of the test on entries of this rule and
// action, combined; ok is false if there are none.
func (t *Test) mentioned(of entry) (all entry, ok bool) {
	all.compared, all.messages = map[string]string{}, map[string][]expectedMessage{}
	for _, want := range t.expect {
		if !want.like(of) {
			continue
		}
		ok = true
		maps.Copy(all.compared, want.compared)
		for result, messages := range want.messages {
			all.messages[result] = append(all.messages[result], messages...)
		}
	}
	return all, ok
}

// notices renders the notifications of an entry, for the outcomes that the
// test mentions.
func (t *Test) notices(ctx context.Context, e *entry) (problems []string) {
	expected, _ := t.mentioned(*e)
	e.messages = map[string][]expectedMessage{}
	for result := range expected.messages {
		var sent []event.Notice
		for _, d := range e.decisions {
			notices, errs := t.file.Rules.Notices(ctx, outcomeOf(d, result), &t.gitlab, func(event.Address) func(string) string { return asItIs })
			for _, err := range errs {
				if !slices.Contains(problems, err.Error()) {
					problems = append(problems, err.Error())
				}
			}
			for _, n := range notices {
				if !slices.ContainsFunc(sent, func(other event.Notice) bool { return reflect.DeepEqual(other, n) }) {
					sent = append(sent, n)
				}
			}
		}
		e.messages[result] = make([]expectedMessage, len(sent))
		for i := range sent {
			e.messages[result][i] = messageOf(&sent[i])
		}
	}
	return problems
}

func asItIs(value string) string { return value }

// outcomeOf returns the outcome of a decision with a result, the deferred one that
// event.WhenStorm stands for or, for a turn of states, that
// by which each state that has the value turns.
func outcomeOf(d event.Decision, result string) event.Outcome {
	if result == event.WhenStorm {
		return event.Outcome{Decision: d, Result: event.ResultDeferred, WaitsFor: event.WaitStorm}
	}
	o := event.Outcome{Decision: d, Result: result}
	o.Together = slices.Clone(d.Together)
	for i := range o.Together {
		o.Together[i].Refs = 1
	}
	if !slices.Contains(event.StateTurns, result) {
		return o
	}
	o.States = slices.Clone(d.States)
	for i := range o.States {
		if s := &o.States[i]; s.Value == (result == event.StateBegan) {
			s.Turn, s.Subject = result, s.Entry
		}
	}
	return o
}

// like reports whether two entries are of the same rule and action.
func (e entry) like(other entry) bool {
	return e.rule == other.rule && e.action == other.action
}

// matches reports whether an actual entry matches the expected one.
func (e entry) matches(got entry) bool {
	if e.err != "" {
		return e.rule == got.rule && strings.Contains(got.err, e.err)
	}
	for result, want := range e.messages {
		if !slices.EqualFunc(want, got.messages[result], expectedMessage.matches) {
			return false
		}
	}
	for key, value := range e.compared {
		if value != got.compared[key] {
			return false
		}
	}
	for _, p := range parameters {
		value, isCompared := got.compared[p.key]
		if _, mentioned := e.compared[p.key]; isCompared && !mentioned && p.always && p.unusual(value) {
			return false
		}
	}
	return e.like(got) && got.err == "" && slices.Equal(e.jobs, got.jobs) && slices.Equal(e.alsoWantedBy, got.alsoWantedBy)
}

// diff returns the expected and the actual entries, one per line; nil if they
// match. It aligns as many equal entries as possible, and entries of the same
// rule and action next to each other.
func (t *Test) diff(got []entry) []string {
	want := t.expect
	if slices.EqualFunc(want, got, entry.matches) {
		return nil
	}
	const alike, equal = 1, 1000
	value := func(i, j int) int {
		switch {
		case want[i].matches(got[j]):
			return equal
		case want[i].like(got[j]):
			return alike
		}
		return 0
	}
	best := make([][]int, len(want)+1) // of want[i:] and got[j:]
	for i := range best {
		best[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1], best[i+1][j+1]+value(i, j))
		}
	}
	var lines []string
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case j == len(got) || i < len(want) && best[i][j] == best[i+1][j]:
			lines = append(lines, "- "+t.write(want[i]))
			i++
		case i == len(want) || best[i][j] == best[i][j+1]:
			lines = append(lines, "+ "+t.write(t.shown(got[j])))
			j++
		case want[i].matches(got[j]):
			lines = append(lines, "  "+t.write(want[i]))
			i, j = i+1, j+1
		default:
			lines = append(lines, "- "+t.write(want[i]), "+ "+t.write(t.shown(got[j])))
			i, j = i+1, j+1
		}
	}
	return lines
}

// shown returns the properties of an actual entry that the test mentions. If
// the test does not mention the action, it returns the unusual ones.
func (t *Test) shown(got entry) entry {
	if got.err != "" {
		return got
	}
	expected, ok := t.mentioned(got)
	got.compared = maps.Clone(got.compared)
	for _, p := range parameters {
		_, isSpoken := expected.compared[p.key]
		unusual := (!ok || p.always) && p.unusual != nil && p.unusual(got.compared[p.key])
		if !isSpoken && !unusual {
			delete(got.compared, p.key)
		}
	}
	got.messages = maps.Clone(got.messages)
	for result, messages := range expected.messages {
		got.messages[result] = slices.Clone(got.messages[result])
		for i, m := range got.messages[result] {
			got.messages[result][i] = m.as(messages)
		}
	}
	return got
}

// explain returns the verdicts on the rules that matched unexpectedly, or
// unexpectedly did not match.
func (t *Test) explain(ctx context.Context, fired []string) []rules.Verdict {
	var expected []string
	for _, e := range t.expect {
		if e.err == "" {
			expected = append(append(expected, e.rule), e.alsoWantedBy...)
		}
	}
	return slices.DeleteFunc(t.file.Rules.Explain(ctx, t.event, &t.gitlab), func(v rules.Verdict) bool {
		return slices.Contains(expected, v.Rule) == slices.Contains(fired, v.Rule)
	})
}

// write formats an entry as in a test file.
func (t *Test) write(e entry) string {
	keys := []string{"rule: " + scalar(e.rule)}
	add := func(key, value string) { keys = append(keys, key+": "+value) }
	if e.err != "" {
		add("error", scalar(e.err))
		return "{" + strings.Join(keys, ", ") + "}"
	}
	add("action", e.action)
	usual := t.event.Meta.Kind != event.KindPipeline && slices.Equal(e.jobs, []string{t.event.Job.Name})
	if e.jobs != nil && !usual {
		add("jobs", scalars(e.jobs))
	}
	for _, p := range parameters {
		if value, ok := e.compared[p.key]; ok {
			add(p.key, value)
		}
	}
	if e.alsoWantedBy != nil {
		add("also_wanted_by", scalars(e.alsoWantedBy))
	}
	if len(e.messages) > 0 {
		var tells []string
		for _, result := range slices.Concat(event.Whens, event.StateTurns) {
			if messages, ok := e.messages[result]; ok {
				tells = append(tells, result+": "+write(messages))
			}
		}
		add("tells", "{"+strings.Join(tells, ", ")+"}")
	}
	line := "{" + strings.Join(keys, ", ") + "}"
	if e.hasDefaultText() {
		line += ` # "" is the default text`
	}
	return line
}

// hasDefaultText reports whether a notification has the default text.
func (e entry) hasDefaultText() bool {
	for _, messages := range e.messages {
		if slices.ContainsFunc(messages, func(m expectedMessage) bool { return m.text != nil && *m.text == "" }) {
			return true
		}
	}
	return false
}

// bare matches texts that YAML reads as texts without quotes, also between {
// and }.
var bare = regexp.MustCompile(`^[A-Za-z_]([\w./-]| \w)*$`)

// scalar formats a text as a YAML scalar.
func scalar(s string) string {
	if bare.MatchString(s) && !slices.Contains([]string{"null", "true", "false"}, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

func scalars(all []string) string {
	written := make([]string, len(all))
	for i, s := range all {
		written[i] = scalar(s)
	}
	return "[" + strings.Join(written, ", ") + "]"
}

func mappings(all map[string]string) string {
	var written []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		written = append(written, scalar(key)+": "+scalar(all[key]))
	}
	return "{" + strings.Join(written, ", ") + "}"
}
