package gitlabtest

import (
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"
)

// CommitStatus is a status that somebody has set in a pipeline.
type CommitStatus struct {
	ID          int64
	Name        string
	State       string
	Description string
	TargetURL   string
	Ref         string
	Author      User
	Retried     bool // there is a newer one of that name
}

// CommitStatuses lists the statuses that were set in a pipeline, oldest first.
func (s *Server) CommitStatuses(pipeline int64) []CommitStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(must(s.pipelines, pipeline, "pipeline").statuses)
}

// maxStatusText is how many characters the name, the description and the URL of a status
// may have (CommitStatus and GenericCommitStatus in GitLab's source).
const maxStatusText = 255

var statusStates = []string{"pending", "running", "success", "failed", "canceled", "skipped"}

// setCommitStatus answers as Ci::CreateCommitStatusService does. Where no pipeline is
// meant, GitLab makes one, of the source external; this is refused here.
func (c *call) setCommitStatus() {
	var given struct {
		State       string  `json:"state"`
		Ref         string  `json:"ref"`
		Name        string  `json:"name"`
		Description *string `json:"description"`
		TargetURL   *string `json:"target_url"`
		Pipeline    int64   `json:"pipeline_id"`
	}
	if !c.params(&given) {
		return
	}
	description, target := optional(given.Description), optional(given.TargetURL)
	sha := c.r.PathValue("sha")
	switch {
	case c.project.Archived || c.project.Role == Reporter:
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	case given.State == "":
		c.fail(http.StatusBadRequest, "state is missing")
		return
	case !slices.Contains(statusStates, given.State):
		c.fail(http.StatusBadRequest, "state does not have a valid value")
		return
	case !c.project.hasCommit(sha):
		c.message(http.StatusNotFound, "404 Commit Not Found")
		return
	}
	var p *pipeline // the newest
	for _, other := range c.project.pipelines {
		if other.SHA == sha && (given.Ref == "" || other.Ref == given.Ref) && (given.Pipeline == 0 || other.ID == given.Pipeline) {
			p = other
		}
	}
	switch {
	case p == nil && given.Pipeline != 0:
		c.message(http.StatusNotFound, "404 Pipeline for pipeline_id, sha and ref Not Found")
		return
	case p == nil:
		c.fail(http.StatusNotImplemented, "the simulated GitLab makes no external pipelines")
		return
	case !c.mayUpdate(p):
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	wrong := object{}
	if utf8.RuneCountInString(description) > maxStatusText {
		wrong["description"] = []string{"is too long (maximum is 255 characters)"}
	}
	if u, err := url.Parse(target); target != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		wrong["target_url"] = []string{"is blocked: Only allowed schemes are http, https"}
	} else if utf8.RuneCountInString(target) > maxStatusText {
		wrong["target_url"] = []string{"is too long (maximum is 255 characters)"}
	}
	if len(wrong) > 0 {
		writeJSON(c.w, http.StatusBadRequest, object{"message": wrong})
		return
	}
	for i := range p.statuses {
		if p.statuses[i].Name == given.Name {
			p.statuses[i].Retried = true
		}
	}
	s := CommitStatus{
		ID: c.s.nextID(0, &c.s.lastID.status), Name: given.Name, State: given.State, Description: description, TargetURL: target, Ref: p.Ref, Author: c.s.o.Bot,
	}
	p.statuses = append(p.statuses, s)
	writeJSON(c.w, http.StatusCreated, c.apiCommitStatus(p, s))
}

func optional(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// hasCommit reports whether the repository has a commit: those of its pipelines.
func (p *project) hasCommit(sha string) bool {
	return slices.ContainsFunc(p.pipelines, func(p *pipeline) bool { return p.SHA == sha })
}

// apiCommitStatus is a status (API::Entities::CommitStatus).
func (c *call) apiCommitStatus(p *pipeline, s CommitStatus) object {
	o := object{
		"id": s.ID, "sha": p.SHA, "ref": s.Ref, "status": s.State, "name": s.Name, "target_url": s.TargetURL, "description": s.Description,
		"created_at": isoTime(c.s.o.Now()), "started_at": nil, "finished_at": isoTime(c.s.o.Now()), "allow_failure": false, "coverage": nil,
		"author": c.s.apiUser(s.Author),
	}
	if c.s.version.atLeast(16, 4) {
		o["pipeline_id"] = p.ID
	}
	return o
}
