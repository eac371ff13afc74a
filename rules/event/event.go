package event

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event kinds: the values of Event.Meta.Kind, and of a rule's `on:`.
const (
	KindJob      = "job"
	KindPipeline = "pipeline"
	KindSchedule = "schedule"
)

// Kinds lists the event kinds.
var Kinds = []string{KindJob, KindPipeline, KindSchedule}

// Event sources are the values of Event.Meta.Source.
const (
	SourceWebhook  = "webhook"
	SourceCatchUp  = "catch_up"
	SourceSchedule = "schedule"
	SourceButton   = "button" // a person requested it in Slack; no rule is evaluated on it
	SourceReplay   = "replay"
	SourceCI       = "ci" // `pipesteward ci`, in a job of the event's own pipeline
)

// Statuses lists the statuses of jobs and pipelines, as GitLab names them.
var Statuses = []string{
	"created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running",
	"success", "failed", "canceling", "canceled", "skipped", "manual", "scheduled",
}

// Ended reports whether a job or a pipeline with this status has stopped
// running.
func Ended(status string) bool {
	switch status {
	case "success", "failed", "canceled", "skipped":
		return true
	}
	return false
}

// LogAttrs returns the attributes that identify an event in a log line.
func LogAttrs(e Event) []any {
	return []any{"event", e.Meta.ID, "kind", e.Meta.Kind, "project", e.Project.Path, "pipeline", e.Pipeline.ID, "job", e.Job.ID, "job_name", e.Job.Name}
}

// Event is a change of a job or a pipeline in GitLab, or a job that a schedule
// rule found. It is plain data with four uses: the queue's record (json tags),
// the environment of expressions (expr tags), the data of templates and the
// input of rule tests. It has no methods, because expr would make them
// callable from rule files, and no pointers, because a missing part must read
// as zero values. Ids are GitLab's, durations are in seconds, times are in
// UTC, and URLs are pages that a person can open. The comments on fields are
// copied into rules/README.md.
type Event struct {
	Meta         Meta         `json:"event" expr:"event"`
	Project      Project      `json:"project,omitzero" expr:"project"`
	Pipeline     Pipeline     `json:"pipeline,omitzero" expr:"pipeline"`
	Job          Job          `json:"job,omitzero" expr:"job"`
	User         User         `json:"user,omitzero" expr:"user"`
	Commit       Commit       `json:"commit,omitzero" expr:"commit"`
	MergeRequest MergeRequest `json:"merge_request,omitzero" expr:"merge_request"`
}

// Meta describes the kind of the event and how Pipesteward received it.
type Meta struct {
	Kind       string    `json:"kind" expr:"kind"`                        // job, pipeline or schedule
	ID         string    `json:"id" expr:"id"`                            // the delivery's dedupe key
	Source     string    `json:"source,omitzero" expr:"source"`           // webhook, catch_up, schedule, button, replay or ci
	Instance   string    `json:"instance,omitzero" expr:"instance"`       // base URL of the GitLab that sent it
	ReceivedAt time.Time `json:"received_at,omitzero" expr:"received_at"` // time of receipt: now() in expressions
}

// Project is the GitLab project that the event belongs to.
type Project struct {
	ID            int64  `json:"id,omitzero" expr:"id"`
	Path          string `json:"path,omitzero" expr:"path"` // path_with_namespace
	Name          string `json:"name,omitzero" expr:"name"`
	Namespace     string `json:"namespace,omitzero" expr:"namespace"` // path without its last part
	URL           string `json:"url,omitzero" expr:"url"`
	DefaultBranch string `json:"default_branch,omitzero" expr:"default_branch"`
}

// Pipeline is the pipeline that changed, or that the job belongs to.
type Pipeline struct {
	ID             int64             `json:"id,omitzero" expr:"id"`
	IID            int64             `json:"iid,omitzero" expr:"iid"`
	Ref            string            `json:"ref,omitzero" expr:"ref"`
	Tag            bool              `json:"tag,omitzero" expr:"tag"`
	SHA            string            `json:"sha,omitzero" expr:"sha"`
	Status         string            `json:"status,omitzero" expr:"status"`
	Source         string            `json:"source,omitzero" expr:"source"` // push, merge_request_event, schedule, ...
	Name           string            `json:"name,omitzero" expr:"name"`
	URL            string            `json:"url,omitzero" expr:"url"`
	CreatedAt      time.Time         `json:"created_at,omitzero" expr:"created_at"`
	FinishedAt     time.Time         `json:"finished_at,omitzero" expr:"finished_at"`
	Duration       float64           `json:"duration,omitzero" expr:"duration"`
	QueuedDuration float64           `json:"queued_duration,omitzero" expr:"queued_duration"`
	Variables      map[string]string `json:"variables,omitempty" expr:"variables"`
	Stages         []string          `json:"stages,omitempty" expr:"stages"`
	ProtectedRef   bool              `json:"protected_ref,omitzero" expr:"protected_ref"`
	Jobs           []Job             `json:"jobs,omitempty" expr:"jobs"` // on pipeline events: the latest run of each job, no bridges
	Upstream       Upstream          `json:"upstream,omitzero" expr:"upstream"`
}

