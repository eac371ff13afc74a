package facts

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// GitLab's API may be a second or two behind its hooks: it does not find what an
// event is about, or has it in an earlier status. For freshFor after an event
// arrived, an answer that contradicts it in this way is a transient error, and the
// same is read again every readAgain.
const (
	freshFor  = 10 * time.Second
	readAgain = time.Second
)

// lagError is an answer of GitLab that contradicts a fresh event.
type lagError struct{ seen string }

func (e *lagError) Error() string {
	return "GitLab's API is behind its webhook: " + e.seen
}

// Again says that the same can be read again; see event.Transient.
func (e *lagError) Again() (after time.Duration, ok bool) { return readAgain, true }

// Freshness tells whether an event is so young that an answer may be behind it.
type Freshness struct{ fresh bool }

// FreshnessOf returns the freshness of an event at the given time.
func FreshnessOf(e event.Event, now time.Time) Freshness {
	return Freshness{now.Sub(e.Meta.ReceivedAt) < freshFor}
}

// Status returns a transient error if the event is fresh and GitLab has a job or a
// pipeline in an earlier status than the event.
func (f Freshness) Status(what string, id int64, gitlabs, events string) error {
	if f.fresh && rank[gitlabs] < rank[events] {
		return &lagError{fmt.Sprintf("%s %d is %s there, and %s in the event", what, id, gitlabs, events)}
	}
	return nil
}

// Found returns a transient error in place of one that says that something does
// not exist, if the event is fresh; else the error as it is.
func (f Freshness) Found(err error) error {
	var e *apierror.Error
	if f.fresh && errors.As(err, &e) && e.Final(http.StatusNotFound) {
		return &lagError{e.Error()}
	}
	return err
}

// jobs returns a transient error if the event is fresh and a list of its pipeline's
// latest jobs lacks one of the event's, or a later run of it, or has it in an
// earlier status.
func (f Freshness) jobs(list []event.Job, e event.Event) error {
	if !f.fresh {
		return nil
	}
	for _, want := range slices.Concat(e.Pipeline.Jobs, []event.Job{e.Job}) {
		if want.ID == 0 || want.Bridge {
			continue
		}
		seen := false
		for _, job := range list {
			if job.ID == want.ID {
				if err := f.Status("job", job.ID, job.Status, want.Status); err != nil {
					return err
				}
			}
			seen = seen || job.ID == want.ID || job.Name == want.Name && job.ID > want.ID
		}
		if !seen {
			return &lagError{fmt.Sprintf("job %d is not listed", want.ID)}
		}
	}
	return nil
}

// rank orders the statuses of jobs and pipelines by when a job or a pipeline has
// them. An unknown status ranks after all others, so that it contradicts nothing.
var rank = map[string]int{
	"created":              -9,
	"waiting_for_resource": -8, "preparing": -8, "waiting_for_callback": -8, "manual": -8, "scheduled": -8,
	"pending":   -7,
	"running":   -6,
	"canceling": -5,
	"success":   -1, "failed": -1, "canceled": -1, "skipped": -1,
}
