package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/claimed"
	"github.com/pipesteward/pipesteward/store/keys"
)

// turn is the time in which one worker has one message claimed.
type turn struct {
	*Notifier
	*claimed.Record        // of the message
	channel         string // as the caller named it, without '#'
}

// turn calls do while this worker has the message of that subject in the channel
// claimed.
func (n *Notifier) turn(ctx context.Context, channel, subject string, do func(*turn) error) error {
	to := strings.TrimPrefix(strings.TrimSpace(channel), "#")
	if to == "" || strings.ContainsAny(to, " ,\n") {
		return &Error{Method: "notify", Code: "invalid_channel", advice: fmt.Sprintf("%q is not one channel: give a name such as #ci, or a channel id", channel)}
	}
	key := keys.Message(to, subject)
	err := claimed.Do(ctx, n.state, claimed.Key{Record: key, Claim: keys.MessageClaim(key), ClaimFor: claimFor, KeepFor: keepFor}, n.log, func(r *claimed.Record) error {
		return do(&turn{n, r, to})
	})
	if failed, is := errors.AsType[*claimed.StoreError](err); is {
		return stateError(failed.Err)
	}
	if errors.Is(err, claimed.ErrBusy) {
		return &Error{Method: "notify", Channel: to, Code: "busy", advice: err.Error(), again: true, after: claimed.Again, cause: claimed.ErrBusy}
	}
	return err
}
