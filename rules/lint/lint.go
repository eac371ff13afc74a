package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// linter warns of what can be loaded and yet may not do what is meant.
type linter struct {
	*logic
	found schema.FileErrors
}

// lint returns the warnings about rule files, no more than maxMistakes for each.
func lint(all *rulefile.Parsed) schema.FileErrors {
	var found schema.FileErrors
	logic := newLogic()
	logic.classes = all.Set.Classes.Names()
	for _, f := range all.Files {
		l := &linter{logic: logic}
		for _, r := range f.Rules {
			l.lintRule(f.Document, r)
		}
		found = append(found, l.found[:min(len(l.found), schema.MaxProblems)]...)
	}
	if len(all.Errors) == 0 {
		found = slices.Concat(found, hidden(all.Set.Rules, logic), capped(all.Set))
	}
	return found
}

// lintRule warns of one rule.
func (l *linter) lintRule(f *schema.Document, r *rulefile.ParsedRule) {
	at := place{f, r.Name, &l.found}
	if r.On == event.KindSchedule && r.Schedule.Times != nil && r.Schedule.Next(anyTime).IsZero() {
		at.warnAt(schema.Resolve(schema.Value(schema.Resolve(schema.Value(r.Node, "schedule")), "cron")), "this cron never comes: there is no such day")
	}
	for _, e := range r.Expressions {
		l.lintExpression(at, e)
	}
	if !slices.ContainsFunc(f.Problems, func(e schema.FileError) bool { return e.Rule == r.Name }) { // else there may be less of it than was written
		l.adviseRule(at, r.Node, r.Rule)
	}
}

// anyTime is where to begin to look for the days of a cron.
var anyTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// place is where warnings go to: those of one rule of a file.
type place struct {
	*schema.Document
	rule  string
	found *schema.FileErrors
}

func (p place) warn(line, column int, format string, args ...any) {
	*p.found = append(*p.found, schema.FileError{File: p.Name, Line: line, Column: column, Severity: schema.SeverityWarning, Rule: p.rule, Message: fmt.Sprintf(format, args...)})
}

func (p place) warnAt(n *yaml.Node, format string, args ...any) {
	p.warn(n.Line, n.Column, format, args...)
}

// lintExpression warns of what is right in an expression and yet not what its
// author can have meant.
func (l *linter) lintExpression(at place, e rulefile.Expression) {
	tree := l.tree(e.Source)
	a := advice{logic: l.logic, warn: func(part ast.Node, format string, args ...any) {
		line, column := at.Position(e.Node, e.At+startOf(part))
		at.warn(line, column, format, args...)
	}}
	if e.Purpose.Want == expression.WantBool {
		a.condition(tree)
	}
	if !slices.Contains(lookedAt(tree), "fromJSON") { // whose values have names of their own
		ast.Find(tree, func(n ast.Node) bool {
			a.node(n)
			return false
		})
	}
	a.reasons(tree)
	a.order(tree)
}

// startOf gives the first character of a part of an expression: an operator's
// place is its own, not that of what stands before it.
func startOf(n ast.Node) int {
	start := n.Location().From
	ast.Find(n, func(part ast.Node) bool {
		start = min(start, part.Location().From)
		return false
	})
	return start
}

// advice looks through one expression.
type advice struct {
	*logic
	warn func(part ast.Node, format string, args ...any)
}

// node looks at the conditions within an expression.
func (a advice) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.PredicateNode:
		a.condition(n.Node)
	case *ast.ConditionalNode:
		a.condition(n.Cond)
	case *ast.VariableDeclaratorNode:
		a.condition(n.Expr)
	}
}

// condition warns of parts that always come out the same.
func (a advice) condition(n ast.Node) {
	if literal, ok := n.(*ast.BoolNode); ok && literal.Value {
		return // that is said on purpose
	}
	switch {
	case !a.possible(side{n, true}):
		a.never(n)
	case !a.possible(side{n, false}):
		a.always(n)
	default:
		_, parts := chain(n)
		for _, part := range parts {
			a.condition(part)
		}
	}
}

