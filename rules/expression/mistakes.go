package expression

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/builtin"
	exprfile "github.com/expr-lang/expr/file"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/hint"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// mistake returns the finding for an error of expr: what to write instead, if that
// can be told, otherwise its message without the names of Go types.
func (p Purpose) mistake(source string, err error) Finding {
	if foreign, ok := hint.Foreign(source); ok {
		return Finding{foreign.At, foreign.Message}
	}
	at, message := 0, err.Error()
	if e := (*exprfile.Error)(nil); errors.As(err, &e) {
		at, message = e.From, e.Message
	}
	for _, t := range translations {
		if m := t.error.FindStringSubmatch(message); m != nil {
			return t.finding(p, source, at, m)
		}
	}
	return Finding{at, plainTypes(message)}
}

// translation says what to write instead of what expr refuses with an error.
type translation struct {
	error *regexp.Regexp
	// finding returns the finding for an error at a position; m are the submatches
	// of the error.
	finding func(p Purpose, source string, at int, m []string) Finding
}

// says returns the finding of a translation that always says the same. Submatches
// of the error replace $1 and $2.
func says(message string) func(Purpose, string, int, []string) Finding {
	return func(_ Purpose, _ string, at int, m []string) Finding {
		message := message
		for i := 1; i < len(m); i++ {
			message = strings.ReplaceAll(message, fmt.Sprintf("$%d", i), plainTypes(m[i]))
		}
		return Finding{at, message}
	}
}

