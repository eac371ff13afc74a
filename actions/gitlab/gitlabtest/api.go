package gitlabtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one API request on its way through the server.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	project *project // of /projects/{id}/...
	by      *job     // whose job token was given; nil with an access token
}

// endpoint is one call of the API.
type endpoint struct {
	pattern  string // below /api/v4
	jobToken bool   // may be called with a job token
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
	{"GET /projects/{project}/hooks/{hook}/events", false, (*call).listHookEvents},
	{"GET /groups/{group}/hooks", false, (*call).listHooks},
	{"GET /groups/{group}/hooks/{hook}/events", false, (*call).listHookEvents},
	{"GET /groups/{group}", false, (*call).getGroup},
	{"GET /groups/{group}/projects", false, (*call).listGroupProjects},
	{"GET /projects", false, (*call).listProjects},
	{"GET /projects/{project}", false, (*call).getProject},
	{"GET /projects/{project}/protected_branches", false, (*call).listProtectedBranches},
	{"GET /projects/{project}/protected_tags", false, (*call).listProtectedTags},
	{"GET /projects/{project}/pipelines", false, (*call).listPipelines},
	{"GET /projects/{project}/pipelines/{pipeline}", false, (*call).getPipeline},
	{"POST /projects/{project}/pipelines/{pipeline}/retry", false, (*call).retryPipeline},
	{"POST /projects/{project}/pipelines/{pipeline}/cancel", false, (*call).cancelPipeline},
	{"GET /projects/{project}/deployments", false, (*call).listDeployments},
	{"GET /projects/{project}/merge_requests/{merge_request}/pipelines", false, (*call).listMergeRequestPipelines},
	{"GET /user", false, (*call).getUser},
	{"GET /personal_access_tokens/self", false, (*call).getAccessToken},
	{"GET /version", false, (*call).getVersion},
	{"GET /metadata", false, (*call).getVersion},
}

// routes is the API's endpoints; their handlers run under the lock.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range endpoints {
		method, path, _ := strings.Cut(e.pattern, " ")
		mux.HandleFunc(method+" "+apiPrefix+path, func(w http.ResponseWriter, r *http.Request) {
			c := &call{s: s, w: w, r: r}
			if c.authenticate(e.jobToken) && c.findProject() && c.withinLimits(e.pattern) {
				e.do(c)
			}
		})
	}
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
	// GitLab takes such a call for a webhook's and sends none that follow.
	if r.Method == http.MethodGet && s.o.Lag > 0 {
		defer s.rewind()()
	}
	s.muted = r.Header.Get("X-Gitlab-Event-Uuid") != ""
	defer func() { s.muted = false }()
	s.api.ServeHTTP(w, r)
}

// authenticate finds out who calls; false: 401 is answered. Tokens may come
// in a header or in the query.
func (c *call) authenticate(jobToken bool) bool {
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
	for _, token := range []string{h.Get("Job-Token"), q.Get("job_token"), bearer} {
		id, err := strconv.ParseInt(strings.TrimPrefix(token, jobTokenPrefix), 10, 64)
		if j := c.s.jobs[id]; jobToken && err == nil && j != nil && j.Status == "running" && token == jobTokenOf(j.ID) {
			c.by = j
			return true
		}
	}
	c.message(http.StatusUnauthorized, "401 Unauthorized")
	return false
}

const jobTokenPrefix = "glcbt-simulated-"

func jobTokenOf(jobID int64) string { return jobTokenPrefix + strconv.FormatInt(jobID, 10) }

// JobToken is the job's CI_JOB_TOKEN: good while the job runs.
func (s *Server) JobToken(jobID int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jobTokenOf(must(s.jobs, jobID, "job").ID)
}

// findProject finds the project of the path, if it has one; false: 404 is
// answered, also for a project that the bot must not know of.
func (c *call) findProject() bool {
	name := c.r.PathValue("project")
	if name == "" {
		return true
	}
	id, _ := strconv.ParseInt(name, 10, 64)
	for _, p := range c.s.projects {
		if (p.ID == id || strings.EqualFold(p.Path, name)) && p.Role != NoAccess {
			c.project = p
			return true
		}
	}
	c.message(http.StatusNotFound, "404 Project Not Found")
	return false
}

// findJob finds the job of the path; nil: 404 is answered. Most calls do not
// know of bridges.
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

