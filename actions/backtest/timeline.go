package backtest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/outdated"
	"github.com/pipesteward/pipesteward/rules/event"
)

// timeline is what happened in a project, as far as GitLab's list of jobs tells it.
type timeline struct {
	project   event.Project
	pipelines map[int64]*past
	refs      map[string][]*past // by refKey; by id ascending, without child pipelines
}

// past is a pipeline of the past.
type past struct {
	*history.Pipeline
	whole    bool // all its jobs are known
	runs     map[string][]*history.Run
	finished []moment // see ends
}

// moment is the end of a run, or that of a pipeline.
type moment struct {
	at       time.Time
	pipeline *past
	run      *history.Run // nil: the pipeline ended
	status   string       // of the pipeline that ended
}

// unplaced counts what can't be an event, or not a certain one.
type unplaced struct {
	withoutEnd int // runs that ended, GitLab does not say when
	backwards  int // runs that ended before they were created or began
	partial    int // runs in pipelines that began before what was read
	unknown    int // runs that ended, whose duration is not known
}

// newTimeline returns the timeline of a project whose jobs were read that were created
// since a time.
func newTimeline(project gitlab.Project, pipelines []*history.Pipeline, read time.Time) *timeline {
	t := &timeline{project: project.Project, pipelines: map[int64]*past{}, refs: map[string][]*past{}}
	for _, p := range pipelines {
		if p.CreatedAt.IsZero() { // older servers do not tell it
			p.CreatedAt = slices.MinFunc(p.Runs, func(a, b history.Run) int { return a.CreatedAt.Compare(b.CreatedAt) }).CreatedAt
		}
		one := &past{Pipeline: p, whole: !p.CreatedAt.Before(read), runs: map[string][]*history.Run{}}
		for i := range p.Runs {
			run := &p.Runs[i]
			one.runs[run.Name] = append(one.runs[run.Name], run)
		}
		one.finished = one.ends()
		t.pipelines[p.ID] = one
		if p.Source != "parent_pipeline" {
			key := refKey(p.Ref)
			t.refs[key] = append(t.refs[key], one)
		}
	}
	return t
}

// refKey is the same for the refs that package outdated compares: those of a merge request
// are one.
func refKey(ref string) string {
	if iid, _, of := outdated.MergeRequestRef(ref); of {
		return "refs/merge-requests/" + iid
	}
	return ref
}

// next returns the run that was made of a run's job after it; nil: none was.
func (p *past) next(run *history.Run) *history.Run {
	runs := p.runs[run.Name]
	if i := slices.IndexFunc(runs, func(r *history.Run) bool { return r.ID > run.ID }); i >= 0 {
		return runs[i]
	}
	return nil
}

// ended are the statuses in which a run has an end.
var ended = []string{"success", "failed", "canceled"}

// moments returns what happened in a span, in order.
func (t *timeline) moments(since, until time.Time) (all []moment, left unplaced) {
	within := func(at time.Time) bool { return !at.Before(since) && !at.After(until) }
	for _, p := range t.pipelines {
		for i := range p.Runs {
			run := &p.Runs[i]
			switch {
			case !slices.Contains(ended, run.Status):
				continue
			case run.FinishedAt.IsZero():
				if within(run.CreatedAt) {
					left.withoutEnd++
				}
				continue
			case !within(run.FinishedAt):
				continue
			case run.FinishedAt.Before(run.CreatedAt) || run.FinishedAt.Before(run.StartedAt):
				left.backwards++
			}
			if !p.whole {
				left.partial++
			}
			if _, known := runTime(run); !known {
				left.unknown++
			}
			all = append(all, moment{at: run.FinishedAt, pipeline: p, run: run})
		}
		for _, end := range p.finished {
			if within(end.at) {
				all = append(all, end)
			}
		}
	}
	slices.SortFunc(all, func(a, b moment) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order(), b.order()), cmp.Compare(a.id(), b.id()))
	})
	return all, left
}

// order puts the end of a pipeline behind the ends of its jobs.
func (m moment) order() int {
	if m.run == nil {
		return 1
	}
	return 0
}

