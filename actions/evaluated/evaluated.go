// Package evaluated has what the rules made of an event in the form in which the log
// of recent evaluations keeps it: compact, and cheap to make, because one is kept of
// each event that is evaluated. The explanation of each rule is not part of it: it is
// made again when somebody wants to see it, from the event, by the same rules.
package evaluated

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxEvent is the greatest size of an event that is kept whole, in bytes of JSON. A
// larger one, of a pipeline with a hundred jobs or more, is kept without its jobs.
const maxEvent = 48 << 10

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
	// Cut is set if the event is kept without the pipeline's jobs.
	Cut bool `json:"cut,omitzero"`
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
	if len(record) > maxEvent {
		of.Cut, r.Pipeline.Jobs = true, nil
		if record, err = json.Marshal(r); err != nil {
			return nil, err
		}
	}
	head, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	return [][]byte{head[:len(head)-1], []byte(`,"record":`), record, []byte("}")}, nil
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
