package rights_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Slack and a GitLab with what tells who may do what in them.
type rig struct {
	*testing.T
	rights  *rights.Rights
	slack   *slacktest.Server
	gitlab  *gitlabtest.Server
	client  *gitlab.Client
	clock   *storetest.Clock
	project int64
}

func newRig(t *testing.T, gitlabOptions gitlabtest.Options, operators ...string) *rig {
	t.Helper()
	return newRigIn(t, func(s rights.Slack) rights.Slack { return s }, gitlabOptions, operators...)
}

// newRigIn is newRig with another way to Slack.
func newRigIn(t *testing.T, through func(rights.Slack) rights.Slack, gitlabOptions gitlabtest.Options, operators ...string) *rig {
	t.Helper()
	r := &rig{T: t, clock: storetest.NewClock()}
	gitlabOptions.Now = r.clock.Now
	r.gitlab = gitlabtest.Start(t, gitlabOptions)
	var err error
	if r.slack, err = slacktest.New(slacktest.Options{Now: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.slack.Close() })
	people, err := slack.NewReader(slack.Config{Token: "xoxb-1", APIURL: r.slack.URL(), Now: r.clock.Now, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	users, err := gitlab.New(gitlab.Config{
		BaseURL: r.gitlab.URL(), Token: gitlabtest.DefaultToken, Now: r.clock.Now, Transport: transport,
		Sleep: func(_ context.Context, d time.Duration) error { r.clock.Advance(d); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.client = users
	r.rights = rights.New(rights.Config{Slack: through(people), GitLab: users, Operators: operators, Now: r.clock.Now})
	r.project = r.gitlab.AddProject(gitlabtest.Project{
		Path: "platform/shop", ProtectedRefs: []string{"main", "release/*"}, DevelopersMerge: []string{"release/*", "release/1"}, ProtectedTags: []string{"v*"},
		ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Maintainer}, "staging": {gitlabtest.Developer}},
	}).ID
	return r
}

// person adds a person with an account in GitLab and a role in the project.
func (r *rig) person(name string, role gitlabtest.Role) chatops.Person {
	id := r.slack.AddPerson(slacktest.Person{Name: name, Email: name + "@example.com"})
	r.gitlab.AddAccount(gitlabtest.Account{
		User: gitlabtest.User{ID: int64(100 + len(name)), Username: name, Name: name}, PublicEmail: name + "@example.com", Roles: map[int64]gitlabtest.Role{r.project: role},
	})
	return chatops.Person{UserID: id, TeamID: slacktest.TeamID, Name: name}
}

// in returns an environment, as the only one.
func in(name, tier string) []event.Environment { return []event.Environment{{Name: name, Tier: tier}} }

// text returns a refusal in English; "" for none.
func (r *rig) text(refusal chatops.Refusal) string {
	if refusal == nil {
		return ""
	}
	text, err := refusal.Text(words.Plain)
	if err != nil {
		r.Error(err)
	}
	return text
}

// wants checks whether a person may do something: a refusal contains says, "" is none.
func (r *rig) wants(p chatops.Person, on chatops.Target, does, says string) {
	r.Helper()
	refused, err := r.rights.MayOn(r.Context(), p, on, does)
	refusal := r.text(refused)
	if err != nil || (refusal == "") != (says == "") || !strings.Contains(refusal, says) {
		r.Errorf("%s may %s on %+v: %q, %v; want %q", p.Name, does, on, refusal, err, says)
	}
}

// TestRoles: each role may do in Slack what it may do in GitLab.
func TestRoles(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	people := map[gitlabtest.Role]chatops.Person{
		gitlabtest.NoAccess: r.person("nobody", gitlabtest.NoAccess), gitlabtest.Reporter: r.person("reporter", gitlabtest.Reporter),
		gitlabtest.Developer: r.person("developer", gitlabtest.Developer), gitlabtest.Maintainer: r.person("maintainer", gitlabtest.Maintainer),
	}
	least := map[string]gitlabtest.Role{
		chatops.ButtonLog: gitlabtest.Developer, chatops.ButtonWhy: gitlabtest.Reporter,
		chatops.ButtonRetry: gitlabtest.Developer, chatops.ButtonPlay: gitlabtest.Developer, chatops.ButtonCancel: gitlabtest.Developer,
		chatops.ButtonMute:  gitlabtest.Developer,
		chatops.ButtonErase: gitlabtest.Maintainer, chatops.CommandPause: gitlabtest.Maintainer, chatops.CommandResume: gitlabtest.Maintainer,
	}
	needs := map[gitlabtest.Role]string{gitlabtest.Reporter: "the role Reporter", gitlabtest.Developer: "the role Developer", gitlabtest.Maintainer: "the role Maintainer"}
	for does, role := range least {
		for has, p := range people {
			says := needs[role]
			if has <= role { // the roles of the simulated GitLab begin with the highest one
				says = ""
			}
			r.wants(p, chatops.Target{Project: r.project, AllEnvironments: true}, does, says)
			r.wants(p, chatops.Target{}, does, "for all projects")
			r.wants(p, chatops.Target{Project: r.project + 1}, does, "the role")
		}
	}
	if refusal, err := r.rights.MayOn(t.Context(), people[gitlabtest.Maintainer], chatops.Target{Project: r.project}, "delete"); err == nil {
		t.Errorf("something unknown: %v", refusal)
	}
}

// TestProtected: a branch, a tag or an environment may be closed to somebody with the role.
func TestProtected(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	developer, maintainer := r.person("developer", gitlabtest.Developer), r.person("maintainer", gitlabtest.Maintainer)
	for _, c := range []struct {
		on   chatops.Target
		does string
		says string // to the Developer
	}{
		{chatops.Target{Ref: "feature"}, chatops.ButtonRetry, ""},
		{chatops.Target{Ref: "main"}, chatops.ButtonRetry, "may not push or merge to the branch `main`, which is protected"},
		{chatops.Target{Ref: "main"}, chatops.ButtonPlay, "may not push or merge to the branch `main`, which is protected"},
		{chatops.Target{Ref: "main"}, chatops.ButtonCancel, "may not push or merge to the branch `main`, which is protected"},
		{chatops.Target{Ref: "main"}, chatops.ButtonLog, ""},
		{chatops.Target{Ref: "main"}, chatops.ButtonMute, ""},
		{chatops.Target{Ref: "release/1"}, chatops.ButtonRetry, ""},
		{chatops.Target{Ref: "main", Tag: true}, chatops.ButtonRetry, ""},
		{chatops.Target{Ref: "v1", Tag: true}, chatops.ButtonRetry, "may not create the tag `v1`, which is protected"},
		{chatops.Target{Ref: "feature", Environments: in("staging", "")}, chatops.ButtonPlay, ""},
		{chatops.Target{Ref: "feature", Environments: in("review/1", "")}, chatops.ButtonPlay, ""},
		{chatops.Target{Ref: "feature", Environments: in("production", "")}, chatops.ButtonPlay, "may not deploy to the environment `production`, which is protected"},
		{chatops.Target{Ref: "feature", Environments: in("production", "")}, chatops.ButtonRetry, "may not deploy to the environment `production`, which is protected"},
		{chatops.Target{Ref: "feature"}, chatops.ButtonErase, "the role Maintainer"},
		{chatops.Target{Ref: "feature", Owner: 999}, chatops.ButtonErase, "the role Maintainer"},
		{chatops.Target{Ref: "feature", Owner: 109}, chatops.ButtonErase, ""},
		{chatops.Target{Ref: "main", Owner: 109}, chatops.ButtonErase, "the role Maintainer"},
		{chatops.Target{Owner: 109}, chatops.ButtonErase, "the role Maintainer"},
	} {
		c.on.Project, c.on.AllEnvironments = r.project, true
		r.wants(developer, c.on, c.does, c.says)
		r.wants(maintainer, c.on, c.does, "")
	}
	// Where GitLab does not show its protections to Pipesteward, the role counts.
	r.gitlab.SetRole(r.project, gitlabtest.Developer)
	for _, c := range []struct {
		on   chatops.Target
		says string // to the Developer
	}{
		{chatops.Target{}, ""},
		{chatops.Target{Ref: "feature"}, ""},
		{chatops.Target{Ref: "release/1"}, ""},
		{chatops.Target{Ref: "main"}, "may not push or merge to the branch `main`, which is protected"},
		{chatops.Target{Ref: "v1", Tag: true}, "does not tell Pipesteward who may create the tag `v1`"},
		{chatops.Target{Ref: "feature", Environments: in("staging", "")}, "who may deploy to the environment `staging`"},
	} {
		c.on.Project, c.on.AllEnvironments = r.project, true
		r.wants(developer, c.on, chatops.ButtonPlay, c.says)
		r.wants(maintainer, c.on, chatops.ButtonPlay, "")
	}
	r.gitlab.Fail(gitlabtest.Fault{Path: "/branches/feature", Status: 404, Message: "404 Branch Not Found", Times: 1})
	r.wants(developer, chatops.Target{Project: r.project, Ref: "feature"}, chatops.ButtonPlay, "who may push or merge to the branch `feature`")

	// GitLab's Free tier has no protected environments.
	free := newRig(t, gitlabtest.Options{Free: true})
	free.wants(free.person("developer", gitlabtest.Developer), chatops.Target{Project: free.project, Ref: "feature", Environments: in("production", ""), AllEnvironments: true}, chatops.ButtonPlay, "")
}

// TestEnvironmentNotKnown: GitLab's API does not tell to which environment a job deploys. Who
// may not deploy to all that are protected may not act on it.
func TestEnvironmentNotKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	on := chatops.Target{Project: r.project, Ref: "feature"}
	developer, maintainer := r.person("developer", gitlabtest.Developer), r.person("maintainer", gitlabtest.Maintainer)
	for _, does := range []string{chatops.ButtonRetry, chatops.ButtonPlay, chatops.ButtonCancel} {
		r.wants(developer, on, does, "does not tell which environments this deploys to, or a skipped job that runs after it, so you must be allowed to deploy to all that are protected. Your user in GitLab, `developer`, may not deploy to the environment `production`")
		r.wants(maintainer, on, does, "")
	}
	r.wants(developer, on, chatops.ButtonLog, "")
	open := r.gitlab.AddProject(gitlabtest.Project{Path: "platform/open", ProtectedEnvironments: map[string][]gitlabtest.Role{"staging": {gitlabtest.Developer}}}).ID
	r.project = open
	r.wants(r.person("developer", gitlabtest.Developer), chatops.Target{Project: open, Ref: "feature"}, chatops.ButtonPlay, "")

	hidden := newRig(t, gitlabtest.Options{})
	hidden.gitlab.SetRole(hidden.project, gitlabtest.Developer)
	hidden.wants(hidden.person("developer", gitlabtest.Developer), chatops.Target{Project: hidden.project, Ref: "feature"}, chatops.ButtonPlay, "who may deploy to the environments that this deploys to")
	free := newRig(t, gitlabtest.Options{Free: true})
	free.wants(free.person("developer", gitlabtest.Developer), chatops.Target{Project: free.project, Ref: "feature"}, chatops.ButtonPlay, "")
}

// TestSeveralEnvironments: who acts on jobs that deploy to several environments must be
// allowed to deploy to each of them; of more than are compared, to all that are protected.
func TestSeveralEnvironments(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	developer, maintainer := r.person("developer", gitlabtest.Developer), r.person("maintainer", gitlabtest.Maintainer)
	many := make([]event.Environment, 101)
	for i := range many {
		many[i].Name = fmt.Sprintf("review/%d", i)
	}
	for _, c := range []struct {
		all  []event.Environment
		says string // to the Developer
	}{
		{nil, ""},
		{slices.Concat(in("staging", ""), in("review/1", "development")), ""},
		{slices.Concat(in("staging", ""), in("production", "production")), "Your user in GitLab, `developer`, may not deploy to the environment `production`"},
		{many[:100], ""},
		{many, "This deploys to 101 environments, more than Pipesteward compares, so you must be allowed to deploy to all that are protected. Your user in GitLab, `developer`, may not deploy to the environment `production`"},
	} {
		on := chatops.Target{Project: r.project, Ref: "feature", Environments: c.all, AllEnvironments: true}
		r.wants(developer, on, chatops.ButtonRetry, c.says)
		r.wants(maintainer, on, chatops.ButtonRetry, "")
	}
}

// TestCancelRole: a project may require a higher role to cancel, or let nobody do so.
func TestCancelRole(t *testing.T) {
	t.Parallel()
	for least, says := range map[string]map[gitlabtest.Role]string{
		"":           {gitlabtest.Reporter: "needs the role Developer", gitlabtest.Developer: "", gitlabtest.Maintainer: ""},
		"maintainer": {gitlabtest.Developer: "needs the role Maintainer there; its role is Developer", gitlabtest.Maintainer: ""},
		"no_one":     {gitlabtest.Developer: "Nobody may cancel", gitlabtest.Maintainer: "Nobody may cancel"},
	} {
		r := newRig(t, gitlabtest.Options{}, "@ci-ops")
		r.slack.AddGroup("ci-ops", r.slack.AddUser("op@example.com"))
		r.project = r.gitlab.AddProject(gitlabtest.Project{Path: "platform/strict", CancelRole: least}).ID
		on := chatops.Target{Project: r.project, Ref: "feature", AllEnvironments: true}
		for role, refusal := range says {
			p := r.person(fmt.Sprintf("p%0*d", int(role)+1, 0), role)
			r.wants(p, on, chatops.ButtonCancel, refusal)
			if role != gitlabtest.Reporter {
				r.wants(p, on, chatops.ButtonRetry, "")
			}
		}
		r.gitlab.Fail(gitlabtest.Fault{Path: fmt.Sprintf("/projects/%d", r.project), Status: http.StatusForbidden, Times: 1})
		r.gitlab.SetRole(r.project, gitlabtest.Developer) // GitLab does not show it to the token's user
		r.wants(r.person("developer", gitlabtest.Developer), on, chatops.ButtonCancel, "")
	}
}

// TestUpstream: who runs jobs of a pipeline of another project, too, needs the rights there.
func TestUpstream(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	developer, maintainer := r.person("developer", gitlabtest.Developer), r.person("maintainer", gitlabtest.Maintainer)
	app, up := r.project, r.gitlab.AddProject(gitlabtest.Project{Path: "platform/app"}).ID
	on := chatops.Target{Project: app, Ref: "feature", AllEnvironments: true, Upstream: &chatops.Target{Project: up, Ref: "feature"}}
	r.wants(maintainer, on, chatops.ButtonRetry, "has triggered this one, and its skipped jobs may run then, too.\nTo retry jobs in this project, your user in GitLab, `maintainer`, needs the role Developer there; its role is none")
	r.wants(developer, on, chatops.ButtonLog, "")
	both := func(name string, id int64, role gitlabtest.Role) {
		r.gitlab.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: id, Username: name, Name: name}, PublicEmail: name + "@example.com", Roles: map[int64]gitlabtest.Role{app: role, up: role}})
	}
	both("developer", 109, gitlabtest.Developer)
	r.wants(developer, on, chatops.ButtonRetry, "")
	on.Upstream.Project = app // which protects an environment
	r.wants(developer, on, chatops.ButtonRetry, "has triggered this one")
}

