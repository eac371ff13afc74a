package webhook

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

func (h *hook) completeJob(e *event.Event) {
	pipelineID := cmp.Or(int64(h.PipelineID), h.Commit.ID.pipeline)
	e.Pipeline = event.Pipeline{
		ID:         pipelineID,
		Ref:        h.Ref,
		Tag:        h.Tag,
		SHA:        h.SHA,
		Status:     h.Commit.Status,
		Name:       h.Commit.Name,
		URL:        page(e.Project.URL, "pipelines", pipelineID),
		FinishedAt: first(h.Commit.FinishedAtISO, h.Commit.FinishedAt),
		Duration:   float64(h.Commit.Duration),
		Upstream:   h.upstream(),
	}
	reason := reasonOf(e.Job.Status, h.FailureReason)
	e.Job = event.Job{
		ID:             e.Job.ID,
		Name:           h.BuildName,
		Stage:          h.BuildStage,
		Status:         e.Job.Status,
		FailureReason:  reason,
		FailureClass:   event.ClassOf(reason),
		AllowFailure:   h.AllowFailure,
		Attempt:        1 + max(0, int(h.RetriesCount)),
		Ref:            h.Ref,
		Tag:            h.Tag,
		URL:            page(e.Project.URL, "jobs", e.Job.ID),
		CreatedAt:      first(h.CreatedAtISO, h.CreatedAt),
		StartedAt:      first(h.StartedAtISO, h.StartedAt),
		FinishedAt:     first(h.FinishedAtISO, h.FinishedAt),
		Duration:       float64(h.Duration),
		QueuedDuration: float64(h.QueuedDuration),
		Runner:         h.Runner.runner(),
		Environment:    event.Environment(h.Environment),
	}
	e.Commit = h.commit(h.SHA, e.Project.URL)
}

func (h *hook) completePipeline(e *event.Event) {
	a := &h.Pipeline
	e.Pipeline = event.Pipeline{
		ID:             e.Pipeline.ID,
		IID:            int64(a.IID),
		Ref:            a.Ref,
		Tag:            a.Tag,
		SHA:            a.SHA,
		Status:         e.Pipeline.Status,
		Source:         a.Source,
		Name:           a.Name,
		URL:            cmp.Or(a.URL, page(e.Project.URL, "pipelines", e.Pipeline.ID)),
		CreatedAt:      a.CreatedAt.Time(),
		FinishedAt:     a.FinishedAt.Time(),
		Duration:       float64(a.Duration),
		QueuedDuration: float64(a.QueuedDuration),
		Variables:      h.variables(),
		Stages:         a.Stages,
		ProtectedRef:   a.ProtectedRef,
		Jobs:           h.jobs(e.Project.URL),
		Upstream:       h.upstream(),
	}
	e.Commit = h.commit(a.SHA, e.Project.URL)
	e.MergeRequest = h.MergeRequest.mergeRequest()
}

func (h *hook) variables() map[string]string {
	if len(h.Pipeline.Variables) == 0 {
		return nil
	}
	variables := make(map[string]string, len(h.Pipeline.Variables))
	for _, v := range h.Pipeline.Variables {
		if v.Key != "" {
			variables[v.Key] = v.Value
		}
	}
	return variables
}

// jobs returns the jobs of a Pipeline Hook, which omits what they share with the
// pipeline, and which attempt they are.
func (h *hook) jobs(projectURL string) []event.Job {
	if len(h.Builds) == 0 {
		return nil
	}
	jobs := make([]event.Job, 0, len(h.Builds))
	for i := range h.Builds {
		b := &h.Builds[i]
		if b.ID <= 0 {
			continue // names no job that one could act on
		}
		reason := reasonOf(b.Status, b.FailureReason)
		jobs = append(jobs, event.Job{
			ID:             int64(b.ID),
			Name:           b.Name,
			Stage:          b.Stage,
			Status:         b.Status,
			FailureReason:  reason,
			FailureClass:   event.ClassOf(reason),
			AllowFailure:   b.AllowFailure,
			Manual:         b.Manual,
			Delayed:        b.When == "delayed",
			Attempt:        1,
			Ref:            h.Pipeline.Ref,
			Tag:            h.Pipeline.Tag,
			URL:            page(projectURL, "jobs", int64(b.ID)),
			CreatedAt:      b.CreatedAt.Time(),
			StartedAt:      b.StartedAt.Time(),
			FinishedAt:     b.FinishedAt.Time(),
			Duration:       float64(b.Duration),
			QueuedDuration: float64(b.QueuedDuration),
			Runner:         b.Runner.runner(),
			Environment:    event.Environment(b.Environment),
		})
	}
	return jobs
}

