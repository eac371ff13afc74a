package requests

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// perMinute is how many requests of one person are carried out in a minute: each may take
// some to GitLab, whose limit all share.
const perMinute = 20

// paced counts a request among those of its person, once. If there are too many, the person
// alone reads that it is not carried out, and when to try again, and the request is done: it
// returns false.
func (h *Handler) paced(ctx context.Context, l *worker.Lease, rec *Record) (bool, error) {
	if rec.Counted {
		return true, nil
	}
	_, wait, err := h.Store.Take(ctx, store.Bucket{Key: keys.RequestsOf(rec.By.TeamID, rec.By.UserID), Rate: store.Rate{Limit: perMinute, Per: time.Minute}})
	if err != nil {
		return false, err
	}
	if wait == 0 {
		rec.Counted = true
		return true, l.Keep(*rec)
	}
	h.Log.WarnContext(ctx, "a request from Slack is refused", "by", rec.By.Requester().String(), "action", does(rec.Request), "reason", "too many requests of the same person", "wait", wait.String())
	text, err := h.styleOf(rec.Request).Say("request_too_many", struct {
		PerMinute int
		Wait      time.Duration // rounded up
	}{perMinute, (wait + time.Second).Truncate(time.Second)})
	if err != nil {
		return false, err
	}
	if err := h.reply(ctx, rec.Request, chatops.Reply{Text: text}); err != nil {
		return false, err
	}
	return false, l.Done(ctx)
}
