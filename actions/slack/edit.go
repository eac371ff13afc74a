package slack

import "context"

// edit replaces the content of the message with b (chat.update).
func (w *turn) edit(ctx context.Context, m *record, b body) error {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	if _, _, _, err := w.api().UpdateMessageContext(ctx, m.Channel, m.TS, b.options()...); err != nil {
		return w.failed("chat.update", err)
	}
	return nil
}
