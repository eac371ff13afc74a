package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// A circuit breaker keeps requests back while GitLab as a whole can't be used:
// the token is refused, something else than GitLab answers, nobody answers, or
// the token's user has lost its rights in every project. No failure of one
// request opens it. It only makes a suspicion, which a request of the client's
// own, the probe, confirms or clears: the answer to a job that always ends in a
// 500, or to a request that a firewall blocks, is about that job or request.
//
//	         suspicion, and the probe fails
//	closed ────────────────────────────────► open ──┐ the probe fails: back off
//	   ▲                                     │  ▲───┘
//	   └──────────── the probe succeeds ─────┘
//
// A second breaker, for a token without the scope api, keeps back the requests
// that change something. No read tells on every version whether the scope is
// there by now, so one of those that wait is let through instead of a probe.

// TroubleKind says what keeps GitLab from being used.
type TroubleKind string

// The kinds of trouble.
const (
	TroubleToken   TroubleKind = "token"   // GitLab refuses the token, or its user
	TroubleScope   TroubleKind = "scope"   // the token may read only
	TroubleRights  TroubleKind = "rights"  // the token's user may change nothing in any project
	TroubleAnswers TroubleKind = "answers" // something else than GitLab answers
	TroubleDown    TroubleKind = "down"    // GitLab fails every request, or does not answer
)

// Trouble is what keeps GitLab from being used.
type Trouble struct {
	Kind   TroubleKind
	Since  time.Time
	Reason string // what the probe was answered, without a token
	Unsent int    // requests that were kept back because of it
}

// Advice says what a person can do about it.
func (t Trouble) Advice() string {
	switch t.Kind {
	case TroubleToken:
		return "check that the access token is right, not expired and not revoked, and that its user is active; then give the new one as PIPESTEWARD_GITLAB_TOKEN or in its file"
	case TroubleScope:
		return "give an access token with the scope api"
	case TroubleRights:
		return "make the token's user a member of the projects again, with the role Developer at least, Maintainer to erase"
	case TroubleAnswers:
		return "check --gitlab-url, and that no login page, proxy or firewall is between Pipesteward and GitLab"
	default:
		return "see whether GitLab is up, and can be reached from here"
	}
}

const (
	// suspicious is how many requests in a row, over suspiciousFor at least, fail in
	// a way that passes before the probe is sent.
	suspicious    = 5
	suspiciousFor = time.Minute
	// probeTimeout is how long the probe waits for its answer.
	probeTimeout = 10 * time.Second
	// probeCleared is how long a suspicion that was cleared is not looked at again.
	probeCleared = 10 * time.Second
	// rightsCleared is likewise for rights that were found.
	rightsCleared = time.Minute
	// Probes are sent less and less often.
	probeSoonest = time.Second
	probeLatest  = time.Minute
)

var errNoAnswer = fmt.Errorf("no answer within %s", probeTimeout)

// health is the state of both circuit breakers. All views of a client share it.
type health struct {
	now func() time.Time

	mu     sync.Mutex
	access breaker // keeps back all requests
	scope  breaker // keeps back those that change something
	reads  bool    // the scope breaker keeps back reads, too

	failures      int       // requests in a row that failed in a way that passes
	firstFailure  time.Time // the first of those
	cleared       time.Time // when a probe last succeeded
	rightsCleared time.Time // when a project was last found in which jobs can be run
	upSince       time.Time // when the access breaker last closed
}

// breaker is one circuit breaker: open while it has a trouble.
type breaker struct {
	trouble *Trouble
	next    time.Time // when the next probe, or a request instead, may go
	tries   int
	probing bool // one is under way
}

// due reports whether a probe may go now.
func (b *breaker) due(now time.Time) bool { return !b.probing && !now.Before(b.next) }

// permit reports whether the caller is to probe now: others may not meanwhile.
func (b *breaker) permit(now time.Time) bool {
	due := b.due(now)
	b.probing = b.probing || due
	return due
}

// fail opens the breaker, or keeps it open; the next probe goes later each time.
func (b *breaker) fail(now time.Time, kind TroubleKind, reason string) {
	if b.trouble == nil {
		b.trouble = &Trouble{Since: now}
	}
	b.trouble.Kind, b.trouble.Reason = kind, reason
	b.probing, b.next = false, now.Add(min(probeSoonest<<min(b.tries, 10), probeLatest))
	b.tries++
}

