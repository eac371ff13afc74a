package page

import (
	"net/url"
	"slices"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// decisions is a page of the journal.
type decisions struct {
	admin.DecisionsPage
	Filtered           bool
	Newest, Older      string // addresses of pages; "": there is none
	Rules              []string
	Outcomes, Actions  []string // that can be selected
	Pipeline, Job, Ref string   // that links select
}

// decisionFields are what the view takes.
var decisionFields = []field{
	{Name: "text", Label: "Search"},
	{Name: "outcome", Label: "Outcome"},
	{Name: "action", Label: "Action"},
	rule, project, since,
	{Name: "pipeline", Label: "Pipeline"},
	{Name: "job", Label: "Job"},
	{Name: "ref", Label: "Ref"},
	cursor,
}

func readDecisions(r *request) (any, error) {
	d := decisions{Outcomes: slices.Concat(event.Results, []string{"waiting"}), Actions: event.Verbs, Pipeline: r.Get("pipeline"), Job: r.Get("job"), Ref: r.Get("ref")}
	query := given(r.Values)
	d.Filtered = isFiltered(query)
	if err := r.get("/api/v1/decisions", query, &d.DecisionsPage); err != nil {
		return nil, err
	}
	d.Newest, d.Older = pages("/decisions", query, d.Next)
	var err error
	d.Rules, err = ruleNames(r)
	return d, err
}

// given returns those of the values that are not empty. Those of fields that a person has left
// empty are.
func given(values url.Values) url.Values {
	some := url.Values{}
	for name := range values {
		if value := values.Get(name); value != "" && name != fieldDone {
			some.Set(name, value)
		}
	}
	return some
}

// isFiltered reports whether a query selects some items of a list.
func isFiltered(query url.Values) bool {
	return len(query) > 1 || len(query) == 1 && !query.Has("cursor")
}

// pages returns the addresses of the first page of a list, "" on that, and of the next one, ""
// if there is none.
func pages(path string, query url.Values, next string) (first, older string) {
	at := query.Get("cursor")
	query.Del("cursor")
	if at != "" {
		first = path + "?" + query.Encode()
	}
	if next != "" {
		query.Set("cursor", next)
		older = path + "?" + query.Encode()
	}
	return first, older
}
