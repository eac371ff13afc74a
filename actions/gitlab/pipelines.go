package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/rules"
)

// Endpoint names of the calls on pipelines.
const (
	endpointPipeline              = "pipeline"
	endpointPipelines             = "pipelines"
	endpointMergeRequestPipelines = "merge_request_pipelines"
	endpointRetryPipeline         = "retry_pipeline"
	endpointCancelPipeline        = "cancel_pipeline"
)

// Pipeline returns one pipeline. Ref is as the API has it: that of a merge
// request pipeline is refs/merge-requests/<iid>/head, merge or train, where
// Pipeline Hooks give the source branch.
func (c *Client) Pipeline(ctx context.Context, project, pipeline int64) (rules.Pipeline, error) {
	return c.pipeline(ctx, request{method: http.MethodGet, endpoint: endpointPipeline, path: pipelinePath(project, pipeline)})
}

// RetryPipeline runs a pipeline's failed and canceled jobs again, those that
// are allowed to fail included and trigger jobs not. GitLab answers the same
// where there are none.
func (c *Client) RetryPipeline(ctx context.Context, project, pipeline int64) (rules.Pipeline, error) {
	return c.pipeline(ctx, request{method: http.MethodPost, endpoint: endpointRetryPipeline, path: pipelinePath(project, pipeline) + "/retry"})
}

// CancelPipeline cancels a pipeline's jobs and those of its child pipelines.
// GitLab answers the same for a pipeline that has ended: its Status tells.
func (c *Client) CancelPipeline(ctx context.Context, project, pipeline int64) (rules.Pipeline, error) {
	return c.pipeline(ctx, request{method: http.MethodPost, endpoint: endpointCancelPipeline, path: pipelinePath(project, pipeline) + "/cancel"})
}

func pipelinePath(project, pipeline int64) string {
	return fmt.Sprintf("projects/%d/pipelines/%d", project, pipeline)
}

// pipeline sends a request that is answered with one pipeline.
func (c *Client) pipeline(ctx context.Context, r request) (rules.Pipeline, error) {
	answer, resp, err := call(ctx, c, r, pipelineJSON{})
	if err != nil {
		return rules.Pipeline{}, err
	}
	if answer.ID == 0 {
		return rules.Pipeline{}, c.failed(r, resp.StatusCode, "the answer is no pipeline", 0, true)
	}
	return answer.pipeline(), nil
}

// NewerPipeline returns the newest pipeline of the same ref, or for a merge
// request pipeline of the same merge request, when it is newer than the given
// one; else 0. A child pipeline is held against the pipelines of its ref that
// are no children: GitLab lists no others. ref is the pipeline's as the API has
// it, where that is known; a hook may tell a merge request's branch. With "",
// GitLab is asked for it.
func (c *Client) NewerPipeline(ctx context.Context, project, pipeline int64, ref string) (int64, error) {
	if ref == "" {
		this, err := c.Pipeline(ctx, project, pipeline)
		if err != nil {
			return 0, err
		}
		ref = this.Ref
	}
	rest, ofMergeRequest := strings.CutPrefix(ref, "refs/merge-requests/")
	iid, _, _ := strings.Cut(rest, "/")
	if ofMergeRequest {
		newer, err := c.newer(ctx, project, pipeline, request{
			method:   http.MethodGet,
			endpoint: endpointMergeRequestPipelines,
			path:     fmt.Sprintf("projects/%d/merge_requests/%s/pipelines", project, iid),
			params:   &gl.ListOptions{PerPage: newerPage},
		}, func(ref string) bool { return strings.HasPrefix(ref, "refs/merge-requests/"+iid+"/") })
		var failed *Error
		if !errors.As(err, &failed) || failed.Status != http.StatusNotFound && failed.Status != http.StatusForbidden {
			return newer, err
		}
		// The merge request of a fork's pipeline is in another project, and a
		// token may see pipelines only: the ref alone must do.
	}
	return c.newer(ctx, project, pipeline, request{
		method:   http.MethodGet,
		endpoint: endpointPipelines,
		path:     fmt.Sprintf("projects/%d/pipelines", project),
		params: &gl.ListProjectPipelinesOptions{
			ListOptions: gl.ListOptions{PerPage: newerPage},
			Ref:         &ref, OrderBy: gl.Ptr("id"), Sort: gl.Ptr("desc"),
		},
	}, func(other string) bool { return other == ref })
}

// newerPage is how many pipelines are asked for at a time: more than one,
// since GitLab lists others between them (see newer).
const newerPage = 20

// newer returns the first pipeline of a list, newest first, that is newer
// than the given one and has such a ref; 0 for none. The list of a branch also
// holds the pipelines of merge requests from it (since 18.x), and that of a
// merge request those of its branch, after its own.
func (c *Client) newer(ctx context.Context, project, pipeline int64, r request, ofRef func(string) bool) (int64, error) {
	for p, err := range list[pipelineJSON](ctx, c, r) {
		switch {
		case err != nil:
			return 0, err
		case int64(p.ID) <= pipeline:
			return 0, nil
		case ofRef(p.Ref) && cmp.Or(int64(p.ProjectID), project) == project:
			return int64(p.ID), nil
		}
	}
	return 0, nil
}