// mayWrite tells whether the bot may run, stop or retry the job; false: 403
// is answered.
func (c *call) mayWrite(j *job) bool {
	if c.mayRun(j) {
		return true
	}
	c.message(http.StatusForbidden, "403 Forbidden")
	return false
}

// mayRun tells whether the bot may run the job, as its pipeline and its
// environment allow.
func (c *call) mayRun(j *job) bool {
	roles, protected := c.project.ProtectedEnvironments[j.Environment.Name]
	return c.mayUpdate(j.pipeline) && (!protected || slices.Contains(roles, c.project.Role))
}

func (c *call) mayUpdate(p *pipeline) bool {
	role := c.project.Role
	return !c.project.Archived && (role == Maintainer || role == Developer && !p.protected())
}

func (c *call) listProjectJobs() {
	inScope, ok := c.scope()
	if !ok {
		return
	}
	page, ok := c.projectJobsPage(c.project.allJobs(), func(j *job) bool { return !j.Bridge && inScope(j) })
	if !ok {
		return
	}
	writeJSON(c.w, http.StatusOK, each(page, c.s.apiJob))
}

func (c *call) listPipelineJobs() {
	listOfPipeline(c, false, c.r.URL.Query().Get("include_retried") == "true", c.s.apiJob)
}

func (c *call) listPipelineBridges() {
	listOfPipeline(c, true, false, c.s.apiBridge)
}

func listOfPipeline[O any](c *call, bridges, retried bool, render func(*job) O) {
	p := c.findPipeline()
	if p == nil {
		return
	}
	inScope, ok := c.scope()
	if !ok {
		return
	}
	var jobs []*job
	for _, j := range slices.Backward(p.jobs) {
		if j.Bridge == bridges && (retried || !j.Retried) && inScope(j) {
			jobs = append(jobs, j)
		}
	}
	page, ok := offsetPage(c, slices.Values(jobs), true)
	if !ok {
		return
	}
	writeJSON(c.w, http.StatusOK, each(page, render))
}

