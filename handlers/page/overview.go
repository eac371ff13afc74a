package page

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// overview is how the server is, besides its status, which all views have.
type overview struct {
	Parts       []part
	Latest      []event.Outcome
	WaitsFor    []counted
	DeadReasons []counted
	CatchUp     admin.CatchUpAnswer
}

// part is what a part of the server says of itself.
type part struct{ Name, Summary string }

// counted is a text with its number.
type counted struct {
	Text string
	N    int
}

// partNames are what people call the parts of the server.
var partNames = map[string]string{"gitlab": "GitLab", "storms": "circuit breakers", "notices": "notifications"}

// latestDecisions is how many of the last decisions the overview has.
const latestDecisions = "8"

func readOverview(r *request) (any, error) {
	var o overview
	for _, name := range slices.Sorted(maps.Keys(r.status.Parts)) {
		if says, ok := r.status.Parts[name].(map[string]any); ok {
			summary, _ := says["summary"].(string)
			o.Parts = append(o.Parts, part{cmp.Or(partNames[name], name), summary})
		}
	}
	o.WaitsFor, o.DeadReasons = mostFrequent(r.status.Queue.WaitsFor), mostFrequent(r.status.Queue.DeadReasons)
	if err := r.get("/api/v1/catch-up", nil, &o.CatchUp); err != nil {
		return nil, err
	}
	var latest admin.DecisionsPage
	err := r.get("/api/v1/decisions", url.Values{"limit": {latestDecisions}}, &latest)
	o.Latest = latest.Decisions
	return o, err
}

// mostFrequent returns texts with their numbers, the most frequent first.
func mostFrequent(counts map[string]int) (all []counted) {
	for text, n := range counts {
		all = append(all, counted{text, n})
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(b.N-a.N, strings.Compare(a.Text, b.Text)) })
	return all
}
