package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Event converts a job to the event that a Job Hook would cause, received now;
// source is one of event.Source…. Its id is the same for the same job in the same
// status. It has no more than the hook, so that rules decide the same on both: not the
// pipeline's source, for instance. Only the event of a schedule rule, for which GitLab
// has no hook, has all that the Jobs API has. Fields that the API lacks are zero: see
// NotInAPI; the project's name and default branch, the pipeline's name, end and duration.
func (c *Client) Event(job Job, source string) event.Event {
	pipeline := job.Pipeline
	if source != event.SourceSchedule {
		pipeline = event.Pipeline{ID: pipeline.ID, Ref: pipeline.Ref, Tag: pipeline.Tag, SHA: pipeline.SHA, Status: pipeline.Status, Name: pipeline.Name, URL: pipeline.URL}
	}
	return event.Event{
		Meta: event.Meta{
			Kind:       event.KindJob,
			ID:         fmt.Sprintf("%s:%s:%d:%s", source, c.host, job.ID, job.Status),
			Source:     source,
			Instance:   c.instance,
			ReceivedAt: c.now().UTC(),
		},
		Project:  c.project(job),
		Pipeline: pipeline,
		Job:      job.Job,
		User:     job.User,
		Commit:   job.Commit,
	}
}

// notInAPI has, by kind, the fields that hooks have and GitLab's API does not tell.
// user.email is that of the hook too where the user has made it public.
var notInAPI = map[string][]string{
	event.KindJob: {"job.runner.tags", "job.environment", "pipeline.upstream", "user.email"},
	event.KindPipeline: {
		"pipeline.variables", "pipeline.protected_ref", "pipeline.upstream", "pipeline.jobs[].manual", "pipeline.jobs[].delayed", "pipeline.jobs[].runner.tags", "pipeline.jobs[].environment",
		"user.email",
	},
}

// NotInAPI returns the fields, with the paths of expressions, that a hook would have and
// that an event made from GitLab's API lacks, because the API does not tell them.
func NotInAPI(e event.Event) []string {
	fields := slices.Clone(notInAPI[e.Meta.Kind])
	if e.User.Email != "" {
		fields = slices.DeleteFunc(fields, func(field string) bool { return field == "user.email" })
	}
	return fields
}

// project derives the project from the job's page, .../-/jobs/<id> (/jobs/<id>
// before GitLab 13), the only field in which the Jobs API names it.
func (c *Client) project(job Job) event.Project {
	p := event.Project{ID: job.ProjectID}
	p.URL, p.Path = c.projectOfPage(job.URL, fmt.Sprintf("/jobs/%d", job.ID))
	p.Namespace = namespace(p.Path)
	return p
}

// projectOfPage returns the URL and the path of the project that a page belongs
// to, whose URL ends in end, like .../-/jobs/7; "" if it ends otherwise.
func (c *Client) projectOfPage(page, end string) (projectURL, path string) {
	of, ok := strings.CutSuffix(page, end)
	if !ok {
		return "", ""
	}
	projectURL = strings.TrimSuffix(of, "/-")
	// Only the path: the page may have another host than the base URL.
	if u, err := url.Parse(projectURL); err == nil {
		path = strings.TrimPrefix(strings.TrimPrefix(u.Path, c.prefix), "/")
	}
	return projectURL, path
}

// PipelineEvent reads a pipeline and converts it to the event that a Pipeline Hook
// would cause now. Fields that the API lacks are zero: see NotInAPI. The ref of a merge
// request pipeline is its source branch, as in hooks, if the token's user may see the
// merge request.
func (c *Client) PipelineEvent(ctx context.Context, project, pipeline int64, source string) (event.Event, error) {
	p, user, err := c.pipelineAndUser(ctx, project, pipeline)
	if err != nil {
		return event.Event{}, err
	}
	jobs, err := c.PipelineJobs(ctx, project, pipeline, false)
	if err != nil {
		return event.Event{}, err
	}
	e := c.PipelineEventOf(project, p, jobs, source)
	if user.ID != 0 {
		e.User = user
	}
	if iid := event.MergeRequestIID(event.Event{Pipeline: p}); iid != 0 {
		answer, err := c.mergeRequest(ctx, e.Project, iid)
		if err != nil && !apierror.IsHidden(err) {
			return event.Event{}, err
		}
		e.MergeRequest = answer.mergeRequest()
		e.Pipeline.Ref = cmp.Or(e.MergeRequest.SourceBranch, p.Ref)
		for i := range e.Pipeline.Jobs { // in hooks they have the pipeline's
			e.Pipeline.Jobs[i].Ref = e.Pipeline.Ref
		}
	}
	return e, nil
}

// PipelineEventOf converts a pipeline and the latest runs of its jobs, newest first, to
// the event that a Pipeline Hook would cause now; see PipelineEvent. It sends no request,
// so the ref is the one that the API has, and the user is that of the newest job.
func (c *Client) PipelineEventOf(project int64, p event.Pipeline, jobs []Job, source string) event.Event {
	e := event.Event{
		Meta: event.Meta{
			Kind:       event.KindPipeline,
			Source:     source,
			Instance:   c.instance,
			ReceivedAt: c.now().UTC(),
		},
		Project:  event.Project{ID: project},
		Pipeline: p,
	}
	newest := int64(0)
	for i, j := range jobs {
		if i == 0 {
			newest = j.ID
			e.Project, e.User, e.Commit = c.project(j), j.User, j.Commit
		}
		e.Pipeline.Jobs = append(e.Pipeline.Jobs, j.Job)
	}
	e.Meta.ID = fmt.Sprintf("%s:%s:pipeline:%d:%s:%d:%d", source, c.host, p.ID, p.Status, p.FinishedAt.Unix(), newest)
	for _, j := range slices.Backward(jobs) { // the oldest belong to the first stage
		if !slices.Contains(e.Pipeline.Stages, j.Stage) {
			e.Pipeline.Stages = append(e.Pipeline.Stages, j.Stage)
		}
	}
	return e
}

// BridgeEvents reads a pipeline's trigger jobs and converts them to the events that
// Job Hooks would cause, if GitLab sent any for those.
func (c *Client) BridgeEvents(ctx context.Context, project, pipeline int64, source string) ([]event.Event, error) {
	jobs, err := c.BridgeJobs(ctx, project, pipeline)
	if err != nil {
		return nil, err
	}
	var events []event.Event
	for _, j := range jobs {
		e := c.Event(j, source)
		e.Job.Bridge = true
		events = append(events, e)
	}
	return events, nil
}
