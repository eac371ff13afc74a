package page

import (
	"strconv"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// hooks are the webhooks as they were read last.
type hooks struct {
	admin.HooksPage
	Wrong int // projects and groups with one that is wrong, among those that are listed
}

func readHooks(r *request) (any, error) {
	var h hooks
	err := r.get("/api/v1/hooks", nil, &h.HooksPage)
	for _, w := range h.Webhooks {
		if w.Wrong {
			h.Wrong++
		}
	}
	return h, err
}

// verdictMark returns the mark of a webhook.
func verdictMark(w admin.Webhook) string {
	switch {
	case !w.Wrong:
		return event.ResultDone
	case w.Verdict == "wrong", w.Verdict == "failing", w.Verdict == "doubled":
		return "warn"
	default:
		return event.ResultFailed
	}
}

// failedText says how many deliveries of a webhook failed in the day before it was read.
func failedText(h admin.Hook) string {
	if h.Failed == 0 {
		return ""
	}
	text := strconv.Itoa(h.Failed)
	if h.More {
		text += " or more"
	}
	return text + " failed in a day, the last one with " + h.LastFailed
}

// hooksChanges are what the forms of the view do.
var hooksChanges = map[string]change{
	"read":   {done: "The webhooks are being read. What is found is shown here.", fields: []field{by, reason}, do: func(r *request) ([]string, error) { return nil, r.hooks(false) }},
	"ensure": {done: "The webhooks are being repaired. What is done is shown here.", fields: []field{by, reason}, do: func(r *request) ([]string, error) { return nil, r.hooks(true) }},
}

// hooks has the webhooks read, or repaired.
func (r *request) hooks(ensure bool) error {
	req := admin.HooksRequest{Ensure: ensure, ChangeRequest: admin.ChangeRequest{By: r.Get("by"), Reason: r.Get("reason")}}
	return r.post("/api/v1/hooks", req, new(any))
}
