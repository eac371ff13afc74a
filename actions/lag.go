package actions

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// GitLab's API may be a second or two behind its hooks: what an event is about
// is not found, or is in an earlier status. For lagTime after an event arrived,
// what contradicts it so is read again, each lagLook, before it is believed.
const (
	lagTime = 10 * time.Second
	lagLook = time.Second
)

// lagError is an answer of GitLab that contradicts a fresh event.
type lagError struct{ seen string }

func (e *lagError) Error() string {
	return "GitLab's API is behind its webhook: " + e.seen
}

// Again says that the same may be read again; see rules.Passes.
func (e *lagError) Again() (after time.Duration, ok bool) { return lagLook, true }

// fresh reports whether an event is so young that an answer may be behind it.
type fresh struct{ is bool }

// freshness returns how fresh an event is at the given time.
func freshness(e event.Event, now time.Time) fresh {
	return fresh{now.Sub(e.Meta.ReceivedAt) < lagTime}
}

// status returns a lagError where what GitLab has of a job or a pipeline is an
// earlier status than the event's.
func (f fresh) status(what string, id int64, has, events string) error {
	if f.is && rank[has] < rank[events] {
		return &lagError{fmt.Sprintf("%s %d is %s there, and %s in the event", what, id, has, events)}
	}
	return nil
}

// found returns a lagError in place of an error which says that something is
// not there.
func (f fresh) found(err error) error {
	var e *gitlab.Error
	if f.is && errors.As(err, &e) && e.Final(http.StatusNotFound) {
		return &lagError{e.Error()}
	}
	return err
}

// jobs returns a lagError where a list of a pipeline's latest jobs lacks one of
// the event's, or a later run of it, or has it in an earlier status.
func (f fresh) jobs(list []event.Job, e event.Event) error {
	if !f.is {
		return nil
	}
	for _, want := range slices.Concat(e.Pipeline.Jobs, []event.Job{e.Job}) {
		if want.ID == 0 || want.Bridge {
			continue
		}
		seen := false
		for _, job := range list {
			if job.ID == want.ID {
				if err := f.status("job", job.ID, job.Status, want.Status); err != nil {
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

// rank orders the statuses of jobs and pipelines by when they come. A status
// that is not known is later than all, so that it contradicts nothing.
var rank = map[string]int{
	"created":              -9,
	"waiting_for_resource": -8, "preparing": -8, "waiting_for_callback": -8, "manual": -8, "scheduled": -8,
	"pending":   -7,
	"running":   -6,
	"canceling": -5,
	"success":   -1, "failed": -1, "canceled": -1, "skipped": -1,
}