// chain gives the parts that stand between the `and`s or the `or`s of a
// condition, or behind its `not`; none for any other.
func chain(n ast.Node) (operator string, parts []ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if operator = expression.Operators[n.Operator]; operator != "" {
			parts = []ast.Node{n.Node}
		}
	case *ast.BinaryNode:
		if operator = expression.Operators[n.Operator]; operator == "" {
			return "", nil
		}
		for _, part := range []ast.Node{n.Left, n.Right} {
			if inner, more := chain(part); inner == operator {
				parts = append(parts, more...)
				continue
			}
			parts = append(parts, part)
		}
	}
	return operator, parts
}

// never warns of a condition that can't be true, where the reason stands.
func (a advice) never(n ast.Node) {
	operator, parts := chain(n)
	switch operator {
	case "not":
		a.always(parts[0])
	case "or":
		for _, part := range parts {
			a.never(part)
		}
	case "and":
		if i := slices.IndexFunc(parts, func(part ast.Node) bool { return !a.possible(side{part, true}) }); i >= 0 {
			a.never(parts[i])
			return
		}
		if one, other := a.clash(parts, true); other != nil {
			a.warn(other, "this can never be true together with %s%s", one, a.mend(one, other, true))
			return
		}
		a.warn(n, "this condition can never be true: its parts exclude each other")
	default:
		a.warn(n, "this can never be true%s", known(n))
	}
}

// always warns of a condition that can't be false, where the reason stands.
func (a advice) always(n ast.Node) {
	operator, parts := chain(n)
	switch operator {
	case "not":
		a.never(parts[0])
	case "and":
		for _, part := range parts {
			a.always(part)
		}
	case "or":
		if i := slices.IndexFunc(parts, func(part ast.Node) bool { return !a.possible(side{part, false}) }); i >= 0 {
			a.always(parts[i])
			return
		}
		if one, other := a.clash(parts, false); other != nil {
			a.warn(other, "either this or %s is always true%s", one, a.mend(one, other, false))
			return
		}
		a.warn(n, "this condition is always true: when one of its parts is not, another is")
	default:
		a.warn(n, "this is always true%s", known(n))
	}
}

// clash gives the first two parts that can't both come out as given.
func (l *logic) clash(parts []ast.Node, holds bool) (one, other ast.Node) {
	for i, other := range parts {
		for _, one := range parts[:i] {
			if !l.possible(side{one, holds}, side{other, holds}) {
				return one, other
			}
		}
	}
	return nil, nil
}

// known says why a condition without parts always comes out the same; "" where
// it shows.
func known(n ast.Node) string {
	if literal, ok := n.(*ast.BoolNode); ok && !literal.Value {
		return ": leave the rule out, or give it `dry_run: true` to see what it would do"
	}
	c, _ := claimOf(side{n, true})
	_, field := ofJob(c.about)
	switch {
	case field == "attempt":
		return ": attempts count from 1"
	case c.values != nil && len(c.values) == 0:
		return ": the list is empty"
	}
	return ""
}

// mend says what to write instead of two conditions that can't both come out
// as given; "" where nothing can be guessed.
func (l *logic) mend(one, other ast.Node, holds bool) string {
	if holds && isFailedWith(one) && isFailedWith(other) {
		arguments := slices.Concat(one.(*ast.CallNode).Arguments, other.(*ast.CallNode).Arguments)
		return ": for either, write " + (&ast.CallNode{Callee: &ast.IdentifierNode{Value: "failed_with"}, Arguments: arguments}).String()
	}
	of, values := l.pinnedBy(side{one, holds})
	alsoOf, others := l.pinnedBy(side{other, holds})
	if _, isText := first(values).(string); isText && of == alsoOf {
		list := quoted(slices.Concat(values, others))
		if holds {
			return fmt.Sprintf(": for either, write %s in %s", of, list)
		}
		return fmt.Sprintf(": for neither, write %s not in %s", of, list)
	}
	if !holds {
		return ": write and between them"
	}
	looked := slices.Concat(lookedAt(one), lookedAt(other))
	byReason := slices.Contains(looked, "failure_reason") || slices.Contains(looked, "failed_with")
	byClass := slices.Contains(looked, "failure_class")
	switch {
	case byReason && byClass:
		return ": the reason gives the class, and this is not its class"
	case byReason || byClass:
		return ": a job has a failure reason and class only when its status is \"failed\""
	}
	return ""
}

