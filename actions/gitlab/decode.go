package gitlab

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

// The API's JSON, with the fields that the values of rules/event need.
// client-go's own types would fail on a page where one field is unusual (a number
// in quotes, a date in another format) and have neither runner_type nor the
// pipeline's source. Here a field that can't be read counts as missing.

type jobJSON struct {
	ID                gitlabjson.Int   `json:"id"`
	Name              string           `json:"name"`
	Stage             string           `json:"stage"`
	Status            string           `json:"status"`
	FailureReason     string           `json:"failure_reason"`
	AllowFailure      bool             `json:"allow_failure"`
	Ref               string           `json:"ref"`
	Tag               bool             `json:"tag"`
	WebURL            string           `json:"web_url"`
	CreatedAt         gitlabjson.Date  `json:"created_at"`
	StartedAt         gitlabjson.Date  `json:"started_at"`
	FinishedAt        gitlabjson.Date  `json:"finished_at"`
	ErasedAt          gitlabjson.Date  `json:"erased_at"`
	Duration          gitlabjson.Float `json:"duration"`
	QueuedDuration    gitlabjson.Float `json:"queued_duration"`
	Coverage          gitlabjson.Float `json:"coverage"`
	TagList           []string         `json:"tag_list"`
	Artifacts         []artifactJSON   `json:"artifacts"`
	ArtifactsFile     artifactJSON     `json:"artifacts_file"`
	ArtifactsExpireAt gitlabjson.Date  `json:"artifacts_expire_at"`
	Runner            struct {
		ID          gitlabjson.Int `json:"id"`
		Description string         `json:"description"`
		Type        string         `json:"runner_type"`
		Shared      bool           `json:"is_shared"`
	} `json:"runner"`
	Pipeline  pipelineJSON   `json:"pipeline"`
	Project   projectJSON    `json:"project"`
	ProjectID gitlabjson.Int `json:"project_id"` // only in allowed_agents
	User      userJSON       `json:"user"`
	Commit    struct {
		ID          string `json:"id"`
		Title       string `json:"title"`
		Message     string `json:"message"`
		AuthorName  string `json:"author_name"`
		AuthorEmail string `json:"author_email"`
		WebURL      string `json:"web_url"`
	} `json:"commit"`
	Archived   bool         `json:"archived"`
	Downstream pipelineJSON `json:"downstream_pipeline"` // only of bridges
}

type artifactJSON struct {
	FileType   string         `json:"file_type"`
	FileFormat string         `json:"file_format"`
	Filename   string         `json:"filename"`
	Size       gitlabjson.Int `json:"size"`
}

type pipelineJSON struct {
	ID        gitlabjson.Int  `json:"id"`
	IID       gitlabjson.Int  `json:"iid"`
	ProjectID gitlabjson.Int  `json:"project_id"`
	Ref       string          `json:"ref"`
	SHA       string          `json:"sha"`
	Status    string          `json:"status"`
	Source    string          `json:"source"`
	Name      string          `json:"name"`
	CreatedAt gitlabjson.Date `json:"created_at"`
	UpdatedAt gitlabjson.Date `json:"updated_at"`
	WebURL    string          `json:"web_url"`

	// Only of a single pipeline, not in lists.
	Tag            bool             `json:"tag"`
	FinishedAt     gitlabjson.Date  `json:"finished_at"`
	Duration       gitlabjson.Float `json:"duration"`
	QueuedDuration gitlabjson.Float `json:"queued_duration"`
	User           userJSON         `json:"user"`
}

// deploymentJSON is a deployment; one without a job has no deployable.
type deploymentJSON struct {
	SHA         string    `json:"sha"`
	Environment namedJSON `json:"environment"`
	Deployable  struct {
		ID       gitlabjson.Int `json:"id"`
		Pipeline pipelineJSON   `json:"pipeline"`
	} `json:"deployable"`
}

type projectJSON struct {
	ID            gitlabjson.Int  `json:"id"`
	Name          string          `json:"name"`
	Path          string          `json:"path_with_namespace"`
	WebURL        string          `json:"web_url"`
	DefaultBranch string          `json:"default_branch"`
	CreatedAt     gitlabjson.Date `json:"created_at"`
	Archived      bool            `json:"archived"`                                    // not in lists with simple=true
	VariablesRole string          `json:"ci_pipeline_variables_minimum_override_role"` // 17.1+, to Maintainers
	Restricted    bool            `json:"restrict_user_defined_variables"`             // before: only Maintainers may
	CancelRole    string          `json:"ci_restrict_pipeline_cancellation_role"`      // Premium, 16.8+, to Maintainers
	ForkedFrom    struct {
		ID gitlabjson.Int `json:"id"`
	} `json:"forked_from_project"` // where the token's user may see it
}

