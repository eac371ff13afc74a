package ruletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
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

// What an event of a test has where neither its hook nor its fields tell.
const (
	testInstance = "https://gitlab.example.com"
	testProject  = "group/project"
	testBranch   = "main"
	testStage    = "test" // GitLab's own default
)

var testNow = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// clock gives when the event comes.
func (t *Test) clock() time.Time {
	if !t.now.IsZero() {
		return t.now
	}
	latest := time.Time{}
	later := func(times ...time.Time) {
		for _, at := range times {
			if at.After(latest) {
				latest = at
			}
		}
	}
	later(t.hook.Pipeline.CreatedAt, t.hook.Pipeline.FinishedAt)
	for _, j := range slices.Concat(t.hook.Pipeline.Jobs, []event.Job{t.hook.Job}) {
		later(j.CreatedAt, j.StartedAt, j.FinishedAt)
	}
	if latest.IsZero() {
		return testNow
	}
	return latest
}

// eventForm is an event: a hook, and the fields that are as the test says.
func (t *Test) eventForm(files Files) schema.Schema {
	e := &t.event
	known := schema.Fields{
		schema.Key("hook", "A file with the body of a hook, from where this file is.", pathTo(func(path string) error {
			told, err := files.Hook(path)
			t.hook, t.event = told, told
			return err
		})),
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

// reviewEvent finds events that GitLab never sends.
func (t *Test) reviewEvent(f *schema.Document, n *yaml.Node) {
	e, told := &t.event, t.hook.Meta.Kind
	switch {
	case told == "" && schema.Has(n, "hook"): // it could not be read
	case e.Meta.Kind == "":
		if !schema.Has(n, "kind") {
			f.FailAt(n, "which `kind` of event is it? Write `kind: job` or `kind: pipeline`, or give it a `hook`")
		}
	case told != "" && e.Meta.Kind != told:
		f.FailAt(schema.Value(n, "kind"), "the hook is a %s's: leave `kind` out", told)
	case e.Meta.Kind == event.KindPipeline:
		if job := schema.Value(n, "job"); job != nil {
			f.FailAt(job, "a pipeline event has no job of its own: write its jobs in `pipeline`, like `pipeline: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Pipeline.Status == "" {
			f.FailAt(n, "say how the pipeline is, like `pipeline: {status: failed}`")
		}
	default:
		if len(e.Pipeline.Jobs) > 0 {
			f.FailAt(n, "a job event does not tell the pipeline's jobs: write in `gitlab` what jobs() gives, like `gitlab: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Job.Name == "" || e.Job.Status == "" {
			f.FailAt(n, "say which job it is, and how it is, like `job: {name: rspec, status: failed}`")
		}
	}
}

// derived are the fields that follow from others.
var derived = []string{"received_at", "failure_class"}

// values gives the fields of a part of an event, under the names that
// expressions have for them. name is the expression that gives the part.
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
			all = append(all, schema.Key(key, "What `"+full+"` gives.", t.value(to, full, expression.KnownValues(v.Type(), key))))
		}
	}
	return all
}

// value is a value of an event; known are the words that it can be, nil for
// any.
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

// job is a job that a hook may have told.
func (t *Test) job(to *event.Job, name string) schema.Schema {
	return onlyFailed(schema.Mapping(name, t.values(to, name)), to)
}

// listed is one of a list of jobs.
func (t *Test) listed(to *event.Job) schema.Schema {
	return onlyFailed(schema.Mapping("a job", needed(t.values(to, "job"), "a job", "name", "status")), to)
}

// needed makes fields that must be there of those with these keys.
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

// listable is how many words a message may list.
const listable = 20

// word is a word of a set that is too long to be listed in a message.
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

// amount reads a number; want says which.
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

// answers are what GitLab answers in a test.
type answers struct {
	log        answer[string]
	superseded answer[bool]
	jobs       answer[[]event.Job]
	bridges    answer[[]event.Bridge]
	details    answer[event.Details]
}

var _ expression.Facts = (*answers)(nil)

// Log implements Facts.
func (a *answers) Log(context.Context, event.Event) (string, error) { return a.log.give("log") }

// Superseded implements Facts.
func (a *answers) Superseded(context.Context, event.Event) (bool, error) {
	return a.superseded.give("superseded")
}

// Jobs implements Facts.
func (a *answers) Jobs(context.Context, event.Event) ([]event.Job, error) { return a.jobs.give("jobs") }

// Bridges implements Facts.
func (a *answers) Bridges(context.Context, event.Event) ([]event.Bridge, error) {
	return a.bridges.give("bridges")
}

// Details implements Facts.
func (a *answers) Details(context.Context, event.Event) (event.Details, error) {
	return a.details.give("details")
}

// answer is what one function gives in a test.
type answer[T any] struct {
	given bool
	value T
	err   string // the error that GitLab answers with, if not ""
}

func (a *answer[T]) give(function string) (T, error) {
	switch {
	case !a.given:
		return a.value, notGivenError(function)
	case a.err != "":
		return a.value, errors.New(a.err)
	}
	return a.value, nil
}

// notGivenError names a function that a rule asked and whose answer the test
// does not say.
type notGivenError string

// Is makes it an ErrNotGiven.
func (notGivenError) Is(target error) bool { return target == expression.ErrNotGiven }

func (n notGivenError) Error() string {
	example := map[notGivenError]string{
		"log": `"No space left on device"`, "superseded": "true", "jobs": "[{name: lint, status: failed}]", "bridges": "[{name: deploy, status: failed}]", "details": "{tag_list: [gpu]}",
	}[n]
	return fmt.Sprintf("it asks %s(), and the test does not say what GitLab answers: write it, like `gitlab: {%s: %s}`", string(n), string(n), example)
}

// form reads an answer, or the error that GitLab answers with.
func (a *answer[T]) form(value schema.Schema) schema.Schema {
	failing := schema.Mapping("an answer", schema.Fields{schema.Key("error", "The error that the question ends with.", schema.Required(schema.Text(&a.err), "say which `error`"))})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			a.given = true
			if schema.Has(n, "error") {
				failing.Read(f, n, what)
				return
			}
			value.Read(f, n, what)
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{value.JSON(), failing.JSON()}} },
	}
}

