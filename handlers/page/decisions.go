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

// decisionFilters are the parameters of the API that the view takes, besides the cursor.
var decisionFilters = []string{"text", "outcome", "action", "rule", "project", "since", "pipeline", "job", "ref"}

func readDecisions(r *request) (any, error) {
	d := decisions{Outcomes: slices.Concat(event.Results, []string{"waiting"}), Actions: event.Verbs, Pipeline: r.Get("pipeline"), Job: r.Get("job"), Ref: r.Get("ref")}
	query := only(r.Values, decisionFilters...)
	d.Filtered = len(query) > 0
	query.Set("cursor", r.Get("cursor"))
	if err := r.get("/api/v1/decisions", query, &d.DecisionsPage); err != nil {
		return nil, err
	}
	d.Newest, d.Older = pages("/decisions", query, d.Next)
	var err error
	d.Rules, err = ruleNames(r)
	return d, err
}

// only returns those of the values that have a name of the list and are not empty.
func only(values url.Values, names ...string) url.Values {
	some := url.Values{}
	for _, name := range names {
		if value := values.Get(name); value != "" {
			some.Set(name, value)
		}
	}
	return some
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
