package rights

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
)

// onEnvironment refuses a user who may not deploy to the environment of a target; "" for
// others. The project can protect it, and each of the groups that the project is in, by the
// environment's tier: all of them must allow it (EE::Environment#protected_from? in GitLab's
// source). Where the environment is not known, they must allow all that they protect; only
// what the project protects is open to its Maintainers then, who can change that.
func (r *Rights) onEnvironment(ctx context.Context, on chatops.Target, u gitlab.User, role gitlab.Role) (refusal string, err error) {
	b := barrier{"the environment of the job", "deploy to", "a Maintainer of the project"}
	if on.Environment != "" {
		b.what = environment(on.Environment)
	}
	all, err := r.cfg.GitLab.ProtectedEnvironments(ctx, on.Project)
	if apierror.IsNotFound(err) { // GitLab's Free tier has no protected environments
		return "", nil
	}
	hidden, refusal, err := missing(err, b)
	switch {
	case err != nil || refusal != "":
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	case on.Environment == "" && role >= gitlab.Maintainer:
	default:
		if refusal := closed(all, on.Environment, b, environment, u, role); refusal != "" {
			return refusal, nil
		}
	}
	groups, err := r.cfg.GitLab.ProjectGroups(ctx, on.Project)
	hidden, refusal, err = missing(err, b)
	switch {
	case err != nil || refusal != "":
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	}
	for _, g := range groups {
		if refusal, err := r.onTier(ctx, on, b, g, u, role); err != nil || refusal != "" {
			return refusal, err
		}
	}
	return "", nil
}

// onTier refuses a user who may not deploy to the tier of the environment of a target in all
// projects of a group; "" for others. The role in the group counts there; role is that in the
// project.
func (r *Rights) onTier(ctx context.Context, on chatops.Target, b barrier, g gitlab.Group, u gitlab.User, role gitlab.Role) (refusal string, err error) {
	all, err := r.cfg.GitLab.GroupProtectedEnvironments(ctx, g.ID)
	hidden, refusal, err := missing(err, b)
	switch {
	case err != nil || refusal != "":
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	case len(all) == 0:
		return "", nil
	}
	inGroup, err := r.cfg.GitLab.GroupMemberRole(ctx, g.ID, u.ID)
	if err != nil {
		return unknown(err, "GitLab does not tell Pipesteward your role in the group "+mrkdwn.Code(g.Path))
	}
	b.by = "an Owner of the group"
	tier := func(name string) string {
		return "environments of the tier " + mrkdwn.Code(name) + " in the group " + mrkdwn.Code(g.Path)
	}
	return closed(all, on.Tier, b, tier, u, inGroup), nil
}

// environment returns what an environment is called in refusals.
func environment(name string) string { return "the environment " + mrkdwn.Code(name) }

// closed refuses a user whom one of the protections of what is named does not allow to
// deploy; with "", one of all. what returns how their names are called.
func closed(all []gitlab.Protection, name string, b barrier, what func(name string) string, u gitlab.User, role gitlab.Role) string {
	for _, p := range all {
		if name != "" && !p.Covers(name) {
			continue
		}
		b.what = what(p.Name)
		refusal := b.closed(u, role, p)
		if refusal != "" && name == "" {
			return "GitLab does not tell which environment the job deploys to, so you must be allowed to deploy to all that are protected. " + refusal
		}
		if refusal != "" {
			return refusal
		}
	}
	return ""
}
