package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// MergeRequestDetails reads the merge request of an event's pipeline, and its
// approvals; zero, without a request, if the pipeline is of none. GitLab Free has
// approvals, but requires none; a GitLab that does not tell them (404, 403) leaves
// them zero.
func (c *Client) MergeRequestDetails(ctx context.Context, e event.Event) (event.MergeRequestDetails, error) {
	project, iid := c.mergeRequestOf(e)
	if iid == 0 {
		return event.MergeRequestDetails{}, nil
	}
	answer, err := c.mergeRequest(ctx, project, iid)
	if err != nil {
		return event.MergeRequestDetails{}, err
	}
	details := answer.details()
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.MergeRequestApprovals, Path: mergeRequestPath(project, iid) + "/approvals"}
	approvals, _, err := rest.Call(ctx, c.Client, r, approvalsJSON{})
	if err != nil && !apierror.IsHidden(err) {
		return event.MergeRequestDetails{}, err
	}
	approvals.addTo(&details)
	return details, nil
}

// mergeRequestOf returns the merge request of an event's pipeline: the project
// that it belongs to, and its iid; 0 for none. A Pipeline Hook tells it. The jobs
// of such a pipeline have the ref refs/merge-requests/<iid>/<kind>, and a pipeline
// that ran in a fork does not tell the project of its merge request.
func (c *Client) mergeRequestOf(e event.Event) (project event.Project, iid int64) {
	if e.MergeRequest.IID == 0 {
		return e.Project, event.MergeRequestIID(e)
	}
	_, target := c.projectOfPage(e.MergeRequest.URL, fmt.Sprintf("/merge_requests/%d", e.MergeRequest.IID))
	if target == "" || target == e.Project.Path {
		return e.Project, e.MergeRequest.IID
	}
	return event.Project{Path: target}, e.MergeRequest.IID
}

// mergeRequest returns a merge request by its iid.
func (c *Client) mergeRequest(ctx context.Context, project event.Project, iid int64) (mergeRequestJSON, error) {
	r := rest.Request{Method: http.MethodGet, Endpoint: endpoint.MergeRequest, Path: mergeRequestPath(project, iid)}
	answer, resp, err := rest.Call(ctx, c.Client, r, mergeRequestJSON{})
	if err == nil && answer.IID == 0 {
		err = rest.Unexpected(c.Client, r, resp, "the answer is no merge request")
	}
	return answer, err
}

func mergeRequestPath(project event.Project, iid int64) string {
	name := gl.PathEscape(project.Path)
	if project.ID != 0 {
		name = strconv.FormatInt(project.ID, 10)
	}
	return fmt.Sprintf("projects/%s/merge_requests/%d", name, iid)
}