// TestLost: who requested a decision loses the right to it with the role, and not because
// Slack or GitLab does not tell.
func TestLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	developer := r.person("developer", gitlabtest.Developer)
	pipeline := r.gitlab.AddPipeline(r.project, gitlabtest.Pipeline{Ref: "feature"}, gitlabtest.Job{Name: "rspec"})
	d := event.Decision{PressedOn: event.SourceWebhook, Action: event.Action{Verb: event.VerbRetry}, By: developer.Requester(), Event: event.Event{
		Meta: event.Meta{Kind: event.KindJob, Source: event.SourceButton}, Project: event.Project{ID: r.project}, Pipeline: event.Pipeline{ID: pipeline.ID, Ref: "feature"},
		Job: event.Job{Name: "rspec", Status: "failed"},
	}}
	may := rights.Acting{Rights: r.rights, GitLab: r.client}
	lost := func(says, failure string) {
		t.Helper()
		refusal, err := may.Lost(t.Context(), d.By, d)
		if (refusal == "") != (says == "") || !strings.Contains(refusal, says) || (err == nil) != (failure == "") || err != nil && !strings.Contains(err.Error(), failure) {
			t.Errorf("%q, %v; want %q, %q", refusal, err, says, failure)
		}
	}
	lost("", "")
	r.slack.SetScopes("chat:write")
	r.clock.Advance(time.Hour) // what Slack says of people is remembered for a while
	lost("", "users:read is missing")
	r.slack.SetScopes("users:read", "users:read.email", "usergroups:read")
	r.person("developer", gitlabtest.Reporter)
	lost("needs the role Developer there; its role is Reporter", "")
	r.gitlab.Fail(gitlabtest.Fault{Path: "/members/all/109", Status: 502, Times: 99})
	lost("", "502")
}