// first gives the first of some values; nil if there is none.
func first(values []any) any {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// pinnedBy gives the only value of the event that a condition pins, and to
// what.
func (l *logic) pinnedBy(s side) (about string, values []any) {
	for w := range l.worlds(s) {
		for _, c := range w {
			switch {
			case c.values == nil || !c.holds:
			case about != "":
				return "", nil
			default:
				about, values = c.about, c.values
			}
		}
		break
	}
	return about, values
}

// quoted writes a list of texts as expressions have it.
func quoted(values []any) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func isFailedWith(n ast.Node) bool {
	call, ok := n.(*ast.CallNode)
	return ok && call.Callee.String() == "failed_with"
}

// reasons warns of failure reasons that no new GitLab sends, where they are
// compared by name. Who names the newer ones too knows of them.
func (a advice) reasons(tree ast.Node) {
	var comparisons []*ast.BinaryNode
	negated := map[*ast.BinaryNode]bool{} // `not in` is a `not` of an `in`
	var named []string
	ast.Find(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryNode:
			comparisons = append(comparisons, n)
			negated[n] = n.Operator == "!="
		case *ast.UnaryNode:
			if inner, ok := n.Node.(*ast.BinaryNode); ok && inner.Operator == "in" {
				negated[inner] = true
			}
		case *ast.StringNode:
			named = append(named, n.Value)
		}
		return false
	})
	for _, n := range comparisons {
		field, with := n.Left, []ast.Node{n.Right}
		if array, ok := n.Right.(*ast.ArrayNode); ok {
			with = array.Nodes
		} else if _, ok := n.Left.(*ast.StringNode); ok {
			field, with = n.Right, []ast.Node{n.Left}
		}
		if member, ok := field.(*ast.MemberNode); !ok || member.Property.String() != `"failure_reason"` {
			continue
		}
		for _, literal := range with {
			text, _ := literalOf(literal).(string)
			if !slices.ContainsFunc(event.ReplacedBy(text), func(newer string) bool { return !slices.Contains(named, newer) }) {
				continue
			}
			a.warn(literal, "GitLab 19 sends %q no more, but newer names in its place: write %s", text, anyName(field, negated[n], literalTexts(with)))
			break
		}
	}
}

// anyName gives the comparison of a failure reason that covers also the names
// that newer GitLabs send.
func anyName(field ast.Node, negated bool, failureReasons []string) string {
	list := func(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
	not, in := "", " in "
	if negated {
		not, in = "not ", " not in "
	}
	if field.String() == "job.failure_reason" && !slices.Contains(failureReasons, "") {
		return not + "failed_with(" + list(failureReasons) + ")"
	}
	return field.String() + in + "[" + list(event.WithAliases(failureReasons...)) + "]"
}

// order warns of questions to GitLab that are asked before what costs nothing
// could make them needless.
func (a advice) order(tree ast.Node) {
	var chains []ast.Node
	within := map[ast.Node]bool{} // a longer chain
	ast.Find(tree, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryNode); ok && expression.Operators[b.Operator] != "" {
			chains = append(chains, n)
			for _, part := range []ast.Node{b.Left, b.Right} {
				if inner, ok := part.(*ast.BinaryNode); ok && expression.Operators[inner.Operator] == expression.Operators[b.Operator] {
					within[part] = true
				}
			}
		}
		return false
	})
	for _, n := range chains {
		if !within[n] {
			a.orderOf(n, tree)
		}
	}
}

func (a advice) orderOf(n, tree ast.Node) {
	operator, parts := chain(n)
	asking := func(part ast.Node) bool { return len(expression.Requests(part, a.classes)) > 0 }
	first := slices.IndexFunc(parts, asking)
	if first < 0 || !slices.ContainsFunc(parts[first:], func(part ast.Node) bool { return !asking(part) }) {
		return
	}
	late, names := parts[first], expression.Requests(parts[first], a.classes)
	if asked := a.askedBefore(tree, startOf(late)); !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(asked, name) }) {
		return // the answer is there already
	}
	slices.SortStableFunc(parts, func(one, other ast.Node) int {
		return len(expression.Requests(one, a.classes)) - len(expression.Requests(other, a.classes))
	})
	better := parts[0]
	for _, part := range parts[1:] {
		better = &ast.BinaryNode{Operator: operator, Left: better, Right: part}
	}
	enough := map[string]string{"and": "false", "or": "true"}[operator]
	question := names[0] + "()"
	if len(expression.Requests(late, nil)) == 0 {
		question = "for job.failure_class, which may be one of `classes`, the log"
	}
	a.warn(late, "%s is asked of GitLab even where the rest is %s already: write %s", question, enough, better)
}