func (m moment) id() int64 {
	if m.run == nil {
		return m.pipeline.ID
	}
	return m.run.ID
}

// runTime returns how many seconds a runner worked on a run that has ended; known is false if
// GitLab does not tell it.
func runTime(r *history.Run) (seconds float64, known bool) {
	switch {
	case r.Duration > 0:
		return r.Duration, true
	case r.StartedAt.IsZero() && !r.FinishedAt.IsZero(): // no runner took it
		return 0, true
	case r.FinishedAt.IsZero() || r.FinishedAt.Before(r.StartedAt):
		return 0, false
	}
	return r.FinishedAt.Sub(r.StartedAt).Seconds(), true
}

// ends returns the ends of the pipeline that the runs of its jobs tell: the last one, and
// each one before after which failed or canceled jobs were run again. There is none of a pipeline of
// which jobs are missing, and none before a manual job was played: GitLab does not tell which
// jobs were manual.
func (p *past) ends() (all []moment) {
	if !p.whole {
		return nil
	}
	var ends []time.Time
	for i := range p.Runs {
		if at := p.Runs[i].FinishedAt; !at.IsZero() {
			ends = append(ends, at)
		}
	}
	if len(ends) == 0 {
		return nil
	}
	slices.SortFunc(ends, time.Time.Compare)
	before := map[time.Time]bool{}
	for i := range p.Runs {
		if p.Runs[i].Attempt == 1 {
			continue
		}
		n, _ := slices.BinarySearchFunc(ends, p.Runs[i].CreatedAt, time.Time.Compare)
		if n == 0 || before[ends[n-1]] {
			continue
		}
		if status := p.endedAt(ends[n-1]); status != "" {
			before[ends[n-1]] = true
			all = append(all, moment{at: ends[n-1], pipeline: p, status: status})
		}
	}
	if slices.Contains(ended, p.Status) {
		all = append(all, moment{at: ends[len(ends)-1], pipeline: p, status: p.Status})
	}
	return all
}

// endedAt returns the status with which the pipeline had ended at a time, failed or canceled;
// "" if it had not. It had if no run was under way, and the next thing that happened, after more
// time than GitLab's own `retry:` takes, is that a job was run again.
func (p *past) endedAt(at time.Time) string {
	failed, canceled, again := false, false, false
	var next time.Time // when the next run began
	for _, runs := range p.runs {
		var latest *history.Run
		for i, run := range runs {
			began := run.CreatedAt
			if i == 0 { // it was created with the pipeline, and waited for its stage
				began = queuedAt(run)
			}
			switch {
			case began.IsZero():
				continue
			case began.After(at):
				if next.IsZero() || began.Before(next) || began.Equal(next) && i == 0 {
					next, again = began, i > 0
				}
				continue
			case run.FinishedAt.After(at), run.FinishedAt.IsZero():
				return ""
			}
			latest = run
		}
		if latest != nil && !latest.AllowFailure {
			failed = failed || latest.Status == "failed"
			canceled = canceled || latest.Status == "canceled"
		}
	}
	switch {
	case !again || next.Sub(at) <= nativeWithin:
		return ""
	case failed:
		return "failed"
	case canceled:
		return "canceled"
	}
	return ""
}

// queuedAt returns when a run began to wait for a runner; zero if it never did.
func queuedAt(r *history.Run) time.Time {
	switch {
	case !r.StartedAt.IsZero():
		return r.StartedAt.Add(-time.Duration(r.QueuedDuration * float64(time.Second)))
	case slices.Contains(ended, r.Status) && !r.FinishedAt.IsZero():
		return r.FinishedAt.Add(-time.Duration(r.QueuedDuration * float64(time.Second)))
	}
	return time.Time{}
}

// nativeWithin is how soon after a failure GitLab's own `retry:` makes the next run: it does
// so in the same step, but its processes take their time.
const nativeWithin = 5 * time.Second

// stages returns the stages in their order: GitLab creates the jobs of the first one first.
func (p *past) stages() (all []string) {
	for i := range p.Runs {
		if !slices.Contains(all, p.Runs[i].Stage) {
			all = append(all, p.Runs[i].Stage)
		}
	}
	return all
}

