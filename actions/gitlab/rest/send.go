package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
)

// sent is the result of one request. Callers of the same request share it: nobody
// changes its content.
type sent struct {
	resp    *gl.Response
	body    []byte // of a success
	end     Tail   // of a log, instead of body
	tried   bool   // the request was not held back
	written bool   // GitLab may have received the request
	err     error
}

// doer sends a request and writes the body of a success into into.
type doer func(ctx context.Context, into io.Writer) (*gl.Response, error)

// send sends r once, when it may be sent; a GET together with identical ones.
func (c *Client) send(ctx context.Context, r Request) (sent, error) {
	tokens := c.tokens.Load()
	if r.JobToken && tokens.job == "" {
		return sent{}, errors.New("gitlab: no job token: GitLab answers /job only with a CI_JOB_TOKEN, inside a CI job")
	}
	if !r.probe && !c.budget.spend() {
		return sent{}, &apierror.Error{Method: r.Method, Endpoint: r.Endpoint, Path: r.Path, Message: c.budget.String()}
	}
	auth, as := gl.WithToken(gl.PrivateToken, tokens.access), "token"
	switch {
	case r.JobToken, tokens.access == "" && tokens.job != "":
		auth, as = gl.WithToken(gl.JobToken, tokens.job), "job token"
	case tokens.access == "":
		auth, as = nil, "no token" // client-go skips a nil option
	}
	method, path, params, content, err := r.wire()
	if err != nil {
		return sent{}, fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, err)
	}
	req, err := c.api.NewRequest(method, path, params, []gl.RequestOptionFunc{auth, r.Page})
	if err != nil {
		return sent{}, fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, err)
	}
	if r.Query != nil {
		req.URL.Path = strings.TrimSuffix(req.URL.Path, restPath) + gl.GraphQLAPIEndpoint
	}
	do := func(ctx context.Context, into io.Writer) (*gl.Response, error) {
		return c.api.Do(req.WithContext(ctx), into)
	}
	priority := c.priority(r)
	if r.Method != http.MethodGet {
		s := c.transmit(ctx, r, priority, func() {}, do)
		c.report(r, s)
		return s, s.err
	}
	// A GET that waits as a fact must not wait as a sweep. A probe is part of
	// another request, and must not wait for that.
	key := fmt.Sprintf("%s %d %t %s %s", as, priority, r.probe, req.URL, content)
	s, err := c.flights.join(ctx, key, func(ctx context.Context, departs func()) sent {
		return c.transmit(ctx, r, priority, departs, do)
	})
	if err != nil {
		return sent{}, fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, err)
	}
	c.report(r, s)
	return s, s.err
}

// wire returns what of r is sent, and of a query the content, which tells it from others.
func (r Request) wire() (method, path string, params any, content []byte, err error) {
	if r.Query == nil {
		return r.Method, r.Path, r.Params, nil, nil
	}
	content, err = json.Marshal(r.Query)
	return http.MethodPost, "", r.Query, content, err
}

// restPath is the path of the REST API below that of the instance.
const restPath = "/api/v4/"

// report has a request recorded that was sent.
func (c *Client) report(r Request, s sent) {
	if c.record == nil || !s.tried {
		return
	}
	x := Exchange{Method: r.Method, Endpoint: r.Endpoint, Err: s.err}
	if s.resp != nil {
		x.Status = s.resp.StatusCode
	}
	c.record(x)
}

// priority is the place of r among the requests that wait.
func (c *Client) priority(r Request) ratelimit.Priority {
	switch {
	case c.sweeping:
		return ratelimit.Sweep
	case r.Method == http.MethodGet:
		return ratelimit.Fact
	default:
		return ratelimit.Action
	}
}

// transmit sends the request by do once GitLab can be used and it is the
// request's turn, and calls departs just before.
func (c *Client) transmit(ctx context.Context, r Request, p ratelimit.Priority, departs func(), do doer) sent {
	if r.probe {
		return c.exchange(ctx, r, p, departs, do)
	}
	if err := c.breakers.Admit(ctx, r.Method); err != nil {
		return sent{err: c.blocked(r, err)}
	}
	s := c.exchange(ctx, r, p, departs, do)
	c.breakers.Observe(ctx, r.Method, s.err)
	return s
}

