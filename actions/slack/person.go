package slack

import (
	"context"
	"errors"

	slackapi "github.com/slack-go/slack"
)

// User is a person in Slack, by users.info (docs.slack.dev/reference/objects/user-object).
type User struct {
	ID         string
	Name       string // for people to read
	Email      string // "": Slack does not say it, or has not confirmed it
	TeamID     string // the workspace
	Enterprise string // the id of the organization; "": of none
	Bot        bool   // a bot, an app, or a workflow
	Deleted    bool   // deactivated
	Guest      bool
	Stranger   bool // of another organization
}

// User returns the user with an id. The token needs users:read, and users:read.email for
// the address.
func (r *Reader) User(ctx context.Context, id string) (User, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	u, err := r.api().GetUserInfoContext(ctx, id)
	if err == nil && (u == nil || u.ID != id) {
		err = errors.New("the answer is about no user, or another one")
	}
	if err != nil {
		return User{}, r.failed("users.info", "", err)
	}
	return personOf(u), nil
}

// personOf returns what counts of a user.
func personOf(u *slackapi.User) User {
	name := u.RealName
	if u.Profile.DisplayName != "" {
		name = u.Profile.DisplayName
	}
	email := ""
	if u.IsEmailConfirmed {
		email = u.Profile.Email
	}
	return User{
		ID: u.ID, Name: name, Email: email, TeamID: u.TeamID, Enterprise: u.Enterprise.EnterpriseID,
		Bot:     u.IsBot || u.IsAppUser || u.IsConnectorBot || u.IsWorkflowBot || u.ID == "USLACKBOT",
		Deleted: u.Deleted, Guest: u.IsRestricted || u.IsUltraRestricted, Stranger: u.IsStranger,
	}
}

// Groups returns the ids of the user groups, by their handles without '@'. The token needs
// usergroups:read.
func (r *Reader) Groups(ctx context.Context) (ids map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	all, err := r.api().GetUserGroupsContext(ctx)
	if err != nil {
		return nil, r.failed("usergroups.list", "", err)
	}
	ids = map[string]string{}
	for _, g := range all {
		ids[g.Handle] = g.ID
	}
	return ids, nil
}

// GroupMembers returns the ids of the users in a user group, which is named by its id. The
// token needs usergroups:read. Of a group that does not exist, the error's Code is
// no_such_subteam.
func (r *Reader) GroupMembers(ctx context.Context, id string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	members, err := r.api().GetUserGroupMembersContext(ctx, id)
	if err != nil {
		return nil, r.failed("usergroups.users.list", "", err)
	}
	return members, nil
}

// CheckAppToken returns what is wrong with an app-level token, as far as its text tells;
// nil for nothing.
func CheckAppToken(token string) error {
	if len(token) < len("xapp-") || token[:len("xapp-")] != "xapp-" {
		return errors.New("it is no app-level token: copy one that begins with xapp- from the app's page \"Basic Information\", with the scope connections:write")
	}
	return nil
}

// OpenConnection has Slack give an address of Socket Mode for an app-level token, which
// shows that the token can be used; nobody uses the address.
func (r *Reader) OpenConnection(ctx context.Context, appToken string) error {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	_, _, err := slackapi.New("", slackapi.OptionAppLevelToken(appToken), slackapi.OptionAPIURL(r.base.String()), slackapi.OptionHTTPClient(r.http)).StartSocketModeContext(ctx)
	if err != nil {
		e := r.failed("apps.connections.open", "", err)
		e.redact(appToken)
		if e.Everywhere() || e.Code == "missing_scope" {
			e.advice = "copy an app-level token (xapp-…) with the scope connections:write from the app's page \"Basic Information\" to --slack-app-token"
		}
		return e
	}
	return nil
}
