package gitlabtest

import (
	"cmp"
	"slices"
	"time"
)

// jobHook is the body of a Job Hook (Gitlab::DataBuilder::Build). That
// retries_count came with 16.2 is documented; for project, source_pipeline and
// the ISO times, only that old versions lack them.
func (s *Server) jobHook(j *job) object {
	p := j.pipeline
	reason := j.FailureReason
	if reason == "" {
		reason = "unknown_failure" // also on a job that did not fail
	}
	o := object{
		"object_kind":           "build",
		"ref":                   p.Ref,
		"tag":                   p.Tag,
		"before_sha":            p.BeforeSHA,
		"sha":                   p.SHA,
		"build_id":              j.ID,
		"build_name":            j.Name,
		"build_stage":           j.Stage,
		"build_status":          j.Status,
		"build_created_at":      utcTime(j.CreatedAt),
		"build_started_at":      utcTime(j.StartedAt),
		"build_finished_at":     utcTime(j.FinishedAt),
		"build_duration":        s.seconds(j.StartedAt, j.FinishedAt),
		"build_queued_duration": s.queuedDuration(j),
		"build_allow_failure":   j.AllowFailure,
		"build_failure_reason":  reason,
		"pipeline_id":           p.ID,
		"runner":                hookRunner(j),
		"project_id":            p.ProjectID,
		"project_name":          p.project.Namespace() + " / " + p.project.Name,
		"user":                  hookUser(j.User),
		"commit": object{
			"id":           p.ID, // yes, the pipeline's
			"name":         orNull(p.Name),
			"sha":          p.SHA,
			"message":      p.Message,
			"author_name":  p.User.Name,
			"author_email": p.User.Email,
			"author_url":   s.external + "/" + p.User.Username,
			"status":       p.Status,
			"duration":     p.duration(),
			"started_at":   utcTime(p.StartedAt),
			"finished_at":  utcTime(p.FinishedAt),
		},
		"repository": object{
			"name":             p.project.Name,
			"url":              "git@example.com:" + p.project.Path + ".git",
			"description":      "",
			"homepage":         p.project.WebURL,
			"git_http_url":     p.project.WebURL + ".git",
			"git_ssh_url":      "git@example.com:" + p.project.Path + ".git",
			"visibility_level": 0,
		},
		"environment": hookEnvironment(j),
	}
	if s.version.atLeast(16, 2) {
		o["retries_count"] = j.hookRetries()
	}
	if s.version.atLeast(17, 0) {
		o["project"] = hookProject(p.project)
		s.addSourcePipeline(o, p)
	}
	if s.version.atLeast(18, 0) {
		for name, t := range map[string]time.Time{"created": j.CreatedAt, "started": j.StartedAt, "finished": j.FinishedAt} {
			o["build_"+name+"_at"] = isoTime(t)
			o["build_"+name+"_at_iso"] = isoSeconds(t)
		}
	}
	return o
}

// pipelineHook is the body of a Pipeline Hook (Gitlab::DataBuilder::Pipeline).
func (s *Server) pipelineHook(p *pipeline) object {
	builds := []object{}
	for _, j := range slices.Backward(p.latest()) {
		if !j.Bridge {
			builds = append(builds, s.hookBuild(j))
		}
	}
	detailed := p.Status
	if detailed == "success" {
		detailed = "passed"
	}
	o := object{
		"object_kind": "pipeline",
		"object_attributes": object{
			"id":              p.ID,
			"iid":             p.IID,
			"name":            orNull(p.Name),
			"ref":             p.hookRef(),
			"tag":             p.Tag,
			"sha":             p.SHA,
			"before_sha":      p.BeforeSHA,
			"source":          p.Source,
			"status":          p.Status,
			"detailed_status": detailed,
			"stages":          p.Stages,
			"created_at":      utcTime(p.CreatedAt),
			"finished_at":     utcTime(p.FinishedAt),
			"duration":        p.duration(),
			"queued_duration": p.queuedDuration(),
			"protected_ref":   p.protected(),
			"variables":       orEmpty(p.Variables),
			"url":             p.WebURL,
		},
		"merge_request": nil,
		"user":          hookUser(p.User),
		"project":       hookProject(p.project),
		"commit": object{
			"id":        p.SHA,
			"message":   p.Message,
			"title":     title(p.Message),
			"timestamp": p.CreatedAt.Format(time.RFC3339),
			"url":       p.project.WebURL + "/-/commit/" + p.SHA,
			"author":    object{"name": p.User.Name, "email": p.User.Email},
		},
		"builds": builds,
	}
	if mr := p.MergeRequest; mr != nil {
		o["merge_request"] = object{
			"id":                mr.IID,
			"iid":               mr.IID,
			"title":             mr.Title,
			"source_branch":     mr.SourceBranch,
			"source_project_id": p.ProjectID,
			"target_branch":     mr.TargetBranch,
			"target_project_id": cmp.Or(mr.ProjectID, p.ProjectID),
			"state":             mr.state(),
			"merge_status":      "can_be_merged",
			"url":               mr.webURL(must(s.projects, cmp.Or(mr.ProjectID, p.ProjectID), "project")),
		}
	}
	s.addSourcePipeline(o, p)
	return o
}