// TestGroupEnvironments: what a group protects is closed to those who have no role in it,
// whatever their role in the project is.
func TestGroupEnvironments(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	r.gitlab.AddGroup(gitlabtest.Group{Path: "apps", ProtectedEnvironments: map[string][]gitlabtest.Role{"production": {gitlabtest.Developer}}})
	r.gitlab.AddGroup(gitlabtest.Group{Path: "hidden", NotOwner: true})
	people := map[string]chatops.Person{}
	account := func(name string, role gitlabtest.Role, inGroup map[string]gitlabtest.Role, projects ...int64) {
		people[name] = chatops.Person{UserID: r.slack.AddPerson(slacktest.Person{Name: name, Email: name + "@example.com"}), TeamID: slacktest.TeamID, Name: name}
		roles := map[int64]gitlabtest.Role{}
		for _, id := range projects {
			roles[id] = role
		}
		r.gitlab.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: int64(300 + len(people)), Username: name, Name: name}, PublicEmail: name + "@example.com", Roles: roles, GroupRoles: inGroup})
	}
	shop, other := r.gitlab.AddProject(gitlabtest.Project{Path: "apps/web/shop"}).ID, r.gitlab.AddProject(gitlabtest.Project{Path: "hidden/shop"}).ID
	account("developer", gitlabtest.Developer, nil, shop, other)
	account("maintainer", gitlabtest.Maintainer, nil, shop, other)
	account("member", gitlabtest.Developer, map[string]gitlabtest.Role{"apps": gitlabtest.Developer}, shop, other)
	const closed, hidden = "may not deploy to environments of the tier `production` in the group `apps`, which is protected", "does not tell Pipesteward who may deploy to"
	for _, c := range []struct {
		on                            chatops.Target
		developer, maintainer, member string // what is said to them
	}{
		{chatops.Target{Project: shop, AllEnvironments: true}, "", "", ""},
		{chatops.Target{Project: shop, Environments: in("qa", "testing"), AllEnvironments: true}, "", "", ""},
		{chatops.Target{Project: shop, Environments: in("eu", "production"), AllEnvironments: true}, closed, closed, ""},
		{chatops.Target{Project: shop, Environments: in("eu", ""), AllEnvironments: true}, closed, closed, ""}, // GitLab did not send the tier
		{chatops.Target{Project: shop}, closed, closed, ""},
		{chatops.Target{Project: other, AllEnvironments: true}, "", "", ""},
		{chatops.Target{Project: other, Environments: in("eu", "production"), AllEnvironments: true}, hidden, "", hidden},
		{chatops.Target{Project: other}, hidden, "", hidden},
	} {
		c.on.Ref = "feature"
		r.wants(people["developer"], c.on, chatops.ButtonPlay, c.developer)
		r.wants(people["maintainer"], c.on, chatops.ButtonPlay, c.maintainer)
		r.wants(people["member"], c.on, chatops.ButtonPlay, c.member)
	}
}

