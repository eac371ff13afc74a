package requests

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/worker"
)

// stale reports whether a request to act in GitLab comes too late: the person could not read
// what comes of it any more, and may have done otherwise meanwhile.
// Elsewhere drops such a one after the same time.
func (h *Handler) stale(r chatops.Request) bool {
	return acts(r) && h.Now().Sub(r.ReceivedAt) >= replyable
}

// acts reports whether a request is one to act in GitLab; an answer to a question has a time of
// its own.
func acts(r chatops.Request) bool {
	if r.Button == nil {
		words := strings.Fields(r.Command)
		return len(words) > 0 && strings.EqualFold(words[0], "retry")
	}
	return slices.Contains([]string{chatops.ButtonRetry, chatops.ButtonPlay, chatops.ButtonCancel, chatops.ButtonErase}, r.Button.Does)
}

// refuseStale ends such a request, and says so in the thread of the button's message.
func (h *Handler) refuseStale(ctx context.Context, l *worker.Lease, r chatops.Request) error {
	h.Log.WarnContext(ctx, "a request from Slack is refused", "by", r.By.Requester().String(), "action", does(r), "reason", "it could not be carried out in time", "since", r.ReceivedAt)
	a := answer{}
	if r.Button != nil {
		var err error
		if a, err = public(h.styleOf(r), "request_stale", struct {
			By, Does, At string
			Limit        time.Duration
		}{name(r.By), r.Button.Does, clock(r.ReceivedAt), replyable}); err != nil {
			return err
		}
	}
	return h.end(ctx, l, r, a.Reply)
}