func (a *answers) form(t *Test, files Files) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			a.details.value.Job = t.event.Job // what the API says of the job, the event says too
			a.keys(t, files).Read(f, n, what)
		},
		JSON: a.keys(t, files).JSON,
	}
}

func (a *answers) keys(t *Test, files Files) schema.Schema {
	return schema.Mapping("gitlab", schema.Fields{
		schema.Key("log", "The job's log, for log() and log_excerpt(): a text, or {file: PATH}.", a.log.form(logText(&a.log.value, files))),
		schema.Key("superseded", "What superseded() gives.", a.superseded.form(schema.WithoutDefault(schema.Bool(&a.superseded.value)))),
		schema.Key("jobs", "What jobs() gives. The event's job is among them, also if it is left out here.", a.jobs.form(
			schema.List(&a.jobs.value, 0, func(j *event.Job) schema.Schema { return t.listed(j) }))),
		schema.Key("bridges", "What bridges() gives.", a.bridges.form(schema.List(&a.bridges.value, 0, func(b *event.Bridge) schema.Schema {
			return schema.Mapping("a bridge", needed(t.values(b, "bridge"), "a bridge", "name", "status"))
		}))),
		schema.Key("details", "What details() gives: what is left out is as the event has it.", a.details.form(schema.Mapping("details", t.values(&a.details.value, "details()")))),
	})
}

// logText reads a text, or the path of a file that holds it.
func logText(to *string, files Files) schema.Schema {
	inFile := schema.Mapping("log", schema.Fields{schema.Key("file", "A file with the log, from where this file is.", pathTo(func(path string) (err error) {
		*to, err = files.Log(path)
		return err
	}))})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind == yaml.MappingNode {
				inFile.Read(f, n, what)
				return
			}
			schema.Text(to).Read(f, n, what)
		},
		JSON: func() schema.JSON { return schema.JSON{"anyOf": []schema.JSON{{"type": "string"}, inFile.JSON()}} },
	}
}

// settle gives the event, and the answers of GitLab, what GitLab would tell
// and the test leaves out. What follows from a field that the test changed
// changes with it.
func (t *Test) settle() {
	e, hook := &t.event, &t.hook
	if e.Meta.Kind == event.KindSchedule {
		e.Meta.Source = cmp.Or(e.Meta.Source, event.SourceSchedule)
	}
	e.Meta.Source = cmp.Or(e.Meta.Source, event.SourceWebhook)
	e.Meta.ID = cmp.Or(e.Meta.ID, "test")
	e.Meta.ReceivedAt = t.clock()
	t.settleProject()

	p := &e.Pipeline
	alike(&p.SHA, &e.Commit.SHA, hook.Pipeline.SHA, hook.Commit.SHA)
	if e.Meta.Kind != event.KindPipeline {
		alike(&p.Ref, &e.Job.Ref, hook.Pipeline.Ref, hook.Job.Ref)
		alike(&p.Tag, &e.Job.Tag, hook.Pipeline.Tag, hook.Job.Tag)
		if e.Job.ID != hook.Job.ID {
			e.Job.URL = unlessTold(e.Job.URL, hook.Job.URL)
		}
	}
	if p.ID != hook.Pipeline.ID {
		p.URL = unlessTold(p.URL, hook.Pipeline.URL)
	}
	p.ID = cmp.Or(p.ID, 1)
	p.Ref = cmp.Or(p.Ref, e.Project.DefaultBranch)
	p.URL = cmp.Or(p.URL, fmt.Sprintf("%s/-/pipelines/%d", e.Project.URL, p.ID))
	t.settleJobs()
}

