package actions

import (
	"errors"
	"net/http"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// What a decision records of its own way is saved with the writes that are made anyway,
// and shown by `pipesteward why`.

// recordDeferral records that the decision is deferred, until it is due.
func (p *pending) recordDeferral(reason string, now time.Time) {
	p.Deferrals = event.AddDeferral(p.Deferrals, event.Deferral{Reason: reason, Since: now.UTC(), Until: p.Due})
}

// recordCall returns a function that records the calls that change something.
func (p *pending) recordCall(now func() time.Time) func(rest.Exchange) {
	return func(x rest.Exchange) {
		if x.Method == http.MethodGet {
			return
		}
		c := event.Call{At: now().UTC(), Method: x.Method, Endpoint: x.Endpoint, Status: x.Status}
		if x.Err != nil {
			c.Error = apierror.Words(x.Err)
		}
		p.Calls = event.AddCall(p.Calls, c)
	}
}

// recordFailedRead records a request that only reads, and because of which the decision
// can't go on.
func (p *pending) recordFailedRead(err error, now func() time.Time) {
	var e *apierror.Error
	if !errors.As(err, &e) || e.Method != http.MethodGet || e.Unavailable() || e.Deferred {
		return
	}
	p.Calls = event.AddCall(p.Calls, event.Call{At: now().UTC(), Method: e.Method, Endpoint: e.Endpoint, Status: e.Status, Error: apierror.Words(e)})
}
