package page

import (
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// deliveries is a page of the webhook deliveries.
type deliveries struct {
	admin.DeliveriesPage
	Filtered      bool
	Newest, Older string // addresses of pages; "": there is none
	Results       []string
	CatchUp       *event.CatchUp // the last round that somebody requested; nil: none
}

// deliveriesFields are what the view takes.
var deliveriesFields = []field{{Name: "result", Label: "Result"}, project, {Name: "pipeline", Label: "Pipeline"}, {Name: "job", Label: "Job"}, since, cursor}

func readDeliveries(r *request) (any, error) {
	d := deliveries{Results: event.DeliveryResults}
	query := given(r.Values)
	d.Filtered = isFiltered(query)
	if err := r.get("/api/v1/deliveries", query, &d.DeliveriesPage); err != nil {
		return nil, err
	}
	d.Newest, d.Older = pages("/deliveries", query, d.Next)
	var round admin.CatchUpAnswer
	err := r.get("/api/v1/catch-up", nil, &round)
	d.CatchUp = round.Last
	return d, err
}

// deliveriesChanges are what the forms of the view do.
var deliveriesChanges = map[string]change{
	"catch-up": {done: "Catch-up has begun. What it found is shown here once it has ended.", fields: []field{{Name: "reach", Label: "Reach back", API: "since"}, {Name: "dry_run"}, by, reason}, do: func(r *request) ([]string, error) {
		req := admin.CatchUpRequest{Since: r.Get("reach"), DryRun: r.Get("dry_run") != "", ChangeRequest: admin.ChangeRequest{By: r.Get("by"), Reason: r.Get("reason")}}
		return nil, r.post("/api/v1/catch-up", req, new(any))
	}},
}
