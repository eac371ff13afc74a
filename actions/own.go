package actions

import (
	"context"
	"fmt"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Own is the CI job that this process runs in, and its pipeline; zero where it runs in
// none.
type Own struct{ Job, Pipeline int64 }

// Spared returns why a decision must not be carried out by a process that runs in the job
// which the decision would end or change; "" for any other decision.
func (o Own) Spared(d event.Decision) string {
	verb := d.Action.Verb
	switch {
	case o.Job == 0 || verb == event.VerbNotify:
		return ""
	case !event.OfPipeline(verb) && d.Job.ID == o.Job:
		return fmt.Sprintf("job %d is the one that this command runs in", o.Job)
	case verb == event.VerbCancelPipeline && d.Pipeline.ID == o.Pipeline:
		return fmt.Sprintf("job %d, which this command runs in, would be canceled with its pipeline", o.Job)
	}
	return ""
}

// notOwn skips an action on the CI job that this process runs in.
func (r *Runner) notOwn(_ context.Context, a *attempt) (*verdict, error) {
	if reason := r.Own.Spared(a.Decision); reason != "" {
		return skipped("%s", reason), nil
	}
	return nil, nil
}
