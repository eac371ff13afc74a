// Package rights decides who may do in Slack what Pipesteward does in GitLab. There are two
// ways, and either is enough: the members of the operators' user groups may do everything;
// anybody else may do what GitLab lets them do, where the person's e-mail address in Slack
// is one by which GitLab shows a user.
//
// A refusal is a block of package words, for the person. What can't be found out now is an error; nothing
// that is not known permits anything.
package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// requirement is what a user must have in GitLab.
type requirement struct {
	role gitlab.Role
	// protected is set if the user must also be allowed to use the protected branch, tag
	// and environment.
	protected bool
}

// requirements are those that GitLab has (Ci::BuildPolicy in its source): who sees logs,
// runs, stops or erases jobs. Logs need Developer, because GitLab hides those of jobs with
// CI_DEBUG_TRACE or CI_DEBUG_SERVICES from Reporters, and its API does not tell which jobs
// these are. Those of mutes and pauses are Pipesteward's own. Who confirms or rejects a play
// needs what ButtonPlay does.
var requirements = map[string]requirement{
	chatops.ButtonLog:     {gitlab.Developer, false},
	chatops.ButtonWhy:     {gitlab.Reporter, false},
	chatops.ButtonRetry:   {gitlab.Developer, true},
	chatops.ButtonPlay:    {gitlab.Developer, true},
	chatops.ButtonCancel:  {gitlab.Developer, true},
	chatops.ButtonErase:   {gitlab.Maintainer, false},
	chatops.ButtonMute:    {gitlab.Developer, false},
	chatops.CommandPause:  {gitlab.Maintainer, false},
	chatops.CommandResume: {gitlab.Maintainer, false},
	chatops.CommandStatus: {gitlab.Reporter, false},
}

// ownJob is what an erase requires of the user who started the job, unless its ref is
// protected.
var ownJob = requirement{gitlab.Developer, false}

// Slack is where people and their groups are looked up.
type Slack interface {
	Bot(ctx context.Context) (slack.Bot, error)
	User(ctx context.Context, id string) (slack.User, error)
	Groups(ctx context.Context) (ids map[string]string, err error)
	GroupMembers(ctx context.Context, id string) ([]string, error)
}

// GitLab is where users and what they may do are looked up.
type GitLab interface {
	UserByEmail(ctx context.Context, email string) (u gitlab.User, found bool, err error)
	Project(ctx context.Context, idOrPath string) (gitlab.Project, error)
	MemberRole(ctx context.Context, project, user int64) (gitlab.Role, error)
	Branch(ctx context.Context, project int64, name string) (gitlab.Branch, error)
	ProtectedBranches(ctx context.Context, project int64) ([]gitlab.Protection, error)
	ProtectedTags(ctx context.Context, project int64) ([]gitlab.Protection, error)
	ProtectedEnvironments(ctx context.Context, project int64) ([]gitlab.Protection, error)
	ProjectGroups(ctx context.Context, project int64) ([]gitlab.Group, error)
	GroupProtectedEnvironments(ctx context.Context, group int64) ([]gitlab.Protection, error)
	GroupMemberRole(ctx context.Context, group, user int64) (gitlab.Role, error)
}

var (
	_ Slack  = (*slack.Reader)(nil)
	_ GitLab = (*gitlab.Client)(nil)
)

// Config is what New needs.
type Config struct {
	Slack     Slack
	GitLab    GitLab
	Operators []string // user groups in Slack, whose members may do everything: see CheckOperator
	Now       func() time.Time
}

// Rights tells who may do what. It is safe for concurrent use.
type Rights struct {
	cfg       Config
	operators operators
	users     users
}

// New returns a Rights.
func New(cfg Config) *Rights {
	return &Rights{cfg: cfg, operators: operators{Config: cfg}, users: users{Config: cfg}}
}