// askedBefore gives the questions that stand before a character of an
// expression.
func (a advice) askedBefore(tree ast.Node, at int) []string {
	var names []string
	ast.Find(tree, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.CallNode, *ast.MemberNode:
			if startOf(n) < at {
				names = append(names, expression.Requests(n, a.classes)...)
			}
		}
		return false
	})
	return names
}

// adviseRule warns of what the parts of a rule are together. n is its mapping.
func (l *linter) adviseRule(at place, n *yaml.Node, r *rules.Rule) {
	var when ast.Node // nil: that is not worth a question
	tree := l.ruleCondition(r)
	if r.On == event.KindJob && l.possible(side{tree, true}) {
		when = tree
	}
	if when != nil && l.implies(when, unsent) {
		at.warnAt(schema.Value(n, "if"), "GitLab sends no job event when a job becomes manual, scheduled or skipped, so only catch-up finds such jobs, minutes later: write the rule `on: pipeline`, and ask pipeline.jobs")
		when = nil
	}
	looked := lookedAt(tree)
	if actions := schema.Value(n, "actions"); actions != nil {
		for i, n := range schema.Resolve(actions).Content {
			l.adviseAction(at, schema.Resolve(n), r, r.Actions[i], when, looked)
		}
	}
	if notify := schema.Value(n, "notify"); notify != nil {
		for _, n := range schema.Resolve(notify).Content {
			adviseNotice(at, schema.Resolve(n), r)
		}
	}
}

// ruleCondition returns the rule's condition as it is written; true where it has none.
func (l *logic) ruleCondition(r *rules.Rule) ast.Node {
	if r.Condition == nil {
		return &ast.BoolNode{Value: true}
	}
	return l.tree(r.Source)
}

// unsent are the jobs of which GitLab sends no Job Hook.
var unsent = expression.JobFieldIn("status", "manual", "scheduled", "skipped")

// uselessTo are the jobs to which an action does nothing, now and later.
var uselessTo = map[string]ast.Node{
	event.VerbRetry:  expression.JobFieldIn("status", "success", "canceled", "skipped"),
	event.VerbPlay:   expression.JobFieldIn("status", "success", "failed", "canceled", "skipped"),
	event.VerbCancel: expression.JobFieldIn("status", "success", "failed", "canceled", "skipped"),
	event.VerbErase:  expression.JobFieldIn("status", "created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running"),
}

// uselessToPipelines are the pipelines to which an action on all of a pipeline
// does nothing.
var uselessToPipelines = map[string]ast.Node{
	event.VerbRetryPipeline:  expression.FieldIn("pipeline", "status", "success", "skipped"),
	event.VerbCancelPipeline: expression.FieldIn("pipeline", "status", "success", "failed", "canceled", "skipped"),
}

// usefulTo says what jobs an action is for.
var usefulTo = map[string]string{
	event.VerbRetry:  "jobs that failed",
	event.VerbPlay:   "jobs that wait to be played",
	event.VerbCancel: "jobs that have not ended",
	event.VerbErase:  "jobs that have ended",

	event.VerbRetryPipeline:  "pipelines that failed or were canceled",
	event.VerbCancelPipeline: "pipelines that have not ended",
}

// implies reports whether wherever one condition is true the other is, too.
func (l *logic) implies(one, other ast.Node) bool {
	return !l.possible(side{one, true}, side{other, false})
}