// TestWhoIsRefused: a role in GitLab is not enough for some.
func TestWhoIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{}, "@ci-ops")
	group := r.slack.AddGroup("ci-ops")
	for name, c := range map[string]struct {
		inSlack  slacktest.Person
		account  gitlabtest.Account
		team     string
		says     string
		operator string // to an operator; "": an operator may
	}{
		"of another workspace":         {inSlack: slacktest.Person{Team: "T2"}, team: "T2", says: "you are of another one", operator: "you are of another one"},
		"who says another workspace":   {team: "T2", says: "you are of another one", operator: "you are of another one"},
		"of another workspace, hidden": {inSlack: slacktest.Person{Team: "T2"}, says: "you are of another one", operator: "you are of another one"},
		"a stranger":                   {inSlack: slacktest.Person{Stranger: true}, says: "you are of another one", operator: "you are of another one"},
		"a guest":                      {inSlack: slacktest.Person{Guest: true}, says: "Guests", operator: "Guests"},
		"a guest of one channel":       {inSlack: slacktest.Person{OneChannel: true}, says: "Guests", operator: "Guests"},
		"a bot":                        {inSlack: slacktest.Person{Bot: true}, says: "Bots", operator: "Bots"},
		"deactivated":                  {inSlack: slacktest.Person{Deleted: true}, says: "deactivated", operator: "deactivated"},
		"without a confirmed address":  {inSlack: slacktest.Person{Unproven: true}, says: "confirmed e-mail"},
		"blocked in GitLab":            {account: gitlabtest.Account{State: "blocked"}, says: "is blocked"},
		"a bot in GitLab":              {account: gitlabtest.Account{Bot: true}, says: "or a bot"},
		"not public in GitLab":         {account: gitlabtest.Account{PublicEmail: "another@example.com"}, says: "public e-mail in your profile"},
		"not approved in GitLab":       {account: gitlabtest.Account{Awaiting: true}, says: "the role Developer there; its role is none"},
	} {
		email := strings.NewReplacer(" ", ".", ",", "").Replace(name) + "@example.com"
		c.inSlack.Name, c.inSlack.Email = name, email
		p := chatops.Person{UserID: r.slack.AddPerson(c.inSlack), TeamID: slacktest.TeamID, Name: name}
		if c.team != "" {
			p.TeamID = c.team
		}
		if c.account.PublicEmail == "" {
			c.account.PublicEmail = email
		}
		c.account.User = gitlabtest.User{ID: int64(500 + len(email)), Username: "u" + p.UserID, Name: name}
		c.account.Roles = map[int64]gitlabtest.Role{r.project: gitlabtest.Maintainer}
		r.gitlab.AddAccount(c.account)
		r.slack.SetMembers(group)
		r.clock.Advance(3 * time.Minute)
		r.wants(p, chatops.Target{Project: r.project}, chatops.ButtonRetry, c.says)
		r.slack.SetMembers(group, p.UserID)
		r.clock.Advance(3 * time.Minute)
		r.wants(p, chatops.Target{Project: r.project}, chatops.ButtonRetry, c.operator)
		// Who is no full member is refused before GitLab is asked anything; others only with it.
		before := len(r.gitlab.Requests())
		refused, err := r.rights.Outsider(t.Context(), p)
		refusal := r.text(refused)
		if err != nil || refusal != "" != (c.operator != "") || !strings.Contains(refusal, c.operator) || len(r.gitlab.Requests()) != before {
			t.Errorf("%s, as an outsider: %q, %v; want %q", name, refusal, err, c.operator)
		}
	}
	r.wants(chatops.Person{UserID: "U0", TeamID: slacktest.TeamID}, chatops.Target{Project: r.project}, chatops.ButtonLog, "Slack does not tell Pipesteward who you are")
}

func TestOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{}, "@ci-ops", "S0000000002")
	ada, ben, cy := r.slack.AddUser("ada@example.com"), r.slack.AddUser("ben@example.com"), r.slack.AddUser("cy@example.com")
	person := func(id string) chatops.Person { return chatops.Person{UserID: id, TeamID: slacktest.TeamID, Name: id} }
	first := r.slack.AddGroup("ci-ops", ada)
	r.slack.AddGroup("by-id", ben)
	for _, on := range []chatops.Target{{}, {Project: r.project, Ref: "main", Environments: in("production", "")}, {Project: 77}} {
		for _, does := range []string{chatops.CommandPause, chatops.ButtonErase, chatops.ButtonLog} {
			r.wants(person(ada), on, does, "")
			r.wants(person(ben), on, does, "")
		}
		r.wants(person(cy), on, chatops.CommandPause, "join a user group of operators in Slack (@ci-ops, S0000000002)")
	}
	if n := r.slack.Calls("usergroups.users.list"); n != 2 {
		t.Errorf("the members are read %d times in a moment, want once for each of 2 groups", n)
	}
	// Who is removed is no operator soon.
	r.slack.SetMembers(first, cy)
	r.clock.Advance(3 * time.Minute)
	r.wants(person(ada), chatops.Target{}, chatops.CommandPause, "Only operators")
	r.wants(person(cy), chatops.Target{}, chatops.CommandPause, "")

	missing := newRig(t, gitlabtest.Options{}, "@nowhere", "S0000000001")
	dev := missing.person("developer", gitlabtest.Developer)
	missing.slack.AddGroup("by-id", missing.slack.AddUser("ada@example.com"))
	missing.wants(dev, chatops.Target{}, chatops.CommandPause, "there is no user group @nowhere in Slack")
	missing.wants(dev, chatops.Target{Project: missing.project}, chatops.ButtonLog, "")
	missing.wants(person("U0000000101"), chatops.Target{}, chatops.CommandPause, "") // by the group that there is
}

