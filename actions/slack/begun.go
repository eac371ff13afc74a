package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Message returns an id of the message that the outcome belongs to, and whether the
// channel has it, or may have it after a crash: then Notify begins no new one.
func (n *Notifier) Message(ctx context.Context, o event.Outcome, notice event.Notice) (id string, begun bool, err error) {
	id = cmp.Or(notice.Subject, subject(o))
	value, err := n.state.Get(ctx, keys.Message(strings.TrimPrefix(strings.TrimSpace(notice.Channel), "#"), id))
	if err != nil {
		return id, false, stateError(err)
	}
	var m record
	if value == nil {
		return id, false, nil
	}
	if err := json.Unmarshal(value, &m); err != nil {
		return id, false, stateError(fmt.Errorf("the record of the message is not JSON: %w", err))
	}
	return id, m.TS != "" || m.Posting != nil, nil
}

// Edit shows an outcome in the message that it belongs to, if the channel has that, as
// [Notifier.Notify] does, but without a reply: Slack notifies nobody of an edit. The channel
// must not be [event.ChannelAuthor].
//
// The error is an [*Error], which says whether to try again.
func (n *Notifier) Edit(ctx context.Context, o event.Outcome, notice event.Notice) error {
	return n.turn(ctx, notice.Channel, cmp.Or(notice.Subject, subject(o)), func(w *turn) error { return w.showOnly(ctx, o, notice) })
}