var translations = []translation{
	{regexp.MustCompile(`^type (?:rules|event)\.(\w+) has no field (\w+)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, noField(m[1], m[2])}
	}},
	{regexp.MustCompile(`^unknown name (\S+)`), func(p Purpose, source string, at int, m []string) Finding { return p.unknownName(source, at, m[1]) }},
	{regexp.MustCompile(`func\(`), says("a function is missing its (): write log(), not log")},
	{regexp.MustCompile(`exceeds maximum allowed nodes`), says(fmt.Sprintf("the expression has more than %d parts", limits.MaxNodes))},
	{regexp.MustCompile(`^expected bool, but got (.+)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, fmt.Sprintf("a condition must be true or false, and this is %s: compare it with something, like job.status == \"failed\"", kindOf(m[1]))}
	}},
	{regexp.MustCompile(`^invalid operation: (?:not|!) \(mismatched type`), func(_ Purpose, source string, at int, _ []string) Finding {
		if instead := hint.Negated(source, at); instead != "" {
			return Finding{at, "the negation is only of the first value here: write " + instead}
		}
		return Finding{at, "only a condition can be negated: write not (…) around it"}
	}},
	{regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (\S+|\S+ \{\}) and (.+)\)`), mismatch},
	{regexp.MustCompile(`^unexpected token EOF|^unexpected end of expression`), func(_ Purpose, source string, at int, _ []string) Finding {
		last, open := hint.Last(source)
		if open != "" {
			return Finding{at, fmt.Sprintf("a %s is not closed", open)}
		}
		return Finding{at, "something is missing after " + last}
	}},
	{regexp.MustCompile(`^unexpected token Bracket\("([)\]}])"\)`), says("this $1 closes nothing, or a value is missing before it")},
	{regexp.MustCompile(`^unexpected token Operator\("(.*)"\)`), says("a value is missing before `$1`")},
	{regexp.MustCompile(`^unexpected token (?:Identifier|String|Number)\((.*)\)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, fmt.Sprintf("an operator is missing before %s, like and or ==", strings.Trim(m[1], `"`))}
	}},
	{regexp.MustCompile(`^unexpected token \w+\("(.*)"\)`), says("`$1` can't stand here")},
	{regexp.MustCompile(`^unrecognized character: \S+ '(.*)'`), says("the character $1 has no meaning here: a text stands in quotes")},
	{regexp.MustCompile(`^non-bool expression`), says("a condition must stand before the ?")},
	{regexp.MustCompile(`^invalid char escape`), says("a \\ in a text must be doubled, as in \"\\\\d+\"; or write the text between ` and `")},
	{regexp.MustCompile(`^literal not terminated`), says("this text is not closed by a quotation mark")},
	{regexp.MustCompile("^error parsing regexp: (?:missing argument to|invalid nested) repetition operator"), says("this is a glob and no regular expression: write glob(text, \"pattern*\")")},
	{regexp.MustCompile(`^cannot use (.+) as argument \(type (.+)\) to call (\w+)`), wrongArgument},
	{regexp.MustCompile(`^(not enough|too many) arguments to call (\w+)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, fmt.Sprintf("%s arguments: write %s", m[1], callOf(m[2]))}
	}},
	{regexp.MustCompile(`^predicate should return boolean \(got (.+)\)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, "this must be a condition on each element, like .status == \"failed\", and it is " + kindOf(m[1])}
	}},
	{regexp.MustCompile(`^builtin (\w+) takes only array \(got (.+)\)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, fmt.Sprintf("%s() takes a list, like jobs() or pipeline.jobs, and this is %s", m[1], kindOf(m[2]))}
	}},
	{regexp.MustCompile(`^type \[\]\S+ has no field (\w+)|^array elements can only be selected using an integer`), func(_ Purpose, _ string, at int, m []string) Finding {
		field := cmp.Or(m[1], "name")
		return Finding{at, fmt.Sprintf("this is a list, whose elements have fields: write any(list, .%s == \"…\") or map(list, .%s)", field, field)}
	}},
	{regexp.MustCompile(`^type (string|int|int64|float64|bool|time\.Time|time\.Duration) has no (?:field|method) (\w+)`), func(_ Purpose, _ string, at int, m []string) Finding {
		return Finding{at, fmt.Sprintf("this is %s, which has no %s", kindOf(m[1]), m[2])}
	}},
}

// kindOf describes a Go type for authors of rules.
func kindOf(goType string) string {
	name, isEvent := strings.CutPrefix(goType, "event.")
	switch {
	case goType == "string":
		return "a text"
	case goType == "bool":
		return "true or false"
	case goType == "int", goType == "int64", goType == "float64":
		return "a number"
	case goType == "time.Time":
		return "a time"
	case goType == "time.Duration":
		return "a duration"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case isEvent && typeNames[name] != "":
		return typeNames[name]
	}
	return plainTypes(goType)
}

// mismatch returns the finding for an operator between two types that do not
// match.
func mismatch(_ Purpose, source string, at int, m []string) Finding {
	operator, left, right := m[1], m[2], m[3]
	o := hint.OperandsAt(source, at)
	var instead string
	switch is := func(a, b string) bool { return left == a && right == b || left == b && right == a }; {
	case operator == "and", operator == "or", operator == "&&", operator == "||":
		instead = "both sides of " + operator + " must be conditions"
		if list := hint.Alternatives(source, at); list != "" {
			instead += ": write " + list
		}
	case operator == "in" && right == "string":
		instead = inText(o)
	case strings.HasPrefix(left, "[]") && operator == "contains":
		instead = fmt.Sprintf("contains searches in a text: write %s in %s", o.Right, o.Left)
	case strings.HasPrefix(right, "[]") && operator == "==":
		instead = fmt.Sprintf("a text is not a list: write %s in %s", o.Left, o.Right)
	case strings.HasPrefix(right, "[]") && operator == "!=":
		instead = fmt.Sprintf("a text is not a list: write %s not in %s", o.Left, o.Right)
	case is("time.Duration", "string"), is("time.Duration", "int"):
		instead = inDuration(o)
	case is("float64", "string"), is("float64", "time.Duration"):
		instead = inSeconds(o)
	case is("time.Time", "string"):
		instead = fmt.Sprintf("a time is compared with a time, like date(\"2026-01-31\"), or as age(%s) > duration(\"10m\")", o.Left)
	case is("time.Time", "time.Duration"), is("time.Time", "int"):
		instead = fmt.Sprintf("this is a time, not how long ago it was: write age(%s) %s %s", o.Left, o.Operator, o.Right)
	case left == "bool" && (right == "int" || right == "int64") && strings.ContainsAny(operator, "<>"):
		instead = "comparisons can't follow one another: write two of them, with and between"
	case left == "bool" && right == "string":
		instead = fmt.Sprintf("%s is true or false: write it alone, or not %s", o.Left, o.Left)
	case is("string", "int"), is("string", "int64"), is("string", "float64"):
		instead = textAndNumber(o, left)
	case operator == "+" && is("string", "int"):
		instead = "a text is joined with texts only: write string(…) around the number"
	default:
		instead = fmt.Sprintf("%s can't stand between %s and %s", operator, kindOf(left), kindOf(right))
	}
	return Finding{at, instead}
}

// inText is the message for x in "text".
func inText(o hint.Operands) string {
	if strings.Contains(o.Right, "*") {
		return fmt.Sprintf("in searches in a list: write glob(%s, %s)", o.Left, o.Right)
	}
	if strings.HasPrefix(o.Left, `"`) {
		return fmt.Sprintf("in searches in a list: write %s contains %s", o.Right, o.Left)
	}
	return fmt.Sprintf("in searches in a list: write %s in [%s], or %s contains %s for a part of it", o.Left, o.Right, o.Left, o.Right)
}

// inDuration is the message for a duration that is compared with a text or a
// number.
func inDuration(o hint.Operands) string {
	for _, operand := range []string{o.Right, o.Left} {
		text := strings.Trim(operand, "\"'")
		if number.MatchString(text) {
			text += "s"
		}
		if _, err := event.ParseDuration(text); err == nil {
			return fmt.Sprintf("a duration is compared with a duration: write duration(%q)", text)
		}
	}
	return `a duration is compared with a duration, like duration("10m")`
}

// inSeconds is the message for a number of seconds that is compared with a text or
// a duration.
func inSeconds(o hint.Operands) string {
	text := strings.Trim(strings.TrimSuffix(strings.TrimPrefix(o.Right, "duration("), ")"), "\"'")
	if d, err := event.ParseDuration(text); err == nil {
		return fmt.Sprintf("%s is a number of seconds: write %s %s %g", o.Left, o.Left, o.Operator, d.Seconds())
	}
	return o.Left + " is a number: write a number without quotes"
}

