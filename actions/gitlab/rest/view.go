package rest

import (
	"context"
	"fmt"
	"sync/atomic"
)

// WithBudget returns a view of the client that sends at most n requests,
// repeated ones and pages included; one that it shares with other views counts
// as its own. A further one fails with a final *apierror.Error.
func (c *Client) WithBudget(n int) *Client {
	view := *c
	view.budget = &budget{allowed: int64(n)}
	return &view
}

// Gated returns a view of the client that calls gate before each request that
// changes something, after it has waited for its turn. If gate returns an error,
// the request is not sent and fails with that error, wrapped.
func (c *Client) Gated(gate func(context.Context) error) *Client {
	view := *c
	view.gate = gate
	return &view
}

// Exchange is a request that was sent, with its answer.
type Exchange struct {
	Method   string
	Endpoint string // package endpoint's name
	Status   int    // HTTP status; 0: no answer
	Err      error  // nil: success
}

// Recorded returns a view of the client that calls record after each request that was
// sent, repeated ones included. A request that it shares with other views counts as
// its own.
func (c *Client) Recorded(record func(Exchange)) *Client {
	view := *c
	view.record = record
	return &view
}

// Sweeping returns a view of the client whose requests yield to all others of
// this process, and to those of other processes that wait for the limit they
// share.
func (c *Client) Sweeping() *Client {
	view := *c
	view.sweeping = true
	return &view
}

// budget is how many requests a view may send; nil is unlimited.
type budget struct {
	allowed int64
	sent    atomic.Int64
}

// spend takes one request from the budget.
func (b *budget) spend() bool { return b == nil || b.sent.Add(1) <= b.allowed }

func (b *budget) String() string {
	return fmt.Sprintf("this event has sent GitLab %d requests, as many as one event may", b.allowed)
}
