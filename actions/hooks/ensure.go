package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxTries is how often an owner is tried that fails for a reason which may pass.
const maxTries = 5

// GitLab reads and changes webhooks; a *gitlab.Client implements it.
type GitLab interface {
	Reader
	Writer
}

// Ensurer compares the webhooks of projects and groups with the one that is wanted, and
// makes them so. All fields are required but where it says otherwise.
type Ensurer struct {
	GitLab GitLab
	Wanted Wanted
	// Change carries the plans out; else all projects below a group are read, too.
	Change bool
	// DryRun finds out by the same steps what Change would do, and writes nothing: reports
	// have as Todo what would be done, and else what would be left then. It takes for granted
	// that GitLab accepts what is written, and that test deliveries succeed.
	DryRun bool
	// Held returns why nothing may be changed now of a project or a group, by its full path;
	// "": it may be. It is called before each plan is carried out; optional. An error ends Run.
	Held func(ctx context.Context, owner string) (reason string, err error)
	// EveryDelivery reads the deliveries of each webhook, see NewInspector.
	EveryDelivery bool
	// Resolve returns the projects that entries name, and a problem for each entry that
	// names none.
	Resolve func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error)
	Now     func() time.Time
	// Sleep returns ctx's error when ctx ends first; optional.
	Sleep func(ctx context.Context, d time.Duration) error
	Watch func(Step) // is called after each owner; optional
	// Progress is called when an owner was read: so many of so many are; optional.
	Progress func(read, of int, name string)
	Waits    func(wait time.Duration, err error) // is called before a failed request is repeated; optional
}

// heldError is an error of Ensurer.Held.
type heldError struct{ err error }

func (e *heldError) Error() string { return e.err.Error() }

// Step is one project or group that is done.
type Step struct {
	Before Plan // as it was found
	Report Report
	Held   string // why the plan was not carried out, by Ensurer.Held
}

// Result is what was found, and done.
type Result struct {
	Reports  []Report             `json:"webhooks"` // one for each project or group
	Counts   Counts               `json:"counts"`
	Notes    []string             `json:"notes,omitempty"`
	Problems []event.SweepProblem `json:"problems,omitempty"` // entries without projects
}

// Counts counts projects and groups, each once. Where nothing is changed, the first
// three are those that a change would put right.
type Counts struct {
	Created  int `json:"created"`
	Repaired int `json:"repaired"`
	Enabled  int `json:"enabled"` // by a test delivery alone
	Right    int `json:"right"`
	Covered  int `json:"covered"` // by a group's webhook
	Wrong    int `json:"wrong"`   // that a person has to look at
}

// All returns how many there are.
func (c Counts) All() int {
	return c.Created + c.Repaired + c.Enabled + c.Right + c.Covered + c.Wrong
}

// add counts an owner by what was found before, and by what is left; yielded: what was
// created is removed again.
func (c *Counts) add(before Plan, left Report, yielded bool) {
	todo := len(left.Todo) > 0 && left.Error == ""
	switch {
	case left.IsWrong() && !todo:
		c.Wrong++
	case before.Create && !yielded:
		c.Created++
	case len(before.Changes) > 0:
		c.Repaired++
	case before.Test:
		c.Enabled++
	case left.Verdict == Covered:
		c.Covered++
	default:
		c.Right++
	}
}

// IsWrong reports whether something is left wrong that a person has to look at.
func (r Result) IsWrong() bool { return r.Counts.Wrong > 0 || len(r.Problems) > 0 }

// IsUnread reports whether there are projects or groups, and of none the webhooks could be
// read.
func (r Result) IsUnread() bool {
	return len(r.Reports) > 0 && !slices.ContainsFunc(r.Reports, func(report Report) bool { return report.Verdict != Unreadable })
}

