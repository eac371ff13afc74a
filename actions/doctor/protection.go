package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// namedProtections is how many names of branches or environments one finding has.
const namedProtections = 5

// protected is a kind of thing that a project protects.
type protected struct {
	things string // such as branches
	may    string // what is allowed to those who may use them
	barred string // what the token's user can't do otherwise
	advice string
	read   func(context.Context, int64) ([]gitlab.Protection, error)
}

// barrier is what projects have in common whose things the token's user may not use.
type barrier struct {
	role    gitlab.Role
	who     string // those who may
	certain bool
}

// visibility is what GitLab shows to users with a role.
type visibility struct {
	any     bool // it has shown a list
	refused int  // how many lists it has refused before it showed any
	why     string
}

// maxRefusals is how many projects are read in vain: GitLab may refuse the lists of all to
// a role, or have none.
const maxRefusals = 3

// checkProtections tells in which of the projects the token's user may not use what is
// protected: one request for each project, few where GitLab shows no such list.
func (x *exam) checkProtections(ctx context.Context, all []project, what protected) []Finding {
	user, err := x.tokenUser(ctx)
	if err != nil {
		return notChecked(err)
	}
	barriers := map[barrier][]project{}
	names := map[barrier][]string{}
	shown := map[gitlab.Role]*visibility{}
	unread := map[string][]project{}
	var found []Finding
	for i, p := range all {
		x.Progress(i+1, len(all), p.Path)
		to := shown[p.role]
		if to == nil {
			to = &visibility{}
			shown[p.role] = to
		}
		if to.refused >= maxRefusals {
			unread[to.why] = append(unread[to.why], p)
			continue
		}
		list, err := what.read(ctx, p.ID)
		if err != nil && (ctx.Err() != nil || !answered(err)) {
			found = notChecked(err)
			found[0].Projects = paths(all[i:])
			break
		}
		if err != nil {
			to.why = reasonOf(err)
			unread[to.why] = append(unread[to.why], p)
			if !to.any && apierror.IsHidden(err) {
				to.refused++
			}
			continue
		}
		to.any, to.refused = true, 0
		for _, thing := range list {
			allows, certain := thing.Allows(user.ID, p.role)
			if allows {
				continue
			}
			b := barrier{p.role, whoMay(thing), certain}
			if !slices.Contains(names[b], thing.Name) {
				names[b] = append(names[b], thing.Name)
			}
			if n := len(barriers[b]); n == 0 || barriers[b][n-1].ID != p.ID {
				barriers[b] = append(barriers[b], p)
			}
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(barriers), func(a, b barrier) int {
		return cmp.Or(strings.Compare(a.who, b.who), cmp.Compare(a.role, b.role), strings.Compare(names[a][0], names[b][0]))
	}) {
		seen := fmt.Sprintf("protected %s (%s), where %s may %s: the token's user, with the role %s, ", what.things, listed(names[b]), b.who, what.may, b.role)
		if b.certain {
			found = append(found, about(barriers[b], Warning, seen+"can't "+what.barred, what.advice)...)
		} else {
			found = append(found, about(barriers[b], Unknown, seen+"can't "+what.barred+", unless it is in such a group", what.advice)...)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(unread)) {
		found = append(found, about(unread[why], Unknown, "protected "+what.things+" not checked, because "+why, "look at them in the settings of a project, or give the token's user the role Maintainer")...)
	}
	return found
}

// listed returns some names.
func listed(names []string) string {
	if len(names) > namedProtections {
		return strings.Join(names[:namedProtections], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// whoMay returns who may use what is protected.
func whoMay(p gitlab.Protection) string {
	var who []string
	if len(p.Roles) > 0 {
		who = append(who, "only the role "+slices.Min(p.Roles).String())
	}
	if len(p.Users) > 0 {
		who = append(who, "some users")
	}
	if p.Groups {
		who = append(who, "some groups")
	}
	if len(who) == 0 {
		return "nobody"
	}
	return strings.Join(who, " and ")
}

// checkProtectedBranches tells which branches are protected against the token's user,
// besides the default branches of Developers, which checkProtectedBranch reads.
func checkProtectedBranches(ctx context.Context, x *exam) []Finding {
	all, err := x.living(ctx)
	if err != nil {
		return notChecked(err)
	}
	all = slices.DeleteFunc(all, func(p project) bool {
		return p.role < gitlab.Developer || !slices.ContainsFunc(x.demands(p), func(d demand) bool { return d.protected && p.role >= d.role })
	})
	found := x.checkProtections(ctx, all, protected{
		"branches", "push or merge", "retry, play or cancel jobs there",
		"let the token's user push or merge there (Settings, Repository, Protected branches), where jobs of these branches are to be retried, played or cancelled",
		func(ctx context.Context, id int64) ([]gitlab.Protection, error) {
			return x.GitLab.ProtectedBranches(ctx, id)
		},
	})
	if len(found) == 0 {
		return ok("no branch is closed to the token's user " + inProjects(len(all)))
	}
	return found
}

// checkProtectedEnvironments tells which environments the token's user may not deploy to,
// where rules play jobs.
func checkProtectedEnvironments(ctx context.Context, x *exam) []Finding {
	all, err := x.living(ctx)
	if err != nil {
		return notChecked(err)
	}
	all = slices.DeleteFunc(all, func(p project) bool {
		return !slices.ContainsFunc(x.demands(p), func(d demand) bool { return d.verb == event.VerbPlay && p.role >= d.role })
	})
	if len(all) == 0 {
		return ok("no rule plays a job where the token's user can")
	}
	if v, err := x.gitlabVersion(ctx); err == nil && v.Edition == gitlab.CommunityEdition {
		return ok("the Community Edition has none")
	}
	found := x.checkProtections(ctx, all, protected{
		"environments", "deploy", "play jobs that deploy there",
		"allow the token's user to deploy there (Settings, CI/CD, Protected environments), where rules play such jobs",
		func(ctx context.Context, id int64) ([]gitlab.Protection, error) {
			return x.GitLab.ProtectedEnvironments(ctx, id)
		},
	})
	if len(found) == 0 {
		return ok("no environment is closed to the token's user " + inProjects(len(all)))
	}
	return found
}

// checkGroupRole tells of which groups that --projects names no webhook can be had, and
// what to do instead: one request for each.
func checkGroupRole(ctx context.Context, x *exam) []Finding {
	f, err := x.theFleet(ctx)
	if err != nil {
		return notChecked(err)
	}
	var found []Finding
	groups := 0
	for _, entry := range x.Projects {
		_, isID := rules.ProjectID(entry)
		if isID || rules.IsGlob(entry) || !slices.ContainsFunc(f.projects, func(p project) bool { return strings.HasPrefix(p.Path, entry+"/") }) {
			continue
		}
		groups++
		_, err := x.GitLab.GroupHooks(ctx, entry)
		instead := x.hooksCommand("ensure", []string{entry}) + " makes one in each project below it instead, with the role Maintainer; repeat it for new projects, or run serve with --ensure-hooks"
		switch e := failureOf(err); {
		case err == nil:
		case ctx.Err() != nil || !answered(err):
			return append(found, notChecked(err)...)
		case apierror.IsNotFound(err):
			found = append(found, one(Note, "group "+entry+" can have no webhook: that needs GitLab Premium", instead)...)
		case e != nil && e.Rights():
			found = append(found, one(Note, "group "+entry+" can have no webhook of the token's user: that needs GitLab Premium and the role Owner in the group",
				"make the token's user Owner of the group; or leave it: "+instead)...)
		default:
			found = append(found, notChecked(err)...)
		}
	}
	switch {
	case len(found) > 0:
		return found
	case groups == 0:
		return ok("--projects names no group, whose webhook would need the role Owner")
	}
	return ok("suffices for webhooks of the groups that --projects names")
}
