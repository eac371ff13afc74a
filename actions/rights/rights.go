// Package rights decides who may do in Slack what Pipesteward does in GitLab. There are two
// ways, and either is enough: the members of the operators' user groups may do everything;
// anybody else may do what GitLab lets them do, where the person's e-mail address in Slack
// is one by which GitLab shows a user.
//
// A refusal is a sentence for the person. What can't be found out now is an error; nothing
// that is not known permits anything.
package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/rules/event"
)

// requirement is what a user must have in GitLab.
type requirement struct {
	to   string // what the person wants to do, for refusals
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
	chatops.ButtonLog:     {"see job logs", gitlab.Developer, false},
	chatops.ButtonWhy:     {"see jobs", gitlab.Reporter, false},
	chatops.ButtonRetry:   {"retry jobs", gitlab.Developer, true},
	chatops.ButtonPlay:    {"play jobs", gitlab.Developer, true},
	chatops.ButtonCancel:  {"cancel jobs", gitlab.Developer, true},
	chatops.ButtonErase:   {"erase jobs of others", gitlab.Maintainer, false},
	chatops.ButtonMute:    {"mute messages", gitlab.Developer, false},
	chatops.CommandPause:  {"pause actions", gitlab.Maintainer, false},
	chatops.CommandResume: {"resume actions", gitlab.Maintainer, false},
	chatops.CommandStatus: {"see the status", gitlab.Reporter, false},
}

// ownJob is what an erase requires of the user who started the job, unless its ref is
// protected.
var ownJob = requirement{"erase own jobs", gitlab.Developer, false}

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
// full members of the workspace. It asks Slack only. "" means that the person is a full member.
func (r *Rights) Outsider(ctx context.Context, p chatops.Person) (refusal string, err error) {
	_, refusal, err = r.member(ctx, p)
	return refusal, err
}

// member returns what Slack knows of a full member of the workspace, and a refusal for others.
func (r *Rights) member(ctx context.Context, p chatops.Person) (u slack.User, refusal string, err error) {
	bot, err := r.cfg.Slack.Bot(ctx)
	if err != nil {
		refusal, err = unknown(err, "Slack does not tell Pipesteward which workspace it is in")
		return slack.User{}, refusal, err
	}
	u, err = r.cfg.Slack.User(ctx, p.UserID)
	if err != nil {
		refusal, err = unknown(err, "Slack does not tell Pipesteward who you are")
		return slack.User{}, refusal, err
	}
	return u, outsider(p, u, bot), nil
}

// MayOn reports whether a person may do something to a job or in a project; a target without
// a project stands for all projects. does is a Button or Command constant of chatops. The
// refusal says what would give the right, as mrkdwn; "" means that the person may.
func (r *Rights) MayOn(ctx context.Context, p chatops.Person, on chatops.Target, does string) (refusal string, err error) {
	need, known := requirements[does]
	if !known {
		return "", fmt.Errorf("rights: nobody decided who may %q", does)
	}
	user, refusal, err := r.member(ctx, p)
	if err != nil || refusal != "" {
		return refusal, err
	}
	is, groupErr := r.operators.include(ctx, p.UserID)
	switch {
	case is:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	refusal, err = r.asGitLabUser(ctx, user, on, need, does)
	switch {
	case err != nil || refusal == "":
		return "", err
	case event.Transient(groupErr): // the person may be an operator
		return "", groupErr
	case groupErr != nil:
		return refusal + "\nWhether you are an operator is not known: " + sentence(groupErr), nil
	}
	return refusal, nil
}

// outsider refuses those who are no full members of the workspace; "" for others.
func outsider(p chatops.Person, u slack.User, bot slack.Bot) string {
	ours := func(team, enterprise string) bool {
		return team == bot.TeamID || bot.Enterprise != "" && enterprise == bot.Enterprise
	}
	switch {
	case u.Bot:
		return "Bots and workflows may not do this: a person must."
	case u.Deleted:
		return "Your Slack account is deactivated."
	case u.Stranger, !ours(u.TeamID, u.Enterprise), p.TeamID != u.TeamID && !ours(p.TeamID, u.Enterprise):
		return "Only members of the workspace " + mrkdwn.Title(bot.Team) + " may do this, and you are of another one."
	case u.Guest:
		return "Guests of the workspace may not do this: only its full members may."
	}
	return ""
}

// asGitLabUser refuses what GitLab would not let the person do; "" for the rest.
func (r *Rights) asGitLabUser(ctx context.Context, u slack.User, on chatops.Target, need requirement, does string) (refusal string, err error) {
	or := r.operators.orJoin()
	if on.Project == 0 {
		if or == "" {
			return "Nobody may do this for all projects from Slack, because --slack-operators names no user group.", nil
		}
		return "Only operators may do this for all projects" + or + ".", nil
	}
	if u.Email == "" {
		return "Slack does not tell Pipesteward your confirmed e-mail address, so it can't find you in GitLab: the Slack app needs the scopes users:read and users:read.email" + or + ".", nil
	}
	user, found, err := r.users.byEmail(ctx, u.Email)
	switch {
	case err != nil:
		return unknown(err, "GitLab does not let Pipesteward look you up")
	case !found:
		return "No user in GitLab shows your e-mail address of Slack: choose it as the public e-mail in your profile in GitLab" + or + ".", nil
	case !user.Active, user.Bot:
		return "Your user in GitLab, " + mrkdwn.Code(user.Username) + ", is blocked, deactivated or a bot.", nil
	}
	role, err := r.cfg.GitLab.MemberRole(ctx, on.Project, user.ID)
	if err != nil {
		return unknown(err, "GitLab does not tell Pipesteward your role in the project")
	}
	if does == chatops.ButtonErase && on.Owner == user.ID {
		open, refusal, err := r.isUnprotected(ctx, on)
		if err != nil || refusal != "" {
			return refusal, err
		}
		if open {
			need = ownJob
		}
	}
	if role < need.role {
		return fmt.Sprintf("To %s in this project, your user in GitLab, %s, needs the role %s there; its role is %s. A Maintainer of the project can give it%s.",
			need.to, mrkdwn.Code(user.Username), need.role, role, or), nil
	}
	if !need.protected {
		return "", nil
	}
	return r.onProtected(ctx, on, user, role)
}

// unknown returns the error of a lookup, if it passes; else a refusal that says why it
// failed.
func unknown(err error, what string) (refusal string, _ error) {
	if event.Transient(err) || event.Unavailable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "", err
	}
	return what + ": " + sentence(err), nil
}

// sentence returns an error as the end of a sentence, in mrkdwn.
func sentence(err error) string {
	return mrkdwn.Brief(err.Error(), 300) + "."
}

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
