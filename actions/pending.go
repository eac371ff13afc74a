package actions

import (
	"time"

	"github.com/pipesteward/pipesteward/actions/breaker"
	"github.com/pipesteward/pipesteward/actions/budget"
	"github.com/pipesteward/pipesteward/actions/cancellation"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// pending is a decision that waits to be carried out: the body of its record in the
// queue.
type pending struct {
	event.Decision
	// Try is how often the same decision has failed before. The keys in After include
	// it.
	Try int `json:"try,omitzero"`
	// Due is when the decision was due last, by its delay or a deliberate wait.
	// Latency is measured from there.
	Due time.Time `json:"due,omitzero"`
	// Waited is the sum of its deliberate waits. It is not computed from times of two
	// replicas, whose clocks may differ.
	Waited event.Duration `json:"waited,omitzero"`
	// DeferredAttempt is the attempt that ended with the last deliberate wait.
	DeferredAttempt int `json:"calm,omitzero"`
	// FailingSince is when GitLab's transient errors began.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// PassWaited is how long it waited for the job before it to pass. The time before
	// that job could run, such as a pause, does not count.
	PassWaited event.Duration `json:"pass_waited,omitzero"`
	// SawFailure is set when the job that must pass before was seen to have failed:
	// GitLab or a rule may still retry that.
	SawFailure bool `json:"left_behind,omitzero"`
	// Before is the retry that made the decision's job, where Pipesteward made it.
	Before event.Retried `json:"before,omitzero"`
	// Probe says that the ledger holds the retry not worth it and that it is made all the same;
	// PassRate what the ledger knows of such retries.
	Probe    bool   `json:"probe,omitzero"`
	PassRate string `json:"pass_rate,omitzero"`
	// Ticket is the decision's place among those that wait for a breaker to close.
	breaker.Ticket
	// Grants are the grants of the budgets to the decision.
	budget.Grants
	// Progress is how far its question is, if a person must confirm it.
	confirm.Progress
	// Waits is why it waits now, if it does deliberately.
	Waits event.Wait `json:"waits,omitzero"`
	// Postponed is why the decision was deferred last.
	Postponed string `json:"postponed,omitzero"`
	// Freed is how many bytes an erase frees, and Runs how many runs the pipeline had,
	// as seen before the request.
	Freed int64 `json:"freed,omitzero"`
	Runs  int   `json:"runs,omitzero"`
	// CancelChecks is how often the pipeline was checked after its cancellation.
	CancelChecks int `json:"left,omitzero"`
	// Canceled are the pipelines and jobs that a cancel_outdated has canceled so far.
	Canceled cancellation.Pipelines `json:"canceled,omitempty"`
	// Called is saved before the request. It stays set while it is unknown whether the
	// request took effect: the worker died, or the answer got lost. The effect that is
	// found then is attributed to that request.
	Called bool `json:"called,omitzero"`

	// What the current attempt has read from GitLab:

	seen     gitlab.Job       // the job of an erase
	outdated []event.Pipeline // those that the decision's pipeline makes redundant
	retried  map[int64]bool   // the runs of the pipeline that have a newer one, by id
}
