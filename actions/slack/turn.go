package slack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/store/keys"
)

// turn does the work on the message of that subject in the channel while it
// has the message to itself.
func (t *Teller) turn(ctx context.Context, channel, subject string, do func(*work) error) error {
	to := strings.TrimPrefix(strings.TrimSpace(channel), "#")
	if to == "" || strings.ContainsAny(to, " ,\n") {
		return &Error{Method: "tell", Code: "invalid_channel", advice: fmt.Sprintf("%q is not one channel: give a name such as #ci, or a channel id", channel)}
	}
	w := &work{Teller: t, channel: to, key: keys.Message(to, subject), owner: rand.Text()}
	if err := w.hold(ctx); err != nil {
		return err
	}
	err := do(w)
	if e, ok := errors.AsType[*Error](err); ok && e.unsure {
		return err // the claim runs out by itself, when the call has surely ended
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer cancel()
	if err := t.state.Release(ctx, w.claim(), w.owner); err != nil {
		t.log.WarnContext(ctx, "a Slack message stays claimed until its claim runs out", "for", claimFor, "error", err)
	}
	return err
}

// work is one worker's turn at one message.
type work struct {
	*Teller
	channel string // as the caller named it, without '#'
	key     string // of the message's record
	owner   string // of the claim; one for each turn
	loaded  []byte // the record as it was found
}

func (w *work) claim() string { return keys.MessageClaim(w.key) }

// hold claims the message for claimFor from now, anew or once more.
func (w *work) hold(ctx context.Context) error {
	held, err := w.state.Claim(ctx, w.claim(), w.owner, claimFor)
	if err != nil {
		return stateError(err)
	}
	if !held {
		return w.busy()
	}
	return nil
}

// renew claims the message once more before something is done that must not
// be done twice. The claim may have run out meanwhile, and another worker may
// have come and gone; then the record is another.
func (w *work) renew(ctx context.Context) error {
	if err := w.hold(ctx); err != nil {
		return err
	}
	value, err := w.state.Get(ctx, w.key)
	if err != nil {
		return stateError(err)
	}
	if !bytes.Equal(value, w.loaded) {
		return w.busy()
	}
	return nil
}

func (w *work) busy() *Error {
	return &Error{Method: "tell", Channel: w.channel, Code: "busy", advice: "another worker is at this message: tried again later", again: true, after: busyAgain}
}

func (w *work) load(ctx context.Context) (*record, error) {
	value, err := w.state.Get(ctx, w.key)
	if err != nil {
		return nil, stateError(err)
	}
	w.loaded = value
	m := &record{}
	if value == nil {
		return m, nil
	}
	if err := json.Unmarshal(value, m); err != nil {
		return nil, stateError(fmt.Errorf("what is kept of the message is not JSON: %w", err))
	}
	return m, nil
}

func (w *work) save(ctx context.Context, m *record) error {
	value, err := json.Marshal(m)
	if err != nil {
		return stateError(err)
	}
	if err := w.state.Set(ctx, w.key, value, keepFor); err != nil {
		return stateError(err)
	}
	return nil
}
