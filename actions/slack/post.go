package slack

import (
	"cmp"
	"context"
	"errors"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/rules/event"
)

// notify takes the steps that the package's comment draws.
func (w *turn) notify(ctx context.Context, o event.Outcome, what event.Notice) error {
	id := postID(o)
	m, err := w.begin(ctx, id)
	if err != nil || m.has(id) {
		return err
	}
	n, root, err := w.show(ctx, m, o, what)
	if err != nil {
		return err
	}
	b := n.reply()
	if m.TS == "" {
		b = root
	}
	b.mention(w.mentions(ctx, o, what.Mention))
	m.Posting = &posting{ID: id, Line: n.line, Since: w.now()}
	return w.post(ctx, m, b)
}

// show renders an outcome and the message with it, and edits that. If somebody has deleted the
// message, m has it no more.
func (w *turn) show(ctx context.Context, m *record, o event.Outcome, what event.Notice) (n notice, root body, err error) {
	if err := w.await(ctx); err != nil {
		return notice{}, body{}, err
	}
	if !o.At.Before(m.At) {
		m.At, m.Status = o.At, cmp.Or(o.Pipeline.Status, m.Status)
	}
	if n, err = render(o, what, m); err != nil {
		return notice{}, body{}, &Error{Method: "notify", Code: "invalid_outcome", advice: err.Error()}
	}
	if what.Together > 0 && m.Together == nil {
		m.Together = &together{Header: n.header, Context: n.context}
	}
	shown := m.with(n.line)
	buttons := make([]slackapi.Block, len(shown.offering()))
	if w.buttons {
		buttons = rows(shown.offering(), w.channel, what.Language)
	}
	root = n.root(shown, buttons)
	if m.TS == "" {
		return n, root, nil
	}
	err = w.edit(ctx, m, root)
	e, failed := errors.AsType[*Error](err)
	switch {
	case failed && e.gone():
		m.TS = "" // someone deleted it: post all of it as a new one
	case failed && e.Code == "edit_window_closed":
		// The workspace allows no late edits; the thread still has the outcome.
	case failed:
		return notice{}, body{}, err
	}
	return n, root, nil
}

// showOnly shows an outcome in the message, and adds no reply.
func (w *turn) showOnly(ctx context.Context, o event.Outcome, what event.Notice) error {
	id := postID(o)
	m, err := w.begin(ctx, id)
	if err != nil || m.has(id) || m.TS == "" {
		return err
	}
	n, _, err := w.show(ctx, m, o, what)
	if err != nil || m.TS == "" {
		return err
	}
	m.content = m.with(n.line)
	if err := w.Renew(ctx); err != nil {
		return err
	}
	return w.Save(ctx, m)
}

// postID identifies the post of an outcome.
func postID(o event.Outcome) string { return o.ID + ":" + o.Result }

// announce takes the same steps for a message that is never edited, in a thread or, with "", in
// none.
func (w *turn) announce(ctx context.Context, id, thread, text string) error {
	m, err := w.begin(ctx, id)
	if err != nil || m.has(id) {
		return err
	}
	if err := w.await(ctx); err != nil {
		return err
	}
	m.TS, m.Posting = thread, &posting{ID: id, Since: w.now()}
	return w.post(ctx, m, announcement(text))
}

// begin returns the record of the message. It settles whether the last post
// succeeded, and saves that if the post was the one of id.
func (w *turn) begin(ctx context.Context, id string) (*record, error) {
	m := &record{}
	err := w.Load(ctx, m)
	if err != nil || m.Posting == nil || m.has(id) {
		return m, err
	}
	if err := w.settle(ctx, m); err != nil || !m.has(id) {
		return m, err
	}
	if err := w.Renew(ctx); err != nil {
		return nil, err
	}
	return m, w.Save(ctx, m)
}

// settle finds out whether a post succeeded whose end was not recorded.
func (w *turn) settle(ctx context.Context, m *record) error {
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
func (w *turn) post(ctx context.Context, m *record, b body) error {
	if err := w.Renew(ctx); err != nil {
		return err
	}
	if err := w.Save(ctx, m); err != nil {
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
	// The result must be saved even if the process must stop.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), saveFor)
	defer stop()
	if err != nil {
		e := w.failed("chat.postMessage", err)
		if e.unsure {
			return e
		}
		m.Posting = nil // refused: there is nothing to search for
		if err := w.Save(ctx, m); err != nil {
			w.log.WarnContext(ctx, "the refusal of a Slack post is not recorded: the next notification will search for the post", "error", err)
		}
		return e
	}
	m.posted(channel, ts)
	return w.Save(ctx, m)
}
