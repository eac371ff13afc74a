package requests

import (
	"context"
	"errors"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// saidAfter is after which time a person reads that what they requested is not carried
	// out yet.
	saidAfter = 10 * time.Second
	// maxLook is the longest time between two looks for an outcome.
	maxLook = 15 * time.Second
)

// follow looks for the outcome of a request's decision, which is the reply, until Slack
// soon takes no reply any more: then the person reads that it is still to come.
func (h *Handler) follow(ctx context.Context, l *worker.Lease, rec Record) error {
	o, err := h.outcome(ctx, rec.Decision)
	if err != nil {
		return err
	}
	waited := h.Now().Sub(rec.Queued)
	switch {
	case o == nil: // only if the store was reset, or the queue stood still for weeks
		return l.Done(ctx)
	case o.Result == "" || o.Result == event.ResultDeferred:
		if h.Now().Sub(rec.ReceivedAt) >= followed {
			text, err := stillWaits(*o, h.styleOf(rec.Request))
			if err != nil {
				return err
			}
			if err := h.reply(ctx, rec.Request, chatops.Reply{Text: text}); err != nil {
				return err
			}
			return l.Done(ctx)
		}
		if err := h.sayWaits(ctx, &rec, *o, waited); err != nil {
			return err
		}
		return errors.Join(l.Keep(rec), l.Defer(ctx, min(max(firstLook, waited/4), maxLook)))
	}
	said, err := words.Outcome(*o, h.styleOf(rec.Request))
	if err != nil {
		return err
	}
	if err := h.reply(ctx, rec.Request, chatops.Reply{Text: said}); err != nil {
		return err
	}
	return l.Done(ctx)
}

// stillWaits says where the outcome of a decision will be found that no reply can tell any
// more.
func stillWaits(o event.Outcome, in words.Style) (string, error) {
	data := struct{ Reason, Page string }{Reason: quoted(o.Reason)}
	if o.Job.ID != 0 || o.Pipeline.ID != 0 {
		data.Page = mrkdwn.Escape(pageOf(o.Event, o.Job.ID))
	}
	return in.Say("request_late", data)
}

// styleOf returns the style of the replies to a request: in the language of the message with
// the button, or of the rule files.
func (h *Handler) styleOf(r chatops.Request) words.Style {
	if r.Button == nil {
		return mrkdwn.Style.In(h.Rules().Language())
	}
	return mrkdwn.Style.In(r.Button.Language)
}

// sayWaits says once that a decision waits, and once more why, if that is known later.
func (h *Handler) sayWaits(ctx context.Context, rec *Record, o event.Outcome, waited time.Duration) error {
	waits := o.Reason
	if waits == "" {
		waits = "queue"
	}
	if rec.Waits != "" && (o.Result == "" || rec.Waits != "queue") || o.Result == "" && waited < saidAfter {
		return nil
	}
	in := h.styleOf(rec.Request)
	text, err := in.Say("request_queued", nil)
	if o.Result == event.ResultDeferred {
		text, err = words.Outcome(o, in)
	}
	if err != nil {
		return err
	}
	rec.Waits = waits
	return h.reply(ctx, rec.Request, chatops.Reply{Text: text})
}
