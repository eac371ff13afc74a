package gitlabtest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Role is the bot's role in a project.
type Role int

// Roles. The zero value may do everything the Jobs API offers.
const (
	Maintainer Role = iota
	Developer       // no writes on protected refs and environments, erases only its own jobs, no forced cancel
	Reporter        // reads
	NoAccess        // gets 404
)

// Project is a GitLab project.
type Project struct {
	ID            int64    // default: the next free one
	Path          string   // path_with_namespace
	Name          string   // default: the path's last part
	DefaultBranch string   // default main
	Role          Role     // the bot's; default: its role in the group
	ProtectedRefs []string // protected branches: names, or patterns with *
	ProtectedTags []string // protected tags: likewise
	// DevelopersMerge are protected branches to which those with the role Developer may
	// merge, which is as good as pushing for running jobs there.
	DevelopersMerge []string
	// NobodyPushes are protected branches to which nobody may push or merge.
	NobodyPushes []string
	// ProtectedEnvironments are those that only these roles may deploy to; one
	// without any, nobody.
	ProtectedEnvironments map[string][]Role
	Archived              bool      // read-only: writes get 403
	ForkOf                int64     // id of the project that it is a fork of; 0: of none
	VariablesRole         string    // the least role that may play with variables: developer (default), maintainer, owner or no_one_allowed
	CancelRole            string    // the least role that may cancel, in GitLab Premium: developer (default), maintainer or no_one
	AgentIDs              []int64   // of GET /job/allowed_agents
	CreatedAt             time.Time // default: now
	WebURL                string    // set by the server
}

// Namespace is the path without its last part.
func (p Project) Namespace() string { return path.Dir(p.Path) }

// User is a person or bot.
type User struct {
	ID       int64
	Username string
	Name     string
	Email    string
}

// Pipeline is one pipeline. AddPipeline fills empty fields.
type Pipeline struct {
	ID           int64
	ProjectID    int64
	IID          int64
	Name         string
	Ref          string // default: the project's default branch, or the merge request's refs/merge-requests/<iid>/head, which Pipeline Hooks replace by its source branch
	Tag          bool
	SHA          string
	BeforeSHA    string
	Source       string // default push, merge_request_event with a MergeRequest, parent_pipeline or pipeline with TriggeredBy
	Message      string // the commit's
	Variables    []Variable
	MergeRequest *MergeRequest
	User         User      // default: Options.Person
	TriggeredBy  int64     // the bridge whose downstream pipeline this is
	Stages       []string  // in order; default: as the jobs first name them
	CreatedAt    time.Time // default: now

	// Set by the server.
	Status     string // follows from its jobs' statuses
	UpdatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time // of the last finish: GitLab keeps it when a retry sets the pipeline running again
	WebURL     string
}

// Variable is a pipeline or job variable.
type Variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// MergeRequest is the merge request of a pipeline. The API has it as the newest
// pipeline of it does.
type MergeRequest struct {
	IID          int64
	Title        string
	State        string // default opened
	SourceBranch string
	TargetBranch string
	ProjectID    int64 // that it belongs to; default: the pipeline's, which for a fork is another one
	Labels       []string
	Draft        bool
	Author       User // default: the pipeline's
	ApprovedBy   []User
	// ApprovalsRequired is how many approvals it needs. Only GitLab Premium has
	// and tells this; see Options.Free.
	ApprovalsRequired int64
}

// Job is one run of a job, or a bridge. Tests set its description for AddPipeline;
// the server sets the rest, unless Status is set.
type Job struct {
	ID             int64
	Name           string
	Stage          string // default test
	When           string // on_success (default), on_failure, always, manual or delayed
	AllowFailure   bool   // GitLab sets it for a plain `when: manual`: without it, a manual job blocks its pipeline
	Bridge         bool   // a trigger job
	TagList        []string
	Environment    Environment
	AutoRetry      int           // GitLab's own retry: so often at most
	AutoRetryAfter time.Duration // how long after the failure by Options.Now; default at once
	Archived       bool          // too old to be retried or played, and before 18.0 to be erased
	Runner         Runner        // takes the job on Run; default: a shared one
	User           User          // default: the pipeline's

	// Status, when AddPipeline is given it, puts the job there as something of
	// the past: no hook reports it. The times may be set with it.
	Status        string
	FailureReason string // empty unless failed
	CreatedAt     time.Time
	QueuedAt      time.Time
	StartedAt     time.Time
	FinishedAt    time.Time
	ErasedAt      time.Time
	Coverage      float64 // percent; 0: none
	Log           string
	LogSize       int64      // bytes, where there is no Log: a log of this length is made up when it is read
	Artifacts     []Artifact // besides the log
	Tests         []TestCase // of its JUnit reports
	TestsError    string     // what is wrong with those; "": nothing

	// Set by the server.
	ProjectID  int64
	PipelineID int64
	Retried    bool           // there is a newer run; no answer of GitLab contains this
	Variables  []Variable     // of play
	Inputs     map[string]any // of play
	Downstream int64          // the pipeline that the bridge triggered
	WebURL     string
}

// Environment is the target of a job that deploys.
type Environment struct {
	Name   string
	Action string // start, stop, ...
	Tier   string // production, staging, ...
}

