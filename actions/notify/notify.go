// Package notify writes outcomes to the journal and notifies people of them and of
// outages.
//
// Notifications have capacity of their own: a receiver that accepts connections
// and never answers delays neither decisions nor the journal. An outcome is in the
// journal before a channel is notified; its record enters the slow lane, or waits in
// the queue while that is full or the receiver's circuit breaker is open. An outcome of
// a decision that no rule notifies of has no record.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

const (
	// Capacity is how many outcomes may be notified at the same time: the size of
	// the worker's slow lane.
	Capacity = 16
	// busyRetry is how long an outcome waits while as many are notified.
	busyRetry = 5 * time.Second
	// patience is how long a notification is tried again.
	patience = 24 * time.Hour
	// slack is the receiver's name in metrics.
	slack = "slack"
)

// Journal is the list of outcomes.
type Journal interface {
	Amend(ctx context.Context, id string, body []byte) error
}

// Receiver notifies people of an outcome, or of something else under its key. A
// repetition changes nothing.
type Receiver interface {
	Notify(ctx context.Context, o event.Outcome, channel, text string) error
	Announce(ctx context.Context, key, channel, text string) error
	// Escape makes a value safe to stand in a text.
	Escape(value string) string
}

// Metrics counts outcomes and notifications.
type Metrics interface {
	Outcome(o event.Outcome)
	RuleError(rule string)
	Notification(receiver, result string)
}

// Config configures a Notifier; all fields but Receiver are required.
type Config struct {
	Journal  Journal
	Receiver Receiver                // nil: outcomes are journalled and logged only, each with who was not notified of it
	Rules    func() *rules.Rules     // those in force
	Facts    func() expression.Facts // for the texts about one outcome
	Metrics  Metrics
	Now      func() time.Time
	Log      *slog.Logger
}

// Notifier journals outcomes and notifies people. It is safe for concurrent use.
type Notifier struct {
	Config
	breaker *circuitBreaker
}

// New returns a Notifier.
func New(c Config) *Notifier { return &Notifier{c, &circuitBreaker{now: c.Now}} }

// call calls the receiver unless its circuit breaker is open, and counts the
// result.
func (n *Notifier) call(ctx context.Context, send func() error) error {
	if wait := n.breaker.allow(); wait > 0 {
		n.Metrics.Notification(slack, "deferred")
		return &worker.LaterError{Err: errors.New("the receiver does not answer"), After: wait}
	}
	err := send()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch opened, closed := n.breaker.report(err); {
	case opened:
		n.Log.Error("Slack does not answer: notifications wait in the queue until it does", "error", err)
	case closed:
		n.Log.Info("Slack answers again: the notifications that waited are sent")
	}
	result := "sent"
	switch {
	case err == nil:
	case event.Transient(err):
		result = "deferred"
	default:
		result = "failed"
	}
	n.Metrics.Notification(slack, result)
	return err
}

// Announce sends a text to a channel, once for each key, if there is a receiver.
// It returns an error while a later call can succeed, which ends 24 hours after
// since; a final error is logged, with the attributes about.
func (n *Notifier) Announce(ctx context.Context, key, channel, text string, since time.Time, about ...any) error {
	if n.Receiver == nil || channel == "" {
		return nil
	}
	err := n.call(ctx, func() error { return n.Receiver.Announce(ctx, key, channel, text) })
	if err == nil || ctx.Err() != nil || event.Transient(err) && n.Now().Sub(since) < patience {
		return err
	}
	n.Log.Error("a channel could not be notified", append(about, "channel", channel, "error", err)...)
	return nil
}

// Escape makes a value safe to stand in a text.
func (n *Notifier) Escape(value string) string {
	if n.Receiver == nil {
		return value
	}
	return n.Receiver.Escape(value)
}
