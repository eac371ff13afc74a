package gitlabtest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
)

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

// scope returns a filter for the jobs of the scope parameter; false: 400 is
// answered, because this version of GitLab has no such status.
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
	if j == nil || !c.mayWrite(j) || !c.mayCancel() {
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
	if len(params.Variables) > 0 && !c.project.mayGiveVariables() {
		c.message(http.StatusForbidden, "403 Forbidden")
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