// Upstream is the job that triggered this pipeline; zero if none did.
type Upstream struct {
	ProjectID   int64  `json:"project_id,omitzero" expr:"project_id"`
	ProjectPath string `json:"project_path,omitzero" expr:"project_path"`
	PipelineID  int64  `json:"pipeline_id,omitzero" expr:"pipeline_id"`
	JobID       int64  `json:"job_id,omitzero" expr:"job_id"`
}

// Job is one run of a job. A retry creates another run with another id.
type Job struct {
	ID             int64       `json:"id,omitzero" expr:"id"`
	Name           string      `json:"name,omitzero" expr:"name"`
	Stage          string      `json:"stage,omitzero" expr:"stage"`
	Status         string      `json:"status,omitzero" expr:"status"`
	FailureReason  string      `json:"failure_reason,omitzero" expr:"failure_reason"` // empty unless the job failed
	FailureClass   string      `json:"failure_class,omitzero" expr:"failure_class"`   // runner, stuck, timeout, api, script, dependency, permission, quota or unknown; empty unless the job failed
	AllowFailure   bool        `json:"allow_failure,omitzero" expr:"allow_failure"`
	Manual         bool        `json:"manual,omitzero" expr:"manual"`   // somebody must play it, or it is delayed
	Delayed        bool        `json:"delayed,omitzero" expr:"delayed"` // `when: delayed`, as only pipeline events from webhooks tell
	Bridge         bool        `json:"bridge,omitzero" expr:"bridge"`   // a trigger job: GitLab sends no events for those; if a rule reads this field, catch-up finds them
	Attempt        int         `json:"attempt,omitzero" expr:"attempt"` // counts from 1; 1 if GitLab does not send it
	Ref            string      `json:"ref,omitzero" expr:"ref"`
	Tag            bool        `json:"tag,omitzero" expr:"tag"`
	URL            string      `json:"url,omitzero" expr:"url"`
	CreatedAt      time.Time   `json:"created_at,omitzero" expr:"created_at"`
	StartedAt      time.Time   `json:"started_at,omitzero" expr:"started_at"`
	FinishedAt     time.Time   `json:"finished_at,omitzero" expr:"finished_at"`
	Duration       float64     `json:"duration,omitzero" expr:"duration"`
	QueuedDuration float64     `json:"queued_duration,omitzero" expr:"queued_duration"`
	Runner         Runner      `json:"runner,omitzero" expr:"runner"`
	Environment    Environment `json:"environment,omitzero" expr:"environment"`
}

// Runner is the runner that took the job; zero until one does.
type Runner struct {
	ID          int64    `json:"id,omitzero" expr:"id"`
	Description string   `json:"description,omitzero" expr:"description"`
	Type        string   `json:"type,omitzero" expr:"type"` // instance_type, group_type or project_type
	Shared      bool     `json:"shared,omitzero" expr:"shared"`
	Tags        []string `json:"tags,omitempty" expr:"tags"`
}

// Environment is the environment that the job deploys to; zero if it deploys
// to none.
type Environment struct {
	Name   string `json:"name,omitzero" expr:"name"`
	Action string `json:"action,omitzero" expr:"action"`
	Tier   string `json:"tier,omitzero" expr:"tier"`
}

// User is the user who caused the event.
type User struct {
	ID       int64  `json:"id,omitzero" expr:"id"`
	Username string `json:"username,omitzero" expr:"username"`
	Name     string `json:"name,omitzero" expr:"name"`
	Email    string `json:"email,omitzero" expr:"email"` // may be "[REDACTED]"
}