// Run goes through the projects and groups that entries name: ids, paths, globs and
// groups. A group has a webhook of its own where it may (GitLab Premium, role Owner) and
// no project below has one; else each project below has one. An error is ctx's, or that
// GitLab is unavailable: the result is what was done before, and another Run goes on,
// since for what is right it only reads.
func (e *Ensurer) Run(ctx context.Context, entries []string) (Result, error) {
	if e.DryRun {
		trial := *e
		trial.GitLab = &rehearsal{GitLab: e.GitLab, hooks: map[webhook]gitlab.Hook{}}
		e = &trial
	}
	r := &run{
		Ensurer: e, inspector: NewInspector(e.GitLab, e.Wanted, e.EveryDelivery, e.Now),
		seen: map[Owner]bool{}, read: map[Owner]bool{},
	}
	r.applier = &applier{gitlab: e.GitLab, wanted: r.inspector.wanted, sleep: r.sleep, created: map[Owner]int64{}, above: r.inspector.aboveNow, below: r.below, planned: e.DryRun}
	for _, entry := range entries {
		if err := r.add(ctx, entry); err != nil {
			return r.result, err
		}
	}
	r.of = len(r.groups) + len(r.projects)
	for _, group := range r.groups {
		if err := r.group(ctx, group); err != nil {
			return r.result, err
		}
	}
	for _, p := range r.projects {
		if err := r.owner(ctx, Owner{p.Path, p.ID}, nil); err != nil {
			return r.result, err
		}
	}
	return r.result, nil
}

// run is one Run.
type run struct {
	*Ensurer
	inspector *Inspector
	applier   *applier
	groups    []Plan
	projects  []gitlab.Project // without those below the groups
	seen      map[Owner]bool
	read      map[Owner]bool
	of        int // how many are to be read, as far as it is known
	result    Result
}

// add finds out what an entry names.
func (r *run) add(ctx context.Context, entry string) error {
	var refused error
	if _, isID := rules.ProjectID(entry); !isID && !rules.IsGlob(entry) {
		var plan Plan
		err := r.try(ctx, func() (err error) {
			plan, err = r.inspector.Group(ctx, entry)
			return err
		})
		switch {
		case err == nil:
			if !r.seen[plan.Owner] {
				r.seen[plan.Owner] = true
				r.groups = append(r.groups, plan)
			}
			return nil
		case !apierror.IsHidden(err):
			return err
		}
		refused = err
	}
	found, err := r.resolve(ctx, entry)
	if err != nil {
		return err
	}
	if refused != nil && len(found) > 0 && strings.HasPrefix(strings.ToLower(found[0].Path), strings.ToLower(entry)+"/") {
		r.note("the group %s can have no webhook of its own (%s): that needs GitLab Premium and the role Owner. Each of its %s has one instead",
			entry, apierror.Words(refused), english.Plural(len(found), "project", ""))
	}
	for _, p := range found {
		if o := (Owner{p.Path, p.ID}); !r.seen[o] {
			r.seen[o] = true
			r.projects = append(r.projects, p)
		}
	}
	return nil
}

// resolve returns the projects that an entry names.
func (r *run) resolve(ctx context.Context, entry string) (found []gitlab.Project, err error) {
	var problems []event.SweepProblem
	err = r.try(ctx, func() (err error) {
		found, problems, err = r.Resolve(ctx, []string{entry})
		return err
	})
	r.result.Problems = append(r.result.Problems, problems...)
	return found, err
}

func (r *run) note(format string, args ...any) {
	r.result.Notes = append(r.result.Notes, fmt.Sprintf(format, args...))
}

// group handles a group whose webhooks can be had.
func (r *run) group(ctx context.Context, plan Plan) error {
	bare := plan.Ours == nil && plan.Above == nil
	if r.Change && !bare {
		return r.owner(ctx, plan.Owner, &plan)
	}
	found, err := r.resolve(ctx, plan.Owner.Path)
	if err != nil {
		return err
	}
	r.of += len(found)
	below, own := make([]*Plan, len(found)), 0
	var unread error
	for i, p := range found {
		err := r.try(ctx, func() error {
			read, err := r.inspector.Project(ctx, p.Project)
			below[i] = &read
			return err
		})
		switch {
		case ctx.Err() != nil, event.Unavailable(err):
			return err
		case err != nil:
			below[i], unread = nil, err // it is tried again
		case below[i].Ours != nil || below[i].Above != nil:
			own++
		}
		r.progress(Owner{p.Path, p.ID})
	}
	switch {
	case bare && own == 0 && unread != nil: // one may have a webhook of its own
		r.report(plan, unreadable(plan.Owner, fmt.Errorf("not all projects below could be read: %s", apierror.Words(unread))), "", false)
		return nil
	case bare && own == 0:
		return r.owner(ctx, plan.Owner, &plan)
	}
	if bare {
		r.note("the group %s gets no webhook, since %d of the %s below %s one, whose events would come twice: to have one webhook for all, delete theirs first",
			plan.Owner.Path, own, english.Plural(len(found), "project", ""), english.PluralWord(own, "has", "have"))
	} else if err := r.owner(ctx, plan.Owner, &plan); err != nil {
		return err
	}
	for i, p := range found {
		o := Owner{p.Path, p.ID}
		if r.seen[o] {
			continue
		}
		r.seen[o] = true
		if err := r.owner(ctx, o, below[i]); err != nil {
			return err
		}
	}
	return nil
}

