package rights

import (
	"context"
	"fmt"
	"slices"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxEnvironments bounds the environments of a target that are compared with those that are
// protected.
const maxEnvironments = 100

// onEnvironment refuses a user who may not deploy to all environments of a target; "" for
// others. The project can protect them, and each of the groups that the project is in, by
// their tiers: all of them must allow it (EE::Environment#protected_from? in GitLab's
// source). Where the environments are not all known, or too many, they must allow all that
// they protect; only what the project protects is open to its Maintainers then, who can
// change that.
func (r *Rights) onEnvironment(ctx context.Context, on chatops.Target, u gitlab.User, role gitlab.Role) (refusal string, err error) {
	b := barrier{"the environments that this deploys to", "deploy to", "a Maintainer of the project"}
	if on.AllEnvironments && len(on.Environments) == 1 {
		b.what = environment(on.Environments[0].Name)
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
	case anywhere(on) != "" && role >= gitlab.Maintainer:
	default:
		if refusal := closed(on, all, b, nameOf, environment, u, role); refusal != "" {
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

// onTier refuses a user who may not deploy to the tiers of the environments of a target in
// all projects of a group; "" for others. The role in the group counts there; role is that in the
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
	return closed(on, all, b, tierOf, tier, u, inGroup), nil
}

// environment returns what an environment is called in refusals.
func environment(name string) string { return "the environment " + mrkdwn.Code(name) }

func nameOf(e event.Environment) string { return e.Name }
func tierOf(e event.Environment) string { return e.Tier }

// anywhere says why a target may deploy to any environment, as far as is known; "": only to
// its Environments.
func anywhere(on chatops.Target) string {
	switch {
	case !on.AllEnvironments:
		return "GitLab does not tell which environments this deploys to"
	case len(on.Environments) > maxEnvironments:
		return fmt.Sprintf("This deploys to %d environments, more than Pipesteward compares", len(on.Environments))
	}
	return ""
}

// closed refuses a user whom one of the protections of the target's environments does not
// allow to deploy; where the target may deploy to any, one of all. by returns what is
// protected of an environment, its name or its tier; where that is not known, it may be any.
// what returns what that is called.
func closed(on chatops.Target, all []gitlab.Protection, b barrier, by func(event.Environment) string, what func(name string) string, u gitlab.User, role gitlab.Role) string {
	why := anywhere(on)
	for _, p := range all {
		covered := func(e event.Environment) bool { return by(e) == "" || p.Covers(by(e)) }
		if why == "" && !slices.ContainsFunc(on.Environments, covered) {
			continue
		}
		b.what = what(p.Name)
		switch refusal := b.closed(u, role, p); {
		case refusal != "" && why != "":
			return why + ", so you must be allowed to deploy to all that are protected. " + refusal
		case refusal != "":
			return refusal
		}
	}
	return ""
}