// Outsider refuses those who may do nothing, whatever they have in GitLab: everybody but the
// full members of the workspace. It asks Slack only. nil means that the person is a full member.
func (r *Rights) Outsider(ctx context.Context, p chatops.Person) (refusal chatops.Refusal, err error) {
	_, refusal, err = r.member(ctx, p)
	return refusal, err
}

// member returns what Slack knows of a full member of the workspace, and a refusal for others.
func (r *Rights) member(ctx context.Context, p chatops.Person) (u slack.User, refusal chatops.Refusal, err error) {
	bot, err := r.cfg.Slack.Bot(ctx)
	if err != nil {
		refusal, err = unknown(err, "refused_workspace_unknown", nil)
		return slack.User{}, refusal, err
	}
	u, err = r.cfg.Slack.User(ctx, p.UserID)
	if err != nil {
		refusal, err = unknown(err, "refused_person_unknown", nil)
		return slack.User{}, refusal, err
	}
	return u, outsider(p, u, bot), nil
}

// MayOn reports whether a person may do something to a job or in a project; a target without
// a project stands for all projects. does is a Button or Command constant of chatops. The
// refusal says what would give the right, as mrkdwn; nil means that the person may.
func (r *Rights) MayOn(ctx context.Context, p chatops.Person, on chatops.Target, does string) (refusal chatops.Refusal, err error) {
	need, known := requirements[does]
	if !known {
		return nil, fmt.Errorf("rights: nobody decided who may %q", does)
	}
	user, refusal, err := r.member(ctx, p)
	if err != nil || refusal != nil {
		return refusal, err
	}
	is, groupErr := r.operators.include(ctx, p.UserID)
	switch {
	case is:
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	refusal, err = r.asGitLabUser(ctx, user, on, need, does)
	switch {
	case err != nil || refusal == nil:
		return nil, err
	case event.Transient(groupErr): // the person may be an operator
		return nil, groupErr
	case groupErr != nil:
		return both{refusal, sentence{"refused_operator_unknown", quoted(groupErr)}}, nil
	}
	return refusal, nil
}

// outsider refuses those who are no full members of the workspace; nil for others.
func outsider(p chatops.Person, u slack.User, bot slack.Bot) chatops.Refusal {
	ours := func(team, enterprise string) bool {
		return team == bot.TeamID || bot.Enterprise != "" && enterprise == bot.Enterprise
	}
	switch {
	case u.Bot:
		return sentence{"refused_bot", nil}
	case u.Deleted:
		return sentence{"refused_deactivated", nil}
	case u.Stranger, !ours(u.TeamID, u.Enterprise), p.TeamID != u.TeamID && !ours(p.TeamID, u.Enterprise):
		return sentence{"refused_stranger", mrkdwn.Title(bot.Team)}
	case u.Guest:
		return sentence{"refused_guest", nil}
	}
	return nil
}

// asGitLabUser refuses what GitLab would not let the person do; nil for the rest.
func (r *Rights) asGitLabUser(ctx context.Context, u slack.User, on chatops.Target, need requirement, does string) (refusal chatops.Refusal, err error) {
	v := userView{Operators: strings.Join(r.cfg.Operators, ", ")}
	switch {
	case on.Project == 0:
		return sentence{"refused_all_projects", v}, nil
	case u.Email == "":
		return sentence{"refused_no_email", v}, nil
	}
	user, found, err := r.users.byEmail(ctx, u.Email)
	v.User = mrkdwn.Code(user.Username)
	switch {
	case err != nil:
		return unknown(err, "refused_user_unknown", nil)
	case !found:
		return sentence{"refused_no_user", v}, nil
	case !user.Active, user.Bot:
		return sentence{"refused_inactive", v}, nil
	}
	role, err := r.cfg.GitLab.MemberRole(ctx, on.Project, user.ID)
	if err != nil {
		return unknown(err, "refused_role_unknown", "")
	}
	v.Does = does
	if does == chatops.ButtonErase && on.Owner == user.ID {
		open, refusal, err := r.isUnprotected(ctx, on)
		if err != nil || refusal != nil {
			return refusal, err
		}
		if open {
			need, v.Own = ownJob, true
		}
	}
	if does == chatops.ButtonCancel {
		refusal, err := r.cancels(ctx, on.Project, &need)
		if err != nil || refusal != nil {
			return refusal, err
		}
	}
	if role < need.role {
		v.Needs, v.Has = need.role.String(), role.String()
		return sentence{"refused_role", v}, nil
	}
	if !need.protected {
		return nil, nil
	}
	if refusal, err := r.onProtected(ctx, on, user, role); refusal != nil || err != nil || on.Upstream == nil {
		return refusal, err
	}
	refusal, err = r.asGitLabUser(ctx, u, *on.Upstream, need, does)
	if refusal == nil || err != nil {
		return nil, err
	}
	return both{sentence{"refused_upstream", nil}, refusal}, nil
}

// cancels raises what a cancel needs to the project's minimum role to cancel a pipeline or a
// job, which GitLab shows to Maintainers; a refusal says that nobody may.
func (r *Rights) cancels(ctx context.Context, project int64, need *requirement) (refusal chatops.Refusal, err error) {
	p, err := r.cfg.GitLab.Project(ctx, strconv.FormatInt(project, 10))
	switch {
	case apierror.IsHidden(err): // the role tells that, too
		return nil, nil
	case err != nil:
		return unknown(err, "refused_role_unknown", "")
	case p.CancelRole == "":
		return nil, nil
	}
	least, is := gitlab.RoleNamed(p.CancelRole)
	if !is {
		return sentence{"refused_cancel", nil}, nil
	}
	need.role = max(need.role, least)
	return nil, nil
}

// userView is the data of refusals of users.
type userView struct {
	Operators  string // user groups in Slack; "": none
	User       string // the name in GitLab, as code
	Does       string // what the person wants to do: a constant of chatops
	Own        bool   // to a job of their own
	Needs, Has string // roles
}

// sentence is a refusal, or a part of one: a block of package words and its data.
type sentence struct {
	block string
	data  any
}

// Text implements chatops.Refusal.
func (s sentence) Text(in words.Style) (string, error) { return in.Say(s.block, s.data) }

// both are two refusals, one after the other.
type both [2]chatops.Refusal

// Text implements chatops.Refusal.
func (b both) Text(in words.Style) (string, error) {
	first, err1 := b[0].Text(in)
	second, err2 := b[1].Text(in)
	return first + "\n" + second, errors.Join(err1, err2)
}

// failure is the data of a refusal because a lookup has failed.
type failure struct {
	Of    any    // what was looked up
	Error string // why, in mrkdwn
}

// unknown returns the error of a lookup, if it passes; else a refusal that says why it
// failed.
func unknown(err error, block string, of any) (refusal chatops.Refusal, _ error) {
	if event.Transient(err) || event.Unavailable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return sentence{block, failure{of, quoted(err)}}, nil
}

// quoted returns an error as it can stand in a refusal.
func quoted(err error) string { return mrkdwn.Brief(err.Error(), 300) }

// CheckOperator returns what is wrong with the name of an operators' user group; nil for
// nothing: it is a handle, such as @ci-ops, or an id, such as S0123ABCD.
func CheckOperator(name string) error {
	handle, isHandle := strings.CutPrefix(name, "@")
	if isHandle && handle != "" && !strings.ContainsAny(handle, " @,") || isGroupID(name) {
		return nil
	}
	return fmt.Errorf("%q is no user group in Slack: write its handle, like @ci-ops, or its id, like S0123ABCD", name)
}

// isGroupID reports whether a name is the id of a user group.
func isGroupID(name string) bool {
	return len(name) > 6 && name[0] == 'S' && !slices.ContainsFunc([]rune(name), func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}
