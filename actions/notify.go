package actions

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Notifications have capacity of their own: a receiver that accepts connections
// and never answers delays neither decisions nor the journal. An outcome is
// journalled by a worker; then it moves to the notifiers, or waits in the queue
// while all of those are busy or the receiver's circuit breaker is open.

const (
	// notifiers is how many outcomes are notified at the same time.
	notifiers = 16
	// notifyAgain is how long an outcome waits when all notifiers are busy.
	notifyAgain = 5 * time.Second
	// breakerFailures is how many calls in a row a receiver leaves unanswered
	// before its circuit breaker opens; then one call goes through at a time,
	// after breakerFirst, doubling up to breakerLongest.
	breakerFailures = 3
	breakerFirst    = 5 * time.Second
	breakerLongest  = time.Minute
)

// circuitBreaker keeps calls from a receiver that does not answer. It is safe
// for concurrent use.
type circuitBreaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	pause    time.Duration // the last one; 0: the breaker is closed
}

// allow returns 0 if a call may be made, which is then to be reported, else
// how long to wait.
func (b *circuitBreaker) allow() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return 0
	}
	now := b.now()
	if wait = b.until.Sub(now); wait > 0 {
		return min(wait, b.pause) // a clock set back delays nothing
	}
	b.until = now.Add(b.pause) // this call is the probe; the next one waits for it
	return 0
}

// report notes what came of a call, and returns whether that opened the breaker
// or closed it.
func (b *circuitBreaker) report(err error) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var silent interface{ Silent() bool }
	if !errors.As(err, &silent) || !silent.Silent() {
		closed = b.pause > 0
		b.failures, b.pause = 0, 0
		return false, closed
	}
	if b.failures++; b.failures < breakerFailures {
		return false, false
	}
	opened = b.pause == 0
	b.pause = min(max(2*b.pause, breakerFirst), breakerLongest)
	b.until = b.now().Add(b.pause)
	return opened, false
}

// unnotifiedError is that a notification was not tried now.
type unnotifiedError struct {
	reason string
	after  time.Duration
}

func (e *unnotifiedError) Error() string { return e.reason }

// Again says when; see rules.Passes.
func (e *unnotifiedError) Again() (after time.Duration, ok bool) { return e.after, true }

// notify calls the receiver unless its circuit breaker is open, and counts what
// came of that.
func (r *Runner) notify(ctx context.Context, call func() error) error {
	if wait := r.slack.allow(); wait > 0 {
		r.Metrics.notifications.WithLabelValues(receiverSlack, "deferred").Inc()
		return &unnotifiedError{"Slack does not answer", wait}
	}
	err := call()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch opened, closed := r.slack.report(err); {
	case opened:
		r.Log.Error("Slack does not answer: notifications wait in the queue until it does", "error", err)
	case closed:
		r.Log.Info("Slack answers again: the notifications that waited are sent")
	}
	result := "sent"
	switch {
	case err == nil:
	case event.Transient(err):
		result = "deferred"
	default:
		result = "failed"
	}
	r.Metrics.notifications.WithLabelValues(receiverSlack, result).Inc()
	return err
}

// Announce sends a text to a channel, once for each key, if there is a receiver.
// It returns an error while a later call can succeed, which ends 24 hours after
// since; a final error is logged, with the attributes about.
func (r *Runner) Announce(ctx context.Context, key, channel, text string, since time.Time, about ...any) error {
	if r.Teller == nil || channel == "" {
		return nil
	}
	err := r.notify(ctx, func() error { return r.Teller.Announce(ctx, key, channel, text) })
	if err == nil || ctx.Err() != nil || event.Transient(err) && r.Now().Sub(since) < patience {
		return err
	}
	r.Log.Error("a channel could not be told", append(about, "channel", channel, "error", err)...)
	return nil
}

// Escape makes a value safe to stand in a text.
func (r *Runner) Escape(value string) string {
	if r.Teller == nil {
		return value
	}
	return r.Teller.Escape(value)
}

// receiverSlack is the receiver's name in metrics.
const receiverSlack = "slack"
