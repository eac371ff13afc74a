package gitlab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Job is a job as the Jobs API has it. The API has neither the runner's tags nor
// the environment; Manual is set only while the job waits to be played, and
// Attempt is 1 unless PipelineJobs counted it.
type Job struct {
	event.Details
	ProjectID int64
	Pipeline  event.Pipeline
	User      event.User
	Commit    event.Commit
	Archived  bool // too old: GitLab does not run it again
}

// AllowedAgents are the Kubernetes agents that a job token may use, and its job.
// Newer servers send little more than ids.
type AllowedAgents struct {
	Agents   []Agent
	Job      event.Job
	Pipeline event.Pipeline
	Project  event.Project
	User     event.User
}

// Agent is a Kubernetes agent.
type Agent struct {
	ID            int64
	ConfigProject event.Project
}

// Log is the end of a job's log.
type Log struct {
	Text string // valid UTF-8
	Cut  bool   // the log has more than Text
}

// ProjectJobs lists a project's jobs, newest first, page by page as they are
// needed: all, or those in a status of scope. It ends with the first error.
// Servers before 15.9 page by offset: there a job may appear twice if new ones are
// created meanwhile.
func (c *Client) ProjectJobs(ctx context.Context, project int64, scope ...string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for cursor := ""; ; {
			jobs, next, err := c.JobsPage(ctx, project, cursor, scope...)
			if err != nil {
				yield(Job{}, err)
				return
			}
			for _, j := range jobs {
				if !yield(j, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// JobsPage returns one page of the list of ProjectJobs, and the cursor of the
// next page, "" after the last. The first page has the cursor "". A cursor is a
// short text with which any process may continue later, for the same project and
// scope. If the server does not know a status of scope yet, the error is an
// *apierror.Error whose UnknownScope is true.
func (c *Client) JobsPage(ctx context.Context, project int64, cursor string, scope ...string) (jobs []Job, next string, err error) {
	at, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.ProjectJobs, Path: fmt.Sprintf("projects/%d/jobs", project)}
	byKeyset := gl.ListOptions{PerPage: perPage, Pagination: "keyset", OrderBy: "id", Sort: "desc"}
	byOffset := gl.ListOptions{PerPage: perPage, Page: at.page}
	options := gl.ListJobsOptions{ListOptions: byKeyset, Scope: statuses(scope)}
	if at.page > 0 {
		options.ListOptions = byOffset
	}
	r.Params, r.Page = &options, at.option()
	page, resp, err := rest.Call(ctx, c.Client, r, []jobJSON(nil))
	if hasNoKeyset(err) && cursor == "" {
		options.ListOptions = byOffset
		page, resp, err = rest.Call(ctx, c.Client, r, []jobJSON(nil))
	}
	if err != nil {
		return nil, "", err
	}
	for _, j := range page {
		jobs = append(jobs, j.job(project))
	}
	if len(page) > 0 {
		next = nextCursor(resp)
	}
	return jobs, next, nil
}

// PipelineJobs lists a pipeline's jobs, newest first, no bridges: all, or
// those in a status of scope. With includeRetried it lists every run; without
// a scope it then also counts each job's Attempt.
func (c *Client) PipelineJobs(ctx context.Context, project, pipeline int64, includeRetried bool, scope ...string) ([]Job, error) {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.PipelineJobs,
		Path:     fmt.Sprintf("projects/%d/pipelines/%d/jobs", project, pipeline),
	}
	options := gl.ListJobsOptions{ListOptions: gl.ListOptions{PerPage: perPage}, Scope: statuses(scope)}
	if includeRetried {
		options.IncludeRetried = &includeRetried
	}
	r.Params = &options
	// A job created between two pages shifts the others: some appear twice.
	byID := map[int64]Job{}
	for j, err := range rest.List[jobJSON](ctx, c.Client, r) {
		if err != nil {
			return nil, err
		}
		byID[int64(j.ID)] = j.job(project)
	}
	jobs := slices.SortedFunc(maps.Values(byID), func(a, b Job) int { return cmp.Compare(b.ID, a.ID) })
	if includeRetried && len(scope) == 0 {
		countAttempts(jobs)
	}
	return jobs, nil
}

// countAttempts numbers the runs of each name; jobs has all, newest first.
func countAttempts(jobs []Job) {
	runs := map[string]int{}
	for i := range slices.Backward(jobs) {
		runs[jobs[i].Name]++
		jobs[i].Attempt = runs[jobs[i].Name]
	}
}

// Bridges lists a pipeline's trigger jobs: all, or those in a status of
// scope.
func (c *Client) Bridges(ctx context.Context, project, pipeline int64, scope ...string) ([]event.Bridge, error) {
	var bridges []event.Bridge
	for j, err := range rest.List[jobJSON](ctx, c.Client, bridgesRequest(project, pipeline, scope)) {
		if err != nil {
			return nil, err
		}
		bridges = append(bridges, j.bridge())
	}
	return bridges, nil
}

// BridgeJobs lists a pipeline's trigger jobs as jobs, which have their pipeline.
// GitLab lists the latest run of each.
func (c *Client) BridgeJobs(ctx context.Context, project, pipeline int64) ([]Job, error) {
	var jobs []Job
	for j, err := range rest.List[jobJSON](ctx, c.Client, bridgesRequest(project, pipeline, nil)) {
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j.job(project))
	}
	return jobs, nil
}

func bridgesRequest(project, pipeline int64, scope []string) rest.Request {
	return rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Bridges,
		Path:     fmt.Sprintf("projects/%d/pipelines/%d/bridges", project, pipeline),
		Params:   &gl.ListJobsOptions{ListOptions: gl.ListOptions{PerPage: perPage}, Scope: statuses(scope)},
	}
}

