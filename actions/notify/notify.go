// Package notify writes outcomes to the journal and notifies people of them and of
// outages.
//
//	outcome ──► journal ──► one notice for each address ──► receiver ──► journal
//
// An outcome is in the journal before anybody is notified. Then its texts are rendered,
// and each notice has a record of its own, so that a receiver which fails delays no other
// one. Notices have capacity of their own, too: a receiver that accepts connections and
// never answers delays neither decisions nor the journal. A notice waits in the queue
// while all capacity is in use or its receiver's circuit breaker is open. An outcome of a
// decision that no rule notifies of has no record.
//
// A notice that a person can help, for instance by inviting the bot, waits until that is
// done: see waiting.go. A question whether a decision is to be carried out is a notice, too:
// see question.go.
//
// The package has more than 2,000 lines because it is one way out: notices, digests, states
// and questions share their records, the capacity, the circuit breakers and the counts.
package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/notify/circuit"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// Capacity is how many outcomes and notices may be in progress at the same time: the
	// size of the worker's slow lane.
	Capacity = 32
	// perReceiver is how many of them may be calls to one receiver.
	perReceiver = 16
	// busyRetry is how long a notice waits while the capacity is in use.
	busyRetry = 5 * time.Second
	// patience is how long a notice is kept and tried again.
	patience = 7 * 24 * time.Hour
	// announcePatience is how long an announcement is tried again.
	announcePatience = 24 * time.Hour
	// maxAddresses bounds the circuit breakers of a receiver's addresses that a process
	// keeps.
	maxAddresses = 10_000
)

// Queue is the part of the store's queue that a Notifier uses.
type Queue interface {
	Put(ctx context.Context, records ...store.Record) (added []bool, err error)
	Queued(ctx context.Context, ids ...string) (bool, error)
}

// Journal is the list of outcomes.
type Journal interface {
	Amend(ctx context.Context, id string, body []byte) error
	Entry(ctx context.Context, id string) (*store.Entry, error)
}

// Guard is the state that replicas share.
type Guard interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Tally(ctx context.Context, key string, s store.Seen, within time.Duration) (store.Count, error)
	Tallied(ctx context.Context, key string, within time.Duration) ([]store.Seen, error)
}

// Mutes are the mutes in force.
type Mutes interface {
	List(ctx context.Context) ([]event.Mute, error)
}

// Receiver notifies people of an outcome, or of something else under its key. A
// repetition changes nothing.
type Receiver interface {
	Notify(ctx context.Context, o event.Outcome, n event.Notice) error
	Announce(ctx context.Context, key, channel, text string) error
}

// Messenger is a Receiver whose messages can be too many: notices to it are gathered in
// digests.
type Messenger interface {
	// Message returns an id of the message that an outcome belongs to, and whether the
	// address has it, or may have it, so that Notify adds to it.
	Message(ctx context.Context, o event.Outcome, n event.Notice) (id string, begun bool, err error)
}

// Ender is a Receiver whose messages can't be edited. If AtEnd reports true, what can wait of a
// pipeline is one message to it, when the pipeline has ended.
type Ender interface {
	AtEnd() bool
}

// Editor is a Messenger that edits its messages.
type Editor interface {
	Messenger
	// Edit has the message that an outcome belongs to show it, if the address has that message,
	// and notifies nobody. A repetition changes nothing.
	Edit(ctx context.Context, o event.Outcome, n event.Notice) error
}

// Escaper is a Receiver whose texts are not in Slack's mrkdwn.
type Escaper interface {
	// Escape makes a value safe to stand in the text of a notice in a channel.
	Escape(channel, value string) string
}

// Receivers returns the receiver of a name, nil if there is none.
type Receivers func(name string) Receiver

// Named returns receivers by their names. A nil one does not exist.
func Named(all map[string]Receiver) Receivers {
	return func(name string) Receiver { return all[name] }
}