func (s *Server) hookBuild(j *job) object {
	archive := object{"filename": nil, "size": nil}
	for _, a := range j.Artifacts {
		if a.FileType == "archive" {
			archive = object{"filename": a.Filename, "size": a.Size}
		}
	}
	return object{
		"id":              j.ID,
		"stage":           j.Stage,
		"name":            j.Name,
		"status":          j.Status,
		"created_at":      utcTime(j.CreatedAt),
		"started_at":      utcTime(j.StartedAt),
		"finished_at":     utcTime(j.FinishedAt),
		"duration":        s.seconds(j.StartedAt, j.FinishedAt),
		"queued_duration": s.queuedDuration(j),
		"failure_reason":  orNull(j.FailureReason),
		"when":            j.When,
		"manual":          j.hasAction(),
		"allow_failure":   j.AllowFailure,
		"user":            hookUser(j.User),
		"runner":          hookRunner(j),
		"artifacts_file":  archive,
		"environment":     hookEnvironment(j),
	}
}

// addSourcePipeline names the pipeline upstream, if there is one.
func (s *Server) addSourcePipeline(o object, p *pipeline) {
	bridge := s.jobs[p.TriggeredBy]
	if bridge == nil {
		return
	}
	upstream := bridge.pipeline
	o["source_pipeline"] = object{
		"project": object{
			"id":                  upstream.ProjectID,
			"web_url":             upstream.project.WebURL,
			"path_with_namespace": upstream.project.Path,
		},
		"pipeline_id": upstream.ID,
		"job_id":      bridge.ID,
	}
}

// utcTime is how hooks write most times; null for none.
func utcTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func isoSeconds(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// hookUser is a user in a hook, who may have made no e-mail address public.
func hookUser(u User) object {
	return object{"id": u.ID, "name": u.Name, "username": u.Username, "avatar_url": nil, "email": cmp.Or(u.Email, "[REDACTED]")}
}

func hookRunner(j *job) any {
	if j.StartedAt.IsZero() {
		return nil
	}
	return object{
		"id":          j.Runner.ID,
		"description": j.Runner.Description,
		"runner_type": j.Runner.Type,
		"active":      true,
		"is_shared":   j.Runner.Type == "instance_type",
		"tags":        orEmpty(j.Runner.Tags),
	}
}

func hookEnvironment(j *job) any {
	e := j.Environment
	if e.Name == "" {
		return nil
	}
	return object{"name": e.Name, "action": orNull(e.Action), "deployment_tier": orNull(e.Tier)}
}

func hookProject(p *project) object {
	return object{
		"id":                  p.ID,
		"name":                p.Name,
		"description":         nil,
		"web_url":             p.WebURL,
		"avatar_url":          nil,
		"git_ssh_url":         "git@example.com:" + p.Path + ".git",
		"git_http_url":        p.WebURL + ".git",
		"namespace":           p.Namespace(),
		"visibility_level":    0,
		"path_with_namespace": p.Path,
		"default_branch":      p.DefaultBranch,
		"ci_config_path":      nil,
	}
}