// textAndNumber is the message for a text that is compared with a number.
func textAndNumber(o hint.Operands, left string) string {
	if left == "string" {
		if number.MatchString(o.Right) {
			return fmt.Sprintf("%s is a text: write %q", o.Left, o.Right)
		}
		return fmt.Sprintf("%s is a text, and %s a number", o.Left, o.Right)
	}
	if text := strings.Trim(o.Right, "\"'"); number.MatchString(text) {
		return fmt.Sprintf("%s is a number: write %s without quotes", o.Left, text)
	}
	return fmt.Sprintf("%s is a number, and %s a text", o.Left, o.Right)
}

var number = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// wrongArgument returns the finding for an argument of a wrong type.
func wrongArgument(_ Purpose, _ string, at int, m []string) Finding {
	given, wanted, name := m[1], m[2], m[3]
	switch {
	case name == "failed_with" && strings.HasPrefix(given, "[]"):
		return Finding{at, `write the reasons without [ and ]: failed_with("runner_system_failure", "api_failure")`}
	case name == "duration":
		return Finding{at, `a duration is written as a text with a unit: duration("10m")`}
	}
	return Finding{at, fmt.Sprintf("%s() takes %s here, and this is %s: write %s", name, kindOf(wanted), kindOf(given), callOf(name))}
}

// callOf returns a function's call with its parameters.
func callOf(name string) string {
	for _, f := range functions {
		if f.name == name {
			return f.name + "(" + f.arguments + ")"
		}
	}
	return name + "(…)"
}

// noField returns the message about a field that a type does not have.
func noField(of, field string) string {
	if instead := hint.Field(of, field); instead != "" {
		return fmt.Sprintf("%s has no field %q: %s", typeNames[of], field, instead)
	}
	return fmt.Sprintf("%s has no field %q%s", typeNames[of], field, spelling.Suggestion(field, fieldNames[of]))
}

// unknownName returns the finding about a name that expressions don't know. Where
// a text is expected, its quotes are probably missing.
func (p Purpose) unknownName(source string, at int, name string) Finding {
	if text, from := hint.Unquoted(source, at); text != "" {
		return Finding{from, fmt.Sprintf("unknown name %q: if a text is meant, write it in quotes: %q", name, text)}
	}
	if (p.Want == WantJobs || p.Want == WantRuns) && plainName.MatchString(source) {
		return Finding{at, fmt.Sprintf("unknown name %q: the names of jobs stand in a list, like `jobs: [%s]`", name, strings.TrimSpace(source))}
	}
	return Finding{at, fmt.Sprintf("unknown name %q%s", name, spelling.Suggestion(name, topNames()))}
}

// plainName matches what may be the name of a job, and is no expression.
var plainName = regexp.MustCompile(`^[\w .:/*-]+$`)

func plainTypes(message string) string {
	return strings.NewReplacer("rules.", "", "event.", "", "interface {}", "any", "time.Time", "time", "time.Duration", "duration").Replace(message)
}

// typeNames are the names of the environment's types in messages.
var typeNames = map[string]string{
	"Meta": "an event", "Project": "a project", "Pipeline": "a pipeline", "Upstream": "pipeline.upstream", "Job": "a job", "Runner": "a runner",
	"Environment": "job.environment", "User": "a user", "Commit": "a commit", "MergeRequest": "merge_request", "MergeRequestDetails": "merge_request_details()",
	"Author": "an author", "Bridge": "a bridge", "Downstream": "a downstream pipeline", "Details": "details()", "OnDefault": "on_default()", "FailedTest": "a test", "Artifact": "an artifact", "TextOutcome": "outcome", "environment": "an expression",
}

// fieldNames maps the names of the environment's types to the fields of the
// types.
var fieldNames = func() map[string][]string {
	names := map[string][]string{}
	for _, t := range []reflect.Type{
		reflect.TypeFor[event.Meta](), reflect.TypeFor[event.Project](), reflect.TypeFor[event.Pipeline](), reflect.TypeFor[event.Upstream](),
		jobType, reflect.TypeFor[event.Runner](), reflect.TypeFor[event.Environment](), reflect.TypeFor[event.User](), reflect.TypeFor[event.Commit](),
		reflect.TypeFor[event.MergeRequest](), reflect.TypeFor[event.MergeRequestDetails](), reflect.TypeFor[event.Author](), reflect.TypeFor[event.Bridge](), reflect.TypeFor[event.Downstream](), reflect.TypeFor[event.Details](), reflect.TypeFor[event.OnDefault](), reflect.TypeFor[event.FailedTest](), reflect.TypeFor[event.Artifact](),
		reflect.TypeFor[event.TextOutcome](), reflect.TypeFor[environment](),
	} {
		for _, field := range reflect.VisibleFields(t) {
			if name := field.Tag.Get("expr"); name != "" {
				names[t.Name()] = append(names[t.Name()], name)
			}
		}
	}
	return names
}()

// topNames are the names that an expression may start with.
func topNames() []string {
	return slices.Concat(fieldNames["environment"], functionNames(), builtin.Names)
}
