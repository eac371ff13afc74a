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

// barrier is something that a project may protect.
type barrier struct {
	kind, name string
	may        string // what those may whom it is not closed to
	read       func(context.Context, int64) ([]gitlab.Protection, error)
}

// refOf returns the branch or the tag of a target.
func (r *Rights) refOf(on chatops.Target) barrier {
	if on.Tag {
		return barrier{"tag", on.Ref, "create it", r.cfg.GitLab.ProtectedTags}
	}
	return barrier{"branch", on.Ref, "push or merge to it", func(ctx context.Context, project int64) ([]gitlab.Protection, error) {
		all, err := r.cfg.GitLab.ProtectedBranches(ctx, project)
		if apierror.IsFinal(err, http.StatusForbidden) {
			return r.protectionOf(ctx, project, on.Ref, err)
		}
		return all, err
	}}
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
	for _, b := range []barrier{r.refOf(on), {"environment", on.Environment, "deploy to it", r.cfg.GitLab.ProtectedEnvironments}} {
		covering, hidden, refusal, err := b.protections(ctx, on.Project)
		switch {
		case err != nil || refusal != "":
			return refusal, err
		case hidden && role < gitlab.Maintainer:
			return fmt.Sprintf("GitLab does not tell Pipesteward who may %s, the %s %s, because its own user is no Maintainer of the project: you need that role.", b.may, b.kind, mrkdwn.Code(b.name)), nil
		case len(covering) == 0:
			continue
		}
		allowed, certain := false, true
		for _, p := range covering { // the one that allows most counts
			allows, sure := p.Allows(u.ID, role)
			allowed, certain = allowed || allows, certain && sure
		}
		switch {
		case allowed:
		case !certain:
			return fmt.Sprintf("The %s %s is protected, and only members of some groups may %s: Pipesteward can't see whether you are one.", b.kind, mrkdwn.Code(b.name), b.may), nil
		default:
			return fmt.Sprintf("The %s %s is protected, and your user in GitLab, %s, may not %s: a Maintainer of the project can allow it.", b.kind, mrkdwn.Code(b.name), mrkdwn.Code(u.Username), b.may), nil
		}
	}
	return "", nil
}

// protections returns those that cover what is named. hidden is set if GitLab does not show
// them to Pipesteward's user.
func (b barrier) protections(ctx context.Context, project int64) (covering []gitlab.Protection, hidden bool, refusal string, err error) {
	if b.name == "" {
		return nil, false, "", nil
	}
	all, err := b.read(ctx, project)
	switch {
	case apierror.IsNotFound(err): // GitLab's Free tier has no protected environments
		return nil, false, "", nil
	case apierror.IsHidden(err):
		return nil, true, "", nil
	case err != nil:
		refusal, err = unknown(err, "GitLab does not tell Pipesteward who may "+b.may)
		return nil, false, refusal, err
	}
	for _, p := range all {
		if p.Covers(b.name) {
			covering = append(covering, p)
		}
	}
	return covering, false, "", nil
}

// isUnprotected reports whether nothing protects the ref of a target, as far as that is
// known.
func (r *Rights) isUnprotected(ctx context.Context, on chatops.Target) (_ bool, refusal string, err error) {
	covering, hidden, refusal, err := r.refOf(on).protections(ctx, on.Project)
	return on.Ref != "" && !hidden && len(covering) == 0, refusal, err
}
