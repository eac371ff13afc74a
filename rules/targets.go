package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// maxTargets is the maximum number of jobs of one action.
const maxTargets = 5_000

// target is the object of an action: a job or, for the verbs of pipelines, the
// event unchanged.
type target struct {
	job    event.Job
	bridge bool

	// Of a job that the rule selects by name:
	missing bool // the pipeline has no such job, and only the job's name is set
	idle    bool // the verb does not act on the job in its status; the next job may wait for it all the same
}

// waitedFor returns the name of the job that must pass before the next one, with
// `wait: success`; "" if it has passed.
func (t target) waitedFor() string {
	if t.idle && t.job.Status == "success" {
		return ""
	}
	return t.job.Name
}

// targets returns the objects of an action.
func (ev *evaluation) targets(a Action) ([]target, error) {
	switch {
	case a.Names != nil:
		return ev.named(a)
	case a.Jobs == nil:
		t := target{job: ev.Event.Job, bridge: ev.Event.Job.Bridge}
		if t.bridge && !event.SupportsBridges(a.Verb) && !event.OfPipeline(a.Verb) {
			return nil, nil
		}
		return []target{t}, nil
	}
	value, err := ev.Run(a.Jobs)
	if err != nil {
		return nil, err
	}
	list := reflect.ValueOf(value)
	if list.Kind() != reflect.Slice {
		return nil, fmt.Errorf("returned a %T, not a list of jobs", value)
	}
	if n := list.Len(); n > maxTargets {
		return nil, fmt.Errorf("returned %d jobs, more than %d", n, maxTargets)
	}
	targets := make([]target, list.Len())
	for i := range targets {
		switch item := list.Index(i).Interface().(type) {
		case event.Job:
			targets[i].job = item
		case event.Details:
			targets[i].job = item.Job
		case event.Bridge:
			if !event.SupportsBridges(a.Verb) {
				return nil, expression.ErrBridge
			}
			targets[i] = target{job: ev.jobOf(item), bridge: true}
		default:
			return nil, fmt.Errorf("returned a list that contains a %T, not a job", item)
		}
	}
	return targets, nil
}

// jobOf returns a bridge as a job. GitLab does not send the attempt of a
// bridge.
func (ev *evaluation) jobOf(b event.Bridge) event.Job {
	p := ev.Event.Pipeline
	return event.Job{
		ID: b.ID, Name: b.Name, Stage: b.Stage, Status: b.Status, URL: b.URL,
		FailureReason: b.FailureReason, FailureClass: event.ClassOf(b.FailureReason), AllowFailure: b.AllowFailure,
		Manual: b.Status == "manual", Bridge: true, Attempt: 1, Ref: p.Ref, Tag: p.Tag,
	}
}

// JobName is an entry of a list in `jobs`: the name of a job, or a glob of
// names.
type JobName struct {
	Text string // as the rule file has it
	glob string // a pattern of doublestar; "" if the entry is a name
}

// NewJobName returns an entry of a list in `jobs`. In a glob, * is any text, ?
// any character and {a,b} one of the alternatives. A [ is an ordinary character,
// because the names of parallel jobs contain it, as in "build: [linux, arm]".
// The only error is that of a glob that is malformed or too long.
func NewJobName(text string) (JobName, error) {
	n := JobName{Text: text}
	if !strings.ContainsAny(text, "*?{") {
		return n, nil
	}
	n.glob = flat(strings.NewReplacer("[", `\[`, "]", `\]`).Replace(text))
	if err := limits.CheckGlob(n.glob); err != nil {
		return n, err
	}
	if !doublestar.ValidatePattern(n.glob) {
		return n, fmt.Errorf("%q is not a glob of names: `*` matches any text, `?` one character, `{a,b}` either", text)
	}
	return n, nil
}

// IsGlob reports whether the entry is a glob.
func (n JobName) IsGlob() bool { return n.glob != "" }

// Matches reports whether the entry selects a job with this name.
func (n JobName) Matches(name string) bool {
	return n.Text == name || n.IsGlob() && doublestar.MatchUnvalidated(n.glob, flat(name))
}

// flat replaces the slashes in the name of a job, which doublestar would take
// for the separators of a path: "rspec 1/3" is one name.
func flat(name string) string { return strings.ReplaceAll(name, "/", "\x00") }

// named returns the jobs of the pipeline that the list in `jobs` selects, in the
// order of the list and, for a glob, in that of the pipeline. Trigger jobs are
// requested from GitLab if the verb supports them and a name or a glob may be
// that of one.
func (ev *evaluation) named(a Action) ([]target, error) {
	jobs, err := ev.PipelineJobs()
	if err != nil {
		return nil, err
	}
	all := make([]target, len(jobs))
	for i, j := range jobs {
		all[i] = target{job: j, bridge: j.Bridge}
	}
	has := func(n JobName) bool {
		return slices.ContainsFunc(all, func(t target) bool { return t.job.Name == n.Text })
	}
	if err := ev.Match(len(a.Names), len(all)); err != nil {
		return nil, err
	}
	if event.SupportsBridges(a.Verb) && slices.ContainsFunc(a.Names, func(n JobName) bool { return n.IsGlob() || !has(n) }) {
		bridges, err := ev.PipelineBridges()
		if err != nil {
			return nil, err
		}
		for _, b := range bridges {
			all = append(all, target{job: ev.jobOf(b), bridge: true})
		}
		if err := ev.Match(len(a.Names), len(bridges)); err != nil {
			return nil, err
		}
	}
	var selected []target
	taken := make([]bool, len(all))
	for _, n := range a.Names {
		found := false
		for i, t := range all {
			if !n.Matches(t.job.Name) {
				continue
			}
			found = true
			if !taken[i] {
				taken[i], t.idle = true, !event.Selectable(a.Verb, t.job.Status, a.Force)
				selected = append(selected, t)
			}
		}
		if !found && !n.IsGlob() {
			selected = append(selected, target{job: event.Job{Name: n.Text}, missing: true})
		}
	}
	if len(selected) > maxTargets {
		return nil, fmt.Errorf("selected %d jobs, more than %d", len(selected), maxTargets)
	}
	return selected, nil
}
