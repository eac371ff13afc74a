package gitlabtest

import (
	"cmp"
	"path"
	"slices"
	"time"
)

// object is a JSON object.
type object = map[string]any

// isoTime is how the API writes times; null for none.
func isoTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// orNull turns a zero value into null.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// orEmpty makes a nil list an empty one, which is not null in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Most of the API's answers are long lists of these types: encoding a struct is
// several times as fast as encoding an object.
type (
	// apiJobBasic is what jobs and bridges have in common (API::Entities::Ci::JobBasic).
	apiJobBasic struct {
		ID             int64            `json:"id"`
		Status         string           `json:"status"`
		Stage          string           `json:"stage"`
		Name           string           `json:"name"`
		Ref            string           `json:"ref"`
		Tag            bool             `json:"tag"`
		Coverage       any              `json:"coverage"`
		AllowFailure   bool             `json:"allow_failure"`
		CreatedAt      any              `json:"created_at"`
		StartedAt      any              `json:"started_at"`
		FinishedAt     any              `json:"finished_at"`
		ErasedAt       any              `json:"erased_at"`
		Duration       any              `json:"duration"`
		QueuedDuration any              `json:"queued_duration"`
		User           apiUser          `json:"user"`
		Commit         apiCommit        `json:"commit"`
		Pipeline       apiPipelineBasic `json:"pipeline"`
		FailureReason  *string          `json:"failure_reason,omitempty"` // only of failed jobs
		WebURL         string           `json:"web_url"`
		Project        struct {
			CIJobTokenScopeEnabled bool `json:"ci_job_token_scope_enabled"`
		} `json:"project"`
	}
	// apiJob is a job (API::Entities::Ci::Job).
	apiJob struct {
		apiJobBasic
		ArtifactsFile     *apiFile   `json:"artifacts_file,omitempty"`
		Artifacts         []Artifact `json:"artifacts"`
		ArtifactsExpireAt any        `json:"artifacts_expire_at"`
		Runner            *apiRunner `json:"runner"`
		Archived          bool       `json:"archived"`
		TagList           []string   `json:"tag_list"`
	}
	// apiBridge is a bridge (API::Entities::Ci::Bridge).
	apiBridge struct {
		apiJobBasic
		Downstream *apiPipelineBasic `json:"downstream_pipeline"`
	}
	apiFile struct {
		Filename string `json:"filename"`
		Size     int64  `json:"size"`
	}
	apiRunner struct {
		ID          int64  `json:"id"`
		Description string `json:"description"`
		Active      bool   `json:"active"`
		Paused      bool   `json:"paused"`
		IsShared    bool   `json:"is_shared"`
		RunnerType  string `json:"runner_type"`
		Name        string `json:"name"`
		Online      bool   `json:"online"`
		Status      string `json:"status"`
	}
	// apiPipeline is a pipeline in a list (API::Entities::Ci::PipelineBasicWithMetadata).
	apiPipeline struct {
		apiPipelineBasic
		Name any `json:"name"`
	}
	// apiPipelineBasic is the pipeline of a job, without its name (API::Entities::Ci::PipelineBasic).
	apiPipelineBasic struct {
		ID        int64  `json:"id"`
		IID       int64  `json:"iid"`
		ProjectID int64  `json:"project_id"`
		SHA       string `json:"sha"`
		Ref       string `json:"ref"`
		Status    string `json:"status"`
		Source    string `json:"source"`
		CreatedAt any    `json:"created_at"`
		UpdatedAt any    `json:"updated_at"`
		WebURL    string `json:"web_url"`
	}
	// apiPipelineDetails is one pipeline (API::Entities::Ci::Pipeline).
	apiPipelineDetails struct {
		apiPipeline
		BeforeSHA      string  `json:"before_sha"`
		Tag            bool    `json:"tag"`
		YAMLErrors     any     `json:"yaml_errors"`
		User           apiUser `json:"user"`
		StartedAt      any     `json:"started_at"`
		FinishedAt     any     `json:"finished_at"`
		CommittedAt    any     `json:"committed_at"`
		Duration       any     `json:"duration"`
		QueuedDuration any     `json:"queued_duration"`
		Coverage       any     `json:"coverage"`
	}
	apiUser struct {
		ID        int64  `json:"id"`
		Username  string `json:"username"`
		Name      string `json:"name"`
		State     string `json:"state"`
		AvatarURL any    `json:"avatar_url"`
		WebURL    string `json:"web_url"`
		Bot       bool   `json:"bot"`
		Email     string `json:"email"`
	}
	apiCommit struct {
		ID          string `json:"id"`
		ShortID     string `json:"short_id"`
		Title       string `json:"title"`
		Message     string `json:"message"`
		AuthorName  string `json:"author_name"`
		AuthorEmail string `json:"author_email"`
		CreatedAt   string `json:"created_at"`
		WebURL      string `json:"web_url"`
	}
)

