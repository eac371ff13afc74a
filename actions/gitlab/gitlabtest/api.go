package gitlabtest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// call is one API request in flight.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	project *project // of /projects/{id}/...
	by      *job     // the owner of the job token; nil with an access token
}

// endpoint is one call of the API.
type endpoint struct {
	pattern  string // below /api/v4
	jobToken bool   // may be called with a job token; jobtoken.go has the exceptions
	do       func(*call)
}

var endpoints = []endpoint{
	{"GET /projects/{project}/jobs", true, (*call).listProjectJobs},
	{"GET /projects/{project}/pipelines/{pipeline}/jobs", true, (*call).listPipelineJobs},
	{"GET /projects/{project}/pipelines/{pipeline}/bridges", false, (*call).listPipelineBridges},
	{"GET /job", true, (*call).getJobOfToken},
	{"GET /job/allowed_agents", true, (*call).getAllowedAgents},
	{"GET /projects/{project}/jobs/{job}", false, (*call).getJob},
	{"GET /projects/{project}/jobs/{job}/trace", false, (*call).getTrace},
	{"POST /projects/{project}/jobs/{job}/cancel", false, (*call).cancelJob},
	{"POST /projects/{project}/jobs/{job}/retry", false, (*call).retryJob},
	{"POST /projects/{project}/jobs/{job}/erase", false, (*call).eraseJob},
	{"POST /projects/{project}/jobs/{job}/play", false, (*call).playJob},

	{"GET /projects/{project}/hooks", false, (*call).listHooks},
	{"POST /projects/{project}/hooks", false, (*call).createHook},
	{"GET /projects/{project}/hooks/{hook}", false, (*call).getHook},
	{"PUT /projects/{project}/hooks/{hook}", false, (*call).editHook},
	{"DELETE /projects/{project}/hooks/{hook}", false, (*call).deleteHook},
	{"POST /projects/{project}/hooks/{hook}/test/{trigger}", false, (*call).testHook},
	{"GET /projects/{project}/hooks/{hook}/events", false, (*call).listHookEvents},
	{"GET /groups/{group}/hooks", false, (*call).listHooks},
	{"POST /groups/{group}/hooks", false, (*call).createHook},
	{"GET /groups/{group}/hooks/{hook}", false, (*call).getHook},
	{"PUT /groups/{group}/hooks/{hook}", false, (*call).editHook},
	{"DELETE /groups/{group}/hooks/{hook}", false, (*call).deleteHook},
	{"POST /groups/{group}/hooks/{hook}/test/{trigger}", false, (*call).testHook},
	{"GET /groups/{group}/hooks/{hook}/events", false, (*call).listHookEvents},
	{"GET /groups/{group}", false, (*call).getGroup},
	{"GET /groups/{group}/projects", false, (*call).listGroupProjects},
	{"GET /groups/{group}/protected_environments", false, (*call).listGroupProtectedEnvironments},
	{"GET /groups/{group}/members/all/{user}", false, (*call).getGroupMember},
	{"GET /projects", false, (*call).listProjects},
	{"GET /projects/{project}", false, (*call).getProject},
	{"GET /projects/{project}/groups", false, (*call).listProjectGroups},
	{"GET /projects/{project}/protected_branches", false, (*call).listProtectedBranches},
	{"GET /projects/{project}/protected_tags", false, (*call).listProtectedTags},
	{"GET /projects/{project}/protected_environments", false, (*call).listProtectedEnvironments},
	{"GET /projects/{project}/pipelines", false, (*call).listPipelines},
	{"GET /projects/{project}/pipelines/{pipeline}", false, (*call).getPipeline},
	{"POST /projects/{project}/pipelines/{pipeline}/retry", false, (*call).retryPipeline},
	{"POST /projects/{project}/pipelines/{pipeline}/cancel", false, (*call).cancelPipeline},
	{"GET /projects/{project}/deployments", true, (*call).listDeployments},
	{"GET /projects/{project}/merge_requests/{merge_request}", false, (*call).getMergeRequest},
	{"GET /projects/{project}/merge_requests/{merge_request}/approvals", false, (*call).getMergeRequestApprovals},
	{"GET /projects/{project}/merge_requests/{merge_request}/pipelines", false, (*call).listMergeRequestPipelines},
	{"GET /projects/{project}/merge_requests/{merge_request}/notes", false, (*call).listNotes},
	{"POST /projects/{project}/merge_requests/{merge_request}/notes", false, (*call).createNote},
	{"PUT /projects/{project}/merge_requests/{merge_request}/notes/{note}", false, (*call).editNote},
	{"POST /projects/{project}/statuses/{sha}", false, (*call).setCommitStatus},
	{"GET /projects/{project}/repository/branches/{branch}", false, (*call).getBranch},
	{"GET /projects/{project}/members/all/{user}", false, (*call).getMember},
	{"GET /user", false, (*call).getUser},
	{"GET /users", false, (*call).listUsers},
	{"GET /users/{user}", false, (*call).getUserByID},
	{"GET /personal_access_tokens/self", false, (*call).getAccessToken},
	{"GET /personal_access_tokens/{token}", false, (*call).getAccessTokenByID},
	{"GET /version", false, (*call).getVersion},
	{"GET /metadata", false, (*call).getMetadata},
	{"GET /application/settings", false, (*call).getSettings},
}