// slowSlack is a Slack whose groups are not answered until they are let go.
type slowSlack struct {
	rights.Slack
	known chan struct{} // has an item for each person who was looked up
	asked chan struct{} // has an item for each question about a group
	free  chan struct{} // closed: answer
}

func (s slowSlack) User(ctx context.Context, id string) (slack.User, error) {
	u, err := s.Slack.User(ctx, id)
	s.known <- struct{}{}
	return u, err
}

func (s slowSlack) GroupMembers(ctx context.Context, id string) ([]string, error) {
	s.asked <- struct{}{}
	select {
	case <-s.free:
		return s.Slack.GroupMembers(ctx, id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestSlowGroups: who waits for Slack holds up nobody else, the groups are read once for all
// who wait, and each waits no longer than wanted.
func TestSlowGroups(t *testing.T) {
	t.Parallel()
	slow := slowSlack{known: make(chan struct{}, 9), asked: make(chan struct{}, 9), free: make(chan struct{})}
	r := newRigIn(t, func(s rights.Slack) rights.Slack { slow.Slack = s; return slow }, gitlabtest.Options{}, "S0000000001")
	p := chatops.Person{UserID: r.slack.AddUser("ada@example.com"), TeamID: slacktest.TeamID, Name: "ada"}
	r.slack.AddGroup("ci-ops", p.UserID)
	said := make(chan error, 2)
	ask := func(ctx context.Context) {
		_, err := r.rights.MayOn(ctx, p, chatops.Target{}, chatops.CommandPause)
		said <- err
	}
	go ask(t.Context())
	<-slow.asked // the first one waits for Slack
	<-slow.known
	ctx, cancel := context.WithCancel(t.Context())
	go ask(ctx)
	<-slow.known // the second one waits for the first one
	cancel()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Fatalf("who does not wait any longer: %v", err)
	}
	go ask(t.Context())
	close(slow.free)
	for range 2 {
		if err := <-said; err != nil {
			t.Error(err)
		}
	}
	if n := len(slow.asked); n != 0 {
		t.Errorf("the group was read %d times more", n)
	}
}

// TestFailureIsRemembered: while a group can't be read, Slack is not asked for each press.
func TestFailureIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{}, "S0000000001")
	p := r.person("developer", gitlabtest.Developer)
	for range 3 {
		r.wants(p, chatops.Target{}, chatops.CommandPause, "Whether you are an operator is not known")
	}
	if n := r.slack.Calls("usergroups.users.list"); n != 1 {
		t.Errorf("a group that there is not is read %d times in a moment", n)
	}
	r.slack.AddGroup("ci-ops", p.UserID)
	r.clock.Advance(10 * time.Second)
	r.wants(p, chatops.Target{}, chatops.CommandPause, "")
}