func (s *Server) apiJobBasic(j *job) apiJobBasic {
	o := apiJobBasic{
		ID:             j.ID,
		Status:         j.Status,
		Stage:          j.Stage,
		Name:           j.Name,
		Ref:            j.pipeline.Ref,
		Tag:            j.pipeline.Tag,
		Coverage:       orNull(j.Coverage),
		AllowFailure:   j.AllowFailure,
		CreatedAt:      isoTime(j.CreatedAt),
		StartedAt:      isoTime(j.StartedAt),
		FinishedAt:     isoTime(j.FinishedAt),
		ErasedAt:       isoTime(j.ErasedAt),
		Duration:       s.seconds(j.StartedAt, j.FinishedAt),
		QueuedDuration: s.queuedDuration(j),
		User:           s.apiUser(j.User),
		Commit:         commitOf(j.pipeline),
		Pipeline:       pipelineBasic(j.pipeline),
		WebURL:         j.WebURL,
	}
	if j.Status == "failed" {
		o.FailureReason = &j.FailureReason
	}
	return o
}

// queuedDuration is how long the job waited for a runner, until it ran or was
// ended.
func (s *Server) queuedDuration(j *job) any {
	until := j.StartedAt
	if until.IsZero() {
		until = j.FinishedAt
	}
	return s.seconds(j.QueuedAt, until)
}

func (s *Server) apiJob(j *job) apiJob {
	o := apiJob{
		apiJobBasic: s.apiJobBasic(j),
		Artifacts:   slices.Clone(orEmpty(j.Artifacts)),
		Archived:    j.Archived,
		TagList:     orEmpty(slices.Sorted(slices.Values(j.TagList))),
	}
	if !j.StartedAt.IsZero() {
		o.Runner = &apiRunner{
			ID:          j.Runner.ID,
			Description: j.Runner.Description,
			Active:      true,
			IsShared:    j.Runner.Type == "instance_type",
			RunnerType:  j.Runner.Type,
			Name:        "gitlab-runner",
			Online:      true,
			Status:      "online",
		}
	}
	for _, a := range j.Artifacts {
		if a.FileType == "archive" {
			o.ArtifactsFile = &apiFile{a.Filename, a.Size}
		}
	}
	if size := j.logSize(); size > 0 && j.complete() { // GitLab archives the log when the job ends
		o.Artifacts = append(o.Artifacts, Artifact{FileType: "trace", Size: size, Filename: "job.log", FileFormat: "raw"})
	}
	return o
}

func (s *Server) apiBridge(j *job) apiBridge {
	o := apiBridge{apiJobBasic: s.apiJobBasic(j)}
	if p := s.pipelines[j.Downstream]; p != nil {
		o.Downstream = new(pipelineBasic(p))
	}
	return o
}

func pipelineListed(p *pipeline) apiPipeline {
	return apiPipeline{pipelineBasic(p), orNull(p.Name)}
}

func pipelineBasic(p *pipeline) apiPipelineBasic {
	return apiPipelineBasic{
		ID:        p.ID,
		IID:       p.IID,
		ProjectID: p.ProjectID,
		SHA:       p.SHA,
		Ref:       p.Ref,
		Status:    p.Status,
		Source:    p.Source,
		CreatedAt: isoTime(p.CreatedAt),
		UpdatedAt: isoTime(p.UpdatedAt),
		WebURL:    p.WebURL,
	}
}