// scope reads the scope parameter: the jobs that it asks for; false: 400 is
// answered, because this version of GitLab knows no such status.
func (c *call) scope() (func(*job) bool, bool) {
	q := c.r.URL.Query()
	scope := slices.Concat(q["scope[]"], q["scope"])
	if len(scope) == 0 {
		return func(*job) bool { return true }, true
	}
	known := slices.Concat(cancelable, completeStatuses)
	if c.s.version.atLeast(17, 0) {
		known = append(known, "canceling")
	} else {
		known = slices.DeleteFunc(known, func(status string) bool { return status == "waiting_for_callback" })
	}
	for _, status := range scope {
		if !slices.Contains(known, status) {
			c.fail(http.StatusBadRequest, "scope does not have a valid value")
			return nil, false
		}
	}
	return func(j *job) bool { return slices.Contains(scope, j.Status) }, true
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

func (c *call) getJob() {
	if j := c.findJob(false); j != nil {
		writeJSON(c.w, http.StatusOK, c.s.apiJob(j))
	}
}

func (c *call) getTrace() {
	j := c.findJob(false)
	if j == nil {
		return
	}
	if j.logSize() == 0 && c.s.o.NoLogIsNotFound {
		c.message(http.StatusNotFound, "404 Not Found")
		return
	}
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.Header().Set("Content-Disposition", fmt.Sprintf(`infile; filename="%d.log"`, j.ID))
	_, _ = io.WriteString(c.w, j.log())
}

func (c *call) cancelJob() {
	j := c.findJob(false)
	if j == nil || !c.mayWrite(j) {
		return
	}
	var params struct {
		Force bool `json:"force"`
	}
	if !c.params(&params) {
		return
	}
	force := params.Force || c.r.URL.Query().Get("force") == "true"
	if force && c.project.Role != Maintainer {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	c.s.cancel(j, force)
	writeJSON(c.w, http.StatusCreated, c.s.apiJob(j))
}

func (c *call) retryJob() {
	j := c.findJob(c.s.version.atLeast(17, 0))
	if j == nil || !c.mayWrite(j) {
		return
	}
	again, err := c.s.retry(j, c.s.o.Bot)
	if c.refused(err) {
		return
	}
	if reason := c.s.o.RetriesFail; reason != "" {
		again.Status, again.FailureReason, again.FinishedAt = "failed", reason, c.s.o.Now()
		c.s.progress(again.pipeline)
	}
	writeJSON(c.w, http.StatusCreated, c.s.apiJob(again))
}

func (c *call) eraseJob() {
	j := c.findJob(false)
	if j == nil {
		return
	}
	// Ci::BuildPolicy: before 18.0, an archived job is as good as a protected one.
	if j.Archived && !c.s.version.atLeast(18, 0) || !c.mayRun(j) || c.project.Role != Maintainer && j.User.ID != c.s.o.Bot.ID {
		c.message(http.StatusForbidden, "403 Forbidden")
		return
	}
	if c.refused(c.s.erase(j)) {
		return
	}
	writeJSON(c.w, http.StatusCreated, c.s.apiJob(j))
}

func (c *call) playJob() {
	j := c.findJob(true)
	if j == nil || !c.mayWrite(j) {
		return
	}
	var params struct {
		Variables []Variable     `json:"job_variables_attributes"`
		Inputs    map[string]any `json:"job_inputs"`
	}
	if !c.params(&params) {
		return
	}
	if !c.s.version.atLeast(18, 10) {
		params.Inputs = nil // not declared there: ignored
	}
	if _, err := c.s.play(j, c.s.o.Bot, params.Variables, params.Inputs); c.refused(err) {
		return
	}
	if j.Bridge { // the original, also where a clone was started
		writeJSON(c.w, http.StatusOK, c.s.apiBridge(j))
		return
	}
	writeJSON(c.w, http.StatusOK, c.s.apiJob(j))
}

func (c *call) getProject() {
	writeJSON(c.w, http.StatusOK, c.s.apiProject(c.project))
}

// listPipelines gives no child pipelines but where they are asked for
// (Ci::PipelinesFinder). Newer versions give those of a branch's merge requests
// with the branch's own.
func (c *call) listPipelines() {
	q := c.r.URL.Query()
	byUpdate := q.Get("order_by") == "updated_at"
	if order := q.Get("order_by"); order != "" && order != "id" && !byUpdate {
		c.fail(http.StatusBadRequest, "order_by does not have a valid value") // GitLab has others, nobody here asks for them
		return
	}
	if sort := q.Get("sort"); sort != "" && sort != "asc" && sort != "desc" {
		c.fail(http.StatusBadRequest, "sort does not have a valid value")
		return
	}
	fits := func(parameter string, values ...string) bool {
		return q.Get(parameter) == "" || slices.Contains(values, q.Get(parameter))
	}
	var after time.Time
	if text := q.Get("updated_after"); text != "" {
		var err error
		if after, err = time.Parse(time.RFC3339, text); err != nil {
			c.fail(http.StatusBadRequest, "updated_after is invalid")
			return
		}
	}
	all := c.project.allPipelines()
	pipelines := all.backward(all.len())
	switch {
	case byUpdate:
		sorted := slices.Collect(pipelines)
		slices.SortStableFunc(sorted, func(a, b *pipeline) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
		if q.Get("sort") == "asc" {
			slices.Reverse(sorted)
		}
		pipelines = slices.Values(sorted)
	case q.Get("sort") == "asc":
		pipelines = all.forward()
	}
	c.pipelinesPage(filter(pipelines, func(p *pipeline) bool {
		refs := []string{p.Ref}
		if c.s.version.atLeast(18, 0) {
			refs = append(refs, p.hookRef())
		}
		return p.child() == (q.Get("source") == "parent_pipeline") && !p.UpdatedAt.Before(after) &&
			fits("ref", refs...) && fits("sha", p.SHA) && fits("source", p.Source) &&
			(q.Get("status") == "" || p.whole().Status == q.Get("status"))
	}))
}

func (c *call) pipelinesPage(pipelines iter.Seq[*pipeline]) {
	if page, ok := offsetPage(c, pipelines, true); ok {
		writeJSON(c.w, http.StatusOK, each(page, func(p *pipeline) apiPipeline { return pipelineBasic(p.whole()) }))
	}
}

// listMergeRequestPipelines gives a merge request's own pipelines, newest
// first, and then those of its branch (Ci::PipelinesForMergeRequestFinder).
func (c *call) listMergeRequestPipelines() {
	iid, err := strconv.ParseInt(c.r.PathValue("merge_request"), 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "merge_request_iid is invalid")
		return
	}
	var own, ofBranch []*pipeline
	branch := ""
	all := c.project.allPipelines()
	for p := range all.backward(all.len()) {
		if p.of(iid) && !p.child() {
			own = append(own, p)
			branch = p.hookRef()
		}
	}
	if own == nil {
		c.message(http.StatusNotFound, "404 Not found")
		return
	}
	for p := range all.backward(all.len()) {
		if p.Ref == branch && !p.child() {
			ofBranch = append(ofBranch, p)
		}
	}
	c.pipelinesPage(slices.Values(slices.Concat(own, ofBranch)))
}

// listDeployments lists those that run: the only ones that are asked for.
func (c *call) listDeployments() {
	if status := c.r.URL.Query().Get("status"); status != "running" {
		c.fail(http.StatusBadRequest, "the simulated GitLab lists running deployments only")
		return
	}
	var running []*job
	for j := range c.project.allJobs().forward() {
		if j.Environment.Name != "" && (j.Environment.Action == "" || j.Environment.Action == "start") && (j.Status == "running" || j.Status == "canceling") {
			running = append(running, j)
		}
	}
	page, ok := offsetPage(c, slices.Values(running), true)
	if !ok {
		return
	}
	writeJSON(c.w, http.StatusOK, each(page, func(j *job) object {
		return object{
			"id": j.ID + 1_000_000, "ref": j.pipeline.Ref, "sha": j.pipeline.SHA, "status": "running",
			"environment": object{"name": j.Environment.Name, "tier": j.Environment.Tier},
			"deployable":  c.s.apiJob(j),
		}
	}))
}

func (c *call) retryPipeline() {
	p := c.pipelineToUpdate()
	if p == nil {
		return
	}
	c.s.retryPipeline(p, c.s.o.Bot, c.mayRun)
	writeJSON(c.w, http.StatusCreated, c.s.apiPipeline(p))
}

func (c *call) cancelPipeline() {
	p := c.pipelineToUpdate()
	if p == nil {
		return
	}
	was := p.Status
	c.s.cancelPipeline(p)
	answer := c.s.apiPipeline(p)
	if c.s.o.PipelinesFollow {
		answer.Status = was
	}
	writeJSON(c.w, http.StatusOK, answer)
}

// pipelineToUpdate finds the pipeline of the path; nil: 404 is answered, or
// 403 where the bot may not change it.
func (c *call) pipelineToUpdate() *pipeline {
	p := c.findPipeline()
	if p != nil && !c.mayUpdate(p) {
		c.message(http.StatusForbidden, "403 Forbidden")
		return nil
	}
	return p
}

func (c *call) getPipeline() {
	if p := c.findPipeline(); p != nil {
		writeJSON(c.w, http.StatusOK, c.s.apiPipeline(p))
	}
}

func (c *call) getUser() { writeJSON(c.w, http.StatusOK, c.s.apiUser(c.s.o.Bot)) }

func (c *call) getVersion() {
	writeJSON(c.w, http.StatusOK, object{"version": c.s.o.Version, "revision": "0123456789a"})
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

// refused answers what GitLab refused, if it did.
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

// servePage shows the page that a web_url leads to, in plain text.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	page := s.page(s.external + r.URL.Path)
	if page == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, page) // an error here is the client's: it went away
}

// page is the text at a URL; "" for none.
func (s *Server) page(url string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, p := range s.projects {
		if p.WebURL != url {
			continue
		}
		fmt.Fprintf(&text, "%s\n\n", p.Path)
		pipelines, n := p.allPipelines(), 0
		for pl := range pipelines.backward(pipelines.len()) {
			if n++; n > maxPerPage {
				fmt.Fprintln(&text, "...")
				break
			}
			pl = pl.whole()
			fmt.Fprintf(&text, "%-10s %s  %s\n", pl.Status, pl.WebURL, title(pl.Message))
		}
	}
	id, _ := strconv.ParseInt(path.Base(url), 10, 64)
	if p := s.pipeline(id); p != nil && p.WebURL == url {
		fmt.Fprintf(&text, "%s: pipeline %d for %s is %s\n\n", p.project.Path, p.ID, p.Ref, p.Status)
		for _, j := range p.jobs {
			fmt.Fprintf(&text, "%-10s %s  %s: %s  %s\n", j.Status, j.WebURL, j.Stage, j.Name, j.FailureReason)
		}
	}
	if j := s.job(id); j != nil && j.WebURL == url {
		fmt.Fprintf(&text, "%s: job %d, %s: %s, is %s %s\n%s\n\n%s", j.pipeline.project.Path, j.ID, j.Stage, j.Name, j.Status, j.FailureReason, j.pipeline.WebURL, j.log())
	}
	return text.String()
}