// TestWithoutAnAnswer: what can't be found out now permits nothing, and refuses nothing.
func TestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*rig){
		"no workspace": func(r *rig) { r.slack.Fail(slacktest.Fault{Method: "auth.test", Status: 503, Times: 9}) },
		"no user": func(r *rig) {
			r.slack.Fail(slacktest.Fault{Method: "users.info", Status: 429, RetryAfter: time.Minute})
		},
		"no groups": func(r *rig) {
			r.slack.Fail(slacktest.Fault{Method: "usergroups.list", Error: "internal_error", Times: 9})
		},
		"no GitLab user": func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Path: "/users", Status: 502, Times: 99}) },
		"no profile":     func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Path: "/users/108", Status: 502, Times: 99}) },
		"no role":        func(r *rig) { r.gitlab.Fail(gitlabtest.Fault{Path: "/members/all/108", Status: 500, Times: 99}) },
	} {
		r := newRig(t, gitlabtest.Options{}, "@ci-ops")
		r.slack.AddGroup("ci-ops")
		p := r.person("reporter", gitlabtest.Reporter)
		fail(r)
		if refusal, err := r.rights.MayOn(t.Context(), p, chatops.Target{Project: r.project}, chatops.ButtonRetry); err == nil || refusal != nil {
			t.Errorf("%s: %v, %v; want an error", name, refusal, err)
		}
	}
	// What a person must mend is said.
	for name, c := range map[string]struct {
		fail func(*rig)
		says string
	}{
		"no scope":   {func(r *rig) { r.slack.SetScopes("chat:write") }, "users:read is missing"},
		"no address": {func(r *rig) { r.slack.SetScopes("users:read", "usergroups:read") }, "users:read.email"},
		"no groups":  {func(r *rig) { r.slack.SetScopes("users:read", "users:read.email") }, "usergroups:read is missing"},
		"no right": {func(r *rig) {
			r.gitlab.Fail(gitlabtest.Fault{Path: "/users", Status: 403, Times: 99})
		}, "does not let Pipesteward look you up"},
	} {
		r := newRig(t, gitlabtest.Options{}, "@ci-ops")
		p := r.person("reporter", gitlabtest.Reporter)
		c.fail(r)
		refused, err := r.rights.MayOn(t.Context(), p, chatops.Target{Project: r.project}, chatops.ButtonRetry)
		refusal := r.text(refused)
		if err != nil || !strings.Contains(refusal, c.says) {
			t.Errorf("%s: %q, %v; want %q", name, refusal, err, c.says)
		}
	}
}

func TestCheckOperator(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"@ci-ops": true, "S0123ABCD": true, "ci-ops": false, "@": false, "@two words": false, "": false, "U0123ABCD": false, "#ci": false} {
		if err := rights.CheckOperator(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
