package rights

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
)

// barrier is something that a project or a group may protect.
type barrier struct {
	what string // such as: the branch `main`
	do   string // what those do whom it is not closed to, as in: push or merge to
	by   string // who can open it
}

// hidden refuses somebody for whom it is not known whether the barrier is closed.
func (b barrier) hidden() string {
	return fmt.Sprintf("GitLab does not tell Pipesteward who may %s %s, because the user of its token may not see that: you need the role Maintainer in the project.", b.do, b.what)
}

// closed refuses a user whom none of the protections allows to pass; "" if one does.
func (b barrier) closed(u gitlab.User, role gitlab.Role, by ...gitlab.Protection) string {
	certain := true
	for _, p := range by {
		allows, sure := p.Allows(u.ID, role)
		if allows {
			return ""
		}
		certain = certain && sure
	}
	if !certain {
		return fmt.Sprintf("Only members of some groups may %s %s, which is protected: Pipesteward can't see whether you are one.", b.do, b.what)
	}
	return fmt.Sprintf("Your user in GitLab, %s, may not %s %s, which is protected: %s can allow it.", mrkdwn.Code(u.Username), b.do, b.what, b.by)
}

// refOf returns the branch or the tag of a target.
func refOf(on chatops.Target) barrier {
	const by = "a Maintainer of the project"
	if on.Tag {
		return barrier{"the tag " + mrkdwn.Code(on.Ref), "create", by}
	}
	return barrier{"the branch " + mrkdwn.Code(on.Ref), "push or merge to", by}
}

// ofRef returns the protections that cover the ref of a target. hidden is set if GitLab does
// not show them to Pipesteward's user.
func (r *Rights) ofRef(ctx context.Context, on chatops.Target) (covering []gitlab.Protection, hidden bool, refusal string, err error) {
	if on.Ref == "" {
		return nil, false, "", nil
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
func missing(err error, b barrier) (hidden bool, refusal string, _ error) {
	switch {
	case err == nil:
		return false, "", nil
	case apierror.IsHidden(err):
		return true, "", nil
	}
	refusal, err = unknown(err, "GitLab does not tell Pipesteward who may "+b.do+" "+b.what)
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

// onProtected refuses a user who may not use the protected branch, tag or environment; ""
// for others.
func (r *Rights) onProtected(ctx context.Context, on chatops.Target, u gitlab.User, role gitlab.Role) (refusal string, err error) {
	covering, hidden, refusal, err := r.ofRef(ctx, on)
	switch {
	case err != nil || refusal != "":
		return refusal, err
	case hidden && role < gitlab.Maintainer:
		return refOf(on).hidden(), nil
	case len(covering) > 0: // the one that allows most counts
		refusal = refOf(on).closed(u, role, covering...)
	}
	if refusal != "" || on.AllEnvironments && len(on.Environments) == 0 {
		return refusal, nil
	}
	return r.onEnvironment(ctx, on, u, role)
}

// isUnprotected reports whether nothing protects the ref of a target, as far as that is
// known.
func (r *Rights) isUnprotected(ctx context.Context, on chatops.Target) (_ bool, refusal string, err error) {
	covering, hidden, refusal, err := r.ofRef(ctx, on)
	return on.Ref != "" && !hidden && len(covering) == 0, refusal, err
}