func (s *Server) apiPipeline(p *pipeline) apiPipelineDetails {
	return apiPipelineDetails{
		apiPipeline:    pipelineListed(p),
		BeforeSHA:      p.BeforeSHA,
		Tag:            p.Tag,
		User:           s.apiUser(p.User),
		StartedAt:      isoTime(p.StartedAt),
		FinishedAt:     isoTime(p.FinishedAt),
		Duration:       p.duration(),
		QueuedDuration: p.queuedDuration(),
	}
}

// duration is whole seconds; null until the pipeline was complete once.
func (p *pipeline) duration() any {
	if p.StartedAt.IsZero() || p.FinishedAt.IsZero() {
		return nil
	}
	return int64(p.FinishedAt.Sub(p.StartedAt).Seconds())
}

// queuedDuration is whole seconds; null for none.
func (p *pipeline) queuedDuration() any {
	if p.StartedAt.IsZero() {
		return nil
	}
	return orNull(int64(p.StartedAt.Sub(p.CreatedAt).Seconds()))
}

func (s *Server) apiUser(u User) apiUser {
	return apiUser{
		ID:       u.ID,
		Username: u.Username,
		Name:     u.Name,
		State:    "active",
		WebURL:   s.external + "/" + u.Username,
		Bot:      u.ID == s.o.Bot.ID,
		Email:    u.Email,
	}
}

func commitOf(p *pipeline) apiCommit {
	return apiCommit{
		ID:          p.SHA,
		ShortID:     p.SHA[:min(8, len(p.SHA))],
		Title:       title(p.Message),
		Message:     p.Message,
		AuthorName:  p.User.Name,
		AuthorEmail: p.User.Email,
		CreatedAt:   p.CreatedAt.Format("2006-01-02T15:04:05.000-07:00"),
		WebURL:      p.project.WebURL + "/-/commit/" + p.SHA,
	}
}

// apiProject is a project (API::Entities::Project).
func (s *Server) apiProject(p *project) object {
	o := s.apiProjectBasic(p)
	o["archived"] = p.Archived
	if of := s.projects[p.ForkOf]; of != nil && of.Role != NoAccess {
		o["forked_from_project"] = s.apiProjectBasic(of)
	}
	if p.Role == Maintainer {
		if s.premium() && s.version.atLeast(16, 8) {
			o["ci_restrict_pipeline_cancellation_role"] = cmp.Or(p.CancelRole, "developer")
		}
		o["restrict_user_defined_variables"] = p.variablesRole() == "maintainer"
		if s.version.atLeast(17, 1) {
			o["ci_pipeline_variables_minimum_override_role"] = p.variablesRole()
		}
	}
	return o
}

// apiProjectBasic is a project in a list with simple=true, which does not say
// whether it is archived (API::Entities::BasicProjectDetails).
func (s *Server) apiProjectBasic(p *project) object {
	namespace := object{"full_path": p.Namespace(), "kind": "group"}
	if g := s.groupAt(p.Namespace()); g != nil {
		namespace["id"], namespace["name"], namespace["path"], namespace["web_url"] = g.ID, g.Name, path.Base(g.Path), g.WebURL
	}
	return object{
		"id":                  p.ID,
		"name":                p.Name,
		"path":                path.Base(p.Path),
		"path_with_namespace": p.Path,
		"name_with_namespace": p.Namespace() + " / " + p.Name,
		"description":         nil,
		"default_branch":      p.DefaultBranch,
		"web_url":             p.WebURL,
		"created_at":          utcTime(p.CreatedAt),
		"namespace":           namespace,
	}
}

// seconds is how long something took or takes; nil where it did not begin.
func (s *Server) seconds(from, to time.Time) any {
	if from.IsZero() {
		return nil
	}
	if to.IsZero() {
		to = s.o.Now()
	}
	return to.Sub(from).Seconds()
}