// Commit is the commit that the pipeline runs for.
type Commit struct {
	SHA         string `json:"sha,omitzero" expr:"sha"`
	Title       string `json:"title,omitzero" expr:"title"`     // first line of the message
	Message     string `json:"message,omitzero" expr:"message"` // its first 32 KiB
	AuthorName  string `json:"author_name,omitzero" expr:"author_name"`
	AuthorEmail string `json:"author_email,omitzero" expr:"author_email"`
	URL         string `json:"url,omitzero" expr:"url"`
}

// Bounds of what people who push write in a commit, in bytes.
const (
	maxTitle   = 1 << 10
	maxMessage = 32 << 10
)

// Bounded returns the commit with a title and a message that are not too long to be kept with
// each decision.
func (c Commit) Bounded() Commit {
	c.Title, c.Message = shortened(c.Title, maxTitle), shortened(c.Message, maxMessage)
	return c
}

// MergeRequest is the merge request of a merge request pipeline.
type MergeRequest struct {
	IID          int64  `json:"iid,omitzero" expr:"iid"`
	Title        string `json:"title,omitzero" expr:"title"`
	State        string `json:"state,omitzero" expr:"state"`
	SourceBranch string `json:"source_branch,omitzero" expr:"source_branch"`
	TargetBranch string `json:"target_branch,omitzero" expr:"target_branch"`
	URL          string `json:"url,omitzero" expr:"url"`
}

// MergeRequestDetails is a merge request as the API returns it, with its
// approvals. merge_request_details() returns it.
type MergeRequestDetails struct {
	MergeRequest
	Labels            []string `json:"labels,omitempty" expr:"labels"`
	Draft             bool     `json:"draft,omitzero" expr:"draft"`
	Author            Author   `json:"author,omitzero" expr:"author"`
	Approved          bool     `json:"approved,omitzero" expr:"approved"`                     // in GitLab Premium: no approval is missing; in GitLab Free: somebody has approved
	ApprovedBy        []string `json:"approved_by,omitempty" expr:"approved_by"`              // usernames
	ApprovalsRequired int64    `json:"approvals_required,omitzero" expr:"approvals_required"` // 0 where GitLab does not tell it, as in GitLab Free
	ApprovalsLeft     int64    `json:"approvals_left,omitzero" expr:"approvals_left"`         // 0 where GitLab does not tell it, as in GitLab Free
}

// Author is the user who opened a merge request.
type Author struct {
	ID       int64  `json:"id,omitzero" expr:"id"`
	Username string `json:"username,omitzero" expr:"username"`
	Name     string `json:"name,omitzero" expr:"name"`
}

// Bridge is a trigger job with the pipeline it triggered, as bridges() returns
// it.
type Bridge struct {
	ID            int64      `json:"id,omitzero" expr:"id"`
	Name          string     `json:"name,omitzero" expr:"name"`
	Stage         string     `json:"stage,omitzero" expr:"stage"`
	Status        string     `json:"status,omitzero" expr:"status"`
	FailureReason string     `json:"failure_reason,omitzero" expr:"failure_reason"`
	AllowFailure  bool       `json:"allow_failure,omitzero" expr:"allow_failure"`
	URL           string     `json:"url,omitzero" expr:"url"`
	Downstream    Downstream `json:"downstream,omitzero" expr:"downstream"`
}

// Downstream is a pipeline that a bridge triggered; zero while there is none.
type Downstream struct {
	ID         int64  `json:"id,omitzero" expr:"id"`
	ProjectID  int64  `json:"project_id,omitzero" expr:"project_id"`
	Ref        string `json:"ref,omitzero" expr:"ref"`
	SHA        string `json:"sha,omitzero" expr:"sha"`
	Status     string `json:"status,omitzero" expr:"status"`
	URL        string `json:"url,omitzero" expr:"url"`
	FailedJobs []Job  `json:"failed_jobs,omitempty" expr:"failed_jobs"` // of a bridge that failed: the jobs that failed there; none if the token's user may not see them
}

// Details is the job as the Jobs API returns it, including fields that hooks
// omit. details() returns it.
type Details struct {
	Job
	TagList           []string   `json:"tag_list,omitempty" expr:"tag_list"` // tags that the job requires
	Coverage          float64    `json:"coverage,omitzero" expr:"coverage"`  // percent; 0 if none was reported
	Artifacts         []Artifact `json:"artifacts,omitempty" expr:"artifacts"`
	ArtifactsExpireAt time.Time  `json:"artifacts_expire_at,omitzero" expr:"artifacts_expire_at"`
	ErasedAt          time.Time  `json:"erased_at,omitzero" expr:"erased_at"`
}