// routes returns the API's endpoints; their handlers run under the lock.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range endpoints {
		method, path, _ := strings.Cut(e.pattern, " ")
		mux.HandleFunc(method+" "+apiPrefix+path, func(w http.ResponseWriter, r *http.Request) {
			c := &call{s: s, w: w, r: r}
			if c.authenticate(e) && c.findProject() && c.granted(e.pattern) && c.withinLimits(e.pattern) {
				e.do(c)
			}
		})
	}
	mux.HandleFunc("POST "+graphQLPath, func(w http.ResponseWriter, r *http.Request) { (&call{s: s, w: w, r: r}).graphQL() })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, object{"error": "404 Not Found"})
	})
	return mux
}

// handle answers one API request. All of it happens at one moment: under the
// lock.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	s.lock()
	defer s.mu.Unlock()
	if !s.throttle(w) {
		return
	}
	if r.Method == http.MethodGet && s.o.Lag > 0 {
		defer s.rewind()()
	}
	// GitLab takes such a call for a webhook's own and suppresses the hooks that
	// follow.
	s.muted = r.Header.Get("X-Gitlab-Event-Uuid") != ""
	defer func() { s.muted = false }()
	s.api.ServeHTTP(w, r)
}

// findProject finds the project of the path, if it has one; false: 404 is
// answered, also for a project that the bot may not see.
func (c *call) findProject() bool {
	name := c.r.PathValue("project")
	if name == "" {
		return true
	}
	id, _ := strconv.ParseInt(name, 10, 64)
	for _, p := range c.s.projects {
		if (p.ID == id || strings.EqualFold(p.Path, name)) && (p.Role != NoAccess || c.by != nil) {
			c.project = p
			return c.withinJobTokenScope()
		}
	}
	c.message(http.StatusNotFound, "404 Project Not Found")
	return false
}

// findJob finds the job of the path; nil: 404 is answered. Most calls do not
// find bridges.
func (c *call) findJob(bridges bool) *job {
	id, err := strconv.ParseInt(c.r.PathValue("job"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "job_id is invalid")
		return nil
	}
	j := c.s.job(id)
	if j == nil || j.pipeline.project != c.project || j.Bridge && !bridges {
		c.message(http.StatusNotFound, "404 Not found")
		return nil
	}
	return j
}

func (c *call) findPipeline() *pipeline {
	id, err := strconv.ParseInt(c.r.PathValue("pipeline"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "pipeline_id is invalid")
		return nil
	}
	p := c.s.pipeline(id)
	if p == nil || p.project != c.project {
		c.message(http.StatusNotFound, "404 Not found")
		return nil
	}
	return p
}

// mayWrite reports whether the bot may run, stop or retry the job; false: 403
// is answered.
func (c *call) mayWrite(j *job) bool {
	if c.mayRun(j) {
		return true
	}
	c.message(http.StatusForbidden, "403 Forbidden")
	return false
}

// mayRun reports whether the bot may run the job, as its pipeline and its
// environment allow.
func (c *call) mayRun(j *job) bool {
	roles, protected := c.project.ProtectedEnvironments[j.Environment.Name]
	return c.mayUpdate(j.pipeline) && (!protected || slices.Contains(roles, c.project.Role))
}

func (c *call) mayUpdate(p *pipeline) bool {
	role := c.project.Role
	merges := slices.Contains(c.project.DevelopersMerge, p.hookRef()) && !p.Tag
	return !c.project.Archived && (role == Maintainer || role == Developer && (!p.protected() || merges))
}

func (c *call) getProject() {
	writeJSON(c.w, http.StatusOK, c.s.apiProject(c.project))
}

// params reads the parameters from the body, which may be empty; false: 400
// is answered.
func (c *call) params(into any) bool {
	if c.r.ContentLength == 0 {
		return true
	}
	if err := json.NewDecoder(c.r.Body).Decode(into); err != nil {
		c.fail(http.StatusBadRequest, "\nProblem:\n  message body does not match declared format\nResolution:\n  when specifying application/json as content-type, you must pass valid application/json in the request's 'body'\n")
		return false
	}
	return true
}

// refused answers with a refusal, if err is one.
func (c *call) refused(err error) bool {
	var refusal *RefusedError
	if !errors.As(err, &refusal) {
		return false
	}
	c.message(refusal.Status, refusal.Message)
	return true
}

// message is how GitLab words its own refusals.
func (c *call) message(status int, text string) {
	writeJSON(c.w, status, object{"message": text})
}

// fail is how GitLab's API framework words bad parameters.
func (c *call) fail(status int, text string) {
	writeJSON(c.w, status, object{"error": text})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err) // only what this package made is encoded
	}
}

func each[T, O any](list []T, render func(T) O) []O {
	rendered := make([]O, len(list))
	for i, item := range list {
		rendered[i] = render(item)
	}
	return rendered
}
