package gitlab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
)

// request is one call of the API.
type request struct {
	method   string
	endpoint string // short constant name, for metrics
	path     string // below /api/v4/
	params   any    // client-go's options: the query of a GET, the JSON body of a POST
	page     gl.RequestOptionFunc
	asJob    bool // by job token
	tail     int  // of a log: how many bytes of its end to keep
	probe    bool // asks whether GitLab can be used: goes while nothing else does
}

// sent is what came of one request. It is shared by those who asked the same:
// nobody changes what it holds.
type sent struct {
	resp    *gl.Response
	body    []byte // of a success
	end     tail   // of a log, instead of body
	written bool   // GitLab may have got the request
	err     error
}

// A GET is sent three times at most, with about 0.25 s and 0.5 s between.
const (
	maxTries     = 3
	firstBackoff = 250 * time.Millisecond
)

// call sends r until it succeeds or fails for good, and returns the answer
// decoded into a copy of blank. This is the one retry policy: a GET is sent
// again when that may help and the wait is short; anything else is sent once,
// for whoever sends a POST again must read the job's state first.
func call[T any](ctx context.Context, c *Client, r request, blank T) (T, *gl.Response, error) {
	for try := 1; ; try++ {
		answer := blank
		s, err := c.send(ctx, r)
		if err == nil {
			err = c.read(r, s, &answer)
		}
		if err == nil {
			return answer, s.resp, nil
		}
		wait, ok := c.mayRepeat(r, try, err)
		if !ok {
			return blank, s.resp, err
		}
		if err := c.sleep(ctx, wait); err != nil {
			return blank, nil, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)
		}
	}
}

// mayRepeat says whether to send r again after err, and how long to wait.
// Those who shared the failed request wait as long and share the next.
func (c *Client) mayRepeat(r request, try int, err error) (wait time.Duration, ok bool) {
	var failed *Error
	if r.method != http.MethodGet || r.probe || try >= maxTries || !errors.As(err, &failed) || failed.deferred || failed.Unavailable() {
		return 0, false
	}
	after, ok := failed.Again()
	if !ok || after > c.pace.maxWait {
		return 0, false
	}
	backoff := float64(firstBackoff << (try - 1))
	return max(after, time.Duration(backoff*(0.5+failed.jitter))), true
}

// read decodes the answer into answer.
func (c *Client) read(r request, s sent, answer any) error {
	if end, ok := answer.(*tail); ok {
		*end = s.end
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(s.body)).Decode(answer); err != nil && !isOddField(err) {
		return c.failed(r, s.resp.StatusCode, unreadable(err), 0, s.written)
	}
	return nil
}

// send sends r once, when it may be sent; a GET together with those who ask
// the same.
func (c *Client) send(ctx context.Context, r request) (sent, error) {
	tokens := c.tokens.Load()
	if r.asJob && tokens.job == "" {
		return sent{}, errors.New("gitlab: no job token: GitLab answers /job only with a CI_JOB_TOKEN, inside a CI job")
	}
	if !r.probe && !c.budget.spend() {
		return sent{}, &Error{Method: r.method, Endpoint: r.endpoint, Path: r.path, Message: c.budget.String()}
	}
	auth, as := gl.WithToken(gl.PrivateToken, tokens.access), "token"
	if r.asJob || tokens.access == "" {
		auth, as = gl.WithToken(gl.JobToken, tokens.job), "job token"
	}
	req, err := c.api.NewRequest(r.method, r.path, r.params, []gl.RequestOptionFunc{auth, r.page})
	if err != nil {
		return sent{}, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)
	}
	do := func(ctx context.Context, into io.Writer) (*gl.Response, error) {
		return c.api.Do(req.WithContext(ctx), into)
	}
	turn := c.priority(r)
	if r.method != http.MethodGet {
		s := c.transmit(ctx, r, turn, func() {}, do)
		return s, s.err
	}
	// What waits as a fact is not to wait as a sweep. A probe is part of another
	// request, and must not wait for that.
	key := fmt.Sprintf("%s %d %t %s", as, turn, r.probe, req.URL)
	s, err := c.flights.join(ctx, key, func(ctx context.Context, departs func()) sent {
		return c.transmit(ctx, r, turn, departs, do)
	})
	if err != nil {
		return sent{}, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)
	}
	return s, s.err
}

// priority is the place of r in the line of those who wait.
func (c *Client) priority(r request) priority {
	switch {
	case c.sweeping:
		return sweep
	case r.method == http.MethodGet:
		return fact
	default:
		return action
	}
}

