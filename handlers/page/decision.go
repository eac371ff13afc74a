package page

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// decision is one decision.
type decision struct {
	event.Outcome
	RunsIn int64  // the job that runs in place of its own; 0: there is none
	RunURL string // the page of that job
	Page   string // of the job or the pipeline in GitLab
}

// decisionChanges are what the form of the view does.
var decisionChanges = map[string]change{
	"requeue": {done: "The decision is made again: see the newest decisions of its job.", fields: steerFields, do: queueChanges["requeue"].do},
}

func readDecision(r *request) (any, error) {
	if r.Get("id") == "" {
		return nil, &handlers.RefusedError{Code: http.StatusBadRequest, Text: "the address names no decision: open one from the list of decisions"}
	}
	var found admin.DecisionsPage
	if err := r.get("/api/v1/decisions", url.Values{"id": {r.Get("id")}}, &found); err != nil {
		return nil, err
	}
	if len(found.Decisions) == 0 {
		return nil, &handlers.RefusedError{Code: http.StatusNotFound, Text: "the journal has no decision with this id: it may have expired"}
	}
	d := decision{Outcome: found.Decisions[0]}
	d.RunsIn, d.RunURL = d.NewJob()
	d.Page = cmp.Or(d.Job.URL, d.Pipeline.URL)
	return d, nil
}
