package event

import (
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Duration is a time.Duration that JSON has as people write it: 30s, 1h30m, 7d.
type Duration = model.Duration

// Coarse returns a time for people to read, like 45s, 2h30m or 90d: in seconds,
// and in minutes from one hour on.
func Coarse(d time.Duration) Duration {
	if d > time.Hour {
		d = d.Truncate(time.Minute)
	}
	return Duration(d.Truncate(time.Second))
}

// Verbs: what an action does. Notify is the verb of a decision whose rule
// has no action and only tells that it matched.
const (
	VerbRetry  = "retry"
	VerbPlay   = "play"
	VerbCancel = "cancel"
	VerbErase  = "erase"

	VerbRetryPipeline  = "retry_pipeline"
	VerbCancelPipeline = "cancel_pipeline"
	VerbCancelOutdated = "cancel_outdated" // what still runs in older pipelines that the event's makes redundant

	VerbNotify = "notify"
)

// Verbs lists all verbs.
var Verbs = []string{VerbRetry, VerbPlay, VerbCancel, VerbErase, VerbRetryPipeline, VerbCancelPipeline, VerbCancelOutdated, VerbNotify}

// OfPipeline reports whether a verb acts on the event's pipeline, and not on a
// job.
func OfPipeline(verb string) bool {
	return verb == VerbRetryPipeline || verb == VerbCancelPipeline || verb == VerbCancelOutdated
}

// SupportsBridges reports whether GitLab can apply a verb to a trigger job.
func SupportsBridges(verb string) bool { return verb == VerbRetry || verb == VerbPlay }

// Results: what came of a decision (the word "outcome" in rule files, the
// API and metrics). A deferred decision has another result later, and a job
// that was retried may recover after the retry is done.
const (
	ResultDone      = "done"
	ResultDryRun    = "dry_run"
	ResultSkipped   = "skipped"
	ResultDeferred  = "deferred"
	ResultFailed    = "failed"
	ResultGaveUp    = "gave_up"
	ResultRecovered = "recovered" // a job that was retried passed
)

// Results lists all results.
var Results = []string{ResultDone, ResultDryRun, ResultSkipped, ResultDeferred, ResultFailed, ResultGaveUp, ResultRecovered}

// Decision says that a rule matched an event and wants an action. It holds
// the event; its Job is the job to act on, also where the event was a
// pipeline's.
type Decision struct {
	Event
	ID           string    `json:"id"`  // this decision's own
	Key          string    `json:"key"` // the same for the same action on the same job in the same state, whichever event or rule asked
	Rule         string    `json:"rule"`
	AlsoWantedBy []string  `json:"also_wanted_by,omitempty"` // later rules that want the same
	Action       Action    `json:"action"`
	After        []string  `json:"after,omitempty"`        // keys of decisions that must have ended before: of the rule's action before this one, or of the job before this one with `wait: success`
	AfterSuccess string    `json:"after_success,omitzero"` // name of a job of the pipeline whose latest run must have passed before, with `wait: success`
	Bridge       bool      `json:"bridge,omitzero"`        // the Job is a trigger job
	DryRun       bool      `json:"dry_run,omitzero"`
	DecidedAt    time.Time `json:"decided_at,omitzero"`

	RulesHash   string      `json:"rules_hash,omitzero"` // of the rule file as it was: SHA-256 in hex
	Explanation Explanation `json:"explanation,omitzero"`
}

// Action is a verb with its parameters, every text already rendered.
type Action struct {
	Verb string `json:"verb"`

	// retry
	MaxAttempts int      `json:"max_attempts,omitzero"` // runs in all, the first counted
	Delay       Duration `json:"delay,omitzero"`        // also play
	Backoff     string   `json:"backoff,omitzero"`      // exponential or constant
	MaxDelay    Duration `json:"max_delay,omitzero"`
	AllowStale  bool     `json:"allow_stale,omitzero"` // also play: act in a pipeline that is not the newest of its ref, too

	// play
	Variables map[string]string          `json:"variables,omitempty"`
	Inputs    map[string]json.RawMessage `json:"inputs,omitempty"` // each a text, a number, a boolean or a list of those
	Wait      string                     `json:"wait,omitzero"`    // none or success: how a job waits for the one before it in `jobs`

	// cancel, cancel_outdated
	Force bool `json:"force,omitzero"`

	// erase
	OlderThan Duration `json:"older_than,omitzero"`
	Artifacts bool     `json:"artifacts,omitzero"` // erase also jobs that hold artifacts besides their log
	// What an erase keeps, besides: the jobs of so many newest pipelines of each
	// ref, those of tags, those of protected refs, and logs up to a size in bytes.
	KeepPipelines int   `json:"keep_pipelines,omitzero"`
	KeepTags      bool  `json:"keep_tags,omitzero"`
	KeepProtected bool  `json:"keep_protected,omitzero"`
	LargerThan    int64 `json:"larger_than,omitzero"`
}

// Backoffs: how the delay before a retry grows.
const (
	BackoffConstant    = "constant"
	BackoffExponential = "exponential"
)

// Waits: what the jobs of one play wait for.
const (
	WaitNone    = "none"
	WaitSuccess = "success" // each until the one before it has passed
)

// Pause gives how long to wait before the action is carried out on a job in
// its given attempt: the delay, doubled for each attempt after the first if
// the backoff is exponential, and at most MaxDelay. Decision.Pause adds the
// jitter.
func (a Action) Pause(attempt int) time.Duration {
	wait := a.Delay
	if a.Backoff == BackoffExponential {
		for n := 1; n < attempt && wait < a.MaxDelay; n++ {
			wait *= 2
		}
		wait = max(a.Delay, min(wait, a.MaxDelay))
	}
	return time.Duration(wait)
}

// Pause gives how long to wait before the decision is carried out: what its
// action asks for, and of a retry up to a tenth more, so that jobs which
// failed together do not all come back together. The key decides how much
// more: it is the same after a crash and on every replica.
func (d Decision) Pause() time.Duration {
	wait := d.Action.Pause(d.Job.Attempt)
	if d.Action.Verb != VerbRetry {
		return wait
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.Key)) // never fails
	// In whole milliseconds, which is what a Duration keeps in JSON.
	return wait + time.Duration(h.Sum64()%uint64(wait/10/time.Millisecond+1))*time.Millisecond
}