// Runner runs jobs.
type Runner struct {
	ID          int64
	Description string
	Type        string // instance_type, group_type or project_type
	Tags        []string
}

// Artifact is one file that a job saved.
type Artifact struct {
	FileType   string `json:"file_type"`
	Size       int64  `json:"size"`
	Filename   string `json:"filename"`
	FileFormat string `json:"file_format"`
}

// TestCase is a test in a JUnit report.
type TestCase struct {
	Status    string // success, failed, error or skipped
	Name      string
	Classname string
	File      string

	suite string // set by the server
}

// Archive is the artifact that most jobs with artifacts have.
var Archive = Artifact{FileType: "archive", Size: 1000, Filename: "artifacts.zip", FileFormat: "zip"}

// The server's state: the public values with their links.
type (
	project struct {
		Project
		pipelines []*pipeline // by id
		jobs      []*job      // by id
		old       []*oldJobs  // besides them; by id
	}
	pipeline struct {
		Pipeline
		project *project
		jobs    []*job   // by id
		old     *oldJobs // whose it is; nil for most

		statuses []CommitStatus // oldest first
	}
	job struct {
		Job
		pipeline *pipeline
	}
)

// GitLab's groups of statuses (Ci::HasStatus).
var (
	ended            = []string{"success", "failed", "canceled"}
	completeStatuses = []string{"success", "failed", "canceled", "skipped"}
	cancelable       = []string{"created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running", "manual", "scheduled"}
	retryables       = []string{"success", "failed", "canceled", "canceling"}
	hookedStatuses   = []string{"created", "pending", "running", "success", "failed", "canceled"}
)

func (j *job) complete() bool  { return slices.Contains(completeStatuses, j.Status) }
func (j *job) hasAction() bool { return j.When == "manual" || j.When == "delayed" }

func (j *job) retryable() bool {
	return j.pipeline.old == nil && !j.Retried && !j.Archived && j.FailureReason != "deployment_rejected" && slices.Contains(retryables, j.Status)
}

func (j *job) playable() bool {
	return j.pipeline.old == nil && j.hasAction() && !j.Archived && (j.Status == "manual" || j.Status == "scheduled" || j.retryable())
}

func (j *job) erasable() bool {
	return j.complete() && (j.logSize() > 0 || len(j.Artifacts) > 0)
}

// logSize is in bytes.
func (j *job) logSize() int64 {
	if j.Log != "" {
		return int64(len(j.Log))
	}
	return j.LogSize
}

// log is the job's log.
func (j *job) log() string {
	if j.Log != "" {
		return j.Log
	}
	const line = "This line of the log was made up.\n"
	return strings.Repeat(line, int(j.LogSize)/len(line)+1)[:j.LogSize]
}

// hookRetries is a Job Hook's retries_count. GitLab makes the run of its own
// retry: before it builds the hook of the failed one, and counts that too.
func (j *job) hookRetries() int {
	n := j.retriesCount()
	if j.Status == "failed" && !j.Retried && j.AutoRetryAfter == 0 && n < j.AutoRetry && j.retryable() {
		n++
	}
	return n
}

// retriesCount is GitLab's retries_count: the runs of that name which were retried.
func (j *job) retriesCount() int {
	n := 0
	for _, other := range j.pipeline.jobs {
		if other.Name == j.Name && other.Retried {
			n++
		}
	}
	return n
}

func (p *pipeline) latest() []*job {
	return slices.DeleteFunc(slices.Clone(p.jobs), func(j *job) bool { return j.Retried })
}

func (p *pipeline) protected() bool {
	if p.Tag {
		return protects(p.project.ProtectedTags, p.Ref)
	}
	return protects(p.project.ProtectedRefs, p.hookRef())
}

func (p *pipeline) child() bool { return p.Source == "parent_pipeline" }

// of reports whether this is a pipeline of the merge request, other than of
// its branch.
func (p *pipeline) of(mr int64) bool {
	return strings.HasPrefix(p.Ref, fmt.Sprintf("refs/merge-requests/%d/", mr))
}

// hookRef is the ref of Pipeline Hooks (source_ref); Job Hooks have Ref.
func (p *pipeline) hookRef() string {
	if p.MergeRequest != nil && p.of(p.MergeRequest.IID) {
		return p.MergeRequest.SourceBranch
	}
	return p.Ref
}

func (p *pipeline) complete() bool { return slices.Contains(completeStatuses, p.Status) }

// insert adds an item to a list ordered by id, nearly always at its end.
func insert[T any](list []T, item T, id func(T) int64) []T {
	at, _ := slices.BinarySearchFunc(list, id(item), func(other T, want int64) int { return cmp.Compare(id(other), want) })
	return slices.Insert(list, at, item)
}

// nextIID is that of the next pipeline.
func (p *project) nextIID() int64 {
	n := len(p.pipelines)
	for _, o := range p.old {
		n += o.pipelines()
	}
	return int64(n) + 1
}

func pipelineID(p *pipeline) int64 { return p.ID }
func jobID(j *job) int64           { return j.ID }

// title is the first line of a commit message.
func title(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	return line
}
