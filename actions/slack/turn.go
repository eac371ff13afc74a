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

// turn calls do while this worker has the message of that subject in the channel
// claimed.
func (n *Notifier) turn(ctx context.Context, channel, subject string, do func(*turn) error) error {
	to := strings.TrimPrefix(strings.TrimSpace(channel), "#")
	if to == "" || strings.ContainsAny(to, " ,\n") {
		return &Error{Method: "notify", Code: "invalid_channel", advice: fmt.Sprintf("%q is not one channel: give a name such as #ci, or a channel id", channel)}
	}
	w := &turn{Notifier: n, channel: to, key: keys.Message(to, subject), owner: rand.Text()}
	if err := w.claim(ctx); err != nil {
		return err
	}
	err := do(w)
	if e, ok := errors.AsType[*Error](err); ok && e.unsure {
		return err // the claim expires by itself, after the call has certainly ended
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer cancel()
	if err := n.state.Release(ctx, w.claimKey(), w.owner); err != nil {
		n.log.WarnContext(ctx, "a Slack message stays claimed until its claim expires", "wait", claimFor.String(), "error", err)
	}
	return err
}

// turn is the time in which one worker has one message claimed.
type turn struct {
	*Notifier
	channel string // as the caller named it, without '#'
	key     string // of the message's record in the state
	owner   string // of the claim; another one for each turn
	loaded  []byte // the record as it was read
}

func (w *turn) claimKey() string { return keys.MessageClaim(w.key) }

// claim claims the message for claimFor from now, or renews the claim.
func (w *turn) claim(ctx context.Context) error {
	claimed, err := w.state.Claim(ctx, w.claimKey(), w.owner, claimFor)
	if err != nil {
		return stateError(err)
	}
	if !claimed {
		return w.busy()
	}
	return nil
}

// renew renews the claim before a step that must not be repeated. The claim may
// have expired meanwhile, and another worker may have changed the record; then the
// message is busy.
func (w *turn) renew(ctx context.Context) error {
	if err := w.claim(ctx); err != nil {
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

func (w *turn) busy() *Error {
	return &Error{Method: "notify", Channel: w.channel, Code: "busy", advice: "another worker has claimed this message: tried again later", again: true, after: busyAgain}
}

func (w *turn) load(ctx context.Context) (*record, error) {
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
		return nil, stateError(fmt.Errorf("the record of the message is not JSON: %w", err))
	}
	return m, nil
}

func (w *turn) save(ctx context.Context, m *record) error {
	value, err := json.Marshal(m)
	if err != nil {
		return stateError(err)
	}
	if err := w.state.Set(ctx, w.key, value, keepFor); err != nil {
		return stateError(err)
	}
	return nil
}
