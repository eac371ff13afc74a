package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
)

// SlackApp is how buttons and commands come from Slack, and who may do everything by them.
type SlackApp struct {
	Signed    bool     // Slack posts them, signed
	Token     string   // the app-level token of Socket Mode; "": they do not come by it
	Operators []string // user groups
	Err       error    // what is wrong with these settings; nil: nothing
}

// isOn reports whether buttons and commands come at all.
func (a SlackApp) isOn() bool { return a.Signed || a.Token != "" }

// scopes returns the scopes by which it is found out who somebody is.
func (a SlackApp) scopes() []slackScope {
	if !a.isOn() {
		return nil
	}
	all := []slackScope{{"users:read", "nobody may use buttons and commands"}, {"users:read.email", "only operators may use buttons and commands"}}
	if len(a.Operators) > 0 {
		all = append(all, slackScope{"usergroups:read", "nobody is an operator of --slack-operators"})
	}
	return all
}

// checkSlackApp tells whether Slack's buttons and commands can come, and whether the groups
// of operators exist.
func checkSlackApp(ctx context.Context, x *exam) []Finding {
	app := x.SlackApp
	switch {
	case app.Err != nil:
		return one(Problem, oneLine(app.Err), "")
	case !app.isOn():
		return ok("buttons and commands are off: neither --slack-signing-secret nor --slack-app-token is set")
	}
	if _, err := x.theBot(ctx); err != nil {
		return slackNotChecked(err)
	}
	var found []Finding
	if app.Token != "" {
		switch err := x.Slack.OpenConnection(ctx, app.Token); {
		case ctx.Err() != nil:
			return notChecked(ctx.Err())
		case err != nil:
			found = append(found, ofSlack(err, "--slack-app-token: Slack opens no connection for it")...)
		}
	}
	_, missing, err := rights.GroupIDs(ctx, x.Slack, app.Operators)
	if err != nil {
		found = append(found, ofSlack(err, "the user groups of --slack-operators can't be read")...)
	}
	if len(missing) > 0 {
		found = append(found, one(Problem, "--slack-operators names "+strings.Join(missing, ", ")+", and Slack has no such user group", "correct the handle, or create the group in Slack")...)
	}
	for _, id := range app.Operators {
		if strings.HasPrefix(id, "@") {
			continue
		}
		if _, err := x.Slack.GroupMembers(ctx, id); err != nil {
			found = append(found, ofSlack(err, "--slack-operators: the members of "+id+" can't be read")...)
		}
	}
	switch {
	case len(found) > 0:
		return found
	case len(app.Operators) == 0:
		return one(Note, "buttons and commands can be used by those whom GitLab shows by their public e-mail address, and nobody may pause all", "name a user group in Slack with --slack-operators")
	}
	return ok("buttons and commands can come, and " + strings.Join(app.Operators, ", ") + " may do everything")
}

// ofSlack returns the finding of a call that Slack refuses or does not answer.
func ofSlack(err error, what string) []Finding {
	refused, is := errors.AsType[*slack.Error](err)
	if !is {
		return notChecked(err)
	}
	if _, passing := refused.Again(); passing {
		return slackNotChecked(err)
	}
	return one(Problem, fmt.Sprintf("%s: %s", what, refused.Code), refused.Advice())
}
