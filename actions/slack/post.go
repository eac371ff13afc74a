package slack

import (
	slackapi "github.com/slack-go/slack"

	"cmp"
	"context"
	"errors"

	"github.com/pipesteward/pipesteward/rules/event"
)

// tell takes the steps that the package's comment draws.
func (w *work) tell(ctx context.Context, o event.Outcome, text string) error {
	id := o.ID + ":" + o.Result
	m, err := w.begin(ctx, id)
	if err != nil || m.told(id) {
		return err
	}
	if !o.At.Before(m.At) {
		m.At, m.Status = o.At, cmp.Or(o.Pipeline.Status, m.Status)
	}
	n, err := write(o, text, m.Status)
	if err != nil {
		return &Error{Method: "tell", Code: "invalid_outcome", advice: err.Error()}
	}
	lines, older := m.with(n.line)
	if m.TS != "" {
		err := w.update(ctx, m, n.root(lines, older))
		e, failed := errors.AsType[*Error](err)
		switch {
		case failed && e.gone():
			m.TS = "" // someone deleted it: tell all of it in a new one
		case failed && e.Code == "edit_window_closed":
			// The workspace allows no late edits; the thread still tells.
		case failed:
			return err
		}
	}
	m.Posting = &posting{ID: id, Line: n.line, Since: w.now()}
	if m.TS == "" {
		return w.post(ctx, m, n.root(lines, older))
	}
	return w.post(ctx, m, n.reply())
}

// announce takes the same steps for a message that is never edited.
func (w *work) announce(ctx context.Context, id, text string) error {
	m, err := w.begin(ctx, id)
	if err != nil || m.told(id) {
		return err
	}
	m.Posting = &posting{ID: id, Since: w.now()}
	return w.post(ctx, m, announcement(text))
}

// begin gives what is known of the message. What came of the last post is
// settled, and saved if that was the very one.
func (w *work) begin(ctx context.Context, id string) (*record, error) {
	m, err := w.load(ctx)
	if err != nil || m.Posting == nil || m.told(id) {
		return m, err
	}
	if err := w.settle(ctx, m); err != nil || !m.told(id) {
		return m, err
	}
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	return m, w.save(ctx, m)
}

// settle finds out what came of a post that was never seen to end.
func (w *work) settle(ctx context.Context, m *record) error {
	channel, ts, err := w.find(ctx, m)
	if err != nil {
		return err
	}
	if ts != "" {
		m.posted(channel, ts)
	}
	m.Posting = nil
	return nil
}

// post sends the message that m.Posting announces.
func (w *work) post(ctx context.Context, m *record, b body) error {
	if err := w.renew(ctx); err != nil {
		return err
	}
	if err := w.save(ctx, m); err != nil {
		return err
	}
	options := append(b.options(), slackapi.MsgOptionDisableLinkUnfurl(), slackapi.MsgOptionDisableMediaUnfurl(),
		slackapi.MsgOptionMetadata(slackapi.SlackMetadata{EventType: eventType, EventPayload: map[string]any{payloadID: m.Posting.ID}}))
	if m.TS != "" {
		options = append(options, slackapi.MsgOptionTS(m.TS))
	}
	call, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	channel, ts, err := w.api().PostMessageContext(call, cmp.Or(m.Channel, address(w.channel)), options...)
	if err == nil && ts == "" {
		err = errNoAnswer
	}
	// What Slack did must be saved even if the process is told to stop.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer stop()
	if err != nil {
		e := w.failed("chat.postMessage", err)
		if e.unsure {
			return e
		}
		m.Posting = nil // refused: nothing to look for
		if err := w.save(ctx, m); err != nil {
			w.log.WarnContext(ctx, "a Slack post that was refused will be looked for in vain", "error", err)
		}
		return e
	}
	m.posted(channel, ts)
	return w.save(ctx, m)
}