// Retries returns the failed jobs that the decision wants to run again.
func (d Decision) Retries() []Job {
	var jobs []Job
	switch d.Action.Verb {
	case VerbRetry:
		return []Job{d.Job}
	case VerbRetryPipeline:
		for _, job := range d.Pipeline.Jobs {
			if job.Status == "failed" {
				jobs = append(jobs, job)
			}
		}
		if d.Job.Status == "failed" {
			jobs = append(jobs, d.Job)
		}
	}
	return jobs
}

// FailureClasses returns the failure classes that a retry is about, sorted.
func (d Decision) FailureClasses() []string {
	classes := map[string]bool{d.Job.FailureClass: true}
	if d.Action.Verb == VerbRetryPipeline {
		for _, job := range d.Pipeline.Jobs {
			classes[job.FailureClass] = true
		}
	}
	delete(classes, "")
	return slices.Sorted(maps.Keys(classes))
}

// Outcome says what came of a decision. It holds the decision.
type Outcome struct {
	Decision
	Result   string    `json:"outcome"`             // one of the results above
	Reason   string    `json:"reason,omitzero"`     // why, for a person to read
	NewJobID int64     `json:"new_job_id,omitzero"` // the job that runs now, where the action made one
	Freed    int64     `json:"freed,omitzero"`      // bytes that an erase freed
	Sweep    Sweep     `json:"sweep,omitzero"`      // of a run of a schedule rule that erases
	At       time.Time `json:"at,omitzero"`
}

// Record is an event as the queue stores it.
type Record struct {
	Event
	// Without lists the identities of the rules that make no decisions about the
	// event, because they were loaded after what it describes.
	Without []string `json:"without,omitempty"`
	// Again is when a person requested another try of the decisions that had
	// failed by then; zero if nobody did.
	Again time.Time `json:"again,omitzero"`
}

// Record kinds: what the body of a queue record is, in JSON.
const (
	RecordEvent    = "event"    // a Record
	RecordDecision = "decision" // a Decision
	RecordOutcome  = "outcome"  // an Outcome
	RecordSweep    = "sweep"    // a Sweep
)
