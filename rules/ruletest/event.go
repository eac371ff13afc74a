package ruletest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// Values of a test's event that neither the hook nor the test sets.
const (
	testInstance = "https://gitlab.example.com"
	testProject  = "group/project"
	testBranch   = "main"
	testStage    = "test" // GitLab's default
)

// eventSchema reads an event: a hook, and the fields that the test sets.
func (t *Test) eventSchema(files Files) schema.Schema {
	e := &t.event
	known := schema.Fields{
		schema.Key("hook", "A file with the body of a hook, from where this file is.", pathTo(func(path string) error {
			decoded, err := files.Hook(path)
			t.hook, t.event = decoded, decoded
			return err
		})),
		schema.Key("received_at", "The time at which the event is received, like `now` of the test.", moment(&t.now, nil)),
		schema.Key("kind", "What changed: a job or a pipeline; or a schedule, which looks at a job. Without it: as the hook says.", schema.OneOf(&e.Meta.Kind, event.Kinds)),
	}
	for _, field := range slices.Concat(t.values(&e.Meta, "event"), t.values(e, "")) {
		if field.Key != "event" && !slices.Contains(known.Keys(), field.Key) {
			known = append(known, field)
		}
	}
	keys := schema.Mapping("event", known)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			keys.Read(f, n, what)
			if n.Kind == yaml.MappingNode {
				t.reviewEvent(f, n)
			}
		},
		JSON: keys.JSON,
	}
}

// reviewEvent reports events that GitLab never sends.
func (t *Test) reviewEvent(f *schema.Document, n *yaml.Node) {
	e, hookKind := &t.event, t.hook.Meta.Kind
	switch {
	case hookKind == "" && schema.Has(n, "hook"): // the hook could not be read
	case e.Meta.Kind == "":
		if !schema.Has(n, "kind") {
			f.FailAt(n, "which `kind` of event is it? Write `kind: job` or `kind: pipeline`, or give it a `hook`")
		}
	case hookKind != "" && e.Meta.Kind != hookKind:
		f.FailAt(schema.Value(n, "kind"), "the hook is a %s's: leave `kind` out", hookKind)
	case e.Meta.Kind == event.KindPipeline:
		if job := schema.Value(n, "job"); job != nil {
			f.FailAt(job, "a pipeline event has no job of its own: write its jobs in `pipeline`, like `pipeline: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Pipeline.Status == "" {
			f.FailAt(n, "say how the pipeline is, like `pipeline: {status: failed}`")
		}
	default:
		if len(e.Pipeline.Jobs) > 0 {
			f.FailAt(n, "a job event does not contain the pipeline's jobs: write in `gitlab` what jobs() returns, like `gitlab: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Job.Name == "" || e.Job.Status == "" {
			f.FailAt(n, "say which job it is, and how it is, like `job: {name: rspec, status: failed}`")
		}
	}
}

// derived are the fields that depend on other fields.
var derived = []string{"received_at", "failure_class"}

// values returns the fields of a part of an event, by their names in
// expressions. name is the expression for the part.
func (t *Test) values(part any, name string) schema.Fields {
	var all schema.Fields
	v := reflect.ValueOf(part).Elem()
	for i := range v.NumField() {
		at, to := v.Type().Field(i), v.Field(i).Addr().Interface()
		key := at.Tag.Get("expr")
		switch {
		case at.Anonymous:
			all = append(all, t.values(to, name)...)
		case !slices.Contains(derived, key):
			full := strings.TrimPrefix(name+"."+key, ".")
			all = append(all, schema.Key(key, "The value of `"+full+"`.", t.value(to, full, expression.KnownValues(v.Type(), key))))
		}
	}
	return all
}

// value reads a value of an event. known are the allowed words; nil for any.
func (t *Test) value(to any, name string, known []string) schema.Schema {
	switch to := to.(type) {
	case *string:
		known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
		switch {
		case len(known) == 0:
			return schema.Text(to)
		case len(known) <= listable:
			return schema.OneOf(to, known)
		}
		return word(to, known)
	case *bool:
		return schema.Bool(to)
	case *int:
		return schema.PositiveInt(to)
	case *int64:
		return amount(to, "a whole number", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case *float64:
		return amount(to, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
	case *time.Time:
		return moment(to, t.clock)
	case *[]string:
		return schema.List(to, 0, schema.Text)
	case *map[string]string:
		return plainTexts(to)
	case *[]event.Job:
		return schema.List(to, 0, func(j *event.Job) schema.Schema { return t.listed(j) })
	case *[]event.Artifact:
		return schema.List(to, 0, func(a *event.Artifact) schema.Schema { return schema.Mapping("an artifact", t.values(a, "artifact")) })
	case *event.Job:
		return t.job(to, name)
	}
	return schema.Mapping(name, t.values(to, name))
}

// job reads a job, which the hook may have set.
func (t *Test) job(to *event.Job, name string) schema.Schema {
	return onlyFailed(schema.Mapping(name, t.values(to, name)), to)
}

// listed reads an element of a list of jobs.
func (t *Test) listed(to *event.Job) schema.Schema {
	return onlyFailed(schema.Mapping("a job", needed(t.values(to, "job"), "a job", "name", "status")), to)
}

// needed makes the fields with these keys required.
func needed(all schema.Fields, name string, keys ...string) schema.Fields {
	for i, field := range all {
		if slices.Contains(keys, field.Key) {
			all[i].Schema = schema.Required(field.Schema, fmt.Sprintf("%s needs its `%s`", name, field.Key))
		}
	}
	return all
}

// onlyFailed refuses a failure reason of a job that did not fail.
func onlyFailed(job schema.Schema, to *event.Job) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			job.Read(f, n, what)
			if reason := schema.Value(n, "failure_reason"); reason != nil && to.Status != "failed" && to.Status != "" {
				f.FailAt(reason, "only a failed job has a failure_reason, and this one's status is %s", to.Status)
			}
		},
		JSON: job.JSON,
	}
}

// listable is the maximum number of words that a message lists.
const listable = 20

// word reads a word of a set that is too large to be listed in a message.
func word(to *string, known []string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if !schema.IsText(n) || !slices.Contains(known, n.Value) {
				f.FailAt(n, "%q is not a %s that Pipesteward knows%s", n.Value, strings.ReplaceAll(what, "_", " "), spelling.Suggestion(n.Value, known))
				return
			}
			*to = n.Value
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "enum": known} },
	}
}

// amount reads a number. want describes it in messages.
func amount[T int64 | float64](to *T, want string, parse func(string) (T, error)) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			x, err := parse(n.Value)
			if err != nil || x < 0 {
				f.FailAt(n, "%s must be %s of at least 0, not %q", what, want, n.Value)
				return
			}
			*to = x
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "number", "minimum": 0} },
	}
}