// Metrics counts outcomes and notifications.
type Metrics interface {
	Outcome(o event.Outcome)
	RuleError(rule string)
	Notification(receiver, result string)
}

// Config configures a Notifier; all fields but Receivers, MaxWaiting and
// Immediate are required.
type Config struct {
	Journal   Journal
	Queue     Queue
	Guard     Guard
	Mutes     Mutes
	Receivers Receivers               // nil: outcomes are journalled and logged only, each with who was not notified of it
	Rules     func() *rules.Rules     // those in force
	Facts     func() expression.Facts // for the texts about one outcome
	Metrics   Metrics
	Now       func() time.Time
	Log       *slog.Logger
	// Immediate says that notices wait neither for the end of quiet hours nor for digests: the
	// process is not there any more by then.
	Immediate bool
	// MaxWaiting is how many notices may wait for an address until a person has mended
	// something; 0: DefaultMaxWaiting.
	MaxWaiting int
}

// Notifier journals outcomes and notifies people. It is safe for concurrent use.
type Notifier struct {
	Config

	mu    sync.Mutex
	lines map[string]*line // by the receiver's name
	saved []string         // see forgetSaved

	counting   sync.Mutex     // held while this process changes the undelivered notices
	stateLocks [64]sync.Mutex // see lockStates
}

// line is the way to one receiver.
type line struct {
	breaker   *circuit.Breaker
	slots     chan struct{}               // has an element for each call in progress
	addresses map[string]*circuit.Breaker // open ones, by the channel
}

// New returns a Notifier.
func New(c Config) *Notifier {
	if c.Receivers == nil {
		c.Receivers = Named(nil)
	}
	c.MaxWaiting = cmp.Or(c.MaxWaiting, DefaultMaxWaiting)
	return &Notifier{Config: c, lines: map[string]*line{}}
}

// line returns the line to a receiver.
func (n *Notifier) line(receiver string) *line {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lines[receiver]
	if l == nil {
		l = &line{circuit.New(n.Now), make(chan struct{}, perReceiver), map[string]*circuit.Breaker{}}
		n.lines[receiver] = l
	}
	return l
}

// address returns the circuit breaker of an address, nil if that is closed.
func (n *Notifier) address(l *line, channel string) *circuit.Breaker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.addresses[channel]
}

// reportAddress notes the error of a call in the circuit breaker of its address.
func (n *Notifier) reportAddress(l *line, channel string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, v := l.addresses[channel], circuit.OfAddress(err)
	switch {
	case b == nil && v != circuit.Refuses:
		return
	case b == nil && len(l.addresses) >= maxAddresses:
		return // its notices call the receiver each time that they are due
	case b == nil:
		b = circuit.New(n.Now)
		l.addresses[channel] = b
	}
	if _, closed := b.Report(v, err); closed {
		delete(l.addresses, channel)
	}
}

// Reconnect has a receiver called again that was given up for a while: its token, for
// instance, is another one now.
func (n *Notifier) Reconnect(receiver string) {
	l := n.line(receiver)
	l.breaker.Reset()
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(l.addresses)
}