// namedJSON is any object with a name.
type namedJSON struct {
	Name string `json:"name"`
}

type userJSON struct {
	ID          gitlabjson.Int `json:"id"`
	Username    string         `json:"username"`
	Name        string         `json:"name"`
	Email       string         `json:"email"`
	PublicEmail string         `json:"public_email"`
}

type agentsJSON struct {
	Agents []struct {
		ID            gitlabjson.Int `json:"id"`
		ConfigProject projectJSON    `json:"config_project"`
	} `json:"allowed_agents"`
	Job      jobJSON      `json:"job"`
	Pipeline pipelineJSON `json:"pipeline"`
	Project  projectJSON  `json:"project"`
	User     userJSON     `json:"user"`
}

type hookJSON struct {
	ID                  gitlabjson.Int  `json:"id"`
	URL                 string          `json:"url"`
	VerifiesTLS         bool            `json:"enable_ssl_verification"`
	BranchFilter        string          `json:"push_events_branch_filter"`
	FilterStrategy      string          `json:"branch_filter_strategy"`
	Template            string          `json:"custom_webhook_template"`
	TokenPresent        *bool           `json:"token_present"`
	SigningTokenPresent *bool           `json:"signing_token_present"`
	AlertStatus         string          `json:"alert_status"`
	DisabledUntil       gitlabjson.Date `json:"disabled_until"`

	events []string // the fields *_events that are true, without that suffix
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *hookJSON) UnmarshalJSON(raw []byte) error {
	type fields hookJSON
	if err := json.Unmarshal(raw, (*fields)(h)); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for name, value := range all {
		if event, ok := strings.CutSuffix(name, "_events"); ok && string(value) == "true" {
			h.events = append(h.events, event)
		}
	}
	slices.Sort(h.events)
	return nil
}

type deliveryJSON struct {
	ID             gitlabjson.Int             `json:"id"`
	Trigger        string                     `json:"trigger"` // job_hooks, pipeline_hooks
	RequestHeaders map[string]gitlabjson.Text `json:"request_headers"`
	RequestData    json.RawMessage            `json:"request_data"`
	ResponseStatus gitlabjson.Text            `json:"response_status"`
	CreatedAt      gitlabjson.Date            `json:"created_at"` // only of newer versions
}

func (j jobJSON) details() event.Details {
	d := event.Details{
		Job: event.Job{
			ID:             int64(j.ID),
			Name:           j.Name,
			Stage:          j.Stage,
			Status:         j.Status,
			AllowFailure:   j.AllowFailure,
			Manual:         j.Status == "manual",
			Attempt:        1,
			Ref:            j.Ref,
			Tag:            j.Tag,
			URL:            j.WebURL,
			CreatedAt:      j.CreatedAt.Time(),
			StartedAt:      j.StartedAt.Time(),
			FinishedAt:     j.FinishedAt.Time(),
			Duration:       float64(j.Duration),
			QueuedDuration: float64(j.QueuedDuration),
			Runner: event.Runner{
				ID:          int64(j.Runner.ID),
				Description: j.Runner.Description,
				Type:        j.Runner.Type,
				Shared:      j.Runner.Shared,
			},
		},
		TagList:           j.TagList,
		Coverage:          float64(j.Coverage),
		ArtifactsExpireAt: j.ArtifactsExpireAt.Time(),
		ErasedAt:          j.ErasedAt.Time(),
	}
	if j.Status == "failed" {
		d.FailureReason = j.FailureReason
		d.FailureClass = event.ClassOf(j.FailureReason)
	}
	for _, a := range j.Artifacts {
		d.Artifacts = append(d.Artifacts, a.artifact())
	}
	// Old servers have no list, only the archive.
	if len(d.Artifacts) == 0 && j.ArtifactsFile.Filename != "" {
		archive := j.ArtifactsFile.artifact()
		archive.FileType = "archive"
		d.Artifacts = append(d.Artifacts, archive)
	}
	return d
}

// job converts to a Job; project is the one of the request.
func (j jobJSON) job(project int64) Job {
	job := Job{
		Details:   j.details(),
		ProjectID: project,
		Pipeline:  j.Pipeline.pipeline(),
		Archived:  j.Archived,
		User:      j.User.user(),
		Commit: event.Commit{
			SHA:         j.Commit.ID,
			Title:       j.Commit.Title,
			Message:     j.Commit.Message,
			AuthorName:  j.Commit.AuthorName,
			AuthorEmail: j.Commit.AuthorEmail,
			URL:         j.Commit.WebURL,
		}.Bounded(),
	}
	job.Pipeline.Tag = j.Tag
	for _, id := range []gitlabjson.Int{j.Project.ID, j.ProjectID, j.Pipeline.ProjectID} {
		if id != 0 {
			job.ProjectID = int64(id)
		}
	}
	return job
}

