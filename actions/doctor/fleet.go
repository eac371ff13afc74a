package doctor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// project is a project with the role that the token's user has in it.
type project struct {
	gitlab.Project
	role gitlab.Role
	// wanted is set if somebody named the project or it has sent events.
	wanted bool
	sent   bool // it has sent events
}

// fleet are the projects that are checked, by their paths, and what was named in vain.
type fleet struct {
	projects []project
	missing  []event.SweepProblem // entries without a project, each with its reason
	gone     int                  // projects that sent events and are not to be seen any more
}

// member is any role below Reporter: which one it is does not matter here.
const member gitlab.Role = 1

// memberProjects returns the projects of the token's user, by id, each with the role:
// a list for each, so that thousands of projects cost some requests a hundred.
func (x *exam) memberProjects(ctx context.Context) (map[int64]project, error) {
	return x.memberships.get(func() (map[int64]project, error) {
		if err := x.usable(ctx); err != nil {
			return nil, err
		}
		user, _ := x.tokenUser(ctx) // without it, the roles in the lists count
		all := map[int64]project{}
		for _, role := range []gitlab.Role{gitlab.NoRole, gitlab.Reporter, gitlab.Developer, gitlab.Maintainer, gitlab.Owner} {
			for p, err := range x.GitLab.MemberProjects(ctx, role, role == gitlab.NoRole) {
				if err != nil {
					return nil, err
				}
				known, listed := all[p.ID]
				if !listed {
					known = project{Project: p}
				}
				known.role = max(role, member)
				if user.Admin {
					known.role = gitlab.Owner
				}
				all[p.ID] = known
			}
		}
		return all, nil
	})
}

// theFleet returns the projects to check: those of --project, or those that --projects
// and schedule rules name and that have sent events; where there are none of these, all
// in which the token's user is a member.
func (x *exam) theFleet(ctx context.Context) (fleet, error) {
	return x.fleet.get(func() (fleet, error) {
		all, err := x.memberProjects(ctx)
		if err != nil {
			return fleet{}, err
		}
		f := fleet{}
		chosen := map[int64]project{}
		entries := x.Only
		if len(entries) == 0 {
			entries = append(slices.Clone(x.Projects), x.scheduled()...)
		}
		slices.Sort(entries)
		for _, entry := range slices.Compact(entries) {
			if err := x.choose(ctx, entry, all, chosen, &f); err != nil {
				return fleet{}, err
			}
		}
		if len(x.Only) == 0 {
			if err := x.chooseKnown(ctx, all, chosen, &f); err != nil {
				return fleet{}, err
			}
		}
		if len(chosen) == 0 && len(x.Only) == 0 {
			maps.Copy(chosen, all)
		}
		known, _ := x.knownProjects(ctx) // with --project, an error does not matter
		for _, id := range known {
			if p, is := chosen[id]; is {
				p.sent = true
				chosen[id] = p
			}
		}
		f.projects = slices.SortedFunc(maps.Values(chosen), func(a, b project) int { return cmp.Compare(a.Path, b.Path) })
		return f, nil
	})
}

// scheduled returns the entries of all schedule rules.
func (x *exam) scheduled() []string {
	var entries []string
	if x.Rules != nil {
		for _, r := range x.Rules.Scheduled() {
			entries = append(entries, r.Schedule.Projects...)
		}
	}
	return entries
}

// choose adds the projects of an entry: those of the token's user, or else what GitLab
// shows of others.
func (x *exam) choose(ctx context.Context, entry string, all, chosen map[int64]project, f *fleet) error {
	found := false
	for id, p := range all {
		if rules.Covers(entry, p.Project.Project) {
			p.wanted, found = true, true
			chosen[id] = p
		}
	}
	if found {
		return nil
	}
	others, problems, err := projects.Resolve(ctx, x.GitLab, []string{entry})
	if err != nil {
		return err
	}
	f.missing = append(f.missing, problems...)
	for _, p := range others {
		chosen[p.ID] = x.stranger(ctx, p)
	}
	return nil
}

// stranger returns a project in which the token's user is no member.
func (x *exam) stranger(ctx context.Context, p gitlab.Project) project {
	other := project{Project: p, wanted: true}
	if user, err := x.tokenUser(ctx); err == nil && user.Admin {
		other.role = gitlab.Owner
	}
	return other
}

// chooseKnown adds the projects that have sent events.
func (x *exam) chooseKnown(ctx context.Context, all, chosen map[int64]project, f *fleet) error {
	known, err := x.knownProjects(ctx)
	if err != nil {
		return err
	}
	for i, id := range known {
		if p, is := all[id]; is {
			p.wanted = true
			chosen[id] = p
			continue
		}
		p, err := x.GitLab.Project(ctx, strconv.FormatInt(id, 10))
		x.Progress(i+1, len(known), p.Path)
		switch {
		case err == nil:
			chosen[id] = x.stranger(ctx, p)
		case apierror.IsHidden(err):
			f.gone++
		default:
			return err
		}
	}
	return nil
}

// sendersUnknown reports whether it is not known which projects have sent events: the
// store knows it.
func (x *exam) sendersUnknown() bool { return x.StoreErr != nil }

// ensured reports whether --ensure-hooks creates and repairs webhooks of the project, or
// may.
func (x *exam) ensured(p project) bool {
	return x.EnsuresHooks && (p.sent || x.sendersUnknown() ||
		slices.ContainsFunc(x.Projects, func(entry string) bool { return rules.Covers(entry, p.Project.Project) }))
}

// paths returns the paths of projects.
func paths(all []project) []string {
	named := make([]string, len(all))
	for i, p := range all {
		named[i] = p.Path
	}
	return named
}

// about returns a finding about projects; none without any.
func about(all []project, s Severity, seen, advice string) []Finding {
	if len(all) == 0 {
		return nil
	}
	return []Finding{{Severity: s, Seen: seen, Advice: advice, Projects: paths(all)}}
}

func inProjects(n int) string { return "in " + english.Plural(n, "project", "") }