// hurry makes the next probe due: something was changed that may have mended the
// trouble.
func (h *health) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range []*breaker{&h.access, &h.scope} {
		b.next, b.tries = h.now(), 0
	}
}

// Trouble returns what keeps GitLab from being used, and whether anything does.
func (c *Client) Trouble() (t Trouble, is bool) {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.access.trouble != nil:
		return *h.access.trouble, true
	case h.scope.trouble != nil:
		return *h.scope.trouble, true
	}
	return Trouble{}, false
}

// UpSince returns when GitLab could last be used again after trouble; zero when
// there was none.
func (c *Client) UpSince() time.Time {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	return c.health.upSince
}

// Probe asks GitLab whether it can be used again, if it can't and the next probe
// is due. It returns ctx's error only.
func (c *Client) Probe(ctx context.Context) error {
	h := c.health
	h.mu.Lock()
	probe := false
	if h.access.trouble != nil {
		probe = h.access.permit(h.now())
	}
	h.mu.Unlock()
	if probe {
		c.probe(ctx, false)
	}
	return ctx.Err()
}

// Check asks GitLab whether it can be used, also while it can, and returns what
// Trouble does then. ok is false when it could not find out.
func (c *Client) Check(ctx context.Context) (t Trouble, is, ok bool) {
	h := c.health
	h.mu.Lock()
	busy := h.access.probing
	h.access.probing = true
	h.mu.Unlock()
	if !busy {
		ok = c.probe(ctx, false)
	}
	t, is = c.Trouble()
	return t, is, ok
}

// admit returns nil when r may be sent, or the *Error of a request that is not.
// While the access breaker is open, the first request that comes when the probe
// is due sends it.
func (c *Client) admit(ctx context.Context, r request) error {
	if r.probe {
		return nil
	}
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.access.trouble != nil {
		if h.access.permit(h.now()) {
			h.mu.Unlock()
			c.probe(ctx, false)
			h.mu.Lock()
		}
	}
	if h.access.trouble != nil {
		h.access.trouble.Unsent++
		return c.unsent(r, h.access)
	}
	if h.scope.trouble != nil && h.scoped(r) {
		if !h.scope.permit(h.now()) {
			h.scope.trouble.Unsent++
			return c.unsent(r, h.scope)
		}
	}
	return nil
}

// Writable returns the error that a request which changes something would have
// now, nil for none, and sends nothing: whoever would read much before it needs
// not.
func (c *Client) Writable() error {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range []breaker{h.access, h.scope} {
		if b.trouble != nil && !b.due(h.now()) {
			return c.unsent(request{method: http.MethodPost}, b)
		}
	}
	return nil
}

// scoped reports whether the scope breaker is about r.
func (h *health) scoped(r request) bool { return h.reads || r.method != http.MethodGet }

// unsent is the error of a request that a breaker keeps back; health is locked.
func (c *Client) unsent(r request, b breaker) *Error {
	wait := max(b.next.Sub(c.health.now()), probeSoonest)
	e := c.failed(r, 0, "not sent, because GitLab can't be used: "+b.trouble.Reason, wait, false)
	e.trouble, e.deferred = b.trouble.Kind, true
	return e
}

// settle learns from what came of a request that was sent, and makes its error
// one of GitLab as a whole where the probe confirms that.
func (c *Client) settle(ctx context.Context, r request, err error) {
	if r.probe {
		return
	}
	var e *Error
	known := err == nil || errors.As(err, &e) && !e.deferred
	switch c.health.learn(r, e, known) {
	case unsuspicious:
	case suspectAccess:
		c.probe(ctx, false)
	case suspectRights:
		c.probe(ctx, true)
	}
	if e == nil {
		return
	}
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.access.trouble; t != nil {
		e.trouble, e.After = t.Kind, max(e.After, h.access.next.Sub(h.now()), probeSoonest)
	}
}

// suspicion is what a probe is to find out.
type suspicion int

const (
	unsuspicious suspicion = iota
	suspectAccess
	suspectRights
)

