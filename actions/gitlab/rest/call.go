package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/ratelimit"
)

// Request is one call of the API.
type Request struct {
	Method   string
	Endpoint string // package endpoint's name
	Path     string // below /api/v4/
	Params   any    // client-go's options: the query of a GET, the JSON body of a POST
	Page     gl.RequestOptionFunc
	JobToken bool // authenticated by the job token
	Tail     int  // of a log: how many bytes of its end to keep

	probe bool // finds out whether GitLab can be used: sent while nothing else is
}

// limits returns what the rate limits of r depend on.
func (r Request) limits() ratelimit.Request {
	return ratelimit.Request{Method: r.Method, Endpoint: r.Endpoint, Path: r.Path}
}

// A GET is sent three times at most, with about 0.25 s and 0.5 s between.
const (
	maxTries     = 3
	firstBackoff = 250 * time.Millisecond
)

// Call sends r until it succeeds or fails for good, and returns the answer
// decoded into a copy of blank. This is the only retry policy: a GET is sent
// again if that may help and the wait is short; any other request is sent once,
// for before a POST is sent again the job's state must be read.
func Call[T any](ctx context.Context, c *Client, r Request, blank T) (T, *gl.Response, error) {
	for try := 1; ; try++ {
		answer := blank
		s, err := c.send(ctx, r)
		if err == nil {
			err = c.decode(r, s, &answer)
		}
		if err == nil {
			return answer, s.resp, nil
		}
		wait, ok := c.mayRepeat(r, try, err)
		if !ok {
			return blank, s.resp, err
		}
		if err := c.sleep(ctx, wait); err != nil {
			return blank, nil, fmt.Errorf("gitlab: %s /%s: %w", r.Method, r.Path, err)
		}
	}
}

// List returns all items of all pages of r, page by page as they are needed, and
// ends with the first error.
func List[T any](ctx context.Context, c *Client, r Request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r := r; ; {
			page, resp, err := Call(ctx, c, r, []T(nil))
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			next, more := gl.WithNext(resp)
			if !more || len(page) == 0 {
				return
			}
			r.Page = next
		}
	}
}

// Unexpected returns the error of an answer that was read but lacks what it must
// have.
func Unexpected(c *Client, r Request, resp *gl.Response, message string) error {
	return c.failed(r, resp.StatusCode, message, 0, true)
}

// mayRepeat reports whether to send r again after err, and how long to wait.
// Callers that shared the failed request wait as long and share the next.
func (c *Client) mayRepeat(r Request, try int, err error) (wait time.Duration, ok bool) {
	var failed *apierror.Error
	if r.Method != http.MethodGet || r.probe || try >= maxTries || !errors.As(err, &failed) || failed.Deferred || failed.Unavailable() {
		return 0, false
	}
	after, ok := failed.Again()
	if !ok || after > c.maxWait {
		return 0, false
	}
	backoff := float64(firstBackoff << (try - 1))
	return max(after, time.Duration(backoff*(0.5+failed.Jitter))), true
}

// decode decodes the answer into answer.
func (c *Client) decode(r Request, s sent, answer any) error {
	if end, ok := answer.(*Tail); ok {
		*end = s.end
		return nil
	}
	if isDeletion(r, s.resp) {
		return nil
	}
	if err := json.NewDecoder(bytes.NewReader(s.body)).Decode(answer); err != nil && !isOddField(err) {
		return c.failed(r, s.resp.StatusCode, unreadable(err), 0, s.written)
	}
	return nil
}

// isOddField reports whether err is only that a field has another type than
// expected: encoding/json then has read all the others.
func isOddField(err error) bool {
	var odd *json.UnmarshalTypeError
	return errors.As(err, &odd) && odd.Field != ""
}