func (t *Test) settleProject() {
	e, hook := &t.event, &t.hook
	p := &e.Project
	if p.Path != hook.Project.Path {
		p.Name = unlessTold(p.Name, hook.Project.Name)
		p.Namespace = unlessTold(p.Namespace, hook.Project.Namespace)
		p.URL = unlessTold(p.URL, hook.Project.URL)
	}
	p.ID = cmp.Or(p.ID, 1)
	p.Path = cmp.Or(p.Path, testProject)
	p.Name = cmp.Or(p.Name, path.Base(p.Path))
	if namespace := path.Dir(p.Path); namespace != "." {
		p.Namespace = cmp.Or(p.Namespace, namespace)
	}
	p.DefaultBranch = cmp.Or(p.DefaultBranch, testBranch)
	e.Meta.Instance = cmp.Or(e.Meta.Instance, instanceOf(*p), instanceOf(hook.Project), testInstance)
	p.URL = cmp.Or(p.URL, e.Meta.Instance+"/"+p.Path)
	if old := hook.Project.URL; old != "" {
		urls := []*string{&e.Pipeline.URL, &e.Job.URL, &e.Commit.URL, &e.MergeRequest.URL}
		for i := range e.Pipeline.Jobs {
			urls = append(urls, &e.Pipeline.Jobs[i].URL)
		}
		for _, url := range urls {
			if page, ok := strings.CutPrefix(*url, old+"/"); ok {
				*url = p.URL + "/" + page
			}
		}
	}
}

// instanceOf gives the base URL of a project's GitLab; "" if it is not known.
func instanceOf(p event.Project) string {
	instance, ok := strings.CutSuffix(p.URL, "/"+p.Path)
	if !ok {
		return ""
	}
	return instance
}

// unlessTold gives a value that the test gave, but "" for one that is still
// the hook's.
func unlessTold(value, hook string) string {
	if value == hook {
		return ""
	}
	return value
}

// alike gives two values that GitLab always sends alike the one that the test
// gave, where it gave but one.
func alike[T comparable](a, b *T, hookA, hookB T) {
	switch {
	case *a != hookA && *b == hookB:
		*b = *a
	case *a == hookA && *b != hookB:
		*a = *b
	}
}

// settleJobs gives all jobs what they lack, ids before all: two jobs never
// have the same.
func (t *Test) settleJobs() {
	e, g := &t.event, &t.gitlab
	var all []*event.Job
	if e.Meta.Kind != event.KindPipeline {
		all = append(all, &e.Job)
		ofEvent := func(j event.Job) bool { return j.Name == e.Job.Name }
		if g.jobs.given && !slices.ContainsFunc(g.jobs.value, ofEvent) {
			g.jobs.value = slices.Insert(g.jobs.value, 0, e.Job)
		}
	}
	for i := range e.Pipeline.Jobs {
		all = append(all, &e.Pipeline.Jobs[i])
	}
	number := numbering{}
	for i := range g.jobs.value {
		all = append(all, &g.jobs.value[i])
	}
	for _, j := range all {
		number.take(j.ID)
	}
	for i := range g.bridges.value {
		number.take(g.bridges.value[i].ID)
		for _, j := range g.bridges.value[i].Downstream.FailedJobs {
			number.take(j.ID)
		}
	}
	for _, j := range append(all, &g.details.value.Job) {
		if j.ID == 0 && j.Name == e.Job.Name && e.Job.ID != 0 {
			j.ID = e.Job.ID // it is the event's job
		}
		if j.ID == 0 {
			j.ID = number.next()
		}
		t.settleJob(j)
	}
	for i := range g.bridges.value {
		b := &g.bridges.value[i]
		if b.ID == 0 {
			b.ID = number.next()
		}
		if b.Status == "failed" {
			b.FailureReason = cmp.Or(b.FailureReason, "unknown_failure")
		}
		for i := range b.Downstream.FailedJobs {
			j := &b.Downstream.FailedJobs[i]
			if j.ID == 0 {
				j.ID = number.next()
			}
			settleInPipeline(j)
		}
	}
}

func (t *Test) settleJob(j *event.Job) {
	e := &t.event
	if j.Ref == "" || j.Ref == t.hook.Pipeline.Ref {
		j.Ref = e.Pipeline.Ref
	}
	if !j.Tag || t.hook.Pipeline.Tag {
		j.Tag = e.Pipeline.Tag
	}
	j.URL = cmp.Or(j.URL, fmt.Sprintf("%s/-/jobs/%d", e.Project.URL, j.ID))
	settleInPipeline(j)
}

// settleInPipeline gives the job what it lacks in any pipeline.
func settleInPipeline(j *event.Job) {
	j.Stage = cmp.Or(j.Stage, testStage)
	j.Attempt = max(j.Attempt, 1)
	if j.Status == "failed" {
		j.FailureReason = cmp.Or(j.FailureReason, "unknown_failure")
	} else {
		j.FailureReason = "" // the hook's, of a job that did fail
	}
	j.FailureClass = event.ClassOf(j.FailureReason)
}

// numbering gives ids that nobody has.
type numbering struct {
	taken map[int64]bool
	last  int64
}

func (n *numbering) take(id int64) {
	if n.taken == nil {
		n.taken = map[int64]bool{}
	}
	n.taken[id] = true
}

func (n *numbering) next() int64 {
	for n.last++; n.taken[n.last]; n.last++ {
		continue
	}
	return n.last
}