// adviseAction warns of an action that does nothing, or more than is meant.
// looked has the fields and functions that the condition looks at.
func (l *linter) adviseAction(at place, n *yaml.Node, r *rules.Rule, a rules.Action, when ast.Node, looked []string) {
	verb, parameters := n, &yaml.Node{}
	if n.Kind == yaml.MappingNode {
		verb, parameters = n.Content[0], schema.Resolve(n.Content[1])
	}
	useless, condition := uselessTo[a.Verb], when
	if event.OfPipeline(a.Verb) {
		useless, condition = uselessToPipelines[a.Verb], l.ruleCondition(r)
	}
	if condition != nil && useless != nil && a.Jobs == nil && l.possible(side{condition, true}) && l.implies(condition, useless) {
		at.warnAt(verb, "%s does nothing here: it is for %s, and the condition wants others", a.Verb, usefulTo[a.Verb])
		return
	}
	if a.Jobs != nil {
		looked = slices.Concat(looked, lookedAt(a.Jobs.Node()))
	}
	looksAt := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(looked, name) })
	}
	if a.Wait == event.WaitSuccess && a.Jobs == nil {
		at.warnAt(schema.Value(parameters, "wait"), "there is but one job here, so it waits for none: say in `jobs` which are played, in their order")
	}
	switch {
	case a.Verb == event.VerbErase && r.On != event.KindSchedule && !schema.Has(parameters, "older_than") && !looksAt("finished_at"):
		at.warnAt(verb, "erase leaves jobs alone that finished less than 24h ago, and on an event they have mostly just finished: write erase: {older_than: 0s}, or the age that you mean")
	case a.Verb == event.VerbRetry:
		adviseRetry(at, verb, parameters, r.On, a.MaxAttempts, looksAt("failure_reason", "failure_class", "failed_with", "log", "log_excerpt", "bridges"))
	}
}

// manyAttempts is what no flaky job needs.
const manyAttempts = 10

// limited says that the rule looks at why jobs failed.
func adviseRetry(at place, verb, parameters *yaml.Node, on string, attempts int, limited bool) {
	switch {
	case attempts == 1:
		at.warnAt(schema.Value(parameters, "max_attempts"), "max_attempts counts the first run too, so 1 never retries: write 2 for one retry")
	case attempts > manyAttempts:
		at.warnAt(schema.Value(parameters, "max_attempts"), "a job that failed %d times will hardly pass after that, and it holds a runner each time: write max_attempts: 3, with a longer delay", manyAttempts)
	}
	if limited {
		return
	}
	add := `add failed_with("runner_system_failure", "stuck_or_timeout_failure") to the condition, or failed_with("script_failure") if those are meant`
	if on == event.KindPipeline {
		add = `ask .failure_class in jobs, like filter(pipeline.jobs, .failure_class in ["runner", "stuck"]), with "script" if those are meant`
	}
	at.warnAt(verb, "jobs whose script failed are retried too, because nothing limits the failure reasons: %s", add)
}

// lookedAt gives the names of the fields and functions in an expression.
func lookedAt(n ast.Node) []string {
	var names []string
	ast.Find(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallNode:
			names = append(names, n.Callee.String())
		case *ast.BuiltinNode:
			names = append(names, n.Name)
		case *ast.MemberNode:
			if name, ok := n.Property.(*ast.StringNode); ok {
				names = append(names, name.Value)
			}
		}
		return false
	})
	return names
}

// adviseNotice warns of outcomes that the rule's actions never have.
func adviseNotice(at place, n *yaml.Node, r *rules.Rule) {
	when := schema.Value(n, "when")
	if when == nil {
		return
	}
	retries := slices.ContainsFunc(r.Actions, func(a rules.Action) bool { return a.Verb == event.VerbRetry || a.Verb == event.VerbRetryPipeline })
	for _, item := range schema.Resolve(when).Content {
		switch outcome := schema.Resolve(item).Value; {
		case len(r.Actions) == 0 && outcome != event.ResultDone && outcome != event.ResultDryRun:
			at.warnAt(item, "a rule without actions is never %s: its outcome is done (or dry_run) whenever it matches", outcome)
		case !retries && (outcome == event.ResultGaveUp || outcome == event.ResultRecovered):
			at.warnAt(item, "only a retry comes to %s, and the rule has none", outcome)
		}
	}
}

// Check is Load that also warns of what can be loaded and yet may not do what
// is meant. It gives the rules, nil if there are errors, and all errors and
// warnings.
func Check(o rulefile.Options, sources ...rulefile.Source) (*rules.Rules, schema.FileErrors) {
	loaded := rulefile.Parse(o, sources)
	all := slices.Concat(loaded.Errors, lint(loaded))
	schema.Sort(all)
	if len(loaded.Errors) > 0 {
		return nil, all
	}
	return rules.New(loaded.Set), all
}
