package event

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// Duration is a time.Duration whose JSON is written like 30s, 1h30m or 7d.
type Duration = model.Duration

// Coarse rounds a duration down for display, as in 45s, 2h30m or 90d: to whole
// seconds, and to whole minutes above one hour.
func Coarse(d time.Duration) Duration {
	if d > time.Hour {
		d = d.Truncate(time.Minute)
	}
	return Duration(d.Truncate(time.Second))
}

// Rounded rounds a time that was measured, and perhaps paid, for display: like Coarse, but to
// the nearest second or minute, and to no less than a second, unless it is 0.
func Rounded(d time.Duration) Duration {
	switch {
	case d <= 0:
		return 0
	case d > time.Hour:
		return Duration(d.Round(time.Minute))
	}
	return Duration(max(time.Second, d.Round(time.Second)))
}

// Verbs are the operations of actions. VerbNotify is the verb of a decision
// whose rule has no action and only sends a notification.
const (
	VerbRetry  = "retry"
	VerbPlay   = "play"
	VerbCancel = "cancel"
	VerbErase  = "erase"

	VerbRetryPipeline  = "retry_pipeline"
	VerbCancelPipeline = "cancel_pipeline"
	VerbCancelOutdated = "cancel_outdated" // jobs that still run in older pipelines and that the event's pipeline makes redundant

	VerbNotify = "notify"
)

// Verbs lists all verbs.
var Verbs = []string{VerbRetry, VerbPlay, VerbCancel, VerbErase, VerbRetryPipeline, VerbCancelPipeline, VerbCancelOutdated, VerbNotify}

// OfPipeline reports whether a verb acts on the event's pipeline rather than
// on a job.
func OfPipeline(verb string) bool {
	return verb == VerbRetryPipeline || verb == VerbCancelPipeline || verb == VerbCancelOutdated
}

// SupportsBridges reports whether GitLab can apply a verb to a trigger job.
func SupportsBridges(verb string) bool { return verb == VerbRetry || verb == VerbPlay }

// Selectable reports whether a verb acts on a job in this status if a rule
// selects the job by name. force is the parameter of cancel.
func Selectable(verb, status string, force bool) bool {
	switch verb {
	case VerbRetry:
		return status == "failed"
	case VerbPlay:
		return status == "manual" || status == "scheduled"
	case VerbCancel: // a manual job waits for a person, and is left alone
		return status == "canceling" && force || !Ended(status) && status != "canceling" && status != "manual"
	case VerbErase:
		return Ended(status) && status != "skipped"
	}
	return false
}

// Results of a decision. Rule files, the API and metrics call a result
// "outcome". A deferred decision gets another result later, and a retried job
// may recover after the result of its retry was recorded.
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

// WhenStorm stands in `when` for the deferred outcomes that wait because the circuit breaker
// of their failure class is open.
const WhenStorm = WaitStorm

// Whens lists what `when` of a notification may have: all results, and WhenStorm.
var Whens = append(slices.Clone(Results), WhenStorm)

// Decision records that a rule matched an event and requests an action. It
// embeds the event. Its Job is the job to act on, also if the event was a
// pipeline event.
type Decision struct {
	Event
	ID           string     `json:"id"`  // unique to this decision
	Key          string     `json:"key"` // equal for the same action on the same job in the same state, whichever event or rule requested it
	Rule         string     `json:"rule"`
	AlsoWantedBy []string   `json:"also_wanted_by,omitempty"` // names of later rules that request the same action
	Action       Action     `json:"action"`
	After        []string   `json:"after,omitempty"`        // keys of decisions that must have ended before this one: those of the preceding action of the rule or, with `wait: success`, of the preceding job
	AfterSuccess string     `json:"after_success,omitzero"` // name of the job whose latest run in the pipeline must have passed before, with `wait: success`
	Bridge       bool       `json:"bridge,omitzero"`        // the Job is a trigger job
	Missing      bool       `json:"missing,omitzero"`       // the rule names a job that the pipeline does not have: only the Job's Name is set
	DryRun       bool       `json:"dry_run,omitzero"`
	States       []State    `json:"states,omitempty"`   // what the event says of those in the rule's `notify`
	Together     []Together `json:"together,omitempty"` // the messages that the notices of entries of `notify` are in with others
	DecidedAt    time.Time  `json:"decided_at,omitzero"`
	By           Requester  `json:"by,omitzero"` // zero: only the Rule requested it
	// PressedOn is, if a person requested it, the source of the event whose message had the
	// button; the Event has SourceButton.
	PressedOn string `json:"pressed_on,omitzero"`

	RulesHash   string      `json:"rules_hash,omitzero"` // SHA-256 of the rule file at the time of the decision, in hex
	Explanation Explanation `json:"explanation,omitzero"`

	Deferrals []Deferral `json:"deferrals,omitempty"` // the last ones, oldest first
	Calls     []Call     `json:"calls,omitempty"`     // the last ones, oldest first
}