// call calls the receiver of an address unless a circuit breaker is open or as many calls
// are in progress as may be. An error that a person can mend is a *blockedError.
func (n *Notifier) call(ctx context.Context, to event.Address, send func() error) error {
	receiver, l := to.Receiver, n.line(to.Receiver)
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	default:
		return errBusy
	}
	if address := n.address(l, to.Channel); address != nil {
		if wait, cause := address.Allow(); wait > 0 {
			return &blockedError{cause, wait}
		}
	}
	if wait, cause := l.breaker.Allow(); wait > 0 {
		blocked := error(&blockedError{cause, wait})
		if !circuit.Mendable(cause) {
			n.Metrics.Notification(receiver, "deferred")
			blocked = &worker.LaterError{Err: errors.New("the receiver does not answer"), After: wait}
		}
		n.reportAddress(l, to.Channel, blocked) // if this call was its probe, the next one is
		return blocked
	}
	err := send()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n.reportAddress(l, to.Channel, err)
	switch opened, closed := l.breaker.Report(circuit.OfReceiver(err), err); {
	case opened && circuit.Mendable(err):
		n.Log.ErrorContext(ctx, "a receiver refuses all notifications: they wait in the queue until that is mended", "receiver", receiver, "error", err)
	case opened:
		n.Log.ErrorContext(ctx, "a receiver does not answer: notifications wait in the queue until it does", "receiver", receiver, "error", err)
	case closed:
		n.Log.InfoContext(ctx, "a receiver can be used again: the notifications that waited are sent", "receiver", receiver)
	}
	if circuit.Mendable(err) {
		return &blockedError{err, circuit.FirstProbe}
	}
	return err
}

// counted returns a function that sends a notification, and counts the result.
func (n *Notifier) counted(ctx context.Context, receiver string, send func() error) func() error {
	return func() error {
		err := send()
		result := "sent"
		switch {
		case ctx.Err() != nil:
			return err
		case err == nil:
		case event.Transient(err), circuit.Mendable(err):
			result = "deferred"
		default:
			result = "failed"
		}
		n.Metrics.Notification(receiver, result)
		return err
	}
}

// errBusy is the error of what waits for capacity.
var errBusy = &worker.LaterError{Err: errors.New("as many notifications are in progress as may be"), After: busyRetry}

// Announce sends a notice, of which only address, text, turn and subject count, once for each
// key, if there is a receiver and nobody has muted the address; what has turns is muted as
// those of states are, see mute.go. It returns an error while a later call can succeed, which
// ends 24 hours after since; a final error is logged, with the attributes about. If a person
// must first mend something, or the notice waits for the end of a mute, it is queued.
func (n *Notifier) Announce(ctx context.Context, key string, notice event.Notice, since time.Time, about ...any) error {
	return n.AnnounceOf(ctx, key, event.Project{}, notice, since, about...)
}

// AnnounceOf is Announce for a notice about the rules that it names and a project: mutes of
// these hold for it, too.
func (n *Notifier) AnnounceOf(ctx context.Context, key string, of event.Project, notice event.Notice, since time.Time, about ...any) error {
	to := notice.Address
	receiver := n.Receivers(to.Receiver)
	if receiver == nil || to.Receiver == event.ReceiverSlack && to.Channel == "" {
		return nil
	}
	rec := n.announcement(key, of, notice)
	muted, waits, err := n.mutedAnnouncement(ctx, rec)
	switch {
	case err != nil:
		return err
	case waits:
		return n.queueAnnouncement(ctx, rec)
	case muted != "":
		n.Metrics.Notification(to.Receiver, event.NotificationMuted)
		n.Log.InfoContext(ctx, "an announcement is muted", append(about, "receiver", to.Receiver, "channel", to.Channel, "scope", muted)...)
		return nil
	}
	err = n.call(ctx, to, n.counted(ctx, to.Receiver, func() error { return receiver.Announce(ctx, key, to.Channel, notice.Text) }))
	if _, blocked := errors.AsType[*blockedError](err); blocked {
		return n.queueAnnouncement(ctx, rec)
	}
	if err == nil || ctx.Err() != nil || event.Transient(err) && n.Now().Sub(since) < announcePatience {
		return err
	}
	n.Log.ErrorContext(ctx, "an address could not be notified", append(about, "receiver", to.Receiver, "channel", to.Channel, "error", err)...)
	return nil
}

// escapeFor returns what makes a value safe to stand in the text of a notice to an address.
func (n *Notifier) escapeFor(to event.Address) func(string) string {
	if in, ok := n.Receivers(to.Receiver).(Escaper); ok {
		return func(value string) string { return in.Escape(to.Channel, value) }
	}
	return mrkdwn.Escape
}