// transmit sends the request by do when GitLab can be used and when it is the
// request's turn, and calls departs just before.
func (c *Client) transmit(ctx context.Context, r request, turn priority, departs func(), do func(context.Context, io.Writer) (*gl.Response, error)) sent {
	if err := c.admit(ctx, r); err != nil {
		return sent{err: err}
	}
	s := c.exchange(ctx, r, turn, departs, do)
	c.settle(ctx, r, s.err)
	return s
}

// exchange waits for the request's turn, calls departs and sends it by do.
func (c *Client) exchange(ctx context.Context, r request, turn priority, departs func(), do func(context.Context, io.Writer) (*gl.Response, error)) (s sent) {
	if err := c.pace.wait(ctx, turn, r); err != nil {
		var unsent *pacedError
		if errors.As(err, &unsent) {
			failed := c.failed(r, 0, unsent.Error(), unsent.after, false)
			failed.deferred = true
			return sent{err: failed}
		}
		return sent{err: fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)}
	}
	if c.gate != nil && r.method != http.MethodGet {
		if err := c.gate(ctx); err != nil {
			return sent{err: fmt.Errorf("gitlab: %s /%s: not sent: %w", r.method, r.path, err)}
		}
	}
	departs()
	// A request whose headers were not written can't have taken effect.
	var written atomic.Bool
	sending := ctx
	if r.probe {
		var cancel context.CancelFunc
		sending, cancel = context.WithTimeoutCause(ctx, probeTimeout, errNoAnswer)
		defer cancel()
	}
	traced := httptrace.WithClientTrace(sending, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	var refused []byte
	traced = withRefusal(traced, &refused)
	var body bytes.Buffer
	var into io.Writer = &body
	if r.tail > 0 {
		s.end.limit = r.tail
		into = &s.end
	}
	resp, err := do(traced, into)
	s.resp, s.body, s.written = resp, body.Bytes(), written.Load()

	status, after := 0, time.Duration(0)
	if resp != nil {
		c.learnTime(resp.Header.Get("Date"))
		status, after = resp.StatusCode, c.pace.note(ctx, r, resp.StatusCode, resp.Header, refused)
	}
	if resp != nil || ctx.Err() == nil || s.written {
		c.observe(r.endpoint, status)
	}
	var message string
	switch {
	case err == nil && !isWebPage(resp) && (r.tail > 0 || looksLikeJSON(s.body)):
		return s
	case status >= 300:
		message = refusedWith(resp, refused)
	case ctx.Err() != nil:
		s.err = fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, ctx.Err())
		return s
	case resp == nil:
		message = networkError(cmp.Or(context.Cause(sending), err))
	case isWebPage(resp):
		message = "GitLab answered with a web page: is the GitLab URL right, and is there no login page in front of it?"
	case err == nil:
		message = "the answer is no JSON, as GitLab's are: is the GitLab URL right, and is there no other server in front of it?"
	default:
		message = unreadable(err)
	}
	failed := c.failed(r, status, message, after, s.written)
	failed.deferred = resp != nil && isApplicationLimit(status, resp.Header, refused)
	switch failed.suspect = suspect(resp, refused, message, err); {
	case failed.suspect == TroubleToken && (r.asJob || c.tokens.Load().access == ""):
		failed.suspect, failed.class = "", rights // a job's token is good while the job runs
	case failed.suspect != "":
		failed.class = again
	}
	s.err = failed
	return s
}

// looksLikeJSON reports whether an answer begins as JSON does.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) > 0 && bytes.IndexByte([]byte(`{["n`), body[0]) >= 0 // n: null
}

func unreadable(err error) string { return "the answer can't be read: " + err.Error() }

// failed makes the error of a request; written tells whether GitLab may have
// got it.
func (c *Client) failed(r request, status int, message string, after time.Duration, written bool) *Error {
	e := &Error{
		Method:   r.method,
		Endpoint: r.endpoint,
		Path:     r.path,
		Status:   status,
		Message:  shorten(c.tokens.Load().hide.Replace(oneLine(explain(r.endpoint, status, message)))),
		After:    after,
		jitter:   rand.Float64(), //nolint:gosec // no secret
	}
	e.class = classify(status, e.Message)
	e.maybeDone = r.method == http.MethodPost && written && (status < 300 || status >= 500 || status == statusClientClosed)
	return e
}

// refusedWith gives the words of an answer that is no success, and of a
// redirect that was not followed where it leads.
func refusedWith(resp *gl.Response, body []byte) string {
	if to, err := resp.Location(); err == nil {
		return fmt.Sprintf("GitLab redirects to %s://%s, where no token is sent: write the address that it has there as GitLab URL", to.Scheme, to.Host)
	}
	return refusal(body, resp.StatusCode)
}

// networkError gives the cause without the URL, which Error has.
func networkError(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// isWebPage reports whether the answer is HTML, which no call gives.
func isWebPage(resp *gl.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/html"
}
