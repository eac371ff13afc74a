package rights_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/store/storetest"
)

// searches returns how often GitLab was requested to find a user.
func (r *rig) searches() int { return r.gitlab.Count(http.MethodGet, "/users") }

// TestUsersAreRemembered: GitLab finds the user of an address once in a while; what the user
// may do is read for each request, so that who loses a right loses it at once.
func TestUsersAreRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, gitlabtest.Options{})
	on := chatops.Target{Project: r.project, AllEnvironments: true}
	p := r.person("developer", gitlabtest.Developer)
	for range 3 {
		r.wants(p, on, chatops.ButtonRetry, "")
	}
	if n := r.searches(); n != 1 {
		t.Errorf("the user is searched for %d times in a moment, want once", n)
	}
	r.person("developer", gitlabtest.Reporter)
	r.wants(p, on, chatops.ButtonRetry, "its role is Reporter")
	r.gitlab.AddAccount(gitlabtest.Account{
		User: gitlabtest.User{ID: 109, Username: "developer", Name: "developer"}, PublicEmail: "developer@example.com", State: "blocked", Roles: map[int64]gitlabtest.Role{r.project: gitlabtest.Developer},
	})
	r.wants(p, on, chatops.ButtonRetry, "its role is none")
	r.clock.Advance(9 * time.Minute)
	r.wants(p, on, chatops.ButtonRetry, "its role is none")
	if n := r.searches(); n != 1 {
		t.Errorf("the user is searched for %d times in 9 minutes, want once", n)
	}
	r.clock.Advance(time.Minute)
	r.wants(p, on, chatops.ButtonRetry, "is blocked")
	if n := r.searches(); n != 2 {
		t.Errorf("the user is searched for %d times in 10 minutes, want twice", n)
	}
	// Who may do nothing can mend that, and is looked up again soon.
	r.person("developer", gitlabtest.Developer)
	r.clock.Advance(20 * time.Second)
	r.wants(p, on, chatops.ButtonRetry, "")
	stranger := chatops.Person{UserID: r.slack.AddUser("new@example.com"), TeamID: slacktest.TeamID, Name: "new"}
	for range 3 {
		r.wants(stranger, on, chatops.ButtonRetry, "No user in GitLab shows your e-mail address")
	}
	r.gitlab.AddAccount(gitlabtest.Account{User: gitlabtest.User{ID: 7, Username: "new", Name: "new"}, PublicEmail: "New@example.com", Roles: map[int64]gitlabtest.Role{r.project: gitlabtest.Developer}})
	r.clock.Advance(20 * time.Second)
	r.wants(stranger, on, chatops.ButtonRetry, "")
}

// anybody is a Slack whose members have addresses like their ids.
type anybody struct{ rights.Slack }

func (anybody) User(_ context.Context, id string) (slack.User, error) {
	return slack.User{TeamID: slacktest.TeamID, Email: id + "@example.com"}, nil
}

func (anybody) Bot(context.Context) (slack.Bot, error) {
	return slack.Bot{TeamID: slacktest.TeamID}, nil
}

// directory is a GitLab that finds everybody, and answers when it is let go.
type directory struct {
	rights.GitLab
	searched chan string // has an item for each search
	free     chan struct{}
	fail     error
}

func (d *directory) UserByEmail(ctx context.Context, email string) (gitlab.User, bool, error) {
	d.searched <- email
	select {
	case <-d.free:
		return gitlab.User{ID: 1, Active: true}, true, d.fail
	case <-ctx.Done():
		return gitlab.User{}, false, ctx.Err()
	}
}

func (*directory) MemberRole(context.Context, int64, int64) (gitlab.Role, error) {
	return gitlab.Developer, nil
}

// TestUsersAreSearchedForOnce: all who wait for the same search share it, one who no longer
// waits ends it for nobody, an error is not remembered, and of too many addresses the one
// that ends first is forgotten.
func TestUsersAreSearchedForOnce(t *testing.T) {
	t.Parallel()
	in := &directory{searched: make(chan string, 2000), free: make(chan struct{})}
	clock := storetest.NewClock()
	may := rights.New(rights.Config{Slack: anybody{}, GitLab: in, Now: clock.Now})
	said := make(chan error, 2)
	ask := func(ctx context.Context, id string) {
		_, err := may.MayOn(ctx, chatops.Person{UserID: id, TeamID: slacktest.TeamID}, chatops.Target{Project: 1}, chatops.ButtonMute)
		said <- err
	}
	ctx, cancel := context.WithCancel(t.Context())
	go ask(ctx, "ada")
	<-in.searched
	cancel()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any longer: %v", err)
	}
	go ask(t.Context(), "ada")
	close(in.free)
	if err := <-said; err != nil {
		t.Error(err)
	}
	if n := len(in.searched); n != 0 {
		t.Errorf("%d more searches, want none", n)
	}

	in.fail = context.DeadlineExceeded
	for range 2 {
		if ask(t.Context(), "bob"); <-said == nil {
			t.Error("no error, want that of GitLab")
		}
	}
	if n := len(in.searched); n != 2 {
		t.Errorf("%d searches that fail, want 2", n)
	}
	in.fail = nil
	must := func(id string) {
		t.Helper()
		if ask(t.Context(), id); <-said != nil {
			t.Error("an error")
		}
	}
	for i := range 1000 {
		clock.Advance(time.Millisecond)
		must(fmt.Sprint("u", i))
	}
	for _, c := range []struct {
		id   string
		want int
	}{{"u0", 0}, {"u999", 0}, {"ada", 1}} {
		before := len(in.searched)
		if must(c.id); len(in.searched)-before != c.want {
			t.Errorf("%d searches for %s after 1,000 others, want %d", len(in.searched)-before, c.id, c.want)
		}
	}
}
