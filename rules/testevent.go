package rules

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
func (t *Test) eventForm(files TestFiles) form {
	e := &t.event
	known := fields{
		{"hook", "A file with the body of a hook, from where this file is.", pathTo(func(path string) error {
			told, err := files.Hook(path)
			t.hook, t.event = told, told
			return err
		})},
		{"kind", "What changed: a job or a pipeline; or a schedule, which looks at a job. Without it: as the hook says.", oneOf(&e.Meta.Kind, kinds)},
	}
	for _, field := range slices.Concat(t.values(&e.Meta, "event"), t.values(e, "")) {
		if field.key != "event" && !slices.Contains(known.keys(), field.key) {
			known = append(known, field)
		}
	}
	keys := mapping("event", known)
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			keys.read(f, n, what)
			if n.Kind == yaml.MappingNode {
				t.reviewEvent(f, n)
			}
		},
		schema: keys.schema,
	}
}

// reviewEvent finds events that GitLab never sends.
func (t *Test) reviewEvent(f *file, n *yaml.Node) {
	e, told := &t.event, t.hook.Meta.Kind
	switch {
	case told == "" && hasKey(n, "hook"): // it could not be read
	case e.Meta.Kind == "":
		if !hasKey(n, "kind") {
			f.failAt(n, "which `kind` of event is it? Write `kind: job` or `kind: pipeline`, or give it a `hook`")
		}
	case told != "" && e.Meta.Kind != told:
		f.failAt(valueOf(n, "kind"), "the hook is a %s's: leave `kind` out", told)
	case e.Meta.Kind == event.KindPipeline:
		if job := valueOf(n, "job"); job != nil {
			f.failAt(job, "a pipeline event has no job of its own: write its jobs in `pipeline`, like `pipeline: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Pipeline.Status == "" {
			f.failAt(n, "say how the pipeline is, like `pipeline: {status: failed}`")
		}
	default:
		if len(e.Pipeline.Jobs) > 0 {
			f.failAt(n, "a job event does not tell the pipeline's jobs: write in `gitlab` what jobs() gives, like `gitlab: {jobs: [{name: lint, status: failed}]}`")
		}
		if e.Job.Name == "" || e.Job.Status == "" {
			f.failAt(n, "say which job it is, and how it is, like `job: {name: rspec, status: failed}`")
		}
	}
}

// derived are the fields that follow from others.
var derived = []string{"received_at", "failure_class"}

// values gives the fields of a part of an event, under the names that
// expressions have for them. name is the expression that gives the part.
func (t *Test) values(part any, name string) fields {
	var all fields
	v := reflect.ValueOf(part).Elem()
	for i := range v.NumField() {
		at, to := v.Type().Field(i), v.Field(i).Addr().Interface()
		key := at.Tag.Get("expr")
		switch {
		case at.Anonymous:
			all = append(all, t.values(to, name)...)
		case !slices.Contains(derived, key):
			full := strings.TrimPrefix(name+"."+key, ".")
			all = append(all, field{key, "What `" + full + "` gives.", t.value(to, full, expression.KnownValues(v.Type(), key))})
		}
	}
	return all
}

// value is a value of an event; known are the words that it can be, nil for
// any.
func (t *Test) value(to any, name string, known []string) form {
	switch to := to.(type) {
	case *string:
		known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
		switch {
		case len(known) == 0:
			return text(to)
		case len(known) <= listable:
			return oneOf(to, known)
		}
		return word(to, known)
	case *bool:
		return boolean(to)
	case *int:
		return wholeNumber(to)
	case *int64:
		return amount(to, "a whole number", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case *float64:
		return amount(to, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
	case *time.Time:
		return moment(to, t.clock)
	case *[]string:
		return listOf(to, 0, text)
	case *map[string]string:
		return plainTexts(to)
	case *[]event.Job:
		return listOf(to, 0, func(j *event.Job) form { return t.listed(j) })
	case *[]event.Artifact:
		return listOf(to, 0, func(a *event.Artifact) form { return mapping("an artifact", t.values(a, "artifact")) })
	case *event.Job:
		return t.job(to, name)
	}
	return mapping(name, t.values(to, name))
}

// job is a job that a hook may have told.
func (t *Test) job(to *event.Job, name string) form {
	return onlyFailed(mapping(name, t.values(to, name)), to)
}

// listed is one of a list of jobs.
func (t *Test) listed(to *event.Job) form {
	return onlyFailed(mapping("a job", needed(t.values(to, "job"), "a job", "name", "status")), to)
}

// needed makes fields that must be there of those with these keys.
func needed(all fields, name string, keys ...string) fields {
	for i, field := range all {
		if slices.Contains(keys, field.key) {
			all[i].form = required(field.form, fmt.Sprintf("%s needs its `%s`", name, field.key))
		}
	}
	return all
}

// onlyFailed refuses a failure reason of a job that did not fail.
func onlyFailed(job form, to *event.Job) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			job.read(f, n, what)
			if reason := valueOf(n, "failure_reason"); reason != nil && to.Status != "failed" && to.Status != "" {
				f.failAt(reason, "only a failed job has a failure_reason, and this one's status is %s", to.Status)
			}
		},
		schema: job.schema,
	}
}

