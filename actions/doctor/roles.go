package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// requirement is what GitLab requires of the token's user for a verb
// (Ci::BuildPolicy and Ci::PipelinePolicy in its source).
type requirement struct {
	role gitlab.Role
	// protected is set if on protected branches and tags the user must also be allowed
	// to push or to merge, whatever its role.
	protected bool
}

// requirements are those of all verbs. An erase by a Developer would work on its own
// jobs only, and a job belongs to whom it was started by.
var requirements = map[string]requirement{
	event.VerbRetry:          {gitlab.Developer, true},
	event.VerbPlay:           {gitlab.Developer, true},
	event.VerbCancel:         {gitlab.Developer, true},
	event.VerbRetryPipeline:  {gitlab.Developer, true},
	event.VerbCancelPipeline: {gitlab.Developer, true},
	event.VerbCancelOutdated: {gitlab.Developer, true},
	event.VerbErase:          {gitlab.Maintainer, false},
	event.VerbNotify:         {gitlab.Reporter, false}, // reads jobs and their logs
}

// RoleRows returns the rows of the table of roles in deploy/README.md: an action, the role, and
// whether the user must also be allowed to push or to merge where the ref is protected.
func RoleRows() []string {
	row := func(what string, r requirement) string {
		also := ""
		if r.protected {
			also = "yes"
		}
		return fmt.Sprintf("| %s | %s | %s |", what, r.role, also)
	}
	var rows []string
	for _, verb := range event.Verbs {
		rows = append(rows, row("`"+verb+"`", requirements[verb]))
		if verb == event.VerbCancel {
			rows = append(rows, row("`cancel` with `force: true`", forced))
		}
	}
	for _, channel := range []string{event.ChannelMergeRequest, event.ChannelCommit} {
		rows = append(rows, row("`"+inGitLab[channel].verb+"`", inGitLab[channel].requirement))
	}
	return append(rows, row("webhooks of a project: `hooks`, `--ensure-hooks`, catch-up by failed deliveries", hooksRequirement))
}

// forced is what `force: true` of a cancel requires.
var forced = requirement{gitlab.Maintainer, true}

// inGitLab is what entries of notify want in GitLab, by their channel: a note requires what
// any comment does (MergeRequestPolicy), a status what a change of its pipeline does
// (Ci::CreateCommitStatusService).
var inGitLab = map[string]demand{
	event.ChannelMergeRequest: {verb: "merge_request: note", requirement: requirement{gitlab.Reporter, false}},
	event.ChannelCommit:       {verb: "commit: status", requirement: requirement{gitlab.Developer, true}},
}

// hooksRequirement is what GitLab requires to read, create and repair a project's
// webhooks (doc/user/project/integrations/webhooks.md); those of a group take its Owner.
var hooksRequirement = requirement{gitlab.Maintainer, false}

// demand is something that rules or --ensure-hooks want done in a project.
type demand struct {
	verb string // with "by force" where that requires more, or the setting
	requirement
	variables bool // it gives variables to a job that it plays
	real      bool // a rule or setting wants it that is not in dry run
}

// demands returns what the rules and --ensure-hooks want done in a project, by verb.
func (x *exam) demands(p project) []demand {
	all := map[string]demand{}
	for _, r := range x.Rules.All() {
		if !r.Concerns(p.Project.Project) {
			continue
		}
		for _, verb := range r.Verbs() {
			d := demand{verb: verb, requirement: requirements[verb]}
			for _, a := range r.Actions {
				if a.Verb == verb && verb == event.VerbCancel && a.Force {
					d.verb, d.requirement = verb+" by force", forced
				}
				d.variables = d.variables || a.Verb == verb && len(a.Variables) > 0
			}
			before := all[d.verb]
			d.variables = d.variables || before.variables
			d.real = before.real || !r.DryRun && !x.DryRun
			all[d.verb] = d
		}
		for _, n := range r.Notify {
			if n.Receiver == event.ReceiverGitLab {
				d := inGitLab[n.Channel.Source]
				d.real = !x.DryRun
				all[d.verb] = d
			}
		}
	}
	if x.ensured(p) {
		const setting = "--ensure-hooks"
		all[setting] = demand{verb: setting, requirement: hooksRequirement, real: !x.DryRun}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b demand) int { return cmp.Compare(a.verb, b.verb) })
}