// below returns the projects in a group that have a webhook of ours now.
func (r *run) below(ctx context.Context, group string) (paths []string, err error) {
	found, _, err := r.Resolve(ctx, []string{group})
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		hooks, err := r.GitLab.ProjectHooks(ctx, p.ID)
		if err != nil && !apierror.IsHidden(err) {
			return nil, err
		}
		if slices.ContainsFunc(hooks, func(h gitlab.Hook) bool { return r.inspector.wanted.place(h) == ours }) {
			paths = append(paths, p.Path)
		}
	}
	return paths, nil
}

// owner handles one project or group; plan is what was read of it, nil: nothing yet.
func (r *run) owner(ctx context.Context, o Owner, plan *Plan) error {
	var before *Plan
	var left Plan
	var done []string
	var held string
	err := r.try(ctx, func() error {
		if plan == nil {
			read, err := r.inspect(ctx, o)
			if err != nil {
				return err
			}
			plan = &read
		}
		plan.AboveReported = plan.Above != nil && r.seen[Owner{Path: plan.Above.Group}]
		if before == nil {
			before = plan
		}
		left, plan = *plan, nil // it is read again before it is tried again
		if _, unsettled := r.applier.created[o]; !r.Change || left.Nothing() && !unsettled {
			return nil
		}
		if r.Held != nil {
			var err error
			if held, err = r.Held(ctx, o.Path); err != nil {
				return &heldError{err}
			}
			if held != "" {
				return nil
			}
		}
		if o.Project == 0 {
			r.inspector.forget(o.Path)
		}
		var steps []string
		var err error
		left, steps, err = r.applier.apply(ctx, left)
		done = append(done, steps...)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if unknown, ok := errors.AsType[*heldError](err); ok {
		return unknown.err
	}
	if event.Unavailable(err) {
		return err
	}
	report := left.Report(r.Now())
	switch {
	case before == nil:
		before = &Plan{Found: Found{Owner: o}}
		report = unreadable(o, err)
	case err != nil:
		report.Error = reason(o, err)
	}
	report.Done, report.Held = done, held
	r.report(*before, report, held, left.Yielded)
	return nil
}

// report adds what was found and done of one owner.
func (r *run) report(before Plan, report Report, held string, yielded bool) {
	r.result.Counts.add(before, report, yielded)
	if r.DryRun {
		report.Todo, report.Done = report.Done, nil
	}
	r.result.Reports = append(r.result.Reports, report)
	r.progress(before.Owner)
	if r.Watch != nil {
		r.Watch(Step{Before: before, Report: report, Held: held})
	}
}

// progress reports that an owner was read.
func (r *run) progress(o Owner) {
	if r.read[o] = true; r.Progress != nil {
		r.Progress(len(r.read), max(r.of, len(r.read)), o.String())
	}
}

func (r *run) inspect(ctx context.Context, o Owner) (Plan, error) {
	if o.Project == 0 {
		return r.inspector.Group(ctx, o.Path)
	}
	return r.inspector.Project(ctx, event.Project{ID: o.Project, Path: o.Path})
}

// try calls do until it succeeds, fails for good, or has failed often.
func (r *run) try(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || ctx.Err() != nil || !event.Transient(err) || event.Unavailable(err) || attempt == maxTries {
			return err
		}
		wait := worker.Backoff(err, attempt)
		if r.Waits != nil {
			r.Waits(wait, err)
		}
		if err := r.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep waits for d, or until ctx is done.
func (r *run) sleep(ctx context.Context, d time.Duration) error {
	if r.Sleep != nil {
		return r.Sleep(ctx, d)
	}
	return gitlab.Sleep(ctx, d)
}