// learn counts what came of a request, opens and closes the scope breaker, and
// gives what is to be probed. e is nil where the request succeeded; where nothing
// is known of it, it is only over.
func (h *health) learn(r request, e *Error, known bool) suspicion {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.scope.probing = h.scope.probing && !h.scoped(r)
	if !known {
		return unsuspicious
	}
	answered := e == nil || e.class != again || e.Limited() || e.Status == http.StatusConflict // by GitLab, about this request
	switch {
	case answered:
		h.failures = 0
	case h.failures == 0:
		h.failures, h.firstFailure = 1, now
	default:
		h.failures++
	}
	switch {
	case e != nil && e.suspect == TroubleScope:
		h.scope.fail(now, TroubleScope, e.Message)
		h.reads = h.reads || r.method == http.MethodGet
		e.trouble, e.After = TroubleScope, h.scope.next.Sub(now)
		return unsuspicious
	case answered && h.scope.trouble != nil && h.scoped(r):
		h.scope, h.reads, h.upSince = breaker{}, false, now
	}
	failing := h.failures >= suspicious && now.Sub(h.firstFailure) >= suspiciousFor
	switch {
	case h.access.trouble != nil, h.access.probing:
	case e != nil && e.lacksRights() && now.Sub(h.rightsCleared) >= rightsCleared:
		h.access.probing = true
		return suspectRights
	case failing, e != nil && e.suspect != "" && now.Sub(h.cleared) >= probeCleared:
		h.access.probing = true
		return suspectAccess
	}
	return unsuspicious
}

// probe sends the probe, and opens or closes the access breaker by its answer.
// When it can't be sent, or fails alone in a way that passes, it returns false and
// nothing changes. The caller has set access.probing.
func (c *Client) probe(ctx context.Context, rights bool) (ok bool) {
	h := c.health
	h.mu.Lock()
	rights = rights || h.access.trouble != nil && h.access.trouble.Kind == TroubleRights
	h.mu.Unlock()
	kind, reason, err := c.ask(ctx, rights)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.access.probing = false
	switch {
	case err != nil, kind == TroubleDown && h.access.trouble == nil && h.failures < suspicious:
		return false // one failure of that kind says nothing
	case kind != "":
		h.access.fail(now, kind, reason)
		return true
	case h.access.trouble != nil:
		h.upSince = now
	}
	h.access, h.failures, h.cleared = breaker{}, 0, now
	if rights {
		h.rightsCleared = now
	}
	return true
}

// ask asks GitLab who the token's user is, and on demand for a project in which
// that user may run jobs. It returns what is wrong, "" for nothing, or an error
// when it could not find out.
func (c *Client) ask(ctx context.Context, rights bool) (kind TroubleKind, reason string, err error) {
	r := request{method: http.MethodGet, endpoint: endpoint.User, path: "user", probe: true}
	if c.tokens.Load().access == "" {
		r.endpoint, r.path, r.asJob, rights = endpoint.TokenJob, "job", true, false
	}
	user, _, err := call(ctx, c, r, userJSON{})
	var failed *Error
	switch {
	case err == nil && (!rights || user.IsAdmin): // an admin may, without being a member
		return "", "", nil
	case err == nil:
		return c.askRights(ctx)
	case ctx.Err() != nil, !errors.As(err, &failed), failed.Limited():
		return "", "", err
	case failed.suspect != "" && failed.suspect != TroubleScope:
		return failed.suspect, failed.Message, nil
	case failed.class == again:
		reason := cmp.Or(failed.Message, "no answer")
		if status := strconv.Itoa(failed.Status); failed.Status > 0 && !strings.HasPrefix(reason, status) {
			reason = status + " " + reason
		}
		return TroubleDown, reason, nil
	}
	return "", "", nil // it may not ask for its user, but GitLab knows it
}

// askRights asks for a project in which the token's user may run jobs.
func (c *Client) askRights(ctx context.Context) (kind TroubleKind, reason string, err error) {
	projects, _, err := call(ctx, c, request{
		method: http.MethodGet, endpoint: endpoint.Projects, path: "projects", probe: true,
		params: &gl.ListProjectsOptions{
			ListOptions: gl.ListOptions{PerPage: 1}, Membership: gl.Ptr(true), Simple: gl.Ptr(true),
			MinAccessLevel: gl.Ptr(gl.DeveloperPermissions),
		},
	}, []projectJSON(nil))
	if err == nil && len(projects) == 0 {
		return TroubleRights, "the token's user is a member of no project with the role Developer or more", nil
	}
	return "", "", err
}