var errNoRules = errors.New("the rules can't be used")

// living returns the projects that can be acted in, and what checks of them need.
func (x *exam) living(ctx context.Context) ([]project, error) {
	if x.Rules == nil {
		return nil, errNoRules
	}
	f, err := x.theFleet(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(f.projects), func(p project) bool { return p.Archived }), nil
}

// checkProjectsExist tells which names of projects stand for nothing.
func checkProjectsExist(ctx context.Context, x *exam) []Finding {
	f, err := x.theFleet(ctx)
	if err != nil {
		return notChecked(err)
	}
	var found []Finding
	where := "--projects or in the schedule of the rule"
	if len(x.Only) > 0 {
		where = "--project"
	}
	for _, m := range f.missing {
		found = append(found, Finding{Severity: Problem, Seen: fmt.Sprintf("%q: %s", m.Project, m.Reason), Advice: "correct the entry in " + where + ", or make the token's user a member"})
	}
	if f.gone > 0 {
		found = append(found, Finding{
			Severity: Note, Seen: english.Plural(f.gone, "project", "") + " that sent events can't be seen any more: deleted, or the token's user is no member",
		})
	}
	if len(f.projects) == 0 && len(f.missing) == 0 {
		return append(found, Finding{Severity: Problem, Seen: "the token's user is a member of no project", Advice: "make it a member of the group or the projects, with the role Developer, or Maintainer to erase and for webhooks"})
	}
	if len(found) == 0 {
		found = ok(english.Plural(len(f.projects), "project", "") + " checked")
	}
	if len(x.Only) == 0 && x.sendersUnknown() {
		found = append(found, one(Note, x.unknownSenders(), "name projects with --projects or --project")...)
	}
	return found
}

// unknownSenders says which projects are checked where the store can't tell which have
// sent events.
func (x *exam) unknownSenders() string {
	reason := errNoStore.Error()
	if errors.Is(x.StoreErr, store.ErrInUse) {
		reason = "another process has the store's file open"
	}
	which := "all in which the token's user is a member were checked"
	if len(x.Projects)+len(x.scheduled()) > 0 {
		which = "those that --projects and schedule rules name were checked, and no others"
	}
	return "which projects sent events is not known, because " + reason + ": " + which
}

// checkRole compares the role of the token's user in each project with what the rules
// want done there.
func checkRole(ctx context.Context, x *exam) []Finding {
	all, err := x.living(ctx)
	if err != nil {
		return notChecked(err)
	}
	type lack struct {
		role     gitlab.Role
		verbs    string
		severity Severity
	}
	lacking := map[lack][]project{}
	var hidden []project // of whose webhooks nothing can be seen
	for _, p := range all {
		var verbs []string
		l := lack{severity: Warning}
		for _, d := range x.demands(p) {
			if p.role < d.role {
				verbs, l.role = append(verbs, d.verb), max(l.role, d.role)
				if d.real {
					l.severity = Problem
				}
			}
		}
		if l.verbs = strings.Join(verbs, ", "); l.verbs != "" {
			lacking[l] = append(lacking[l], p)
		} else if p.role < gitlab.Maintainer {
			hidden = append(hidden, p)
		}
	}
	var found []Finding
	for _, l := range slices.SortedFunc(maps.Keys(lacking), func(a, b lack) int {
		return cmp.Or(cmp.Compare(b.role, a.role), cmp.Compare(a.verbs, b.verbs), cmp.Compare(a.severity, b.severity))
	}) {
		seen := fmt.Sprintf("the role %s is missing, for %s", l.role, l.verbs)
		if l.severity == Warning {
			seen += " (in dry run now)"
		}
		found = append(found, about(lacking[l], l.severity, seen, fmt.Sprintf("give the token's user the role %s, best in the group", l.role))...)
	}
	found = append(found, about(hidden, Note, "the role Maintainer is missing to read failed deliveries of webhooks: catch-up finds what was missed in the lists of jobs alone", "")...)
	if len(found) == 0 {
		return ok("suffices " + inProjects(len(all)))
	}
	return found
}

