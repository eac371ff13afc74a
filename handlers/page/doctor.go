package page

import (
	"cmp"
	"slices"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// doctor is what each check found last.
type doctor struct{ admin.Checkup }

// severity is how much a finding matters, with its mark and its word for one and for more.
type severity struct{ name, mark, one, more string }

// severities are all, the worst first.
var severities = []severity{
	{"problem", event.ResultFailed, "problem", "problems"},
	{"warning", "warn", "warning", "warnings"},
	{"unknown", event.ResultSkipped, "not checked", "not checked"},
	{"note", "note", "note", "notes"},
	{"ok", event.ResultDone, "in order", "in order"},
}

func readDoctor(r *request) (any, error) {
	var d doctor
	if err := r.get("/api/v1/doctor", nil, &d.Checkup); err != nil {
		return nil, err
	}
	// What is not in order comes first; the API has the order of the checks.
	slices.SortStableFunc(d.Findings, func(a, b admin.Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return d, nil
}

// rank returns the place of a finding in the list: the worst come first, and what is good to
// know is among what is in order.
func rank(f admin.Finding) int {
	place := slices.IndexFunc(severities, func(s severity) bool { return s.name == f.Severity })
	return min(place, slices.IndexFunc(severities, func(s severity) bool { return s.name == "note" }))
}

// Sum says how many findings there are of each severity.
func (d doctor) Sum() string {
	var parts []string
	for _, s := range severities {
		n := 0
		for _, f := range d.Findings {
			if f.Severity == s.name {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, english.Plural(n, s.one, s.more))
		}
	}
	return english.OxfordWordSeries(parts, "and")
}

// severityMark returns the mark of a severity.
func severityMark(name string) string {
	for _, s := range severities {
		if s.name == name {
			return s.mark
		}
	}
	return event.ResultSkipped
}

// doctorChanges are what the form of the view does.
var doctorChanges = map[string]change{
	"check": {
		done: "The checks have begun. What they find is shown here.", fields: []field{{Name: "all"}, by},
		do: func(r *request) ([]string, error) {
			return nil, r.post("/api/v1/doctor", admin.CheckupRequest{All: r.Get("all") != "", By: r.Get("by")}, new(any))
		},
	},
}
