package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/outdated"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Pipeline returns one pipeline. Its Ref is the API's: that of a merge request
// pipeline is refs/merge-requests/<iid>/head, merge or train, whereas Pipeline
// Hooks have the source branch.
func (c *Client) Pipeline(ctx context.Context, project, pipeline int64) (event.Pipeline, error) {
	return c.pipeline(ctx, rest.Request{Method: http.MethodGet, Endpoint: endpoint.Pipeline, Path: pipelinePath(project, pipeline)})
}

// RetryPipeline runs a pipeline's failed and canceled jobs again, including those
// that are allowed to fail, without trigger jobs. GitLab answers the same if there
// are none.
func (c *Client) RetryPipeline(ctx context.Context, project, pipeline int64) (event.Pipeline, error) {
	return c.pipeline(ctx, rest.Request{Method: http.MethodPost, Endpoint: endpoint.RetryPipeline, Path: pipelinePath(project, pipeline) + "/retry"})
}

// CancelPipeline cancels a pipeline's jobs and those of its child pipelines.
// GitLab answers the same for a pipeline that has ended: check its Status.
func (c *Client) CancelPipeline(ctx context.Context, project, pipeline int64) (event.Pipeline, error) {
	return c.pipeline(ctx, rest.Request{Method: http.MethodPost, Endpoint: endpoint.CancelPipeline, Path: pipelinePath(project, pipeline) + "/cancel"})
}

// Deployment is a job that deploys to an environment.
type Deployment struct {
	JobID       int64
	PipelineID  int64
	SHA         string
	Environment string
}

// RunningDeployments lists the running deployments of a project; none if the
// project has no environments (404).
func (c *Client) RunningDeployments(ctx context.Context, project int64) ([]Deployment, error) {
	r := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Deployments,
		Path:     fmt.Sprintf("projects/%d/deployments", project),
		Params:   &gl.ListProjectDeploymentsOptions{ListOptions: gl.ListOptions{PerPage: perPage}, Status: gl.Ptr("running")},
	}
	var running []Deployment
	for d, err := range rest.List[deploymentJSON](ctx, c.Client, r) {
		switch {
		case apierror.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		running = append(running, Deployment{int64(d.Deployable.ID), int64(d.Deployable.Pipeline.ID), d.SHA, d.Environment.Name})
	}
	return running, nil
}

func pipelinePath(project, pipeline int64) string {
	return fmt.Sprintf("projects/%d/pipelines/%d", project, pipeline)
}

// pipeline sends a request whose answer is one pipeline.
func (c *Client) pipeline(ctx context.Context, r rest.Request) (event.Pipeline, error) {
	answer, err := c.onePipeline(ctx, r)
	return answer.pipeline(), err
}

// pipelineAndUser returns one pipeline, and who started it.
func (c *Client) pipelineAndUser(ctx context.Context, project, pipeline int64) (event.Pipeline, event.User, error) {
	answer, err := c.onePipeline(ctx, rest.Request{Method: http.MethodGet, Endpoint: endpoint.Pipeline, Path: pipelinePath(project, pipeline)})
	return answer.pipeline(), answer.User.user(), err
}

func (c *Client) onePipeline(ctx context.Context, r rest.Request) (pipelineJSON, error) {
	answer, resp, err := rest.Call(ctx, c.Client, r, pipelineJSON{})
	if err != nil {
		return pipelineJSON{}, err
	}
	if answer.ID == 0 {
		return pipelineJSON{}, rest.Unexpected(c.Client, r, resp, "the answer is no pipeline")
	}
	return answer, nil
}

// NewestPipelines returns the ids of the n newest pipelines of a ref, newest
// first; fewer if there are fewer. ref is the API's: of a merge request,
// refs/merge-requests/<iid>/head and .../merge are two. Child pipelines are left
// out: GitLab does not list them.
func (c *Client) NewestPipelines(ctx context.Context, project int64, ref string, n int) ([]int64, error) {
	var newest []int64
	if n <= 0 {
		return nil, nil
	}
	for p, err := range c.PipelinesOfRef(ctx, project, ref, min(max(int64(n), refPage), perPage)) {
		if err != nil {
			return nil, err
		}
		if p.Ref != ref {
			continue
		}
		if newest = append(newest, p.ID); len(newest) == n {
			break
		}
	}
	return newest, nil
}

// refPage is how many pipelines of a ref are read at a time, at least: more than
// one, since GitLab lists others between them (see PipelinesOfRef).
const refPage = 20

