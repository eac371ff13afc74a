package gitlab

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/pipesteward/pipesteward/rules"
)

// Event makes of a job the event that a Job Hook would have made, received
// now; source is one of rules.Source…. Its id is the same for the same job in
// the same status. What the Jobs API does not tell is zero: the project's
// name and default branch, the environment, the merge request.
func (c *Client) Event(job Job, source string) rules.Event {
	return rules.Event{
		Meta: rules.Meta{
			Kind:       rules.KindJob,
			ID:         fmt.Sprintf("%s:%s:%d:%s", source, c.pace.key, job.ID, job.Status),
			Source:     source,
			Instance:   c.instance,
			ReceivedAt: c.now().UTC(),
		},
		Project:  c.project(job),
		Pipeline: job.Pipeline,
		Job:      job.Job,
		User:     job.User,
		Commit:   job.Commit,
	}
}

// project reads the project off the job's page, .../-/jobs/<id> (/jobs/<id>
// before GitLab 13), the only place where the Jobs API names it.
func (c *Client) project(job Job) rules.Project {
	p := rules.Project{ID: job.ProjectID}
	page, ok := strings.CutSuffix(job.URL, fmt.Sprintf("/jobs/%d", job.ID))
	if !ok {
		return p
	}
	p.URL = strings.TrimSuffix(page, "/-")
	// By path, for the page may have another host than Pipesteward asks.
	if u, err := url.Parse(p.URL); err == nil {
		p.Path = strings.TrimPrefix(strings.TrimPrefix(u.Path, c.prefix), "/")
		p.Namespace = namespace(p.Path)
	}
	return p
}
