package gitlabtest

import (
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

// orEmpty keeps a list from being null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// apiJobBasic is what jobs and bridges have in common (API::Entities::Ci::JobBasic).
func (s *Server) apiJobBasic(j *job) object {
	o := object{
		"id":              j.ID,
		"status":          j.Status,
		"stage":           j.Stage,
		"name":            j.Name,
		"ref":             j.pipeline.Ref,
		"tag":             j.pipeline.Tag,
		"coverage":        orNull(j.Coverage),
		"allow_failure":   j.AllowFailure,
		"created_at":      isoTime(j.CreatedAt),
		"started_at":      isoTime(j.StartedAt),
		"finished_at":     isoTime(j.FinishedAt),
		"erased_at":       isoTime(j.ErasedAt),
		"duration":        s.seconds(j.StartedAt, j.FinishedAt),
		"queued_duration": s.queuedDuration(j),
		"user":            s.apiUser(j.User),
		"commit":          apiCommit(j.pipeline),
		"pipeline":        apiPipelineBasic(j.pipeline),
		"web_url":         j.WebURL,
		"project":         object{"ci_job_token_scope_enabled": false},
	}
	if j.Status == "failed" {
		o["failure_reason"] = j.FailureReason
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

// apiJob is a job (API::Entities::Ci::Job).
func (s *Server) apiJob(j *job) object {
	o := s.apiJobBasic(j)
	o["runner"] = nil
	if !j.StartedAt.IsZero() {
		o["runner"] = object{
			"id":          j.Runner.ID,
			"description": j.Runner.Description,
			"active":      true,
			"paused":      false,
			"is_shared":   j.Runner.Type == "instance_type",
			"runner_type": j.Runner.Type,
			"name":        "gitlab-runner",
			"online":      true,
			"status":      "online",
		}
	}
	artifacts := slices.Clone(orEmpty(j.Artifacts))
	for _, a := range j.Artifacts {
		if a.FileType == "archive" {
			o["artifacts_file"] = object{"filename": a.Filename, "size": a.Size}
		}
	}
	if j.Log != "" && j.complete() { // GitLab archives the log when the job ends
		artifacts = append(artifacts, Artifact{FileType: "trace", Size: int64(len(j.Log)), Filename: "job.log", FileFormat: "raw"})
	}
	o["artifacts"] = artifacts
	o["artifacts_expire_at"] = nil
	o["archived"] = j.Archived
	o["tag_list"] = orEmpty(slices.Sorted(slices.Values(j.TagList)))
	return o
}

// apiBridge is a bridge (API::Entities::Ci::Bridge).
func (s *Server) apiBridge(j *job) object {
	o := s.apiJobBasic(j)
	o["downstream_pipeline"] = nil
	if p := s.pipelines[j.Downstream]; p != nil {
		o["downstream_pipeline"] = apiPipelineBasic(p)
	}
	return o
}

func apiPipelineBasic(p *pipeline) object {
	return object{
		"id":         p.ID,
		"iid":        p.IID,
		"project_id": p.ProjectID,
		"name":       orNull(p.Name),
		"sha":        p.SHA,
		"ref":        p.Ref,
		"status":     p.Status,
		"source":     p.Source,
		"created_at": isoTime(p.CreatedAt),
		"updated_at": isoTime(p.UpdatedAt),
		"web_url":    p.WebURL,
	}
}

func (s *Server) apiPipeline(p *pipeline) object {
	o := apiPipelineBasic(p)
	o["before_sha"] = p.BeforeSHA
	o["tag"] = p.Tag
	o["yaml_errors"] = nil
	o["user"] = s.apiUser(p.User)
	o["started_at"] = isoTime(p.StartedAt)
	o["finished_at"] = isoTime(p.FinishedAt)
	o["committed_at"] = nil
	o["duration"] = p.duration()
	o["queued_duration"] = p.queuedDuration()
	o["coverage"] = nil
	return o
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

func (s *Server) apiUser(u User) object {
	return object{
		"id":         u.ID,
		"username":   u.Username,
		"name":       u.Name,
		"state":      "active",
		"avatar_url": nil,
		"web_url":    s.url + "/" + u.Username,
		"bot":        u.ID == s.o.Bot.ID,
		"email":      u.Email,
	}
}

func apiCommit(p *pipeline) object {
	return object{
		"id":           p.SHA,
		"short_id":     p.SHA[:min(8, len(p.SHA))],
		"title":        title(p.Message),
		"message":      p.Message,
		"author_name":  p.User.Name,
		"author_email": p.User.Email,
		"created_at":   p.CreatedAt.Format("2006-01-02T15:04:05.000-07:00"),
		"web_url":      p.project.WebURL + "/-/commit/" + p.SHA,
	}
}

func apiProject(p *project) object {
	return object{
		"id":                  p.ID,
		"name":                p.Name,
		"path":                path.Base(p.Path),
		"path_with_namespace": p.Path,
		"name_with_namespace": p.Namespace() + " / " + p.Name,
		"description":         nil,
		"default_branch":      p.DefaultBranch,
		"web_url":             p.WebURL,
		"archived":            p.Archived,
		"namespace":           object{"full_path": p.Namespace(), "kind": "group"},
	}
}

// apiAllowedAgents is the answer to GET /job/allowed_agents; GitLab has told
// only ids since 15.
func (s *Server) apiAllowedAgents(j *job) object {
	p := j.pipeline
	agents := []object{}
	for _, id := range p.project.AgentIDs {
		agents = append(agents, object{"id": id, "config_project": object{"id": p.ProjectID}})
	}
	return object{
		"allowed_agents": agents,
		"job":            object{"id": j.ID},
		"pipeline":       object{"id": p.ID},
		"project":        object{"id": p.ProjectID, "groups": []object{}},
		"user":           object{"id": j.User.ID, "username": j.User.Username, "roles_in_project": []string{"guest", "reporter", "developer"}},
	}
}