// PipelinesOfRef lists a project's pipelines of a ref, newest first, and others
// with them: the list of a branch also has the pipelines of merge requests from
// it (since 18.x), and that of a merge request those with its other refs, and
// those of its branch, after its own. Child pipelines are not listed. It ends with
// the first error.
func (c *Client) PipelinesOfRef(ctx context.Context, project int64, ref string, pageSize int64) iter.Seq2[event.Pipeline, error] {
	byRef := rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Pipelines,
		Path:     fmt.Sprintf("projects/%d/pipelines", project),
		Params: &gl.ListProjectPipelinesOptions{
			ListOptions: gl.ListOptions{PerPage: pageSize},
			Ref:         &ref, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc"),
		},
	}
	lists := []rest.Request{byRef}
	if iid, _, ok := outdated.MergeRequestRef(ref); ok {
		// The merge request of a fork's pipeline is in another project, and a token
		// may be allowed to see pipelines only: then the ref alone is used.
		lists = []rest.Request{{
			Method:   http.MethodGet,
			Endpoint: endpoint.MergeRequestPipelines,
			Path:     fmt.Sprintf("projects/%d/merge_requests/%s/pipelines", project, iid),
			Params:   &gl.ListOptions{PerPage: pageSize},
		}, byRef}
	}
	return func(yield func(event.Pipeline, error) bool) {
	nextList:
		for i, r := range lists {
			for p, err := range rest.List[pipelineJSON](ctx, c.Client, r) {
				if apierror.IsHidden(err) && i < len(lists)-1 {
					continue nextList
				}
				if err == nil && cmp.Or(int64(p.ProjectID), project) != project {
					continue
				}
				if !yield(p.pipeline(), err) {
					return
				}
			}
			return
		}
	}
}

// OutdatedBy returns the id of a pipeline that makes p redundant, 0 if none does;
// see outdated.By.
func (c *Client) OutdatedBy(ctx context.Context, project int64, p event.Pipeline, mergeRequest int64, deploys bool) (int64, error) {
	return outdated.By(ctx, c, project, p, mergeRequest, deploys)
}

// Outdated lists the older pipelines that p makes redundant and that have not
// ended; see outdated.Older.
func (c *Client) Outdated(ctx context.Context, project int64, p event.Pipeline, mergeRequest int64) ([]event.Pipeline, error) {
	return outdated.Older(ctx, c, project, p, mergeRequest)
}

var _ outdated.Pipelines = (*Client)(nil)

// UpdatedPipeline is a pipeline with the time of its last change.
type UpdatedPipeline struct {
	event.Pipeline
	UpdatedAt time.Time
}

// FinishedPipelines returns the newest 100 at most of a branch's pipelines that passed,
// failed or were canceled, newest first. Child pipelines are left out: GitLab does not list
// them.
func (c *Client) FinishedPipelines(ctx context.Context, project int64, branch string) ([]UpdatedPipeline, error) {
	answer, _, err := rest.Call(ctx, c.Client, rest.Request{
		Method:   http.MethodGet,
		Endpoint: endpoint.Pipelines,
		Path:     fmt.Sprintf("projects/%d/pipelines", project),
		Params: &gl.ListProjectPipelinesOptions{
			ListOptions: gl.ListOptions{PerPage: perPage},
			Scope:       gl.Ptr("finished"), Ref: &branch, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc"),
		},
	}, []pipelineJSON(nil))
	if err != nil {
		return nil, err
	}
	var all []UpdatedPipeline
	for _, p := range answer {
		if p.Ref == branch { // the list also has those of merge requests from the branch, since 18.x
			all = append(all, UpdatedPipeline{p.pipeline(), p.UpdatedAt.Time()})
		}
	}
	return all, nil
}

// maxSincePages bounds one call of PipelinesSince.
const maxSincePages = 100

// PipelinesSince lists a project's pipelines that changed at since or later, to
// the second, in order of their last change: all, or those in one of the given
// statuses. Child pipelines are left out: GitLab does not list them. It reads
// 10,000 pipelines at most; call it again from the last one's UpdatedAt for more.
func (c *Client) PipelinesSince(ctx context.Context, project int64, since time.Time, status ...string) ([]UpdatedPipeline, error) {
	from := since.UTC().Truncate(time.Second) // the query has whole seconds
	byID := map[int64]UpdatedPipeline{}
	page := int64(1)
	for range maxSincePages {
		answer, resp, err := rest.Call(ctx, c.Client, rest.Request{
			Method:   http.MethodGet,
			Endpoint: endpoint.Pipelines,
			Path:     fmt.Sprintf("projects/%d/pipelines", project),
			Params: &gl.ListProjectPipelinesOptions{
				ListOptions:  gl.ListOptions{PerPage: perPage, Page: page},
				UpdatedAfter: &from, OrderBy: gl.Ptr("updated_at"), Sort: gl.Ptr("asc"),
			},
		}, []pipelineJSON(nil))
		if err != nil {
			return nil, err
		}
		for _, p := range answer {
			byID[int64(p.ID)] = UpdatedPipeline{p.pipeline(), p.UpdatedAt.Time()}
		}
		if _, more := gl.WithNext(resp); !more || len(answer) == 0 {
			break
		}
		// A pipeline that changes meanwhile moves to the list's end, and all behind it
		// move up by one: paging by number would miss one.
		if last := answer[len(answer)-1].UpdatedAt.Time().Truncate(time.Second); last.After(from) {
			from, page = last, 1
		} else {
			page++
		}
	}
	pipelines := slices.SortedFunc(maps.Values(byID), func(a, b UpdatedPipeline) int {
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.ID, b.ID))
	})
	return slices.DeleteFunc(pipelines, func(p UpdatedPipeline) bool {
		return len(status) > 0 && !slices.Contains(status, p.Status)
	}), nil
}
