package jobstate

import (
	"fmt"
	"strconv"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// OtherObjectError is returned when GitLab has another job or pipeline under the id in
// the event: the instance was restored from the backup of another one, whose webhooks,
// secrets and ids it has.
type OtherObjectError struct{ Reason string }

func (e *OtherObjectError) Error() string { return e.Reason }

// sameJob returns an *OtherObjectError unless the job is the decision's: it has the
// same name, pipeline and commit, as far as the event has them.
func sameJob(d event.Decision, job gitlab.Job) error {
	return same("job", job.ID,
		difference{"named", d.Job.Name, job.Name},
		difference{"of pipeline", idText(d.Pipeline.ID), idText(job.Pipeline.ID)},
		difference{"of commit", d.Pipeline.SHA, job.Pipeline.SHA})
}

// samePipeline returns an *OtherObjectError unless the pipeline is the decision's: it
// has the same commit. The ref of a merge request pipeline has two names.
func samePipeline(d event.Decision, pipeline event.Pipeline) error {
	return same("pipeline", pipeline.ID, difference{"of commit", d.Pipeline.SHA, pipeline.SHA})
}

// difference is a property of the event's job, and of that in GitLab; an empty
// one is not known.
type difference struct{ property, event, here string }

func same(what string, id int64, all ...difference) error {
	for _, d := range all {
		if d.event != "" && d.here != "" && d.event != d.here {
			return &OtherObjectError{fmt.Sprintf("%s %d is another %s here: %s %s, and in the event %s", what, id, what, d.property, d.here, d.event)}
		}
	}
	return nil
}

func idText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}
