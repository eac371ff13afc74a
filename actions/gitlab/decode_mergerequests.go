package gitlab

import (
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/gitlabjson"
)

type mergeRequestJSON struct {
	IID            gitlabjson.Int `json:"iid"`
	ProjectID      gitlabjson.Int `json:"project_id"` // that it belongs to
	Title          string         `json:"title"`
	State          string         `json:"state"`
	SourceBranch   string         `json:"source_branch"`
	TargetBranch   string         `json:"target_branch"`
	WebURL         string         `json:"web_url"`
	Labels         []string       `json:"labels"`
	Draft          bool           `json:"draft"`
	WorkInProgress bool           `json:"work_in_progress"` // before GitLab 14
	Author         userJSON       `json:"author"`
}

// noteJSON is a comment, or with System what GitLab says of a change.
type noteJSON struct {
	ID     gitlabjson.Int `json:"id"`
	Body   string         `json:"body"`
	System bool           `json:"system"`
	Author userJSON       `json:"author"`
}

// commitStatusJSON is a status that was set (lib/api/entities/commit_status.rb).
type commitStatusJSON struct {
	ID gitlabjson.Int `json:"id"`
}

func (m mergeRequestJSON) mergeRequest() event.MergeRequest {
	return event.MergeRequest{IID: int64(m.IID), Title: m.Title, State: m.State, SourceBranch: m.SourceBranch, TargetBranch: m.TargetBranch, URL: m.WebURL}
}

func (m mergeRequestJSON) details() event.MergeRequestDetails {
	return event.MergeRequestDetails{
		MergeRequest: m.mergeRequest(),
		Labels:       m.Labels,
		Draft:        m.Draft || m.WorkInProgress,
		Author:       event.Author{ID: int64(m.Author.ID), Username: m.Author.Username, Name: m.Author.Name},
	}
}

// approvalsJSON are the approvals of a merge request. GitLab Free has only
// approved and approved_by (lib/api/entities/merge_request_approvals.rb).
type approvalsJSON struct {
	Approved   bool           `json:"approved"`
	Required   gitlabjson.Int `json:"approvals_required"`
	Left       gitlabjson.Int `json:"approvals_left"`
	ApprovedBy []struct {
		User userJSON `json:"user"`
	} `json:"approved_by"`
}

func (a approvalsJSON) addTo(m *event.MergeRequestDetails) {
	m.Approved, m.ApprovalsRequired, m.ApprovalsLeft = a.Approved, int64(a.Required), int64(a.Left)
	for _, by := range a.ApprovedBy {
		m.ApprovedBy = append(m.ApprovedBy, by.User.Username)
	}
}