// TokenJob returns the job that the job token belongs to.
func (c *Client) TokenJob(ctx context.Context) (Job, error) {
	return c.job(ctx, 0, rest.Request{Method: http.MethodGet, Endpoint: endpoint.TokenJob, Path: "job", JobToken: true})
}

// AllowedAgents returns the Kubernetes agents that the job token may use.
func (c *Client) AllowedAgents(ctx context.Context) (AllowedAgents, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.AllowedAgents, Path: "job/allowed_agents", JobToken: true}
	answer, _, err := rest.Call(ctx, c.Client, r, agentsJSON{})
	if err != nil {
		return AllowedAgents{}, err
	}
	agents := AllowedAgents{
		Job:      answer.Job.details().Job,
		Pipeline: answer.Pipeline.pipeline(),
		Project:  answer.Project.project(),
		User:     answer.User.user(),
	}
	for _, a := range answer.Agents {
		agents.Agents = append(agents.Agents, Agent{ID: int64(a.ID), ConfigProject: a.ConfigProject.project()})
	}
	return agents, nil
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, project, job int64) (Job, error) {
	return c.job(ctx, project, rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Job,
		Path:     fmt.Sprintf("projects/%d/jobs/%d", project, job),
	})
}

// Log returns the last Config.LogLimit bytes of a job's log, nothing if it has
// none. GitLab's API has no range requests: all of the log is read, but only its
// end is kept in memory, and the rest after 100 MiB is not read.
func (c *Client) Log(ctx context.Context, project, job int64) (Log, error) {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Log,
		Path:     fmt.Sprintf("projects/%d/jobs/%d/trace", project, job),
		Tail:     int(c.logLimit),
	}
	end, _, err := rest.Call(ctx, c.Client, r, rest.Tail{})
	if apierror.IsNotFound(err) {
		return Log{}, nil
	}
	if err != nil {
		return Log{}, err
	}
	text, cut := end.Text()
	return Log{Text: text, Cut: cut}, nil
}

// Cancel cancels a job. GitLab answers the same for a job that could not be
// canceled: check its Status. With force, which needs the role Maintainer, it also
// cancels a job that is canceling already.
func (c *Client) Cancel(ctx context.Context, project, job int64, force bool) (Job, error) {
	options := gl.CancelJobOptions{}
	if force {
		options.Force = &force
	}
	return c.post(ctx, endpoint.Cancel, project, job, options)
}

// Retry runs a job again, since GitLab 17.0 also a trigger job, and returns
// the new job, which has a new id.
func (c *Client) Retry(ctx context.Context, project, job int64) (Job, error) {
	return c.post(ctx, endpoint.Retry, project, job, nil)
}

// Erase removes a job's log and its artifacts.
func (c *Client) Erase(ctx context.Context, project, job int64) (Job, error) {
	return c.post(ctx, endpoint.Erase, project, job, nil)
}

// Play starts a manual or delayed job, with variables (14.9+) and inputs
// (18.10+), each a JSON value. GitLab may start a clone and answer with the
// original: list the pipeline's jobs to learn the id that runs.
func (c *Client) Play(ctx context.Context, project, job int64, variables map[string]string, inputs map[string]json.RawMessage) (Job, error) {
	options := struct {
		gl.PlayJobOptions
		JobInputs map[string]json.RawMessage `json:"job_inputs,omitempty"` // client-go's field does not accept values of any type
	}{JobInputs: inputs}
	if len(variables) > 0 {
		var attributes []*gl.JobVariableOptions
		for _, key := range slices.Sorted(maps.Keys(variables)) {
			attributes = append(attributes, &gl.JobVariableOptions{Key: gl.Ptr(key), Value: gl.Ptr(variables[key])})
		}
		options.JobVariablesAttributes = &attributes
	}
	return c.post(ctx, endpoint.Play, project, job, options)
}

// post sends one of the actions on a job; each endpoint is named like its path.
func (c *Client) post(ctx context.Context, endpoint string, project, job int64, params any) (Job, error) {
	return c.job(ctx, project, rest.Request{
		Method:   http.MethodPost,
		Endpoint: endpoint,
		Path:     fmt.Sprintf("projects/%d/jobs/%d/%s", project, job, endpoint),
		Params:   params,
	})
}

// job sends a request whose answer is one job.
func (c *Client) job(ctx context.Context, project int64, r rest.Request) (Job, error) {
	answer, resp, err := rest.Call(ctx, c.Client, r, jobJSON{})
	if err != nil {
		return Job{}, err
	}
	if answer.ID == 0 {
		return Job{}, rest.Unexpected(c.Client, r, resp, "the answer is no job")
	}
	return answer.job(project), nil
}

// perPage is how many items a page has: the most that GitLab allows.
const perPage = 100

// hasNoKeyset reports whether err is GitLab's refusal of keyset paging.
func hasNoKeyset(err error) bool {
	return apierror.IsFinal(err, http.StatusMethodNotAllowed)
}

// statuses converts a scope to client-go's type.
func statuses(scope []string) *[]gl.BuildStateValue {
	if len(scope) == 0 {
		return nil
	}
	var values []gl.BuildStateValue
	for _, status := range scope {
		values = append(values, gl.BuildStateValue(status))
	}
	return &values
}
