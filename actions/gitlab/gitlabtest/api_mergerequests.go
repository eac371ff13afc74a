package gitlabtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// findMergeRequest finds the merge request of the path, with the newest pipeline
// of it, whichever project that ran in; nil: 404 is answered.
func (c *call) findMergeRequest() (newest *pipeline) {
	iid, err := strconv.ParseInt(c.r.PathValue("merge_request"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "merge_request_iid is invalid")
		return nil
	}
	for _, p := range c.s.pipelines {
		mr := p.MergeRequest
		if mr != nil && mr.IID == iid && cmp.Or(mr.ProjectID, p.ProjectID) == c.project.ID && (newest == nil || p.ID > newest.ID) {
			newest = p
		}
	}
	if newest == nil {
		c.message(http.StatusNotFound, "404 Not found")
	}
	return newest
}

// getMergeRequest answers as API::Entities::MergeRequest does, without what
// concerns merging.
func (c *call) getMergeRequest() {
	p := c.findMergeRequest()
	if p == nil {
		return
	}
	mr := p.MergeRequest
	labels := slices.Sorted(slices.Values(mr.Labels))
	writeJSON(c.w, http.StatusOK, object{
		"id": 1_000*c.project.ID + mr.IID, "iid": mr.IID, "project_id": c.project.ID,
		"title": mr.Title, "description": "", "state": mr.state(),
		"created_at": isoTime(p.CreatedAt), "updated_at": isoTime(p.UpdatedAt),
		"source_branch": mr.SourceBranch, "target_branch": mr.TargetBranch,
		"source_project_id": p.ProjectID, "target_project_id": c.project.ID,
		"author": c.s.apiUser(mr.author(p)), "assignees": []object{}, "reviewers": []object{},
		"labels": orEmpty(labels), "draft": mr.Draft, "work_in_progress": mr.Draft, "milestone": nil,
		"sha": p.SHA, "head_pipeline": object{"id": p.ID, "sha": p.SHA, "ref": p.Ref, "status": p.Status},
		"web_url": mr.webURL(c.project),
	})
}

// getMergeRequestApprovals answers as API::Entities::MergeRequestApprovals does
// in GitLab Free, where any approval approves, and as
// API::Entities::ApprovalState does in GitLab Premium.
func (c *call) getMergeRequestApprovals() {
	p := c.findMergeRequest()
	if p == nil {
		return
	}
	mr := p.MergeRequest
	by := each(mr.ApprovedBy, func(u User) object { return object{"user": c.s.apiUser(u), "approved_at": isoTime(p.CreatedAt)} })
	has := func(u User) bool { return slices.Contains(mr.ApprovedBy, u) }
	answer := object{"user_has_approved": has(c.s.o.Bot), "user_can_approve": !has(c.s.o.Bot), "approved": len(by) > 0, "approved_by": by}
	if c.s.premium() {
		left := max(0, mr.ApprovalsRequired-int64(len(by)))
		answer["approvals_required"], answer["approvals_left"], answer["approved"] = mr.ApprovalsRequired, left, left == 0
		answer["id"], answer["iid"], answer["project_id"] = 1_000*c.project.ID+mr.IID, mr.IID, c.project.ID
		answer["title"], answer["state"] = mr.Title, mr.state()
	}
	writeJSON(c.w, http.StatusOK, answer)
}

func (mr *MergeRequest) state() string { return cmp.Or(mr.State, "opened") }

func (mr *MergeRequest) author(p *pipeline) User { return cmp.Or(mr.Author, p.User) }

// webURL is its page, in the project that it belongs to.
func (mr *MergeRequest) webURL(p *project) string {
	return fmt.Sprintf("%s/-/merge_requests/%d", p.WebURL, mr.IID)
}