// exchange waits for the request's turn, calls departs and sends it by do.
func (c *Client) exchange(ctx context.Context, r Request, p ratelimit.Priority, departs func(), do doer) (s sent) {
	if err := c.queue.Wait(ctx, p, r.limits()); err != nil {
		var unsent *ratelimit.NotSentError
		if errors.As(err, &unsent) {
			failed := c.failed(r, 0, unsent.Error(), unsent.After, false)
			failed.Deferred = true
			return sent{err: failed}
		}
		return sent{err: fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, err)}
	}
	if c.gate != nil && r.Method != http.MethodGet {
		if err := c.gate(ctx); err != nil {
			return sent{err: fmt.Errorf("gitlab: %s /%s: not sent: %w", r.Method, r.Path, err)}
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
	if r.Tail > 0 {
		s.end.limit = r.Tail
		into = &s.end
	}
	s.tried = true
	traced, end := c.span(traced, r)
	resp, err := do(traced, into)
	end(resp, err)
	s.resp, s.body, s.written = resp, body.Bytes(), written.Load()

	status, after, limited := 0, time.Duration(0), false
	if resp != nil {
		c.learnTime(resp.Header.Get("Date"))
		if announced, ok := ratelimit.ReadQuota(resp.Header); ok {
			c.quota.Store(&announced)
		}
		answer := ratelimit.Response{Status: resp.StatusCode, Header: resp.Header, Body: refused}
		status, limited, after = resp.StatusCode, answer.IsEndpointLimit(), c.queue.Observe(ctx, r.limits(), answer)
	}
	if resp != nil || ctx.Err() == nil || s.written {
		c.observe(traced, r.Endpoint, status)
	}
	var message string
	switch {
	case err == nil && !apierror.IsWebPage(resp) && (r.Tail > 0 || isDeletion(r, resp) || looksLikeJSON(s.body)):
		return s
	case status >= 300:
		message = apierror.Refusal(resp, refused)
	case ctx.Err() != nil:
		s.err = fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, ctx.Err())
		return s
	case resp == nil:
		message = apierror.Network(cmp.Or(context.Cause(sending), err))
	case apierror.IsWebPage(resp):
		message = "GitLab answered with a web page: is the GitLab URL right, and is there no login page in front of it?"
	case err == nil:
		message = "the answer is no JSON, as GitLab's are: is the GitLab URL right, and is there no other server in front of it?"
	default:
		message = unreadable(err)
	}
	failed := c.failed(r, status, message, after, s.written)
	failed.Deferred = limited
	if resp == nil {
		failed.Cause = err
	}
	failed.SuspectTrouble(apierror.Answer{
		Response: resp,
		Refused:  refused,
		Message:  message,
		Err:      err,
		JobToken: r.JobToken || c.tokens.Load().access == "",
	})
	s.err = failed
	return s
}

// isDeletion reports whether an answer is that of a deletion, which has no body.
func isDeletion(r Request, resp *gl.Response) bool {
	return r.Method == http.MethodDelete && resp.StatusCode == http.StatusNoContent
}

// looksLikeJSON reports whether an answer begins as JSON does.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) > 0 && bytes.IndexByte([]byte(`{["n`), body[0]) >= 0 // n: null
}

func unreadable(err error) string { return "the answer can't be read: " + err.Error() }

// failed returns the error of a request; written says whether GitLab may have
// received it.
func (c *Client) failed(r Request, status int, message string, after time.Duration, written bool) *apierror.Error {
	return apierror.New(apierror.Failure{
		Method: r.Method, Endpoint: r.Endpoint, Path: r.Path,
		Status: status, Message: message, After: after, Written: written,
		Redact: c.tokens.Load().redact,
	})
}
