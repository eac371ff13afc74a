// Package evaluated has what the rules made of an event in the form in which the log
// of recent evaluations keeps it: compact, and cheap to make, because one is kept of
// each event that is evaluated. The explanation of each rule is not part of it: it is
// made again when somebody wants to see it, from the event, by the same rules.
package evaluated

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// maxEvent is the greatest size of an event that is kept whole, in bytes of JSON.
	// Of a larger one, such as that of a pipeline with a hundred jobs, a part is kept.
	maxEvent = 48 << 10
	// maxSteps is how many rules are kept of one event, and maxReason the greatest
	// length of a reason, in bytes.
	maxSteps  = 200
	maxReason = 500
)

// Result is what the rules made of an event.
type Result struct {
	At    time.Time `json:"at"`
	Rules string    `json:"rules"` // the fingerprint of those that were in force
	rules.Trace
	// Waits is why the event is evaluated again later: an expression could not be
	// evaluated for now. "": it is done.
	Waits string `json:"waits,omitzero"`
	// Dropped is why the event was not evaluated, and never is; "": it was.
	Dropped string `json:"dropped,omitzero"`
	// ProjectID and Attempt are of the event as it was evaluated, where its hook lacked
	// them or had them wrong.
	ProjectID int64 `json:"project_id,omitzero"`
	Attempt   int   `json:"attempt,omitzero"`
	// Cut is set if only a part of the event is kept: without the pipeline's jobs, if
	// that is enough.
	Cut bool `json:"cut,omitzero"`
	// More is how many rules that did not match are left out.
	More int `json:"more,omitzero"`
}

// Evaluation is the result with the event.
type Evaluation struct {
	Result
	Record event.Record `json:"record"`
}

// Subject returns the subject in the log of the evaluations of a pipeline's events,
// those of its jobs included.
func Subject(pipeline int64) string { return "pipeline:" + strconv.FormatInt(pipeline, 10) }

// Item returns the item for the log, in parts. record is the JSON of r, as the queue
// has it.
func Item(of Result, r event.Record, record []byte) (parts [][]byte, err error) {
	for _, shorten := range []func(){
		func() { r.Pipeline.Jobs = nil },
		func() { r.Event = outline(r.Event) },
	} {
		if len(record) <= maxEvent {
			break
		}
		shorten()
		of.Cut = true
		if record, err = json.Marshal(r); err != nil {
			return nil, err
		}
	}
	if len(record) > maxEvent {
		return nil, fmt.Errorf("the ids and names alone take %d bytes", len(record))
	}
	of.Steps, of.More = most(of.Steps)
	of.Waits = brief(of.Waits)
	head, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	return [][]byte{head[:len(head)-1], []byte(`,"record":`), record, []byte("}")}, nil
}

// outline returns what identifies an event, and what most conditions read.
func outline(e event.Event) event.Event {
	p, j := e.Pipeline, e.Job
	return event.Event{
		Meta: e.Meta, Project: e.Project,
		Pipeline: event.Pipeline{ID: p.ID, Ref: p.Ref, Tag: p.Tag, SHA: p.SHA, Status: p.Status, Source: p.Source},
		Job:      event.Job{ID: j.ID, Name: j.Name, Stage: j.Stage, Status: j.Status, FailureReason: j.FailureReason, FailureClass: j.FailureClass, Attempt: j.Attempt, Ref: j.Ref},
	}
}

// most returns the steps that are kept: all but those that did not match, and of those
// the first ones; and how many it left out.
func most(steps []rules.Step) (kept []rules.Step, more int) {
	for i := range steps {
		s := steps[i]
		if s.Result == rules.VerdictNotMatched && len(kept) >= maxSteps || len(kept) >= 2*maxSteps {
			more++
			continue
		}
		s.Reason = brief(s.Reason)
		kept = append(kept, s)
	}
	return kept, more
}

// brief shortens a text to maxReason bytes.
func brief(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}

// Parse returns the evaluation of an item, with the event as it was evaluated.
func Parse(item []byte) (Evaluation, error) {
	var ev Evaluation
	if err := json.Unmarshal(item, &ev); err != nil {
		return ev, fmt.Errorf("an evaluation that was kept can't be read: %w", err)
	}
	if ev.ProjectID != 0 {
		ev.Record.Project.ID = ev.ProjectID
	}
	if ev.Attempt != 0 {
		ev.Record.Job.Attempt = ev.Attempt
	}
	return ev, nil
}
