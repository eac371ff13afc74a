package report

import (
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// entry is the part of an entry of the journal, which is an event.Outcome, that reports
// read.
type entry struct {
	ID   string `json:"id"`
	Meta struct {
		Instance string `json:"instance"`
	} `json:"event"`
	Project struct {
		ID   int64  `json:"id"`
		Path string `json:"path"`
	} `json:"project"`
	Pipeline struct {
		ID int64 `json:"id"`
	} `json:"pipeline"`
	Job          job      `json:"job"`
	Rule         string   `json:"rule"`
	AlsoWantedBy []string `json:"also_wanted_by"`
	Action       struct {
		Verb string `json:"verb"`
	} `json:"action"`
	Result   string `json:"outcome"` // "": the decision waits
	NewJobID int64  `json:"new_job_id"`
	NewRun   job    `json:"new_run"`
	Freed    int64  `json:"freed"`
	Retried  struct {
		FailureClass string `json:"failure_class"`
	} `json:"retried"`
	Sweep struct {
		ID     string `json:"id"`
		Erased int    `json:"erased"`
		Freed  int64  `json:"freed"`
	} `json:"sweep"`
}

type job struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Status       string    `json:"status"`
	FailureClass string    `json:"failure_class"`
	StartedAt    time.Time `json:"started_at"`
	FinishedAt   time.Time `json:"finished_at"`
	Duration     float64   `json:"duration"`
	Runner       struct {
		ID          int64    `json:"id"`
		Description string   `json:"description"`
		Tags        []string `json:"tags"`
	} `json:"runner"`
}

// startsRetry reports whether the entry is a retry that has started another run.
func (e *entry) startsRetry() bool {
	return e.Action.Verb == event.VerbRetry && e.Result == event.ResultDone && e.NewJobID != 0
}

// outcome returns the entry's outcome, or Waiting.
func (e *entry) outcome() string {
	if e.Result == "" {
		return Waiting
	}
	if i := slices.Index(event.Results, e.Result); i >= 0 {
		return event.Results[i]
	}
	return strings.Clone(e.Result)
}

// erased returns how many jobs the entry's erase has erased, or would have, and how many
// bytes that freed. A schedule rule has one entry for each of its runs.
func (e *entry) erased() (jobs int, bytes int64) {
	switch {
	case e.Action.Verb != event.VerbErase:
		return 0, 0
	case e.Sweep.ID != "":
		return e.Sweep.Erased, e.Sweep.Freed
	case e.Result == event.ResultDone, e.Result == event.ResultDryRun:
		return 1, e.Freed
	}
	return 0, 0
}

// class returns the failure class that the entry is about: of the result of a retry, it is
// that of the run that was retried. Package follow gives results their ids.
func (e *entry) class() string {
	for _, result := range []string{event.ResultRecovered, event.ResultGaveUp} {
		if e.Result == result && strings.HasSuffix(e.ID, ":"+result) {
			return e.Retried.FailureClass
		}
	}
	return e.Job.FailureClass
}

// jobKey identifies a job in a pipeline, whichever run.
type jobKey struct {
	project, pipeline int64
	name              string
}

func (e *entry) jobKey() jobKey { return jobKey{e.Project.ID, e.Pipeline.ID, e.Job.Name} }

// runKey identifies a run of a job.
type runKey struct {
	instance string
	job      int64
}

// run is how a run of a job ended.
type run struct {
	status  string // success, failed or canceled
	time    RunTime
	started time.Time // zero: unknown, or no runner took it
	runner  int64     // its id
}

// ended returns how the run ended that an entry shows, at some prices; ok is false if it has
// not ended.
func (j *job) ended(at rules.Prices) (r run, ok bool) {
	i := slices.Index(ends, j.Status)
	if j.ID == 0 || i < 0 {
		return run{}, false
	}
	return run{ends[i], j.priced(at), j.StartedAt, j.Runner.ID}, true
}

// ends are the statuses of runs that have ended.
var ends = []string{"success", "failed", "canceled"}

// priced returns how long a runner worked on a run that has ended, and what that cost.
func (j *job) priced(at rules.Prices) RunTime {
	t := j.runTime()
	if at.Currency == "" {
		return t
	}
	if minute, priced := at.Minute(j.Runner.Tags); priced {
		t.Cost = t.Seconds / 60 * minute
	} else {
		t.Unpriced = t.Seconds
	}
	return t
}

// runTime returns how long a runner worked on a run that has ended: not at all, if none took
// it. GitLab leaves out the start of such a run, and some hooks leave out the duration.
func (j *job) runTime() RunTime {
	switch {
	case j.Duration > 0:
		return RunTime{Seconds: j.Duration}
	case j.FinishedAt.IsZero():
		return RunTime{Unknown: 1}
	case j.StartedAt.IsZero():
		return RunTime{}
	}
	return RunTime{Seconds: max(0, j.FinishedAt.Sub(j.StartedAt).Seconds())}
}

// retryOf returns the sums of one retry, and of the run that it started, if its end is
// known.
func (s *summary) retryOf(e *entry, at time.Time, ended run, known bool) Retries {
	r := Retries{Started: 1, FailedBefore: e.Job.priced(s.prices)}
	if !at.Before(s.half) {
		r.Later = 1
	}
	switch {
	case !known:
		r.Open = 1
	case ended.status == "canceled":
		r.Canceled = 1
	case ended.status == "success":
		r.Passed, r.PassedRuns, r.Saved = 1, ended.time, s.query.PersonAfter.Seconds()
	default:
		r.Failed, r.FailedAgain = 1, ended.time
	}
	return r
}
