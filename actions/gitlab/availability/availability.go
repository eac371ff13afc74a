// Package availability has the circuit breakers that block requests while GitLab
// as a whole can't be used: it refuses the token, something other than GitLab
// answers, nobody answers, or the token's user has lost its rights in every
// project. No failure of one request opens a breaker. It only causes a suspicion,
// which a request of the client's own, the probe, confirms or clears: the answer
// to a job that always ends in a 500, or to a request that a firewall blocks, is
// about that job or request.
//
//	         suspicion, and the probe fails
//	closed ────────────────────────────────► open ──┐ the probe fails: back off
//	   ▲                                     │  ▲───┘
//	   └──────────── the probe succeeds ─────┘
//
// A second breaker, for a token without the scope api, blocks the requests that
// change something. No read shows on every version whether the token has the
// scope again, so one of the blocked requests is sent instead of a probe.
package availability

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

// Trouble is a reason why GitLab can't be used, and its extent.
type Trouble struct {
	Kind   apierror.TroubleKind
	Since  time.Time
	Reason string // the answer to the probe, without a token
	Unsent int    // requests that were blocked because of it
}

// Advice says what a person can do about it.
func (t Trouble) Advice() string {
	switch t.Kind {
	case apierror.TroubleToken:
		return "check that the access token is right, not expired and not revoked, and that its user is active; then give the new one as PIPESTEWARD_GITLAB_TOKEN or in its file"
	case apierror.TroubleScope:
		return "give an access token with the scope api"
	case apierror.TroubleRights:
		return "make the token's user a member of the projects again, with the role Developer at least, Maintainer to erase"
	case apierror.TroubleAnswers:
		return "check --gitlab-url, and that no login page, proxy or firewall is between Pipesteward and GitLab"
	default:
		return "see whether GitLab is up, and can be reached from here"
	}
}

const (
	// After minFailures transient failures in a row, over minFailing at least, the
	// probe is sent.
	minFailures = 5
	minFailing  = time.Minute
	// ignoreCleared is how long further suspicions are ignored after a probe that
	// succeeded.
	ignoreCleared = 10 * time.Second
	// ignoreRightsCleared is the same for rights that were found.
	ignoreRightsCleared = time.Minute
	// The wait between two probes doubles from minBackoff to maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// Prober finds out whether GitLab can be used.
type Prober interface {
	// ProbeGitLab requests the token's user, and with rights also a project in
	// which that user may run jobs. It returns what is wrong, "" for nothing, or an
	// error when it could not find out.
	ProbeGitLab(ctx context.Context, rights bool) (kind apierror.TroubleKind, reason string, err error)
}

// Breakers are both circuit breakers of one GitLab.
type Breakers struct {
	now    func() time.Time
	prober Prober

	mu     sync.Mutex
	access breaker // blocks all requests
	scope  breaker // blocks those that change something
	reads  bool    // the scope breaker blocks reads, too

	failures      int       // transient failures in a row
	firstFailure  time.Time // the first of those
	cleared       time.Time // when a probe last succeeded
	rightsCleared time.Time // when a project was last found in which jobs can be run
	upSince       time.Time // when a breaker last closed
}

// New returns closed breakers.
func New(now func() time.Time, prober Prober) *Breakers {
	return &Breakers{now: now, prober: prober}
}

// breaker is one circuit breaker: open while it has a trouble.
type breaker struct {
	trouble *Trouble
	next    time.Time // when the next probe, or a request instead, may be sent
	tries   int
	probing bool // one is in flight
}

// due reports whether a probe may be sent now.
func (b *breaker) due(now time.Time) bool { return !b.probing && !now.Before(b.next) }

// permit reports whether the caller must probe now: no other may meanwhile.
func (b *breaker) permit(now time.Time) bool {
	due := b.due(now)
	b.probing = b.probing || due
	return due
}

// fail opens the breaker, or keeps it open, and backs off.
func (b *breaker) fail(now time.Time, kind apierror.TroubleKind, reason string) {
	if b.trouble == nil {
		b.trouble = &Trouble{Since: now}
	}
	b.trouble.Kind, b.trouble.Reason = kind, reason
	b.probing, b.next = false, now.Add(min(minBackoff<<min(b.tries, 10), maxBackoff))
	b.tries++
}

// ProbeSoon makes the next probe due: a change, such as a new token, may have
// ended the trouble.
func (b *Breakers) ProbeSoon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, each := range []*breaker{&b.access, &b.scope} {
		each.next, each.tries = b.now(), 0
	}
}

// Trouble returns why GitLab can't be used; ok is false if it can.
func (b *Breakers) Trouble() (t Trouble, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.access.trouble != nil:
		return *b.access.trouble, true
	case b.scope.trouble != nil:
		return *b.scope.trouble, true
	}
	return Trouble{}, false
}

// UpSince returns when the last trouble ended; zero if there was none.
func (b *Breakers) UpSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.upSince
}

// Probe finds out whether GitLab can be used again, if it can't and the next
// probe is due. It returns ctx's error only.
func (b *Breakers) Probe(ctx context.Context) error {
	b.mu.Lock()
	due := b.access.trouble != nil && b.access.permit(b.now())
	b.mu.Unlock()
	if due {
		b.probe(ctx, false)
	}
	return ctx.Err()
}

