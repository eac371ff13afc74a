package rights

import (
	"context"
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

// onEnvironment refuses a user who may not deploy to all environments of a target; nil for
// others. The project can protect them, and each of the groups that the project is in, by
// their tiers: all of them must allow it (EE::Environment#protected_from? in GitLab's
// source). Where the environments are not all known, or too many, they must allow all that
// they protect; only what the project protects is open to its Maintainers then, who can
// change that.
func (r *Rights) onEnvironment(ctx context.Context, on chatops.Target, u gitlab.User, role gitlab.Role) (refusal chatops.Refusal, err error) {
	b := barrier{Kind: "environments"}
	if on.AllEnvironments && len(on.Environments) == 1 {
		b = barrier{Kind: "environment", Name: mrkdwn.Code(on.Environments[0].Name)}
	}
	all, err := r.cfg.GitLab.ProtectedEnvironments(ctx, on.Project)
	if apierror.IsNotFound(err) { // GitLab's Free tier has no protected environments
		return nil, nil
	}
	hidden, refusal, err := missing(err, b)
	switch {
	case err != nil || refusal != nil:
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	case anywhere(on) && role >= gitlab.Maintainer:
	default:
		if refusal := closed(on, all, barrier{Kind: "environment"}, nameOf, u, role); refusal != nil {
			return refusal, nil
		}
	}
	groups, err := r.cfg.GitLab.ProjectGroups(ctx, on.Project)
	hidden, refusal, err = missing(err, b)
	switch {
	case err != nil || refusal != nil:
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	}
	for _, g := range groups {
		if refusal, err := r.onTier(ctx, on, b, g, u, role); err != nil || refusal != nil {
			return refusal, err
		}
	}
	return nil, nil
}

// onTier refuses a user who may not deploy to the tiers of the environments of a target in
// all projects of a group; nil for others. The role in the group counts there; role is that in the
// project.
func (r *Rights) onTier(ctx context.Context, on chatops.Target, b barrier, g gitlab.Group, u gitlab.User, role gitlab.Role) (refusal chatops.Refusal, err error) {
	all, err := r.cfg.GitLab.GroupProtectedEnvironments(ctx, g.ID)
	hidden, refusal, err := missing(err, b)
	switch {
	case err != nil || refusal != nil:
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return b.hidden(), nil
	case len(all) == 0:
		return nil, nil
	}
	inGroup, err := r.cfg.GitLab.GroupMemberRole(ctx, g.ID, u.ID)
	if err != nil {
		return unknown(err, "refused_role_unknown", mrkdwn.Code(g.Path))
	}
	return closed(on, all, barrier{Kind: "tier", Group: mrkdwn.Code(g.Path)}, tierOf, u, inGroup), nil
}

func nameOf(e event.Environment) string { return e.Name }
func tierOf(e event.Environment) string { return e.Tier }

// anywhere reports whether a target may deploy to any environment, as far as is known: else
// only to its Environments.
func anywhere(on chatops.Target) bool {
	return !on.AllEnvironments || len(on.Environments) > maxEnvironments
}

// closed refuses a user whom one of the protections of the target's environments does not
// allow to deploy; where the target may deploy to any, one of all. by returns what is
// protected of an environment, its name or its tier; where that is not known, it may be any.
func closed(on chatops.Target, all []gitlab.Protection, b barrier, by func(event.Environment) string, u gitlab.User, role gitlab.Role) chatops.Refusal {
	if b.Any = !on.AllEnvironments; !b.Any && anywhere(on) {
		b.Count = len(on.Environments)
	}
	for _, p := range all {
		covered := func(e event.Environment) bool { return by(e) == "" || p.Covers(by(e)) }
		if !anywhere(on) && !slices.ContainsFunc(on.Environments, covered) {
			continue
		}
		b.Name = mrkdwn.Code(p.Name)
		if refusal := b.closed(u, role, p); refusal != nil {
			return refusal
		}
	}
	return nil
}
