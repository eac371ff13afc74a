package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	defaultDecisions = 20
	maxDecisions     = 100
	// waiting is what stands for the outcome of a decision that has none yet.
	waiting = "waiting"
)

// verb and outcome are texts of closed sets.
type (
	verb    string
	outcome string
)

type decisionsInput struct {
	ID       string  `json:"id,omitempty" jsonschema:"only the decision with this id, with its explanation; no other argument may be given then"`
	Rule     string  `json:"rule,omitempty" jsonschema:"the name of a rule"`
	Action   verb    `json:"action,omitempty"`
	Outcome  outcome `json:"outcome,omitempty" jsonschema:"recovered: the retried job passed; gave_up: the attempts are used up; waiting: none yet"`
	Project  string  `json:"project,omitempty" jsonschema:"a project's id, or a glob of paths like platform/**"`
	Pipeline int64   `json:"pipeline,omitempty" jsonschema:"a pipeline's id"`
	Job      int64   `json:"job,omitempty" jsonschema:"a job's id"`
	Ref      string  `json:"ref,omitempty" jsonschema:"the name of a branch or a tag"`
	Since    string  `json:"since,omitempty" jsonschema:"made since: a duration that ends now, like 2h or 7d, or a time like 2026-12-24T18:00:00Z"`
	Limit    int     `json:"limit,omitempty" jsonschema:"at most so many, 1 to 100; default 20"`
	Cursor   string  `json:"cursor,omitempty" jsonschema:"next of the result before, for the next page; the filters must be the same"`
}

type decisionsPage struct {
	Decisions []decided `json:"decisions"`
	Next      string    `json:"next,omitzero" jsonschema:"the cursor of the next page; missing at the end"`
}

// decided is a decision and its outcome in short.
type decided struct {
	ID            string            `json:"id"`
	At            time.Time         `json:"at" jsonschema:"of the outcome, or of the decision where it has none"`
	Rule          string            `json:"rule,omitzero"`
	RequestedBy   string            `json:"requested_by,omitzero" jsonschema:"the person who requested it, in place of a rule"`
	Action        string            `json:"action"`
	What          string            `json:"what" jsonschema:"the action in words"`
	Outcome       string            `json:"outcome"`
	Reason        string            `json:"reason,omitzero"`
	DryRun        bool              `json:"dry_run,omitzero"`
	Project       string            `json:"project"`
	Ref           string            `json:"ref,omitzero"`
	Pipeline      int64             `json:"pipeline,omitzero"`
	Job           int64             `json:"job,omitzero"`
	JobName       string            `json:"job_name,omitzero"`
	URL           string            `json:"url,omitzero" jsonschema:"of the job or the pipeline, for the tool why"`
	FailureReason string            `json:"failure_reason,omitzero"`
	FailureClass  string            `json:"failure_class,omitzero"`
	Attempt       int               `json:"attempt,omitzero"`
	NewJob        int64             `json:"new_job,omitzero" jsonschema:"the id of the job that the action started"`
	Explanation   event.Explanation `json:"explanation,omitzero"`
}

func decisions(ctx context.Context, from Sources, in decisionsInput) (page decisionsPage, notes []string, err error) {
	query, err := in.query()
	if err != nil {
		return page, nil, err
	}
	var answer struct {
		Decisions []event.Outcome
		Next      string
	}
	if err := from.API.Get(ctx, "/api/v1/decisions", query, &answer); err != nil {
		return page, nil, err
	}
	page.Decisions, page.Next = make([]decided, len(answer.Decisions)), answer.Next
	for i, o := range answer.Decisions {
		page.Decisions[i] = inShort(o)
		if in.ID != "" {
			page.Decisions[i].Explanation = o.Explanation
		}
	}
	switch {
	case in.ID != "" && len(page.Decisions) == 0:
		return page, nil, fmt.Errorf("there is no decision %q: the journal keeps them for a while only", in.ID)
	case page.Next != "":
		notes = append(notes, "there may be more: call again with the same arguments and next as cursor")
	}
	return page, notes, nil
}

// query returns the parameters of the API.
func (in decisionsInput) query() (url.Values, error) {
	if in.Limit < 0 || in.Limit > maxDecisions {
		return nil, fmt.Errorf("limit must be from 1 to %d, not %d: read the others with cursor", maxDecisions, in.Limit)
	}
	id := in.ID
	if in.ID = ""; id != "" {
		if in != (decisionsInput{}) {
			return nil, errors.New("id selects one decision: leave the other arguments out")
		}
		return url.Values{"id": {id}}, nil
	}
	query := given("rule", in.Rule, "action", string(in.Action), "outcome", string(in.Outcome), "project", in.Project, "ref", in.Ref, "since", in.Since, "cursor", in.Cursor,
		"limit", strconv.Itoa(cmp.Or(in.Limit, defaultDecisions)))
	if in.Pipeline != 0 {
		query.Set("pipeline", strconv.FormatInt(in.Pipeline, 10))
	}
	if in.Job != 0 {
		query.Set("job", strconv.FormatInt(in.Job, 10))
	}
	return query, nil
}

// given returns the parameters, by name and value, that are not empty.
func given(namesAndValues ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(namesAndValues); i += 2 {
		if value := namesAndValues[i+1]; value != "" {
			query.Set(namesAndValues[i], value)
		}
	}
	return query
}

// inShort returns a decision without its event.
func inShort(o event.Outcome) decided {
	d := decided{
		ID: o.ID, At: o.At, Rule: o.Rule, Action: o.Action.Verb, What: words.Action(&o.Decision), Outcome: cmp.Or(o.Result, waiting), Reason: o.Reason, DryRun: o.DryRun,
		Project: o.Project.Path, Ref: cmp.Or(o.Job.Ref, o.Pipeline.Ref), Pipeline: o.Pipeline.ID, Job: o.Job.ID, JobName: o.Job.Name, URL: cmp.Or(o.Job.URL, o.Pipeline.URL),
		FailureReason: o.Job.FailureReason, FailureClass: o.Job.FailureClass, Attempt: o.Job.Attempt, NewJob: o.NewJobID,
	}
	if o.Requested() {
		d.Rule, d.RequestedBy = "", o.By.String()
	}
	if d.At.IsZero() {
		d.At = o.DecidedAt
	}
	return d
}