func (j jobJSON) bridge() event.Bridge {
	d := j.details()
	return event.Bridge{
		ID:            d.ID,
		Name:          d.Name,
		Stage:         d.Stage,
		Status:        d.Status,
		FailureReason: d.FailureReason,
		AllowFailure:  d.AllowFailure,
		URL:           d.URL,
		Downstream: event.Downstream{
			ID:        int64(j.Downstream.ID),
			ProjectID: int64(j.Downstream.ProjectID),
			Ref:       j.Downstream.Ref,
			SHA:       j.Downstream.SHA,
			Status:    j.Downstream.Status,
			URL:       j.Downstream.WebURL,
		},
	}
}

func (a artifactJSON) artifact() event.Artifact {
	return event.Artifact{FileType: a.FileType, FileFormat: a.FileFormat, Filename: a.Filename, Size: int64(a.Size)}
}

func (p pipelineJSON) pipeline() event.Pipeline {
	return event.Pipeline{
		ID:        int64(p.ID),
		IID:       int64(p.IID),
		Ref:       p.Ref,
		SHA:       p.SHA,
		Status:    p.Status,
		Source:    p.Source,
		Name:      p.Name,
		URL:       p.WebURL,
		CreatedAt: p.CreatedAt.Time(),

		Tag:            p.Tag,
		FinishedAt:     p.FinishedAt.Time(),
		Duration:       float64(p.Duration),
		QueuedDuration: float64(p.QueuedDuration),
	}
}

func (p projectJSON) project() event.Project {
	return event.Project{
		ID:            int64(p.ID),
		Path:          p.Path,
		Name:          p.Name,
		Namespace:     namespace(p.Path),
		URL:           p.WebURL,
		DefaultBranch: p.DefaultBranch,
	}
}

func (p projectJSON) dated() Project {
	role := p.VariablesRole
	if role == "" && p.Restricted {
		role = "maintainer"
	}
	return Project{Project: p.project(), CreatedAt: p.CreatedAt.Time(), Archived: p.Archived, VariablesRole: role, CancelRole: p.CancelRole, ForkedFrom: int64(p.ForkedFrom.ID)}
}

// hook converts to a Hook of the project or group of owned.
func (h hookJSON) hook(owned Hook) Hook {
	has := func(event string) bool { return slices.Contains(h.events, event) }
	return Hook{
		ID:              int64(h.ID),
		Project:         owned.Project,
		Group:           owned.Group,
		URL:             h.URL,
		JobEvents:       has("job"),
		PipelineEvents:  has("pipeline"),
		PushEvents:      has("push"),
		Events:          h.events,
		VerifiesTLS:     h.VerifiesTLS,
		Template:        h.Template != "",
		FiltersBranches: h.BranchFilter != "" && h.FilterStrategy != "all_branches",
		HasToken:        presence(h.TokenPresent),
		HasSigningToken: presence(h.SigningTokenPresent),
		AlertStatus:     h.AlertStatus,
		DisabledUntil:   h.DisabledUntil.Time(),
	}
}

func presence(present *bool) Presence {
	switch {
	case present == nil:
		return Unknown
	case *present:
		return Present
	}
	return Absent
}

func (d deliveryJSON) delivery() HookDelivery {
	delivery := HookDelivery{
		ID:     int64(d.ID),
		At:     d.CreatedAt.Time(),
		Event:  string(d.RequestHeaders["X-Gitlab-Event"]),
		Key:    string(d.RequestHeaders["Idempotency-Key"]),
		Status: string(d.ResponseStatus),
	}
	if delivery.Event == "" {
		delivery.Event = eventOf(d.Trigger)
	}
	// GitLab stores {"oversize": true} instead of a body that was too long
	// (WebHookLog in its source), and {} if the custom template failed.
	var body map[string]json.RawMessage
	stored := json.Unmarshal(d.RequestData, &body) == nil && len(body) > 0
	if tooLong := len(body) == 1 && body["oversize"] != nil; stored && !tooLong {
		delivery.Body = d.RequestData
	}
	return delivery
}

// eventOf converts a trigger to the event's name, as GitLab does: job_hooks to Job
// Hook.
func eventOf(trigger string) string {
	var words []string
	for word := range strings.SplitSeq(strings.TrimSuffix(trigger, "s"), "_") {
		if word != "" {
			words = append(words, strings.ToUpper(word[:1])+word[1:])
		}
	}
	return strings.Join(words, " ")
}

func (u userJSON) user() event.User {
	user := event.User{ID: int64(u.ID), Username: u.Username, Name: u.Name, Email: u.Email}
	if user.Email == "" {
		user.Email = u.PublicEmail
	}
	return user
}

// namespace returns a project's path without its last part.
func namespace(path string) string {
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		return path[:slash]
	}
	return ""
}
