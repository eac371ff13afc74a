package gitlab

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/endpoint"
	"github.com/pipesteward/pipesteward/actions/gitlab/rest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// MergeRequest names a merge request in the project that it belongs to: of one from a
// fork, that is not the fork.
type MergeRequest struct {
	Project int64
	IID     int64
	State   string // opened, closed, merged, or locked while it is being merged
}

// String names the merge request.
func (m MergeRequest) String() string { return fmt.Sprintf("merge request !%d", m.IID) }

// MergeRequestOf returns the merge request of an event's pipeline; ok is false if there is
// none that the token's user can see. An event names another project than its own only if
// it came in a Pipeline Hook. Else it is the one that has the pipeline, in the event's
// project or in the one that this is a fork of.
func (c *Client) MergeRequestOf(ctx context.Context, e event.Event) (m MergeRequest, ok bool, err error) {
	project, iid := c.mergeRequestOf(e)
	switch {
	case iid == 0:
		return MergeRequest{}, false, nil
	case project.ID == 0: // the event names it
		return c.seenMergeRequest(ctx, project, iid)
	}
	has, err := c.hasPipeline(ctx, project, iid, e.Pipeline.ID)
	if err == nil && !has {
		own, projectErr := c.Project(ctx, strconv.FormatInt(project.ID, 10))
		if projectErr != nil || own.ForkedFrom == 0 {
			return MergeRequest{}, false, projectErr
		}
		project = event.Project{ID: own.ForkedFrom}
		has, err = c.hasPipeline(ctx, project, iid, e.Pipeline.ID)
	}
	if err != nil || !has {
		return MergeRequest{}, false, err
	}
	return c.seenMergeRequest(ctx, project, iid)
}

// seenMergeRequest returns a merge request if the token's user can see it.
func (c *Client) seenMergeRequest(ctx context.Context, project event.Project, iid int64) (m MergeRequest, ok bool, err error) {
	answer, err := c.mergeRequest(ctx, project, iid)
	switch {
	case apierror.IsHidden(err):
		return MergeRequest{}, false, nil
	case err != nil:
		return MergeRequest{}, false, err
	}
	m = MergeRequest{Project: int64(answer.ProjectID), IID: iid, State: answer.State}
	if m.Project == 0 {
		m.Project = project.ID
	}
	return m, m.Project != 0, nil
}

// hasPipeline reports whether a merge request that the token's user can see has a
// pipeline. Its newest pipelines come first, and then those of its branch.
func (c *Client) hasPipeline(ctx context.Context, project event.Project, iid, pipeline int64) (bool, error) {
	r := rest.Request{
		Method: http.MethodGet, Endpoint: endpoint.MergeRequestPipelines, Path: mergeRequestPath(project, iid) + "/pipelines",
		Params: &gl.ListOptions{PerPage: perPage},
	}
	for p, err := range rest.List[pipelineJSON](ctx, c.Client, r) {
		switch {
		case apierror.IsHidden(err):
			return false, nil
		case err != nil:
			return false, err
		case int64(p.ID) == pipeline:
			return true, nil
		}
	}
	return false, nil
}

// Note is a comment on a merge request.
type Note struct {
	ID     int64
	Author int64 // the user's id
	Body   string
}

// Notes lists the comments on a merge request, oldest first, page by page as they are
// needed. It ends with the first error.
func (c *Client) Notes(ctx context.Context, m MergeRequest) iter.Seq2[Note, error] {
	r := rest.Request{
		Method: http.MethodGet, Endpoint: endpoint.MergeRequestNotes, Path: notesPath(m),
		Params: &gl.ListMergeRequestNotesOptions{ListOptions: gl.ListOptions{PerPage: perPage}, OrderBy: gl.Ptr("created_at"), Sort: gl.Ptr("asc")},
	}
	return func(yield func(Note, error) bool) {
		for n, err := range rest.List[noteJSON](ctx, c.Client, r) {
			if n.System {
				continue
			}
			if !yield(Note{int64(n.ID), int64(n.Author.ID), n.Body}, err) {
				return
			}
		}
	}
}

// CreateNote adds a comment to a merge request, and returns its id. The body is GitLab's
// Markdown, of a million characters at most.
func (c *Client) CreateNote(ctx context.Context, m MergeRequest, body string) (int64, error) {
	r := rest.Request{Method: http.MethodPost, Endpoint: endpoint.CreateNote, Path: notesPath(m), Params: gl.CreateMergeRequestNoteOptions{Body: &body}}
	answer, resp, err := rest.Call(ctx, c.Client, r, noteJSON{})
	if err == nil && answer.ID == 0 {
		err = rest.Unexpected(c.Client, r, resp, "the answer is no note")
	}
	return int64(answer.ID), err
}

// EditNote replaces the body of a comment, which GitLab allows its author and
// Maintainers.
func (c *Client) EditNote(ctx context.Context, m MergeRequest, note int64, body string) error {
	r := rest.Request{
		Method: http.MethodPut, Endpoint: endpoint.EditNote, Path: fmt.Sprintf("%s/%d", notesPath(m), note),
		Params: gl.UpdateMergeRequestNoteOptions{Body: &body},
	}
	_, _, err := rest.Call(ctx, c.Client, r, noteJSON{})
	return err
}

func notesPath(m MergeRequest) string {
	return mergeRequestPath(event.Project{ID: m.Project}, m.IID) + "/notes"
}

// CommitStatus is a status of a commit in one of its pipelines.
type CommitStatus struct {
	Pipeline    int64
	SHA         string // of the pipeline
	Ref         string // as the API has the pipeline's: refs/merge-requests/7/head
	Name        string
	State       string // pending, running, success, failed, canceled or skipped
	Description string // at most 255 characters
	TargetURL   string // http or https, at most 255 characters; "": none
}

// SetCommitStatus sets a status, in its pipeline: GitLab adds it to the stage external,
// after all others. With another ref than that of the pipeline, older versions make a new
// pipeline.
func (c *Client) SetCommitStatus(ctx context.Context, project int64, s CommitStatus) error {
	options := gl.SetCommitStatusOptions{State: gl.BuildStateValue(s.State), Ref: &s.Ref, Name: &s.Name, Description: &s.Description, PipelineID: &s.Pipeline}
	if s.TargetURL != "" {
		options.TargetURL = &s.TargetURL
	}
	r := rest.Request{Method: http.MethodPost, Endpoint: endpoint.SetCommitStatus, Path: fmt.Sprintf("projects/%d/statuses/%s", project, gl.PathEscape(s.SHA)), Params: options}
	_, _, err := rest.Call(ctx, c.Client, r, commitStatusJSON{})
	return err
}
