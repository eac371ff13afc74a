package rights

import (
	"context"
	"net/http"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
)

// barrier is something that a project or a group may protect. It is the data of refusals.
type barrier struct {
	Kind  string // branch, tag, environment, tier, or environments, which are not named
	Name  string // as code
	Group string // that protects the tier, as code

	User  string // in GitLab, as code
	Any   bool   // it is not known which environments are concerned
	Count int    // of environments, which are too many to compare
}

// hidden refuses somebody for whom it is not known whether the barrier is closed.
func (b barrier) hidden() chatops.Refusal { return sentence{"refused_hidden", b} }

// closed refuses a user whom none of the protections allows to pass; nil if one does.
func (b barrier) closed(u gitlab.User, role gitlab.Role, by ...gitlab.Protection) chatops.Refusal {
	certain := true
	for _, p := range by {
		allows, sure := p.Allows(u.ID, role)
		if allows {
			return nil
		}
		certain = certain && sure
	}
	b.User = mrkdwn.Code(u.Username)
	if !certain {
		return sentence{"refused_groups", b}
	}
	return sentence{"refused_protected", b}
}

// refOf returns the branch or the tag of a target.
func refOf(on chatops.Target) barrier {
	if on.Tag {
		return barrier{Kind: "tag", Name: mrkdwn.Code(on.Ref)}
	}
	return barrier{Kind: "branch", Name: mrkdwn.Code(on.Ref)}
}

// ofRef returns the protections that cover the ref of a target. hidden is set if GitLab does
// not show them to Pipesteward's user.
func (r *Rights) ofRef(ctx context.Context, on chatops.Target) (covering []gitlab.Protection, hidden bool, refusal chatops.Refusal, err error) {
	if on.Ref == "" {
		return nil, false, nil, nil
	}
	read := r.cfg.GitLab.ProtectedBranches
	if on.Tag {
		read = r.cfg.GitLab.ProtectedTags
	}
	all, err := read(ctx, on.Project)
	if !on.Tag && apierror.IsFinal(err, http.StatusForbidden) {
		all, err = r.protectionOf(ctx, on.Project, on.Ref, err)
	}
	hidden, refusal, err = missing(err, refOf(on))
	return covers(all, on.Ref), hidden, refusal, err
}

// missing says why protections are missing: they are hidden, or a refusal or an error tells.
func missing(err error, b barrier) (hidden bool, refusal chatops.Refusal, _ error) {
	switch {
	case err == nil:
		return false, nil, nil
	case apierror.IsHidden(err):
		return true, nil, nil
	}
	refusal, err = unknown(err, "refused_barrier_unknown", b)
	return false, refusal, err
}

// covers returns those protections that are of what is named.
func covers(all []gitlab.Protection, name string) (covering []gitlab.Protection) {
	for _, p := range all {
		if p.Covers(name) {
			covering = append(covering, p)
		}
	}
	return covering
}

// protectionOf returns what a branch itself says of its protection, which GitLab shows to
// users to whom it does not show the list. Without such a branch, the error is that of the
// list.
func (r *Rights) protectionOf(ctx context.Context, project int64, name string, hidden error) ([]gitlab.Protection, error) {
	branch, err := r.cfg.GitLab.Branch(ctx, project, name)
	switch {
	case apierror.IsHidden(err):
		return nil, hidden
	case err != nil:
		return nil, err
	case !branch.Protected:
		return nil, nil
	case branch.DevelopersPush, branch.DevelopersMerge:
		return []gitlab.Protection{{Name: name, Roles: []gitlab.Role{gitlab.Developer}}}, nil
	}
	return []gitlab.Protection{{Name: name, Roles: []gitlab.Role{gitlab.Maintainer}}}, nil
}

// onProtected refuses a user who may not use the protected branch, tag or environment; nil
// for others.
func (r *Rights) onProtected(ctx context.Context, on chatops.Target, u gitlab.User, role gitlab.Role) (refusal chatops.Refusal, err error) {
	covering, hidden, refusal, err := r.ofRef(ctx, on)
	switch {
	case err != nil || refusal != nil:
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return refOf(on).hidden(), nil
	case len(covering) > 0: // the one that allows most counts
		refusal = refOf(on).closed(u, role, covering...)
	}
	if refusal != nil || on.AllEnvironments && len(on.Environments) == 0 {
		return refusal, nil
	}
	return r.onEnvironment(ctx, on, u, role)
}

// isUnprotected reports whether nothing protects the ref of a target, as far as that is
// known.
func (r *Rights) isUnprotected(ctx context.Context, on chatops.Target) (_ bool, refusal chatops.Refusal, err error) {
	covering, hidden, refusal, err := r.ofRef(ctx, on)
	return on.Ref != "" && !hidden && len(covering) == 0, refusal, err
}
