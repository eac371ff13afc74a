package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// PastTry is a failed run of a job that was run again, by whomever, and whose new run has
// ended, as a backtest finds it in GitLab.
type PastTry struct {
	Project       string    `json:"project"`
	ProjectID     int64     `json:"project_id"`
	PipelineID    int64     `json:"pipeline_id"`
	Job           string    `json:"job"`
	NewID         int64     `json:"new_id"` // of the new run
	Class         string    `json:"class"`
	Reason        string    `json:"reason"`
	Delay         float64   `json:"delay_seconds"`  // from the failure to the start of the new run
	FailedSeconds float64   `json:"failed_seconds"` // runner time of the run that failed
	Seconds       float64   `json:"seconds"`        // runner time of the new run; 0: no runner took it
	Passed        bool      `json:"passed"`
	At            time.Time `json:"at"` // the end of the new run
}

const (
	maxTryText    = 255 // characters, as in names of jobs in GitLab
	maxTrySeconds = 366 * 24 * 60 * 60
	// maxTrySkew is how far ahead the clock of the machine may be on which tries were found.
	maxTrySkew = 10 * time.Minute
)

// Check returns an error that says what can't be true of the try.
func (t PastTry) Check(now time.Time) error {
	for _, text := range []string{t.Project, t.Job, t.Class, t.Reason} {
		if len(text) > 4*maxTryText || strings.ContainsFunc(text, IsControl) {
			return fmt.Errorf("the text %.40q is too long, or has control characters", text)
		}
	}
	for _, seconds := range []float64{t.Delay, t.FailedSeconds, t.Seconds} {
		if !(seconds >= 0 && seconds <= maxTrySeconds) {
			return fmt.Errorf("%v is no number of seconds from 0 to %d", seconds, maxTrySeconds)
		}
	}
	switch {
	case t.ProjectID <= 0, t.PipelineID <= 0, t.NewID <= 0:
		return errors.New("it needs the ids of its project, its pipeline and its new run: project_id, pipeline_id and new_id")
	case t.Job == "" || t.Project == "":
		return errors.New("it needs the name of its job and the path of its project")
	case t.At.IsZero() || t.At.After(now.Add(maxTrySkew)):
		return fmt.Errorf("%s is not when a run has ended", t.At.Format(time.RFC3339))
	}
	return nil
}

// Seeded is what became of past tries that a person had added to what is known of retries.
type Seeded struct {
	Added int `json:"added"` // to the queue, from which they are counted
	Known int `json:"known"` // counted before
	// LeftOut are those that say nothing about a retry at once: the new run began long after
	// the failure, never began, or is too long ago.
	LeftOut int `json:"left_out"`
}