// project returns the project. Old Job Hooks have no "project": its name and URL are
// the repository's there, and the path is in the URL.
func (h *hook) project(id int64, instance string) event.Project {
	p := event.Project{
		ID:            id,
		Path:          h.Project.Path,
		Name:          cmp.Or(h.Project.Name, h.Repository.Name, h.ProjectName),
		URL:           projectURL(h.Project.WebURL, h.Repository.Homepage),
		DefaultBranch: h.Project.DefaultBranch,
	}
	if p.Path == "" {
		p.Path = pathOf(p.URL, instance)
	}
	if i := strings.LastIndexByte(p.Path, '/'); i >= 0 {
		p.Namespace = p.Path[:i]
	}
	return p
}

func (h *hook) upstream() event.Upstream {
	return event.Upstream{
		ProjectID:   int64(h.SourcePipeline.Project.ID),
		ProjectPath: h.SourcePipeline.Project.Path,
		PipelineID:  int64(h.SourcePipeline.PipelineID),
		JobID:       int64(h.SourcePipeline.JobID),
	}
}

func (h *hook) commit(sha, projectURL string) event.Commit {
	c := event.Commit{
		SHA:         cmp.Or(h.Commit.SHA, h.Commit.ID.sha, sha),
		Title:       h.Commit.Title,
		Message:     h.Commit.Message,
		AuthorName:  cmp.Or(h.Commit.AuthorName, h.Commit.Author.Name),
		AuthorEmail: cmp.Or(h.Commit.AuthorEmail, h.Commit.Author.Email),
		URL:         h.Commit.URL,
	}
	if c.Title == "" {
		c.Title, _, _ = strings.Cut(c.Message, "\n")
		c.Title = strings.TrimRight(c.Title, "\r")
	}
	if c.URL == "" && c.SHA != "" && projectURL != "" {
		c.URL = projectURL + "/-/commit/" + c.SHA
	}
	return c.Bounded()
}

// reasonOf drops the failure reason of a job that did not fail: GitLab sends
// "unknown_failure" with successful jobs too.
func reasonOf(status, reason string) string {
	if status != "failed" {
		return ""
	}
	return reason
}

// page returns the URL of a page of a project, or "" if the project's is unknown. kind
// is pipelines or jobs.
func page(projectURL, kind string, id int64) string {
	if projectURL == "" || id <= 0 {
		return ""
	}
	return projectURL + "/-/" + kind + "/" + strconv.FormatInt(id, 10)
}

// projectURL returns the URL of a project's page: that of the project, or that of
// its repository in a Job Hook that has no project.
func projectURL(webURL, homepage string) string {
	return strings.TrimRight(cmp.Or(webURL, homepage), "/")
}

// pathOf returns a project's path: its URL's path without that of the instance,
// whose host may differ.
func pathOf(projectURL, instance string) string {
	page, err := url.Parse(projectURL)
	if err != nil {
		return ""
	}
	path := strings.Trim(page.Path, "/")
	if base, err := url.Parse(instance); err == nil && strings.Trim(base.Path, "/") != "" {
		path = strings.TrimPrefix(path, strings.Trim(base.Path, "/")+"/")
	}
	return path
}

// first returns the first time that is set.
func first(dates ...gitlabjson.Date) time.Time {
	for _, d := range dates {
		if t := d.Time(); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
