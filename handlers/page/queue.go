package page

import (
	"net/url"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// queueFilters are the parameters of the API that both lists take, besides the cursor.
var queueFilters = []string{"state", "waits_for", "kind", "project", "rule", "action", "since", "pipeline", "job"}

// queue is a page of the queue.
type queue struct {
	admin.QueuePage
	Filtered             bool
	Newest, Older        string // addresses of pages; "": there is none
	States, Waits, Kinds []string
}

func readQueue(r *request) (any, error) {
	q := queue{States: []string{admin.StateDue, admin.StateWaiting, admin.StateLeased}, Waits: event.Waits}
	query := only(r.Values, queueFilters...)
	q.Filtered = len(query) > 0
	query.Set("cursor", r.Get("cursor"))
	if err := r.get("/api/v1/queue", query, &q.QueuePage); err != nil {
		return nil, err
	}
	q.Newest, q.Older = pages("/queue", query, q.Next)
	return q, nil
}

// dead is a page of the dead records.
type dead struct {
	admin.DeadPage
	Filtered      bool
	Newest, Older string // addresses of pages; "": there is none
}

func readDead(r *request) (any, error) {
	var d dead
	query := only(r.Values, queueFilters...)
	d.Filtered = len(query) > 0
	query.Set("cursor", r.Get("cursor"))
	if err := r.get("/api/v1/dead", query, &d.DeadPage); err != nil {
		return nil, err
	}
	d.Newest, d.Older = pages("/dead", query, d.Next)
	return d, nil
}

// queueChanges are what the forms beside records do.
var queueChanges = map[string]change{
	"requeue": {"The record is in the queue again, and due now.", func(r *request) ([]string, error) { return nil, r.steer("requeue") }},
	"drop":    {"The record is dropped.", func(r *request) ([]string, error) { return nil, r.steer("drop") }},
}

// steer changes the record that a form names.
func (r *request) steer(verb string) error {
	return r.post("/api/v1/queue/"+url.PathEscape(r.Get("id"))+"/"+verb, admin.ChangeRequest{By: r.Get("by"), Reason: r.Get("reason")}, new(any))
}