// jobsAt returns the latest run of each job at a time, as it was then, newest first. What
// had not begun by then is created, or skipped if the pipeline had ended. As in hooks and in
// jobs(), each is a first attempt.
func (p *past) jobsAt(project int64, at time.Time, pipelineEnded bool) []gitlab.Job {
	var all []gitlab.Job
	for _, runs := range p.runs {
		latest := runs[0]
		for _, run := range runs[1:] {
			if !run.CreatedAt.After(at) {
				latest = run
			}
		}
		job := p.Job(project, runAt(latest, at, pipelineEnded))
		job.Attempt = 1
		all = append(all, job)
	}
	slices.SortFunc(all, func(a, b gitlab.Job) int { return cmp.Compare(b.ID, a.ID) })
	return all
}

// runAt returns a run as it was at a time.
func runAt(r *history.Run, at time.Time, pipelineEnded bool) *history.Run {
	switch {
	case r.FinishedAt.IsZero() && !r.StartedAt.After(at): // it has not ended, or never began
		return r
	case !r.FinishedAt.IsZero() && !r.FinishedAt.After(at):
		return r
	}
	was := *r
	was.FailureReason, was.FailureClass, was.FinishedAt, was.Duration = "", "", time.Time{}, 0
	switch {
	case !r.StartedAt.IsZero() && !r.StartedAt.After(at):
		was.Status = "running"
		return &was
	case !queuedAt(r).After(at):
		was.Status = "pending"
	case pipelineEnded:
		was.Status = "skipped"
	default:
		was.Status = "created"
	}
	was.StartedAt, was.QueuedDuration, was.Runner = time.Time{}, 0, event.Runner{}
	return &was
}

// event returns the event that a hook reported of the moment.
func (t *timeline) event(m moment, gl Events) event.Event {
	var e event.Event
	if m.run != nil {
		e = gl.Event(m.pipeline.Job(t.project.ID, m.run), event.SourceWebhook)
		e.Pipeline.Status = "running" // as in nearly all Job Hooks
		if e.Job.Ref == "" {
			e.Job.Ref = e.Pipeline.Ref
		}
	} else {
		p := m.pipeline.Pipeline.Pipeline
		p.Status, p.FinishedAt = m.status, m.at
		e = gl.PipelineEventOf(t.project.ID, p, m.pipeline.jobsAt(t.project.ID, m.at, true), event.SourceWebhook)
		e.MergeRequest.IID = event.MergeRequestIID(e)
		e.Pipeline.Stages = m.pipeline.stages()
	}
	e.Project = t.project
	e.Meta.ReceivedAt = m.at.UTC()
	return e
}

// notTold are the fields, by kind of event, that hooks have and that are neither in GitLab's
// list of jobs nor certain at a time in the past; besides those of gitlab.NotInAPI.
var notTold = map[string][]string{
	event.KindJob:      {"pipeline.name", "pipeline.status", "pipeline.finished_at", "pipeline.duration"},
	event.KindPipeline: {"pipeline.name", "pipeline.duration", "pipeline.queued_duration", "user"},
}

// notToldOfMergeRequests are likewise those of the pipelines of merge requests, whose hooks
// have the source branch as the ref.
var notToldOfMergeRequests = []string{
	"pipeline.ref", "merge_request.title", "merge_request.state", "merge_request.source_branch", "merge_request.target_branch", "merge_request.url",
}

// unknownFields returns the fields of events of a kind that a backtest has no certain value
// of; mergeRequests: some events are of pipelines of merge requests.
func unknownFields(kind string, mergeRequests bool) []string {
	fields := gitlab.NotInAPI(event.Event{Meta: event.Meta{Kind: kind}})
	for _, field := range notTold[kind] {
		fields = slices.DeleteFunc(fields, func(other string) bool { return strings.HasPrefix(other, field+".") })
		fields = append(fields, field)
	}
	if mergeRequests && kind == event.KindPipeline {
		fields = append(fields, notToldOfMergeRequests...)
	}
	return fields
}
