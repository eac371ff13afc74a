package gitlabtest

import (
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// listsJobs are the endpoints that take a job token on newer servers only: the
// documentation of 17.10 does not list them, and the source of 18.5 has them
// (route_setting :authentication, job_token_allowed in lib/api/ci).
var listsJobs = map[string]bool{
	"GET /projects/{project}/jobs":                      true,
	"GET /projects/{project}/pipelines/{pipeline}/jobs": true,
}

// anonymous are the endpoints that answer a GET also without any token
// (authenticate_non_get!). Where such an endpoint takes no job token, it answers a call
// that has one as it answers anybody, to whom a private project does not exist.
var anonymous = map[string]bool{
	"GET /projects/{project}":                                          true,
	"GET /projects/{project}/pipelines":                                true,
	"GET /projects/{project}/pipelines/{pipeline}":                     true,
	"GET /projects/{project}/pipelines/{pipeline}/jobs":                true,
	"GET /projects/{project}/pipelines/{pipeline}/bridges":             true,
	"GET /projects/{project}/merge_requests/{merge_request}":           true,
	"GET /projects/{project}/merge_requests/{merge_request}/approvals": true,
	"GET /projects/{project}/merge_requests/{merge_request}/pipelines": true,
}

// takesJobToken reports whether an endpoint may be called with a job token.
func (s *Server) takesJobToken(e endpoint) bool {
	return e.jobToken && (!listsJobs[e.pattern] || s.version.atLeast(18, 5))
}

// authenticate finds out who calls; false: a refusal is answered. Tokens may come in a
// header or in the query.
func (c *call) authenticate(e endpoint) bool {
	h, q := c.r.Header, c.r.URL.Query()
	bearer, found := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !found {
		bearer = ""
	}
	for _, token := range []string{h.Get("Private-Token"), q.Get("private_token"), bearer} {
		if token == c.s.o.Token {
			return c.tokenMay()
		}
	}
	jobTokens := []string{h.Get("Job-Token"), q.Get("job_token"), bearer}
	switch {
	case c.s.takesJobToken(e):
		for _, token := range jobTokens {
			if c.by = c.s.runningJobOf(token); c.by != nil {
				return true
			}
		}
	case anonymous[e.pattern] && jobTokens[0]+jobTokens[1] != "":
		c.message(http.StatusNotFound, "404 Project Not Found")
		return false
	}
	c.message(http.StatusUnauthorized, "401 Unauthorized")
	return false
}

// runningJobOf returns the job that a job token belongs to; nil once it runs no more.
func (s *Server) runningJobOf(token string) *job {
	id, err := strconv.ParseInt(strings.TrimPrefix(token, jobTokenPrefix), 10, 64)
	if j := s.jobs[id]; err == nil && j != nil && j.Status == "running" && token == jobTokenOf(j.ID) {
		return j
	}
	return nil
}

const jobTokenPrefix = "glcbt-simulated-"

func jobTokenOf(jobID int64) string { return jobTokenPrefix + strconv.FormatInt(jobID, 10) }

// JobToken returns the job's CI_JOB_TOKEN: valid while the job runs.
func (s *Server) JobToken(jobID int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jobTokenOf(must(s.jobs, jobID, "job").ID)
}

// withinJobTokenScope reports whether the call's token may be used in its project. A job
// token may only in the job's own project, as no project has another one on its
// allowlist; else 403 is answered (handle_job_token_failure! in lib/api/helpers.rb).
func (c *call) withinJobTokenScope() bool {
	if c.by == nil || c.by.pipeline.project == c.project {
		return true
	}
	c.message(http.StatusForbidden, fmt.Sprintf("403 Forbidden - Authentication by CI/CD job token not allowed from %s to %s.",
		path.Base(c.by.pipeline.project.Path), path.Base(c.project.Path)))
	return false
}

func (c *call) getJobOfToken() {
	if c.by == nil {
		c.message(http.StatusNotFound, "404 Job Not Found")
		return
	}
	writeJSON(c.w, http.StatusOK, c.s.apiJob(c.by))
}

func (c *call) getAllowedAgents() {
	if c.by == nil {
		c.message(http.StatusNotFound, "404 Job Not Found")
		return
	}
	writeJSON(c.w, http.StatusOK, c.s.apiAllowedAgents(c.by))
}

// apiAllowedAgents is the answer to GET /job/allowed_agents; GitLab has sent only ids
// since 15.
func (s *Server) apiAllowedAgents(j *job) object {
	p := j.pipeline
	if !s.version.atLeast(15, 0) {
		return s.apiAllowedAgentsBefore15(j)
	}
	agents := []object{}
	for _, id := range p.project.AgentIDs {
		agents = append(agents, object{"id": id, "config_project": object{"id": p.ProjectID}})
	}
	answer := object{
		"allowed_agents": agents,
		"job":            object{"id": j.ID},
		"pipeline":       object{"id": p.ID},
		"project":        object{"id": p.ProjectID, "groups": []object{}},
		"user":           object{"id": j.User.ID, "username": j.User.Username, "roles_in_project": []string{"guest", "reporter", "developer"}},
	}
	if j.Environment.Name != "" {
		answer["environment"] = object{"tier": j.Environment.Tier, "slug": j.Environment.Name}
	}
	return answer
}

// apiAllowedAgentsBefore15 is the answer as the documentation of JiHu GitLab still has
// it.
func (s *Server) apiAllowedAgentsBefore15(j *job) object {
	p := j.pipeline
	project := object{
		"id": p.ProjectID, "description": nil, "name": p.project.Name, "path": path.Base(p.project.Path),
		"path_with_namespace": p.project.Path, "created_at": isoTime(p.project.CreatedAt),
	}
	agents := []object{}
	for _, id := range p.project.AgentIDs {
		agents = append(agents, object{"id": id, "config_project": project})
	}
	return object{
		"allowed_agents": agents,
		"job":            object{"id": j.ID, "name": j.Name, "stage": j.Stage, "project_id": p.ProjectID, "project_name": p.project.Name},
		"pipeline": object{
			"id": p.ID, "project_id": p.ProjectID, "sha": p.SHA, "ref": p.Ref, "status": p.Status,
			"created_at": isoTime(p.CreatedAt), "updated_at": isoTime(p.UpdatedAt), "web_url": p.WebURL,
		},
		"project": project,
		"user":    object{"id": j.User.ID, "name": j.User.Name, "username": j.User.Username, "state": "active", "web_url": s.external + "/" + j.User.Username},
	}
}
