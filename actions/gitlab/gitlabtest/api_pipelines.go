package gitlabtest

import (
	"cmp"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// listPipelines lists child pipelines only if the request selects them
// (Ci::PipelinesFinder). Newer versions list those of a branch's merge requests with
// the branch's own.
func (c *call) listPipelines() {
	q := c.r.URL.Query()
	byUpdate := q.Get("order_by") == "updated_at"
	if order := q.Get("order_by"); order != "" && order != "id" && !byUpdate {
		c.fail(http.StatusBadRequest, "order_by does not have a valid value") // GitLab has others, which nothing here requests
		return
	}
	if sort := q.Get("sort"); sort != "" && sort != "asc" && sort != "desc" {
		c.fail(http.StatusBadRequest, "sort does not have a valid value")
		return
	}
	scopes := map[string][]string{"": nil, "finished": {"success", "failed", "canceled"}} // GitLab has others, which nothing here requests
	scope, known := scopes[q.Get("scope")]
	if !known {
		c.fail(http.StatusBadRequest, "scope does not have a valid value")
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
			(q.Get("status") == "" || p.whole().Status == q.Get("status")) &&
			(scope == nil || slices.Contains(scope, p.whole().Status))
	}))
}

func (c *call) pipelinesPage(pipelines iter.Seq[*pipeline]) {
	if page, ok := offsetPage(c, pipelines, true); ok {
		writeJSON(c.w, http.StatusOK, each(page, func(p *pipeline) apiPipeline { return pipelineListed(p.whole()) }))
	}
}

// listMergeRequestPipelines lists a merge request's own pipelines, newest
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
		if mr := p.MergeRequest; mr != nil && cmp.Or(mr.ProjectID, p.ProjectID) != c.project.ID {
			continue // this is a fork, and its pipeline is of a merge request of another project
		}
		if p.of(iid) && !p.child() {
			own = append(own, p)
			branch = p.hookRef()
		}
	}
	for _, p := range c.s.pipelines { // of forks
		if mr := p.MergeRequest; mr != nil && mr.IID == iid && mr.ProjectID == c.project.ID && p.ProjectID != c.project.ID {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b *pipeline) int { return cmp.Compare(b.ID, a.ID) })
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

// listDeployments lists running deployments: the only ones that are requested.
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
	if p == nil || !c.mayCancel() {
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
