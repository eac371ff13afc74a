// Package cancellation cancels pipelines that a newer one makes redundant, but not their
// running deployments, and adds up what was canceled in several attempts.
package cancellation

import (
	"context"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Pipeline is what was canceled of one pipeline.
type Pipeline struct {
	ID     int64  `json:"pipeline"`
	Status string `json:"status,omitzero"` // of the pipeline, after it was canceled as a whole
	Jobs   int    `json:"jobs,omitzero"`   // else how many of its jobs were canceled
	Left   string `json:"left,omitzero"`   // and the environment whose deployment goes on
}

// String says for people what was canceled.
func (c Pipeline) String() string {
	switch {
	case event.Ended(c.Status):
		return fmt.Sprintf("pipeline %d is %s", c.ID, c.Status)
	case c.Status != "": // its status follows those of its jobs
		return fmt.Sprintf("pipeline %d is being canceled", c.ID)
	}
	text := fmt.Sprintf("of pipeline %d, %s canceled", c.ID, english.Plural(c.Jobs, "job", ""))
	if c.Left != "" {
		text += fmt.Sprintf(" and the deployment to %s is left: `force: true` lifts this", c.Left)
	}
	return text
}

// Pipelines are what was canceled of pipelines, in the order of the requests.
type Pipelines []Pipeline

// Add merges a cancellation into those of earlier attempts.
func (all *Pipelines) Add(c Pipeline) {
	if c == (Pipeline{ID: c.ID}) {
		return
	}
	i := slices.IndexFunc(*all, func(before Pipeline) bool { return before.ID == c.ID })
	if i < 0 {
		*all = append(*all, c)
		return
	}
	c.Jobs += (*all)[i].Jobs
	(*all)[i] = c
}

// Cancel cancels a pipeline but for its running deployments, and returns what it
// has canceled, also together with an error.
func Cancel(ctx context.Context, gl *gitlab.Client, project int64, old event.Pipeline, running []gitlab.Deployment) (Pipeline, error) {
	c := Pipeline{ID: old.ID}
	deploys := slices.DeleteFunc(slices.Clone(running), func(d gitlab.Deployment) bool { return d.PipelineID != old.ID && d.SHA != old.SHA })
	if len(deploys) == 0 {
		pipeline, err := gl.CancelPipeline(ctx, project, old.ID)
		if err == nil {
			c.Status = pipeline.Status
		}
		return c, err
	}
	jobs, err := gl.PipelineJobs(ctx, project, old.ID, false)
	if err != nil {
		return c, err
	}
	left := map[int64]bool{}
	for _, d := range deploys {
		left[d.JobID] = true
	}
	for _, job := range jobs {
		if left[job.ID] || event.Ended(job.Status) || job.Status == "canceling" || job.Status == "manual" {
			continue
		}
		if _, err := gl.Cancel(ctx, project, job.ID, false); err != nil {
			return c, err
		}
		c.Jobs++
	}
	c.Left = deploys[0].Environment
	return c, nil
}
