package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/rules/event"
)

// button does what a button says.
func (h *Handler) button(ctx context.Context, r chatops.Request, b chatops.Button) (answer, error) {
	o, err := h.outcome(ctx, b.Of)
	switch {
	case err != nil:
		return answer{}, err
	case b.Does == chatops.ButtonConfirm && o != nil && h.dry(*o):
		return h.inDryRun(r, o.Decision)
	case b.Does == chatops.ButtonConfirm, b.Does == chatops.ButtonReject:
		return h.confirmation(ctx, r)
	case o == nil:
		return sayIn(h.styleOf(r), "request_expired", nil)
	}
	if b.Job != 0 && b.Job != o.Job.ID {
		o.Job = anotherRun(*o, b.Job)
	}
	if slices.Contains(chatops.Mutes, b.Does) {
		return h.muteFrom(ctx, r, b, *o)
	}
	switch acts := b.Does != chatops.ButtonLog && b.Does != chatops.ButtonWhy; {
	case acts && h.dry(*o):
		return h.inDryRun(r, o.Decision)
	case b.Does == chatops.ButtonPlay && o.Action.Confirm != "": // an earlier version offered it
		return sayIn(h.styleOf(r), "request_needs_confirm", quoted(o.Action.Confirm))
	}
	if b.Does == chatops.ButtonRetry || b.Does == chatops.ButtonPlay {
		switch refusal, err := h.may(ctx, r, anyJob(o.Project.ID), b.Does); {
		case err != nil:
			return answer{}, err
		case refusal != nil:
			return h.refused(r, refusal)
		}
	}
	on, err := h.targetOf(ctx, o.Origin(), ofPipeline(b, *o), b.Does)
	if err != nil {
		return answer{}, err
	}
	refusal, err := h.may(ctx, r, on, b.Does)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	switch b.Does {
	case chatops.ButtonLog:
		return h.log(ctx, o.Event, h.styleOf(r))
	case chatops.ButtonWhy:
		return h.why(ctx, pageOf(o.Event, b.Job), h.styleOf(r))
	}
	action, err := actionOf(b, *o)
	if err != nil {
		return answer{}, err
	}
	by := r.By.Requester()
	by.Rule, _ = h.Rules().Dry(o.Decision)
	if b.In != "" {
		by.Address, by.Language = event.Address{Receiver: event.ReceiverSlack, Channel: b.In}, b.Language
	}
	return h.request(r, o.Origin(), action, by)
}

// targetOf returns what the rights on an event's job, or on its whole pipeline, depend on.
func (h *Handler) targetOf(ctx context.Context, e event.Event, pipeline bool, does string) (chatops.Target, error) {
	return rights.TargetOf(ctx, h.GitLab, e, pipeline, does)
}

// dry reports whether a dry run holds what people request under the message of an outcome.
func (h *Handler) dry(o event.Outcome) bool {
	_, dry := h.Rules().Dry(o.Decision)
	return dry
}

// inDryRun answers that nothing is changed: the rule of a decision is in dry run, or all are.
func (h *Handler) inDryRun(r chatops.Request, d event.Decision) (answer, error) {
	rule, _ := h.Rules().Dry(d)
	if h.Rules().AllDry() {
		rule = ""
	}
	return sayIn(h.styleOf(r), "request_dry_run", mrkdwn.Code(rule))
}

// confirmation has the answer to a question noted.
func (h *Handler) confirmation(ctx context.Context, r chatops.Request) (answer, error) {
	if h.Confirmations == nil {
		return answer{}, errors.New("nothing here asks for a confirmation")
	}
	reply, err := h.Confirmations.Answer(ctx, r)
	return answer{Reply: reply}, err
}

// outcome returns a decision as the journal has it; nil: it has expired.
func (h *Handler) outcome(ctx context.Context, id string) (*event.Outcome, error) {
	entry, err := h.Store.Entry(ctx, id)
	if err != nil || entry == nil {
		return nil, err
	}
	o := &event.Outcome{}
	if err := json.Unmarshal(entry.Body, o); err != nil {
		return nil, fmt.Errorf("journal entry %s: %w", id, err)
	}
	return o, nil
}

// anotherRun returns what is known of another run of the outcome's job.
func anotherRun(o event.Outcome, id int64) event.Job {
	job := event.Job{ID: id, Name: o.Job.Name, Stage: o.Job.Stage, Ref: o.Job.Ref, Tag: o.Job.Tag, Bridge: o.Job.Bridge, Manual: o.Job.Manual, Environment: o.Job.Environment}
	if o.Project.URL != "" {
		job.URL = fmt.Sprintf("%s/-/jobs/%d", o.Project.URL, id)
	}
	return job
}

// pageOf returns the address in GitLab of the job, or with 0 of the pipeline.
func pageOf(e event.Event, job int64) string {
	page := gitlab.Page{Project: e.Project.Path, Job: job}
	if job == 0 {
		page.Pipeline = e.Pipeline.ID
	}
	return e.Meta.Instance + "/" + page.Path()
}
