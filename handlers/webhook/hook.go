package webhook

import (
	"sync"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// hook has the fields that complete decodes. Most keys belong to one kind of hook
// only; of all keys, only commit.id has two meanings.
type hook struct {
	User           hookUser         `json:"user"`
	Project        hookProject      `json:"project"`    // Job Hook: new versions
	Repository     hookProject      `json:"repository"` // Job Hook
	Commit         hookCommit       `json:"commit"`
	SourcePipeline hookSource       `json:"source_pipeline"`
	Environment    hookEnv          `json:"environment"`
	Runner         hookRunner       `json:"runner"`
	ProjectName    string           `json:"project_name"` // for people: "Group / Project"
	PipelineID     gitlabjson.Int   `json:"pipeline_id"`
	Ref            string           `json:"ref"`
	Tag            bool             `json:"tag"`
	SHA            string           `json:"sha"`
	RetriesCount   gitlabjson.Int   `json:"retries_count"`
	BuildName      string           `json:"build_name"`
	BuildStage     string           `json:"build_stage"`
	AllowFailure   bool             `json:"build_allow_failure"`
	FailureReason  string           `json:"build_failure_reason"`
	Duration       gitlabjson.Float `json:"build_duration"`
	QueuedDuration gitlabjson.Float `json:"build_queued_duration"`
	CreatedAt      gitlabjson.Date  `json:"build_created_at"`
	StartedAt      gitlabjson.Date  `json:"build_started_at"`
	FinishedAt     gitlabjson.Date  `json:"build_finished_at"`
	CreatedAtISO   gitlabjson.Date  `json:"build_created_at_iso"`
	StartedAtISO   gitlabjson.Date  `json:"build_started_at_iso"`
	FinishedAtISO  gitlabjson.Date  `json:"build_finished_at_iso"`
	Pipeline       hookPipeline     `json:"object_attributes"`
	MergeRequest   hookMergeRequest `json:"merge_request"`
	Builds         []hookBuild      `json:"builds"`
}

// hooks are reused, so that a long list of builds grows only once.
var hooks = sync.Pool{New: func() any { return new(hook) }}

// maxKept is the longest list of builds that is reused.
const maxKept = 64

// release empties the hook for reuse. The event has copies of its values, and no
// reference to its list.
func (h *hook) release() {
	builds := h.Builds[:0]
	if cap(builds) > maxKept {
		builds = nil
	}
	clear(builds[:cap(builds)])
	*h = hook{Builds: builds}
	hooks.Put(h)
}

type hookUser struct {
	ID       gitlabjson.Int `json:"id"`
	Username string         `json:"username"`
	Name     string         `json:"name"`
	Email    string         `json:"email"`
}

type hookMergeRequest struct {
	IID          gitlabjson.Int `json:"iid"`
	Title        string         `json:"title"`
	State        string         `json:"state"`
	SourceBranch string         `json:"source_branch"`
	TargetBranch string         `json:"target_branch"`
	URL          string         `json:"url"`
}

func (m hookMergeRequest) mergeRequest() event.MergeRequest {
	return event.MergeRequest{IID: int64(m.IID), Title: m.Title, State: m.State, SourceBranch: m.SourceBranch, TargetBranch: m.TargetBranch, URL: m.URL}
}

func (r hookRunner) runner() event.Runner {
	return event.Runner{ID: int64(r.ID), Description: r.Description, Type: r.Type, Shared: r.Shared, Tags: r.Tags}
}

type hookProject struct {
	ID            gitlabjson.Int `json:"id"`
	Name          string         `json:"name"`
	Path          string         `json:"path_with_namespace"`
	WebURL        string         `json:"web_url"`
	Homepage      string         `json:"homepage"` // of a repository
	DefaultBranch string         `json:"default_branch"`
}

// hookCommit is the commit in a Pipeline Hook. In a Job Hook it is a mixture of the
// pipeline's name, status, duration and end with fields of the commit.
type hookCommit struct {
	ID            commitID         `json:"id"`
	SHA           string           `json:"sha"` // Job Hook
	Title         string           `json:"title"`
	Message       string           `json:"message"`
	URL           string           `json:"url"`
	AuthorName    string           `json:"author_name"`
	AuthorEmail   string           `json:"author_email"`
	Name          string           `json:"name"`
	Status        string           `json:"status"`
	Duration      gitlabjson.Float `json:"duration"`
	FinishedAt    gitlabjson.Date  `json:"finished_at"`
	FinishedAtISO gitlabjson.Date  `json:"finished_at_iso"`
	Author        struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"author"`
}

// shaLength distinguishes a SHA that has only digits from an id in quotes.
const shaLength = 40

// commitID is the commit's SHA in a Pipeline Hook, and in a Job Hook the id of
// the pipeline, which the oldest have nowhere else.
type commitID struct {
	sha      string
	pipeline int64
}

var _ json.Unmarshaler = (*commitID)(nil)

func (c *commitID) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &c.sha); err != nil || len(c.sha) >= shaLength || gitlabjson.ParseInt(raw) == 0 {
			return err
		}
		c.sha = ""
	}
	c.pipeline = gitlabjson.ParseInt(raw)
	return nil // anything else counts as unknown
}

type hookSource struct {
	Project    hookProject    `json:"project"`
	PipelineID gitlabjson.Int `json:"pipeline_id"`
	JobID      gitlabjson.Int `json:"job_id"`
}

type hookRunner struct {
	ID          gitlabjson.Int `json:"id"`
	Description string         `json:"description"`
	Type        string         `json:"runner_type"`
	Shared      bool           `json:"is_shared"`
	Tags        []string       `json:"tags"`
}

type hookEnv struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	Tier   string `json:"deployment_tier"`
}

type hookPipeline struct {
	IID            gitlabjson.Int   `json:"iid"`
	Name           string           `json:"name"`
	Ref            string           `json:"ref"`
	Tag            bool             `json:"tag"`
	SHA            string           `json:"sha"`
	Source         string           `json:"source"`
	Stages         []string         `json:"stages"`
	CreatedAt      gitlabjson.Date  `json:"created_at"`
	FinishedAt     gitlabjson.Date  `json:"finished_at"`
	Duration       gitlabjson.Float `json:"duration"`
	QueuedDuration gitlabjson.Float `json:"queued_duration"`
	ProtectedRef   bool             `json:"protected_ref"`
	URL            string           `json:"url"`
	Variables      []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"variables"`
}

type hookBuild struct {
	ID             gitlabjson.Int   `json:"id"`
	Stage          string           `json:"stage"`
	Name           string           `json:"name"`
	Status         string           `json:"status"`
	FailureReason  string           `json:"failure_reason"`
	AllowFailure   bool             `json:"allow_failure"`
	Manual         bool             `json:"manual"` // also if it is delayed
	When           string           `json:"when"`
	CreatedAt      gitlabjson.Date  `json:"created_at"`
	StartedAt      gitlabjson.Date  `json:"started_at"`
	FinishedAt     gitlabjson.Date  `json:"finished_at"`
	Duration       gitlabjson.Float `json:"duration"`
	QueuedDuration gitlabjson.Float `json:"queued_duration"`
	Runner         hookRunner       `json:"runner"`
	Environment    hookEnv          `json:"environment"`
}
