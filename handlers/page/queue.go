package page

import (
	"net/url"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// The fields that the lists take.
var (
	deadFields  = append(named("kind", "action", "pipeline", "job"), project, rule, since, cursor)
	queueFields = append([]field{{Name: "state", Label: "State"}, {Name: "waits_for", Label: "Waits for"}}, deadFields...)
)

// queue is a page of the queue.
type queue struct {
	admin.QueuePage
	Filtered             bool
	Newest, Older        string // addresses of pages; "": there is none
	States, Waits, Kinds []string
}

func readQueue(r *request) (any, error) {
	q := queue{States: []string{admin.StateDue, admin.StateWaiting, admin.StateLeased}, Waits: event.Waits}
	query := given(r.Values)
	q.Filtered = isFiltered(query)
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
	query := given(r.Values)
	d.Filtered = isFiltered(query)
	if err := r.get("/api/v1/dead", query, &d.DeadPage); err != nil {
		return nil, err
	}
	d.Newest, d.Older = pages("/dead", query, d.Next)
	return d, nil
}

// steerFields are those of the forms beside records.
var steerFields = []field{{Name: "id"}, by, reason}

// queueChanges are what the forms beside records do.
var queueChanges = map[string]change{
	"requeue": {done: "The record is in the queue again, and due now.", fields: steerFields, do: func(r *request) ([]string, error) { return nil, r.steer("requeue") }},
	"drop":    {done: "The record is dropped.", fields: steerFields, do: func(r *request) ([]string, error) { return nil, r.steer("drop") }},
}

// steer changes the record that a form names.
func (r *request) steer(verb string) error {
	return r.post("/api/v1/queue/"+url.PathEscape(r.Get("id"))+"/"+verb, admin.ChangeRequest{By: r.Get("by"), Reason: r.Get("reason")}, new(any))
}