// checkProtectedBranch tells in which projects the default branch is protected against
// the token's user: it may neither push nor merge there, so it may not run jobs there.
func checkProtectedBranch(ctx context.Context, x *exam) []Finding {
	all, err := x.living(ctx)
	if err != nil {
		return notChecked(err)
	}
	all = slices.DeleteFunc(all, func(p project) bool {
		return p.role < gitlab.Developer || p.DefaultBranch == "" ||
			!slices.ContainsFunc(x.demands(p), func(d demand) bool { return d.protected && p.role >= d.role })
	})
	var barred []project
	failed := map[string][]project{}
	for i, p := range all {
		if p.role >= gitlab.Maintainer { // who may push and merge, unless nobody may
			continue
		}
		x.Progress(i+1, len(all), p.Path)
		b, err := x.GitLab.Branch(ctx, p.ID, p.DefaultBranch)
		switch {
		case apierror.IsNotFound(err): // the repository is empty
		case ctx.Err() != nil || err != nil && !answered(err):
			found := notChecked(cmp.Or(err, ctx.Err()))
			found[0].Projects = paths(all[i:])
			return append(found, about(barred, Warning, barredText, barredAdvice)...)
		case err != nil:
			failed[reasonOf(err)] = append(failed[reasonOf(err)], p)
		case b.Protected && !b.CanPush && !b.DevelopersMerge:
			barred = append(barred, p)
		}
	}
	found := about(barred, Warning, barredText, barredAdvice)
	for _, reason := range slices.Sorted(maps.Keys(failed)) {
		found = append(found, about(failed[reason], Unknown, "not checked, because "+reason, "")...)
	}
	if len(found) == 0 {
		return ok("the default branch is open to the token's user " + inProjects(len(all)))
	}
	return found
}

const (
	barredText   = "the default branch is protected, and the token's user may neither push nor merge there: its jobs can't be retried, played or cancelled"
	barredAdvice = "let the token's user push or merge there (Settings, Repository, Protected branches), or give it the role Maintainer"
)

// checkVariablesRole compares the role with each project's minimum role to use pipeline
// variables, where rules play jobs with some.
func checkVariablesRole(ctx context.Context, x *exam) []Finding {
	all, err := x.living(ctx)
	if err != nil {
		return notChecked(err)
	}
	lacking := map[string][]project{}
	severity := Warning
	var hidden []project
	n := 0
	for _, p := range all {
		for _, d := range x.demands(p) {
			if !d.variables {
				continue
			}
			n++
			least, is := gitlab.RoleNamed(p.VariablesRole)
			switch {
			case p.VariablesRole == "":
				hidden = append(hidden, p)
			case !is || p.role < least:
				lacking[p.VariablesRole] = append(lacking[p.VariablesRole], p)
				if d.real {
					severity = Problem
				}
			}
		}
	}
	var found []Finding
	for _, least := range slices.Sorted(maps.Keys(lacking)) {
		found = append(found, about(lacking[least], severity, fmt.Sprintf("the minimum role to use pipeline variables is %s, and rules play jobs with variables", least),
			"lower the project's minimum role (Settings, CI/CD, Variables), or raise the role of the token's user")...)
	}
	found = append(found, about(hidden, Unknown, "rules play jobs with variables, and GitLab shows the minimum role for that to Maintainers only (17.1 and later)",
		"see in Settings, CI/CD, Variables whether the role of the token's user suffices")...)
	switch {
	case len(found) > 0:
		return found
	case n == 0:
		return ok("no rule plays a job with variables")
	}
	return ok("the role suffices to play with variables " + inProjects(n))
}

// checkArchived tells which of the projects that somebody named, or that sent events,
// are archived.
func checkArchived(ctx context.Context, x *exam) []Finding {
	f, err := x.theFleet(ctx)
	if err != nil {
		return notChecked(err)
	}
	archived := slices.DeleteFunc(slices.Clone(f.projects), func(p project) bool { return !p.Archived || !p.wanted })
	found := about(archived, Note, "archived: GitLab changes nothing there", "leave the project out of --projects and schedules, or unarchive it")
	if len(found) == 0 {
		return ok("no project is archived that was named or sent events")
	}
	return found
}