// listable is how many words a message may list.
const listable = 20

// word is a word of a set that is too long to be listed in a message.
func word(to *string, known []string) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if !isText(n) || !slices.Contains(known, n.Value) {
				f.failAt(n, "%q is not a %s that Pipesteward knows%s", n.Value, strings.ReplaceAll(what, "_", " "), spelling.Suggestion(n.Value, known))
				return
			}
			*to = n.Value
		},
		schema: func() schema { return schema{"type": "string", "enum": known} },
	}
}

// amount reads a number; want says which.
func amount[T int64 | float64](to *T, want string, parse func(string) (T, error)) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			x, err := parse(n.Value)
			if err != nil || x < 0 {
				f.failAt(n, "%s must be %s of at least 0, not %q", what, want, n.Value)
				return
			}
			*to = x
		},
		schema: func() schema { return schema{"type": "number", "minimum": 0} },
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
func (a *answer[T]) form(value form) form {
	failing := mapping("an answer", fields{{"error", "The error that the question ends with.", required(text(&a.err), "say which `error`")}})
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			a.given = true
			if hasKey(n, "error") {
				failing.read(f, n, what)
				return
			}
			value.read(f, n, what)
		},
		schema: func() schema { return schema{"anyOf": []schema{value.schema(), failing.schema()}} },
	}
}

func (a *answers) form(t *Test, files TestFiles) form {
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			a.details.value.Job = t.event.Job // what the API says of the job, the event says too
			a.keys(t, files).read(f, n, what)
		},
		schema: a.keys(t, files).schema,
	}
}

func (a *answers) keys(t *Test, files TestFiles) form {
	return mapping("gitlab", fields{
		{"log", "The job's log, for log() and log_excerpt(): a text, or {file: PATH}.", a.log.form(logText(&a.log.value, files))},
		{"superseded", "What superseded() gives.", a.superseded.form(withoutDefault(boolean(&a.superseded.value)))},
		{"jobs", "What jobs() gives. The event's job is among them, also if it is left out here.", a.jobs.form(
			listOf(&a.jobs.value, 0, func(j *event.Job) form { return t.listed(j) }))},
		{"bridges", "What bridges() gives.", a.bridges.form(listOf(&a.bridges.value, 0, func(b *event.Bridge) form {
			return mapping("a bridge", needed(t.values(b, "bridge"), "a bridge", "name", "status"))
		}))},
		{"details", "What details() gives: what is left out is as the event has it.", a.details.form(mapping("details", t.values(&a.details.value, "details()")))},
	})
}

// logText reads a text, or the path of a file that holds it.
func logText(to *string, files TestFiles) form {
	inFile := mapping("log", fields{{"file", "A file with the log, from where this file is.", pathTo(func(path string) (err error) {
		*to, err = files.Log(path)
		return err
	})}})
	return form{
		read: func(f *file, n *yaml.Node, what string) {
			if n.Kind == yaml.MappingNode {
				inFile.read(f, n, what)
				return
			}
			text(to).read(f, n, what)
		},
		schema: func() schema { return schema{"anyOf": []schema{{"type": "string"}, inFile.schema()}} },
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
