package expression

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/hint"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

var (
	jobType    = reflect.TypeFor[event.Job]()
	bridgeType = reflect.TypeFor[event.Bridge]()
)

// ErrBridge is the error if `jobs` contains a trigger job and the action does
// not support those.
var ErrBridge = errors.New("`jobs` returns trigger jobs (bridges), and GitLab can only retry and play those: act on the jobs of the pipeline that was triggered in a rule for its events")

// enums lists the known values of fields. A literal that such a field is
// compared with must be one of them, so that a misspelt status is an error
// when the file is loaded.
var enums = func() map[reflect.Type]map[string][]string {
	failureReasons := event.FailureReasons()
	job := map[string][]string{
		"status":         event.Statuses,
		"failure_reason": append(failureReasons, ""),
		"failure_class":  append(slices.Clone(event.FailureClasses), ""),
	}
	return map[reflect.Type]map[string][]string{
		jobType:                          job,
		reflect.TypeFor[event.Details](): job,
		bridgeType:                       job,

		reflect.TypeFor[event.OnDefault](): {"status": append([]string{""}, event.Statuses...), "failure_reason": append(failureReasons, "")},

		reflect.TypeFor[event.MergeRequest]():        {"state": mergeRequestStates},
		reflect.TypeFor[event.MergeRequestDetails](): {"state": mergeRequestStates},

		reflect.TypeFor[event.Pipeline]():   {"status": append([]string{""}, event.Statuses...)}, // old Job Hooks do not contain it
		reflect.TypeFor[event.Downstream](): {"status": event.Statuses},
		reflect.TypeFor[event.Meta](): {
			"kind":   {event.KindJob, event.KindPipeline, event.KindSchedule},
			"source": {event.SourceWebhook, event.SourceCatchUp, event.SourceSchedule, event.SourceButton, event.SourceReplay, event.SourceCI},
		},
		reflect.TypeFor[event.TextOutcome](): {"result": event.Results, "action": event.Verbs},
		reflect.TypeFor[event.Runner]():      {"type": {"instance_type", "group_type", "project_type", ""}},
		reflect.TypeFor[event.Environment](): {"tier": {"production", "staging", "testing", "development", "other", ""}},
	}
}()

// mergeRequestStates are the states of merge requests; "" if there is none.
var mergeRequestStates = []string{"opened", "closed", "locked", "merged", ""}

// literalJobs says what to write instead of a literal in `jobs`, which can't
// contain jobs; "" for any other expression.
func literalJobs(n ast.Node) string {
	array, isArray := n.(*ast.ArrayNode)
	if isArray && slices.ContainsFunc(array.Nodes, func(item ast.Node) bool { return !isLiteral(item) }) || !isArray && !isLiteral(n) {
		return ""
	}
	return "these are no jobs: for jobs by their names write a list without quotes around it, like `jobs: [deploy-staging]`; otherwise an expression like filter(pipeline.jobs, .status == \"manual\")"
}

func isLiteral(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.ConstantNode, *ast.MapNode:
		return true
	}
	return false
}

// KnownValues returns the values that GitLab sends in a field of a type of
// package event; nil if the field may have any value.
func KnownValues(of reflect.Type, field string) []string { return enums[of][field] }

// Purpose determines the type of an expression and what it may read.
type Purpose struct {
	Want   string // one of the Want constants
	On     string // the rule's kind of events
	HasJob bool   // there is a job, so the expression may use job, log() and details()
	// HasOutcome is set for texts of notifications: they may use outcome, and values in the
	// labels of their links are made one short line.
	HasOutcome bool

	Classes failureclass.List // of the rule files
}

// Values of Purpose.Want.
const (
	WantBool = "bool"
	WantJobs = "jobs"
	WantRuns = "jobs or bridges"
	WantText = "text"
)

