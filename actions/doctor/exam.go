package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/store"
)

// Config is what is checked. What could not be made has the reason instead; what is
// not there at all, and has none, is not wanted.
type Config struct {
	// SettingErrs are of settings that no other check is about, and with which `serve` does
	// not start.
	SettingErrs []error
	// NoSettings say which environment variables look like settings and are none.
	NoSettings []string

	GitLab    *gitlab.Client
	GitLabErr error
	// TokenErr says why the access token can't be used, and what to do; GitLab's requests
	// then carry none.
	TokenErr error
	Rate     store.Rate // of requests to GitLab

	Rules       *rules.Rules
	RulesErr    error
	RulesUnread bool // RulesErr is of reading the files
	Warnings    int  // about the rules
	DryRun      bool // of the process

	Only     []string // entries of projects to which the checks are limited; none: no limit
	Projects []string // entries of --projects

	Webhook       hooks.Wanted // that projects are to have
	WebhookErr    error        // what is wrong with the settings of deliveries; nil: nothing
	WebhookTokens []string
	SigningTokens []string
	Insecure      bool // deliveries are not authenticated
	EnsuresHooks  bool // the service keeps webhooks in order (--ensure-hooks)

	Store    Store
	StoreErr error
	// Known lists the ids of the projects that ever sent an event; nil: that is not known.
	Known func(context.Context) ([]int64, error)
	// LeaveStore is called once no check needs the store any more; nil: nobody waits for
	// that.
	LeaveStore func() error

	Slack    *slack.Reader
	SlackErr error
	SlackApp SlackApp

	Server       Server // nil: none is checked
	ServerWanted bool   // it should be there
	Version      string // of this program

	Secrets []string // must appear in no finding
	Now     func() time.Time
	// Progress is called while checks read one project after the other, with the path of
	// the last one; nil: it is not.
	Progress func(done, of int, path string)
}

// Store is the part of the store that is checked.
type Store interface {
	Ping(ctx context.Context) error
	Describe(ctx context.Context) (store.Description, error)
}

// exam is one run of checks, with what several of them need.
type exam struct {
	Config
	redact func(string) string

	user        fact[gitlab.TokenUser]
	token       fact[gitlab.AccessToken]
	version     fact[gitlab.Version]
	memberships fact[map[int64]project]
	fleet       fact[fleet]
	hooks       fact[webhooks]
	outbound    fact[[]Finding]
	description fact[store.Description]
	known       fact[[]int64]
	bot         fact[slack.Bot]
	server      fact[ServerStatus]
}

// fact is a value that is read once.
type fact[T any] struct {
	read  bool
	value T
	err   error
}

// get returns the value, by read at the first time.
func (f *fact[T]) get(read func() (T, error)) (T, error) {
	if !f.read {
		f.value, f.err = read()
		f.read = true
	}
	return f.value, f.err
}

// minRedacted is the least length of the secrets that are redacted, in bytes: a shorter
// one, which is warned of, may be a word of any finding.
const minRedacted = 8

func newExam(cfg Config) *exam {
	x := &exam{Config: cfg}
	if x.Progress == nil {
		x.Progress = func(int, int, string) {}
	}
	long := slices.DeleteFunc(slices.Clone(cfg.Secrets), func(secret string) bool { return len(secret) < minRedacted })
	x.redact = redact.Known("[secret]", long...)
	return x
}

var (
	errNoGitLab = errors.New("there is no GitLab to check")
	errNoClient = errors.New("the settings for GitLab can't be used")
	errNoToken  = errors.New("there is no access token that can be used")
)

// notGitLabError is the answer of a server that is no GitLab.
type notGitLabError struct{ answer string }

func (e *notGitLabError) Error() string {
	return "this is not GitLab: it answers GET /api/v4/user with " + e.answer
}

// isNotGitLab reports whether another server than GitLab has answered the request for the
// token's user. GitLab knows that user, or refuses the token with 401 or 403 (lib/api/users.rb
// and lib/api/api_guard.rb in its source).
func isNotGitLab(err error) bool {
	e := failureOf(err)
	return answered(err) && e != nil && e.Status != http.StatusUnauthorized && e.Status != http.StatusForbidden
}