// Requester is the person who requested a decision in Slack.
type Requester struct {
	Name     string  `json:"name"`
	UserID   string  `json:"user_id"`           // in Slack
	TeamID   string  `json:"team_id,omitzero"`  // of the person's workspace there
	Address  Address `json:"address,omitzero"`  // where the outcome is reported; zero: to the person only
	Language string  `json:"language,omitzero"` // of that report, as event.Notice has it
	Rule     string  `json:"rule,omitzero"`     // whose dry run holds it: that of the message with the button; "": those of all rules together
}

// String names the person, as in: Ada (Slack U123).
func (r Requester) String() string {
	if r.Name == "" {
		return "Slack user " + r.UserID
	}
	return r.Name + " (Slack " + r.UserID + ")"
}

// Requested reports whether a person requested the decision, and no rule did.
func (d Decision) Requested() bool { return d.Rule == "" && d.By != (Requester{}) }

// Origin returns the event with the source from which it came, whoever requested the decision.
func (d Decision) Origin() Event {
	e := d.Event
	e.Meta.Source = cmp.Or(d.PressedOn, e.Meta.Source)
	return e
}

// Action is a verb with its parameters. All templates are rendered.
type Action struct {
	Verb string `json:"verb"`

	// retry
	MaxAttempts int      `json:"max_attempts,omitzero"` // runs in total, including the first
	Delay       Duration `json:"delay,omitzero"`        // also play
	Backoff     string   `json:"backoff,omitzero"`      // exponential or constant
	MaxDelay    Duration `json:"max_delay,omitzero"`
	AllowStale  bool     `json:"allow_stale,omitzero"` // also play: act even if the pipeline is not the newest of its ref
	// MinPassRate is the share of such retries that must be likely to pass, from 0 to 1; 0:
	// any.
	MinPassRate float64 `json:"min_pass_rate,omitzero"`

	// play
	Variables map[string]string          `json:"variables,omitempty"`
	Inputs    map[string]json.RawMessage `json:"inputs,omitempty"` // each is a text, a number, a boolean or a list of those
	Wait      string                     `json:"wait,omitzero"`    // none or success: how a job waits for the preceding one in `jobs`
	// Confirm is the Slack channel in which a person must confirm the play before, within
	// the time of ConfirmWithin after the question was asked there; "": nobody must. The
	// question is in ConfirmLanguage, one of Languages; "": English.
	Confirm         string   `json:"confirm,omitzero"`
	ConfirmWithin   Duration `json:"confirm_within,omitzero"`
	ConfirmLanguage string   `json:"confirm_language,omitzero"`

	// cancel, cancel_outdated
	Force bool `json:"force,omitzero"`

	// erase
	OlderThan Duration `json:"older_than,omitzero"`
	Artifacts bool     `json:"artifacts,omitzero"` // erase also jobs that have artifacts besides their log
	// An erase leaves these jobs alone: the jobs of the newest KeepPipelines
	// pipelines of each ref, those of tags, those of protected refs, and those
	// whose log is at most LargerThan bytes.
	KeepPipelines int   `json:"keep_pipelines,omitzero"`
	KeepTags      bool  `json:"keep_tags,omitzero"`
	KeepProtected bool  `json:"keep_protected,omitzero"`
	LargerThan    int64 `json:"larger_than,omitzero"`
}

// Percent formats a share from 0 to 1 as rule files have it, like 20%.
func Percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e6)/1e4, 'f', -1, 64) + "%"
}

// Backoffs determine how the delay before a retry grows.
const (
	BackoffConstant    = "constant"
	BackoffExponential = "exponential"
)

// Waits determine when the jobs of one play start.
const (
	WaitNone    = "none"
	WaitSuccess = "success" // each job starts after the preceding one has passed
)

// Pause returns the delay before the action is performed on a job in the given
// attempt: Delay, doubled for each attempt after the first if the backoff is
// exponential, and at most MaxDelay. Decision.Pause adds the jitter.
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

