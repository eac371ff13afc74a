package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/availability"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
)

// Trouble returns why GitLab can't be used; ok is false if it can.
func (c *Client) Trouble() (t availability.Trouble, ok bool) { return c.breakers.Trouble() }

// UpSince returns when the last trouble ended; zero if there was none.
func (c *Client) UpSince() time.Time { return c.breakers.UpSince() }

// Probe finds out whether GitLab can be used again, if it can't and the next
// probe is due. It returns ctx's error only.
func (c *Client) Probe(ctx context.Context) error { return c.breakers.Probe(ctx) }

// Check finds out whether GitLab can be used, also if nothing suggests that it
// can't, and returns what Trouble returns then. known is false if it could not
// find out.
func (c *Client) Check(ctx context.Context) (t availability.Trouble, ok, known bool) {
	return c.breakers.Check(ctx)
}

// Writable returns the error that a request which changes something would have
// now, nil for none, and sends nothing: callers that would read much before such
// a request can check first.
func (c *Client) Writable() error {
	return c.blocked(Request{Method: http.MethodPost}, c.breakers.Writable())
}

// blocked makes an *apierror.Error of the error of an open breaker.
func (c *Client) blocked(r Request, err error) error {
	var blocked *availability.BlockedError
	if !errors.As(err, &blocked) {
		return err
	}
	e := c.failed(r, 0, blocked.Error(), blocked.After, false)
	e.Trouble, e.Deferred = blocked.Kind, true
	return e
}

// probeTimeout is how long the probe waits for its answer.
const probeTimeout = 10 * time.Second

var errNoAnswer = fmt.Errorf("no answer within %s", probeTimeout)

// prober sends the probes of a client's circuit breakers.
type prober struct{ c *Client }

var _ availability.Prober = prober{}

// ProbeGitLab requests the token's user, and with rights also a project in which
// that user may run jobs.
func (p prober) ProbeGitLab(ctx context.Context, rights bool) (kind apierror.TroubleKind, reason string, err error) {
	r := Request{Method: http.MethodGet, Endpoint: endpoint.User, Path: "user", probe: true}
	if p.c.tokens.Load().access == "" {
		r.Endpoint, r.Path, r.JobToken, rights = endpoint.TokenJob, "job", true, false
	}
	user, _, err := Call(ctx, p.c, r, struct {
		IsAdmin bool `json:"is_admin"` // sent to admins only
	}{})
	var failed *apierror.Error
	switch {
	case err == nil && (!rights || user.IsAdmin): // an admin may, without being a member
		return "", "", nil
	case err == nil:
		return p.probeRights(ctx)
	case ctx.Err() != nil, !errors.As(err, &failed), failed.Limited():
		return "", "", err
	case failed.Suspect != "" && failed.Suspect != apierror.TroubleScope:
		return failed.Suspect, failed.Message, nil
	}
	if _, passes := failed.Again(); passes {
		reason := cmp.Or(failed.Message, "no answer")
		if status := strconv.Itoa(failed.Status); failed.Status > 0 && !strings.HasPrefix(reason, status) {
			reason = status + " " + reason
		}
		return apierror.TroubleDown, reason, nil
	}
	return "", "", nil // the token may not read its user, but GitLab knows it
}

// probeRights requests a project in which the token's user may run jobs.
func (p prober) probeRights(ctx context.Context) (kind apierror.TroubleKind, reason string, err error) {
	projects, _, err := Call(ctx, p.c, Request{
		Method: http.MethodGet, Endpoint: endpoint.Projects, Path: "projects", probe: true,
		Params: &gl.ListProjectsOptions{
			ListOptions: gl.ListOptions{PerPage: 1}, Membership: gl.Ptr(true), Simple: gl.Ptr(true),
			MinAccessLevel: gl.Ptr(gl.DeveloperPermissions),
		},
	}, []struct{}(nil))
	if err == nil && len(projects) == 0 {
		return apierror.TroubleRights, "the token's user is a member of no project with the role Developer or more", nil
	}
	return "", "", err
}
