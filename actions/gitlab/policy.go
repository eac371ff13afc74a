package gitlab

import (
	"context"
	"errors"
	"fmt"
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
		resp, err := c.send(ctx, r, &answer)
		if err == nil {
			return answer, resp, nil
		}
		wait, ok := c.mayRepeat(r, try, err)
		if !ok {
			return blank, resp, err
		}
		if err := c.sleep(ctx, wait); err != nil {
			return blank, nil, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)
		}
	}
}

// mayRepeat says whether to send r again after err, and how long to wait.
func (c *Client) mayRepeat(r request, try int, err error) (wait time.Duration, ok bool) {
	var failed *Error
	if r.method != http.MethodGet || try >= maxTries || !errors.As(err, &failed) {
		return 0, false
	}
	after, ok := failed.Again()
	if !ok || after > c.pace.maxWait {
		return 0, false
	}
	backoff := firstBackoff << (try - 1)
	return max(after, backoff/2+rand.N(backoff)), true
}

// send sends r once, when it may be sent, and decodes the answer into answer.
func (c *Client) send(ctx context.Context, r request, answer any) (*gl.Response, error) {
	if r.asJob && c.jobToken == "" {
		return nil, errors.New("gitlab: no job token: GitLab answers /job only with a CI_JOB_TOKEN, inside a CI job")
	}
	auth := gl.WithToken(gl.PrivateToken, c.token)
	if r.asJob || c.token == "" {
		auth = gl.WithToken(gl.JobToken, c.jobToken)
	}
	// A request whose headers were not written can't have taken effect.
	var written atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})

	req, err := c.api.NewRequest(r.method, r.path, r.params, []gl.RequestOptionFunc{auth, r.page, gl.WithContext(traced)})
	if err != nil {
		return nil, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, err)
	}
	resp, err := c.api.Do(req, answer)

	var unsent *pacedError
	switch {
	case resp != nil:
		c.observe(r.endpoint, resp.StatusCode)
	case !errors.As(err, &unsent) && (ctx.Err() == nil || written.Load()):
		c.observe(r.endpoint, 0)
	}
	status, after := 0, time.Duration(0)
	if resp != nil {
		status, after = resp.StatusCode, c.pace.note(ctx, resp.Header)
	}
	if err == nil && !isWebPage(resp) || isOddField(err) {
		return resp, nil
	}

	var message string
	switch {
	case status >= 300:
		message = refusedWith(resp)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("gitlab: %s /%s: %w", r.method, r.path, ctx.Err())
	case unsent != nil:
		message, after = unsent.Error(), unsent.after
	case resp == nil:
		message = networkError(err)
	case isWebPage(resp):
		message = "GitLab answered with a web page: is the GitLab URL right, and is there no login page in front of it?"
	default:
		message = "the answer can't be read: " + err.Error()
	}
	return resp, c.failed(r, status, message, after, written.Load())
}

// failed makes the error of a request; written tells whether GitLab may have
// got it.
func (c *Client) failed(r request, status int, message string, after time.Duration, written bool) *Error {
	e := &Error{
		Method:   r.method,
		Endpoint: r.endpoint,
		Path:     r.path,
		Status:   status,
		Message:  shorten(c.hide.Replace(oneLine(message))),
		After:    after,
	}
	e.class = classify(e.Endpoint, status, e.Message)
	e.maybeDone = r.method == http.MethodPost && written && (status < 300 || status >= 500)
	return e
}

// refusedWith gives the words of an answer that is no success, and of a
// redirect that was not followed where it leads.
func refusedWith(resp *gl.Response) string {
	if to, err := resp.Location(); err == nil {
		return fmt.Sprintf("GitLab redirects to %s://%s, where no token is sent: write the address that it has there as GitLab URL", to.Scheme, to.Host)
	}
	if body, ok := resp.Body.(keptBody); ok {
		return refusal(body.content, resp.StatusCode)
	}
	return http.StatusText(resp.StatusCode)
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