// Compile compiles an expression. It returns all mistakes in it, and no
// program if there is one.
func Compile(source string, p Purpose) (*vm.Program, []Finding) {
	if at, message := limits.TooLarge(source); message != "" {
		return nil, []Finding{{at, message}}
	}
	review := &review{purpose: p}
	options := slices.Concat([]expr.Option{expr.Env(environment{})}, functionOptions, limits.Options)
	if p.Want == WantBool {
		options = append(options, expr.AsBool(), expr.WarnOnAny())
	}
	program, err := review.compile(source, options)
	findings := review.findings
	if err != nil {
		mistake := p.mistake(source, err)
		if !slices.ContainsFunc(findings, func(other Finding) bool { return other.At == mistake.At }) {
			findings = append(findings, mistake)
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return program, nil
}

// compile compiles an expression as expr.Compile does, except that the types are
// checked before anything is patched: expr's checker does not look at the arguments
// of a call that it has seen before or that is patched, so that it would overlook a
// name that is misspelt there. The review's findings are errors like those of expr.
func (r *review) compile(source string, options []expr.Option) (*vm.Program, error) {
	config := conf.CreateNew()
	for _, option := range options {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	config.Check()
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, err
	}
	types := new(checker.Checker)
	_, err = types.Check(tree, config)
	ast.Walk(&tree.Node, r)
	if err != nil || len(r.findings) > 0 {
		return nil, err
	}
	if _, err := types.Check(tree, config); err != nil { // of what the review has patched
		return nil, err
	}
	ast.Walk(&tree.Node, limits.NewMeter(r.fail))
	if err := optimizer.Optimize(&tree.Node, config); err != nil {
		if e := (*file.Error)(nil); errors.As(err, &e) {
			return nil, e.Bind(tree.Source)
		}
		return nil, err
	}
	program, err := compiler.Compile(tree, config)
	if err != nil {
		return nil, err
	}
	return program, r.purpose.check(program)
}

// check returns an error if the expression has another type than wanted.
func (p Purpose) check(program *vm.Program) error {
	nt := program.Node().Nature()
	switch p.Want {
	case WantJobs, WantRuns:
		if message := literalJobs(program.Node()); message != "" {
			return errors.New(message)
		}
		var cache nature.Cache
		if nt.IsUnknown(&cache) {
			return nil // the type is checked when the expression is evaluated
		}
		if nt.Kind == reflect.Slice {
			elem := nt.Elem(&cache)
			switch {
			case elem.Type == jobType, elem.IsUnknown(&cache), elem.Type == bridgeType && p.Want == WantRuns:
				return nil
			case elem.Type == bridgeType:
				return ErrBridge
			}
		}
		return errors.New("`jobs` must return a list of jobs, like `filter(pipeline.jobs, .status == \"manual\")`")
	case WantText:
		if nt.Kind == reflect.Func {
			return errors.New("this is a function: call it with ()")
		}
	}
	return nil
}

// review walks the type-checked tree of an expression. It finds mistakes that
// types do not show (unknown enum values, invalid literals, functions that are
// not available here) and expands failed_with and duration.
type review struct {
	purpose  Purpose
	findings []Finding
}

// Finding is a mistake in an expression.
type Finding struct {
	At      int // characters from the expression's start
	Message string
}

func (r *review) fail(n ast.Node, format string, args ...any) {
	r.findings = append(r.findings, Finding{n.Location().From, fmt.Sprintf(format, args...)})
}

// Visit implements ast.Visitor. Children are visited before their parents.
func (r *review) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		r.name(n)
	case *ast.MemberNode:
		r.member(node, n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			r.call(node, n, callee.Value)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "==", "!=", "in":
			r.comparison(n.Left, n.Right)
			r.comparison(n.Right, n.Left)
			r.withNil(n.Left, n.Right)
			r.withNil(n.Right, n.Left)
		}
	}
}

// name reports names that are not available in expressions.
func (r *review) name(n *ast.IdentifierNode) {
	switch {
	case n.Value == "Event", n.Value == "Spend", n.Value == classCall, n.Value == "$env": // names of Go and expr for values that have no type
		r.fail(n, "unknown name %q%s", n.Value, spelling.Suggestion(n.Value, topNames()))
	case n.Value == "outcome" && !r.purpose.HasOutcome:
		r.fail(n, "only the texts of notifications have an outcome: nothing has been done yet when this is evaluated")
	case n.Value == "job" && !r.purpose.HasJob:
		r.fail(n, "a pipeline event has no job: use pipeline.jobs, like `any(pipeline.jobs, .status == \"failed\")`, or write the rule `on: job`")
	}
}

func (r *review) member(node *ast.Node, n *ast.MemberNode) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok {
		return
	}
	base, isName := n.Node.(*ast.IdentifierNode)
	switch {
	case property.Value == "Job" && n.Node.Type() == reflect.TypeFor[event.Details]():
		r.fail(n, "details() has no field \"Job\": it has the job's fields itself")
	case property.Value == "MergeRequest" && n.Node.Type() == reflect.TypeFor[event.MergeRequestDetails]():
		r.fail(n, "merge_request_details() has no field \"MergeRequest\": it has the merge request's fields itself")
	case isName && base.Value == "pipeline" && property.Value == "jobs" && r.purpose.On != event.KindPipeline:
		r.fail(n, "a job event does not contain the pipeline's jobs: call jobs()")
	case r.classified() && FieldOf(n) == ClassField:
		ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: classCall}})
	}
}

// classified reports whether the log can determine the job's class. This is
// impossible for jobs in lists, which are the only jobs of a pipeline event.
func (r *review) classified() bool {
	return r.purpose.On == event.KindJob && len(r.purpose.Classes) > 0
}

