package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/doctor/permissions"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

const newToken = "give another token as PIPESTEWARD_GITLAB_TOKEN, or in the file that PIPESTEWARD_GITLAB_TOKEN_FILE names"

// checkTokenValid tells whether GitLab takes the token, and whose it is.
func checkTokenValid(ctx context.Context, x *exam) []Finding {
	user, err := x.tokenUser(ctx)
	switch {
	case x.TokenErr != nil:
		return one(Problem, oneLine(x.TokenErr), "")
	case refusesToken(err):
		return one(Problem, "GitLab refuses the access token: "+apierror.Words(err),
			"check that it is whole, not expired and not revoked, and that its user is active; "+newToken)
	case !answered(err):
		return notChecked(err)
	case err != nil:
		return one(Unknown, "GitLab takes the token, but does not show whose it is: "+apierror.Words(err), "give a token with the scope api")
	}
	return ok("valid: " + kindOf(user))
}

// kindOf names the kind of a token by its user: GitLab makes one for each project or
// group access token (project_5_bot_…).
func kindOf(user gitlab.TokenUser) string {
	kind := "personal access token"
	switch {
	case strings.HasPrefix(user.Username, "project_") && strings.Contains(user.Username, "_bot"):
		kind = "project access token"
	case strings.HasPrefix(user.Username, "group_") && strings.Contains(user.Username, "_bot"):
		kind = "group access token"
	case user.Bot:
		kind = "token of a bot"
	}
	if user.Admin {
		kind += " of an administrator"
	}
	return kind + ", @" + user.Username
}

// checkTokenScopes tells what the token may do, whatever the rights of its user.
func checkTokenScopes(ctx context.Context, x *exam) []Finding {
	token, err := x.accessToken(ctx)
	e := failureOf(err)
	switch {
	case err == nil:
	case e != nil && e.Final(404):
		return one(Note, "this GitLab does not show the scopes of a token (15.5 and later do)", "")
	default:
		return notChecked(err)
	}
	switch {
	case token.FineGrained:
		return checkPermissions(x, token)
	case token.May("api"):
		return ok("scope api")
	case token.May("read_api"):
		return one(Problem, "the access token lacks the scope api: it has "+strings.Join(token.Scopes, ", ")+", with which GitLab refuses every action",
			"make a token with the scope api; "+newToken)
	}
	return one(Problem, "the access token lacks the scope api: it has "+strings.Join(token.Scopes, ", "), "make a token with the scope api; "+newToken)
}

// checkPermissions tells which permissions a fine-grained token lacks.
func checkPermissions(x *exam, token gitlab.AccessToken) []Finding {
	found := testReports(x)
	if len(token.Grants) == 0 {
		return append(found, one(Unknown, "fine-grained, and GitLab does not show its permissions", `give it "Personal Access Token: Read" too, or see the table of permissions in deploy/README.md`)...)
	}
	lacking := map[Severity][]string{}
	for _, p := range permissions.Missing(token, x.uses) {
		s := Problem
		switch {
		case p.Need == permissions.EnsureHooks && !x.EnsuresHooks: // somebody may never call it
			s = Note
		case p.Optional:
			s = Warning
		}
		lacking[s] = append(lacking[s], fmt.Sprintf("%q (%s)", p.Title, p.Use))
	}
	for _, s := range []Severity{Problem, Warning, Note} {
		n := len(lacking[s])
		if n == 0 {
			continue
		}
		advice := "add to the token what is missing: GitLab makes a new one for that; " + newToken
		if s == Note {
			advice = "before `pipesteward hooks ensure`, or for it alone, make a token that has them"
		}
		found = append(found, Finding{
			Severity: s, Seen: fmt.Sprintf("fine-grained, and lacks %s: %s", english.PluralWord(n, "a permission", "permissions"), strings.Join(lacking[s], ", ")), Advice: advice,
		})
	}
	if len(found) == 0 {
		return ok("fine-grained, with the permissions that the rules need")
	}
	return found
}

// testReports tells that rules need what no permission of a fine-grained token covers
// (TestSuite is not in doc/auth/tokens/fine_grained_access_tokens_graphql.md).
func testReports(x *exam) []Finding {
	if x.Rules == nil || !x.Rules.Requests("tests") {
		return nil
	}
	return one(Problem, "fine-grained, and rules use tests(): GitLab shows the reports of tests to no such token, so that tests() is always empty", "make a token with the scope api; "+newToken)
}

// uses reports whether something is used that needs permissions of its own, or may be.
func (x *exam) uses(need string) bool {
	switch need {
	case permissions.EnsureHooks:
		return true
	case permissions.Buttons:
		return x.SlackApp.isOn()
	case permissions.MergeRequestDetails:
		return x.Rules == nil || x.Rules.Requests(need)
	case permissions.Note:
		return x.notifiesIn(event.ChannelMergeRequest)
	case permissions.Status:
		return x.notifiesIn(event.ChannelCommit)
	}
	return slices.Contains(x.verbs(), need)
}

// notifiesIn reports whether rules notify in a channel of GitLab, or may.
func (x *exam) notifiesIn(channel string) bool {
	if x.Rules == nil {
		return true
	}
	return slices.ContainsFunc(x.Rules.All(), func(r *rules.Rule) bool {
		return slices.ContainsFunc(r.Notify, func(n rules.Notify) bool {
			return n.Receiver == event.ReceiverGitLab && n.Channel.Source == channel
		})
	})
}

// verbs returns the verbs that the rules use.
func (x *exam) verbs() []string {
	var all []string
	if x.Rules == nil {
		return event.Verbs
	}
	for _, r := range x.Rules.All() {
		for _, verb := range r.Verbs() {
			if !slices.Contains(all, verb) {
				all = append(all, verb)
			}
		}
	}
	return all
}

// expiryWarning is how long before its expiry a token is warned of.
const expiryWarning = 14 * 24 * time.Hour

func checkTokenExpiry(ctx context.Context, x *exam) []Finding {
	token, err := x.accessToken(ctx)
	if err != nil {
		return notChecked(err)
	}
	if token.ExpiresAt.IsZero() {
		return ok("never expires")
	}
	left, day := token.ExpiresAt.Sub(x.Now()), token.ExpiresAt.Format(time.DateOnly)
	if left < expiryWarning {
		return one(Warning, fmt.Sprintf("the access token expires in %s, on %s", event.Coarse(max(left, 0)), day),
			"make a new one, or rotate it, and give it to Pipesteward before")
	}
	return ok(fmt.Sprintf("expires in %d days, on %s", int(left/(24*time.Hour)), day))
}
