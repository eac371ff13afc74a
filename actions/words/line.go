package words

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
)

// LineID identifies a line of a message that shows the newest outcomes of several jobs. A
// job is identified by its name, so that a retried job keeps its line, whichever rule
// retries it next; "" is the pipeline. The rule is named only if it has no action: its
// text is no state of the job, and a later action must not hide it.
type LineID struct {
	Job  string `json:"job,omitzero"`
	Rule string `json:"rule,omitzero"`
}

// LineOf returns the id of an outcome's line.
func LineOf(o event.Outcome) LineID {
	switch {
	case o.Action.Verb == event.VerbNotify:
		return LineID{Job: o.Job.Name, Rule: o.Rule}
	case event.OfPipeline(o.Action.Verb): // the job is that of the event, if any
		return LineID{}
	}
	return LineID{Job: o.Job.Name}
}

// MostFrequent returns the counted texts, the most frequent first.
func MostFrequent(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