// Check finds out whether GitLab can be used, also if nothing suggests that it
// can't, and returns what Trouble returns then. known is false if it could not
// find out.
func (b *Breakers) Check(ctx context.Context) (t Trouble, ok, known bool) {
	b.mu.Lock()
	busy := b.access.probing
	b.access.probing = true
	b.mu.Unlock()
	if !busy {
		known = b.probe(ctx, false)
	}
	t, ok = b.Trouble()
	return t, ok, known
}

// BlockedError is the error of a request that an open breaker blocks.
type BlockedError struct {
	Kind   apierror.TroubleKind
	Reason string
	After  time.Duration // until the next probe
}

func (e *BlockedError) Error() string {
	return "not sent, because GitLab can't be used: " + e.Reason
}

// Admit returns nil if a request of the HTTP method may be sent, else a
// *BlockedError. While the access breaker is open, the first request after the
// next probe is due sends it.
func (b *Breakers) Admit(ctx context.Context, method string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.access.trouble != nil && b.access.permit(b.now()) {
		b.mu.Unlock()
		b.probe(ctx, false)
		b.mu.Lock()
	}
	if b.access.trouble != nil {
		b.access.trouble.Unsent++
		return b.blocked(b.access)
	}
	if b.scope.trouble != nil && b.needsScope(method) && !b.scope.permit(b.now()) {
		b.scope.trouble.Unsent++
		return b.blocked(b.scope)
	}
	return nil
}

// Writable returns the *BlockedError that a request which changes something would
// have now, nil for none, and sends nothing: callers that would read much before
// such a request can check first.
func (b *Breakers) Writable() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, each := range []breaker{b.access, b.scope} {
		if each.trouble != nil && !each.due(b.now()) {
			return b.blocked(each)
		}
	}
	return nil
}

// needsScope reports whether the scope breaker is about requests of the method.
func (b *Breakers) needsScope(method string) bool { return b.reads || method != http.MethodGet }

// blocked is the error of a request that a breaker blocks; b is locked.
func (b *Breakers) blocked(by breaker) error {
	return &BlockedError{Kind: by.trouble.Kind, Reason: by.trouble.Reason, After: max(by.next.Sub(b.now()), minBackoff)}
}

// Observe learns from the result of a request that Admit let go. If err is an
// *apierror.Error, and the probe confirms trouble, it adds the trouble to it.
func (b *Breakers) Observe(ctx context.Context, method string, err error) {
	var e *apierror.Error
	known := err == nil || errors.As(err, &e) && !e.Deferred
	switch b.learn(method, e, known) {
	case unsuspicious:
	case suspectAccess:
		b.probe(ctx, false)
	case suspectRights:
		b.probe(ctx, true)
	}
	if e == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.access.trouble; t != nil {
		e.Trouble, e.After = t.Kind, max(e.After, b.access.next.Sub(b.now()), minBackoff)
	}
}

// suspicion is what a probe must confirm or clear.
type suspicion int

const (
	unsuspicious suspicion = iota
	suspectAccess
	suspectRights
)

// learn counts the result of a request, opens and closes the scope breaker, and
// returns what must be probed. e is nil if the request succeeded; if its result is
// not known, the request only ends.
func (b *Breakers) learn(method string, e *apierror.Error, known bool) suspicion {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.scope.probing = b.scope.probing && !b.needsScope(method)
	if !known {
		return unsuspicious
	}
	answered := e == nil || !passes(e) || e.Limited() || e.Status == http.StatusConflict // by GitLab, about this request
	switch {
	case answered:
		b.failures = 0
	case b.failures == 0:
		b.failures, b.firstFailure = 1, now
	default:
		b.failures++
	}
	switch {
	case e != nil && e.Suspect == apierror.TroubleScope:
		b.scope.fail(now, apierror.TroubleScope, e.Message)
		b.reads = b.reads || method == http.MethodGet
		e.Trouble, e.After = apierror.TroubleScope, b.scope.next.Sub(now)
		return unsuspicious
	case answered && b.scope.trouble != nil && b.needsScope(method):
		b.scope, b.reads, b.upSince = breaker{}, false, now
	}
	failing := b.failures >= minFailures && now.Sub(b.firstFailure) >= minFailing
	switch {
	case b.access.trouble != nil, b.access.probing:
	case e != nil && e.LacksRights() && now.Sub(b.rightsCleared) >= ignoreRightsCleared:
		b.access.probing = true
		return suspectRights
	case failing, e != nil && e.Suspect != "" && now.Sub(b.cleared) >= ignoreCleared:
		b.access.probing = true
		return suspectAccess
	}
	return unsuspicious
}

func passes(e *apierror.Error) bool {
	_, ok := e.Again()
	return ok
}

// probe sends the probe, and opens or closes the access breaker by its answer. If
// it can't be sent, or fails alone in a way that passes, it returns false and
// changes nothing. The caller has set access.probing.
func (b *Breakers) probe(ctx context.Context, rights bool) (known bool) {
	b.mu.Lock()
	rights = rights || b.access.trouble != nil && b.access.trouble.Kind == apierror.TroubleRights
	b.mu.Unlock()
	kind, reason, err := b.prober.ProbeGitLab(ctx, rights)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.access.probing = false
	switch {
	case err != nil, kind == apierror.TroubleDown && b.access.trouble == nil && b.failures < minFailures:
		return false // one failure of that kind proves nothing
	case kind != "":
		b.access.fail(now, kind, reason)
		return true
	case b.access.trouble != nil:
		b.upSince = now
	}
	b.access, b.failures, b.cleared = breaker{}, 0, now
	if rights {
		b.rightsCleared = now
	}
	return true
}