// OnDefault is the job of the event's name in the last pipeline of the default branch that has
// it and that passed or failed. on_default() returns it; zero if there is none.
type OnDefault struct {
	Failed        bool      `json:"failed,omitzero" expr:"failed"`
	Status        string    `json:"status,omitzero" expr:"status"`
	FailureReason string    `json:"failure_reason,omitzero" expr:"failure_reason"`
	URL           string    `json:"url,omitzero" expr:"url"`
	Since         time.Time `json:"since,omitzero" expr:"since"`         // when the first of its failures there without a break ended; of the last 10, if there are more
	SinceSHA      string    `json:"since_sha,omitzero" expr:"since_sha"` // the commit of that failure
}

// FailedTest is a test that failed, in the JUnit reports of the event's job. tests() returns
// them.
type FailedTest struct {
	Name           string `json:"name,omitzero" expr:"name"`
	Suite          string `json:"suite,omitzero" expr:"suite"` // the classname
	File           string `json:"file,omitzero" expr:"file"`
	RecentFailures int64  `json:"recent_failures,omitzero" expr:"recent_failures"` // how often it failed on the default branch in the last 14 days; 0 where GitLab does not count it
}

// Artifact is a file that a job produced. Its log is the artifact of FileType
// "trace".
type Artifact struct {
	FileType   string `json:"file_type,omitzero" expr:"file_type"`
	FileFormat string `json:"file_format,omitzero" expr:"file_format"`
	Filename   string `json:"filename,omitzero" expr:"filename"`
	Size       int64  `json:"size,omitzero" expr:"size"` // bytes
}

// TextOutcome is what the texts of notifications may read of the outcome that they are
// about, as outcome.
type TextOutcome struct {
	Result    string `expr:"result"`      // done, dry_run, skipped, deferred, failed, gave_up or recovered
	Reason    string `expr:"reason"`      // why; may be empty
	Rule      string `expr:"rule"`        // the rule's name
	Action    string `expr:"action"`      // retry, play, cancel, erase, retry_pipeline, cancel_pipeline, cancel_outdated or notify
	NewJobID  int64  `expr:"new_job_id"`  // the job that runs in place of this one; 0 if there is none
	NewJobURL string `expr:"new_job_url"` // its page; empty if there is none
	Together  int    `expr:"together"`    // of how many branches, tags and merge requests the message is, with together; else 0
	By        string `expr:"by"`          // who requested the action in Slack; empty if the rule did
}

// MergeRequestIID returns the iid of the merge request whose pipeline an event is of; 0 for
// none. The events of jobs name it only in their ref, like refs/merge-requests/7/head.
func MergeRequestIID(e Event) int64 {
	if e.MergeRequest.IID != 0 {
		return e.MergeRequest.IID
	}
	rest, ok := strings.CutPrefix(cmp.Or(e.Pipeline.Ref, e.Job.Ref), "refs/merge-requests/")
	if !ok {
		return 0
	}
	number, _, _ := strings.Cut(rest, "/")
	iid, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return iid
}

// RefOf names an event's branch, tag or merge request in its project. A merge request's train
// is another ref than its branch.
func RefOf(e Event) string {
	iid := strconv.FormatInt(MergeRequestIID(e), 10)
	train := strings.HasPrefix(e.Pipeline.Ref, "refs/merge-requests/") && strings.HasSuffix(e.Pipeline.Ref, "/train")
	switch {
	case e.Pipeline.Tag:
		return "tag:" + e.Pipeline.Ref
	case iid != "0" && train:
		return "train:" + iid
	case iid != "0":
		return "merge-request:" + iid
	}
	return "branch:" + e.Pipeline.Ref
}

// AsOf returns the time at which the pipeline was in the state that the event
// describes. It is the time of receipt, except for a replayed event, whose
// pipeline may have ended again since then.
func AsOf(e Event) time.Time {
	if e.Meta.Source == SourceReplay && !e.Pipeline.FinishedAt.IsZero() {
		return e.Pipeline.FinishedAt
	}
	return e.Meta.ReceivedAt
}

// StatusOf identifies the event's job or pipeline and its status, as in
// job:7:failed.
func StatusOf(e Event) string {
	if e.Meta.Kind == KindPipeline {
		return fmt.Sprintf("pipeline:%d:%s", e.Pipeline.ID, e.Pipeline.Status)
	}
	return fmt.Sprintf("job:%d:%s", e.Job.ID, e.Job.Status)
}