// Pause returns the delay before the decision is performed: the delay of its
// action and, for a retry, up to 10 % of jitter, so that jobs that failed
// together do not all restart together. The jitter is derived from the key, so
// it is the same after a crash and on every replica.
func (d Decision) Pause() time.Duration {
	wait := d.Action.Pause(d.Job.Attempt)
	if d.Action.Verb != VerbRetry {
		return wait
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.Key)) // never fails
	// The jitter is in whole milliseconds, the resolution of a Duration in
	// JSON.
	return wait + time.Duration(h.Sum64()%uint64(wait/10/time.Millisecond+1))*time.Millisecond
}

// Retries returns the failed jobs that the decision runs again.
func (d Decision) Retries() []Job {
	var jobs []Job
	switch d.Action.Verb {
	case VerbRetry:
		if d.Missing {
			return nil
		}
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

// FailureClasses returns the failure classes of the retried jobs, sorted.
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

// Outcome is a decision with its result.
type Outcome struct {
	Decision
	Result   string    `json:"outcome"`             // one of the results above
	Reason   string    `json:"reason,omitzero"`     // the reason for the result, for people to read
	WaitsFor string    `json:"waits_for,omitzero"`  // of a deferred decision: one of Waits
	NewJobID int64     `json:"new_job_id,omitzero"` // the job that the action started, if any
	Freed    int64     `json:"freed,omitzero"`      // bytes that an erase freed
	Sweep    Sweep     `json:"sweep,omitzero"`      // the run of a schedule rule that erases
	Retried  Retried   `json:"retried,omitzero"`    // of recovered and gave_up: the last retry; zero if there was none
	PassRate string    `json:"pass_rate,omitzero"`  // of a retry with MinPassRate: how many such retries passed, for people to read
	At       time.Time `json:"at,omitzero"`
	// NewRun is how the run of the NewJobID ended, where no other entry of the journal has it:
	// it was canceled, or it failed, and GitLab, a person or a rule for pipelines ran the job again.
	NewRun Job `json:"new_run,omitzero"`

	Notifications []Notification `json:"notifications,omitempty"` // of this outcome, one for each channel
}

// Retried is a retry whose new run has ended: why the run before it failed, how long both
// took, and the time from the end of the one to the start of the other, in seconds; 0: not
// known.
type Retried struct {
	FailureReason string  `json:"failure_reason,omitzero"`
	FailureClass  string  `json:"failure_class,omitzero"`
	FailedSeconds float64 `json:"failed_seconds,omitzero"`
	DelaySeconds  float64 `json:"delay_seconds,omitzero"`
	NewSeconds    float64 `json:"new_seconds,omitzero"`
}

// RetriedRun returns the retry of a failed run by another run, which has ended.
func RetriedRun(failed, by Job) Retried {
	r := Retried{FailureReason: failed.FailureReason, FailureClass: failed.FailureClass, FailedSeconds: failed.Duration, NewSeconds: by.Duration}
	if !failed.FinishedAt.IsZero() && by.StartedAt.After(failed.FinishedAt) {
		r.DelaySeconds = by.StartedAt.Sub(failed.FinishedAt).Seconds()
	}
	return r
}

// NewJob returns the job that runs in place of the decision's own, and its page; 0 if there
// is none.
func (o Outcome) NewJob() (id int64, page string) {
	if o.NewJobID == 0 || o.NewJobID == o.Job.ID {
		return 0, ""
	}
	if o.Project.URL != "" {
		page = fmt.Sprintf("%s/-/jobs/%d", o.Project.URL, o.NewJobID)
	}
	return o.NewJobID, page
}

// NotNotified returns the notifications that failed, and those that wait until a person has
// mended something.
func (o Outcome) NotNotified() []Notification {
	var failed []Notification
	for _, n := range o.Notifications {
		if n.Result == NotificationFailed {
			failed = append(failed, n)
		}
	}
	return failed
}

// Record is an event as the queue stores it.
type Record struct {
	Event
	// Without lists the identities of the rules that make no decisions about
	// the event because they were loaded after the event happened.
	Without []string `json:"without,omitempty"`
	// Again is the time at which a person requested another try of the
	// decisions that had failed by then; zero if nobody did.
	Again time.Time `json:"again,omitzero"`
}

// Record kinds name the type of the JSON in the body of a queue record.
const (
	RecordEvent    = "event"    // a Record
	RecordDecision = "decision" // a Decision
	RecordOutcome  = "outcome"  // an Outcome
	RecordNotice   = "notice"   // an Outcome with a Notice of it
	RecordDigest   = "digest"   // the Address of a digest
	RecordSweep    = "sweep"    // a Sweep
)