func (r *review) call(node *ast.Node, n *ast.CallNode, name string) {
	if instead := aboutJob(name); instead != "" && !r.purpose.HasJob {
		r.fail(n, "%s() %s", name, instead)
		return
	}
	switch name {
	case "failed_with":
		if expanded := r.failedWith(n); expanded != nil {
			ast.Patch(node, expanded)
		}
	case "duration":
		if literal := Argument(n, 0); literal != nil {
			d, err := event.ParseDuration(literal.Value)
			if err != nil {
				r.fail(literal, "%v", err)
				return
			}
			ast.Patch(node, &ast.ConstantNode{Value: d})
		}
	case "glob":
		if literal := Argument(n, 1); literal != nil && !doublestar.ValidatePattern(literal.Value) {
			r.fail(literal, "%q is not a glob pattern: `*` matches within a path part, `**` over parts, `{a,b}` either, `[a-z]` one of", literal.Value)
		} else if literal != nil {
			if err := limits.CheckGlob(literal.Value); err != nil {
				r.fail(literal, "%v", err)
			}
		}
	case "log":
		if r.purpose.Want == WantText {
			r.fail(n, "log() can't be used in a text: it is too long for one; log_excerpt() returns the relevant lines")
		}
	case "log_excerpt":
		if len(n.Arguments) > 1 {
			r.fail(n.Arguments[1], "log_excerpt takes no more than a number of lines, like log_excerpt(10)")
		} else if len(n.Arguments) == 1 {
			if lines, literal := limits.Number(n.Arguments[0]); literal {
				if err := boundExcerpt(lines); err != nil {
					r.fail(n.Arguments[0], "%v", err)
				}
			}
		}
	}
}

// failedWith returns the comparisons that failed_with(reasons…) expands to,
// including the newer names of the reasons.
func (r *review) failedWith(n *ast.CallNode) ast.Node {
	if len(n.Arguments) == 0 {
		r.fail(n, "failed_with needs failure reasons, like failed_with(\"stuck_or_timeout_failure\")")
		return nil
	}
	var names []string
	for i, arg := range n.Arguments {
		literal := Argument(n, i)
		if literal == nil {
			r.fail(arg, "%s", noReason(arg))
			return nil
		}
		if !slices.Contains(event.FailureReasons(), literal.Value) {
			r.fail(literal, "unknown failure reason %q%s", literal.Value, spelling.Suggestion(literal.Value, event.FailureReasons()))
			return nil
		}
		names = append(names, literal.Value)
	}
	return FailedWith(names...)
}

// withNil reports a comparison of nil with a value of the event, which is never
// nil.
func (r *review) withNil(value, with ast.Node) {
	if _, isNil := with.(*ast.NilNode); isNil && Rooted(value) {
		r.fail(with, "%s", hint.Missing)
	}
}

// noReason says what to write instead of an argument of failed_with that is no
// text.
func noReason(arg ast.Node) string {
	switch arg := arg.(type) {
	case *ast.ArrayNode:
		return "failed_with takes the reasons without [ and ]: failed_with(\"runner_system_failure\", \"api_failure\")"
	case *ast.IdentifierNode:
		return fmt.Sprintf("failed_with takes failure reasons as texts in quotes: write %q", arg.Value)
	}
	return "failed_with takes failure reasons as texts in quotes"
}

// comparison checks the literals that a field with known values is compared
// with.
func (r *review) comparison(field, with ast.Node) {
	name, known := enumOf(field)
	if isClassCall(field) {
		name, known = "failure_class", slices.Concat(enums[jobType]["failure_class"], r.purpose.Classes.Names())
	}
	if known == nil {
		return
	}
	literals := []ast.Node{with}
	if array, ok := with.(*ast.ArrayNode); ok {
		literals = array.Nodes
	}
	for _, n := range literals {
		literal, ok := n.(*ast.StringNode)
		switch {
		case !ok || slices.Contains(known, literal.Value):
		case name == "failure_class" && slices.Contains(r.purpose.Classes.Names(), literal.Value):
			r.fail(literal, "only the job of a job event can have class %q, as job.failure_class: the logs of other jobs are not read, so they have one of Pipesteward's own classes", literal.Value)
		default:
			if _, pack := failureclass.InPack(literal.Value); pack != "" && FieldOf(field) == ClassField && r.purpose.On == event.KindJob {
				r.fail(literal, "%q is a failure class of the pack %s, which is not included: write `classes: {include: [%s]}`", literal.Value, pack, pack)
				continue
			}
			r.fail(literal, "%q is not a %s that Pipesteward knows%s", literal.Value, strings.ReplaceAll(name, "_", " "), spelling.Suggestion(literal.Value, known))
		}
	}
}

// enumOf returns the name and the known values of the field that a node reads;
// nil if the field may have any value.
func enumOf(n ast.Node) (string, []string) {
	member, ok := n.(*ast.MemberNode)
	if !ok {
		return "", nil
	}
	property, ok := member.Property.(*ast.StringNode)
	if !ok {
		return "", nil
	}
	return property.Value, enums[member.Node.Type()][property.Value]
}
