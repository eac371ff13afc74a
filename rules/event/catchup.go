package event

import "time"

// CatchUp is a round of catch-up that a person requested of a running server.
type CatchUp struct {
	ID     string    `json:"id"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`
	By     string    `json:"by,omitzero"`      // who requested it
	Since  time.Time `json:"since,omitzero"`   // also what happened before a project or a rule became known, since then
	DryRun bool      `json:"dry_run,omitzero"` // it only counts
	Error  string    `json:"error,omitzero"`   // why it ended early

	Found CatchUpFound `json:"found,omitzero"` // once it has ended
}

// CatchUpFound is what a round of catch-up found.
type CatchUpFound struct {
	Projects    int            `json:"projects"`  // that were read without a problem
	Replayed    int            `json:"replayed"`  // failed deliveries
	WithoutBody int            `json:"unkept"`    // failed deliveries that GitLab kept no body of
	Jobs        int            `json:"jobs"`      // that no event reported
	Pipelines   int            `json:"pipelines"` // likewise
	Problems    []SweepProblem `json:"problems,omitempty"`
}

// RequestError is the error for a request that can't be met as it is.
type RequestError struct{ Reason string }

func (e *RequestError) Error() string { return e.Reason }