// tokenUser returns the token's user. Its error is the reason why GitLab can't be
// used, if it can't.
func (x *exam) tokenUser(ctx context.Context) (gitlab.TokenUser, error) {
	return x.user.get(func() (gitlab.TokenUser, error) {
		switch {
		case x.GitLabErr != nil:
			return gitlab.TokenUser{}, errNoClient // whose own check tells why
		case x.GitLab == nil:
			return gitlab.TokenUser{}, errNoGitLab
		}
		user, err := x.GitLab.TokenUser(ctx)
		if isNotGitLab(err) {
			return gitlab.TokenUser{}, &notGitLabError{apierror.Words(err)}
		}
		if x.TokenErr != nil && answered(err) { // the refusal of a request without a token
			err = errNoToken
		}
		return user, err
	})
}

// usable returns the reason why GitLab can't be used; nil if requests make sense.
func (x *exam) usable(ctx context.Context) error {
	_, err := x.tokenUser(ctx)
	if answered(err) && !refusesToken(err) {
		return nil
	}
	return err
}

// accessToken returns GitLab's description of the token.
func (x *exam) accessToken(ctx context.Context) (gitlab.AccessToken, error) {
	return x.token.get(func() (gitlab.AccessToken, error) {
		if err := x.usable(ctx); err != nil {
			return gitlab.AccessToken{}, err
		}
		return x.GitLab.AccessToken(ctx)
	})
}

// describe returns the description of the store.
func (x *exam) describe(ctx context.Context) (store.Description, error) {
	return x.description.get(func() (store.Description, error) {
		if x.StoreErr != nil {
			return store.Description{}, x.StoreErr
		}
		return x.Store.Describe(ctx)
	})
}

// knownProjects returns the ids of the projects that ever sent an event.
func (x *exam) knownProjects(ctx context.Context) ([]int64, error) {
	return x.known.get(func() ([]int64, error) {
		if x.Known == nil {
			return nil, nil
		}
		return x.Known(ctx)
	})
}

// leaveStore reads what later checks need of the store, and leaves it to others.
func (x *exam) leaveStore(ctx context.Context) []Finding {
	_, _ = x.knownProjects(ctx) // those who need them report the error
	if x.LeaveStore == nil {
		return nil
	}
	if err := x.LeaveStore(); err != nil {
		return []Finding{{Check: "store-open", Subject: SubjectStore, Severity: Problem, Seen: x.redact(firstLine(err))}}
	}
	return nil
}

// failureOf returns the error of a request to GitLab; nil if err is none.
func failureOf(err error) *apierror.Error {
	e, _ := errors.AsType[*apierror.Error](err)
	return e
}

// answered reports whether GitLab itself answered a request, be it with a refusal.
func answered(err error) bool {
	e := failureOf(err)
	return err == nil || e != nil && e.Status >= 400 && e.Status < 500 && e.Suspect != apierror.TroubleAnswers && !e.Limited()
}

// refusesToken reports whether GitLab refuses the token or its user.
func refusesToken(err error) bool {
	e := failureOf(err)
	return e != nil && (e.Suspect == apierror.TroubleToken || e.Trouble == apierror.TroubleToken)
}

// notChecked returns the finding of a check that an error prevents.
func notChecked(err error) []Finding {
	passing := event.Transient(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	return []Finding{{Severity: Unknown, Seen: "not checked, because " + reasonOf(err), Passing: passing}}
}

// reasonOf returns an error as part of a sentence.
func reasonOf(err error) string {
	e := failureOf(err)
	_, other := errors.AsType[*notGitLabError](err)
	switch {
	case other:
		return "--gitlab-url is not GitLab"
	case errors.Is(err, errNoGitLab), errors.Is(err, errNoClient), errors.Is(err, errNoToken), errors.Is(err, errNoServer), errors.Is(err, errNoRules):
		return err.Error()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "there was no time left"
	case e == nil:
		return "of an error: " + firstLine(err)
	case refusesToken(err):
		return "GitLab refuses the access token"
	case e.Deferred:
		return "a rate limit allows no request now"
	case !answered(err):
		return "GitLab can't be reached"
	case e.Rights(), e.Suspect == apierror.TroubleScope:
		return "the access token may not read this (" + apierror.Words(err) + ")"
	}
	return "GitLab answers " + apierror.Words(err)
}

// oneLine returns an error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// firstLine returns the first line of an error's text, with the next one if it ends
// with a colon.
func firstLine(err error) string {
	line, rest, more := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if more && strings.HasSuffix(line, ":") {
		var next string
		next, _, more = strings.Cut(rest, "\n")
		line += " " + strings.TrimSpace(next)
	}
	if more {
		line += " …"
	}
	return line
}
