package words

import (
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Event names an event by what changed, as in: job 1977 rspec, failed (script_failure).
func Event(e *event.Event) string {
	if e.Meta.Kind == event.KindPipeline {
		return fmt.Sprintf("pipeline %d, %s", e.Pipeline.ID, e.Pipeline.Status)
	}
	name := fmt.Sprintf("job %d %s, %s", e.Job.ID, e.Job.Name, e.Job.Status)
	if e.Job.FailureReason != "" && e.Job.Status == "failed" {
		name += " (" + e.Job.FailureReason + ")"
	}
	return name
}

// Action says what a decision wants done, as in: retry job 1977 rspec.
func Action(d *event.Decision) string { return Plain.Action(d) }

// Action says in the style's language what a decision wants done.
func (s Style) Action(d *event.Decision) string {
	verb, terms := s.Verb(d.Action.Verb), TermsIn(s.Language)
	switch {
	case event.OfPipeline(d.Action.Verb):
		return fmt.Sprintf(terms.ActPipeline, verb, d.Pipeline.ID)
	case d.Job.ID == 0 && d.Job.Name != "":
		return fmt.Sprintf(terms.ActNamed, verb, d.Job.Name)
	case d.Bridge:
		return fmt.Sprintf(terms.ActBridge, verb, d.Job.ID, d.Job.Name)
	}
	return fmt.Sprintf(terms.Act, verb, d.Job.ID, d.Job.Name)
}

// ActionOf names a decision in short, as in: retry of rspec.
func ActionOf(d *event.Decision) string {
	switch {
	case d.Pipeline.ID == 0 && d.Job.ID == 0:
		return d.Action.Verb
	case d.Job.ID == 0 || event.OfPipeline(d.Action.Verb):
		return fmt.Sprintf("%s of pipeline %d", strings.TrimSuffix(d.Action.Verb, "_pipeline"), d.Pipeline.ID)
	}
	return d.Action.Verb + " of " + d.Job.Name
}
