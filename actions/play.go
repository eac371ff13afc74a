package actions

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// observePlay: a play is called for while the job waits to be played and its pipeline is
// not outdated.
func observePlay(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	s, newerPipeline, err := r.states.StateAndNewer(ctx, &p.Decision)
	if err != nil {
		return nil, err
	}
	// GitLab may have started a clone of the job and left the job itself as it was.
	running := s.Newest()
	switch {
	case running.ID == s.Job.ID && waitsToBePlayed(s.Job):
		return outdated(p, newerPipeline), nil
	case p.Called:
		return done(running.ID, "seen after the call was cut short"), nil
	case running.ID != s.Job.ID:
		return skipped("already played as job %d, which is %s", running.ID, running.Status), nil
	}
	return skipped("the job is %s and does not wait to be played", s.Job.Status), nil
}

func waitsToBePlayed(job gitlab.Job) bool {
	return job.Status == "manual" || job.Status == "scheduled"
}

func actPlay(ctx context.Context, r *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	played, err := gl.Play(ctx, p.Project.ID, p.Job.ID, p.Action.Variables, p.Action.Inputs)
	if err != nil {
		return nil, err
	}
	id := played.ID
	if waitsToBePlayed(played) {
		// The answer is the original job: the job that runs is a clone of it. The play
		// took effect whether or not the clone's id can be read.
		if s, err := r.states.State(ctx, &p.Decision); err == nil {
			id = max(id, s.Newest().ID)
		}
	}
	return done(id, ""), nil
}

// A play checks whether the job before it has passed after a tenth of the time that it
// has waited for that, within these bounds.
const (
	minPassedCheck = 10 * time.Second
	maxPassedCheck = time.Minute
)

// passed defers a play until the job before it has passed, and skips the play when that
// job did not pass.
func (r *Runner) passed(ctx context.Context, p *pending) (*verdict, error) {
	status, err := r.statusOf(ctx, p, p.AfterSuccess)
	switch {
	case err != nil:
		return nil, err
	case status == "success":
		return nil, nil
	case status == "failed" && !p.SawFailure:
		p.SawFailure = true // GitLab or a rule may retry it
		return p.untilPassed(), nil
	case status == "":
		return skipped("%s, which must pass before, is no job of the pipeline any more", p.AfterSuccess), nil
	case event.Ended(status), status == "manual":
		return skipped("%s, which must pass before, is %s", p.AfterSuccess, status), nil
	case time.Duration(p.PassWaited) > maxRetryTime:
		return failed("%s, which must pass before, is %s after %s", p.AfterSuccess, status, event.Coarse(time.Duration(p.PassWaited))), nil
	}
	p.SawFailure = false
	return p.untilPassed(), nil
}

// untilPassed defers the play until the next check whether the job before it has passed.
func (p *pending) untilPassed() *verdict {
	wait := min(max(minPassedCheck, time.Duration(p.PassWaited)/10), maxPassedCheck)
	p.PassWaited += event.Duration(wait)
	return deferred(wait, event.WaitTurn, p.AfterSuccess+", which must pass before, has not passed")
}

// statusOf returns the status of the latest run of a job of the decision's pipeline, by
// its name; "" if there is none.
func (r *Runner) statusOf(ctx context.Context, p *pending, name string) (string, error) {
	jobs, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, p.Pipeline.ID, false)
	if err != nil {
		return "", err
	}
	for _, job := range jobs {
		if job.Name == name {
			return job.Status, nil
		}
	}
	bridges, err := r.GitLab.Bridges(ctx, p.Project.ID, p.Pipeline.ID)
	if err != nil {
		return "", err
	}
	for _, bridge := range bridges {
		if bridge.Name == name {
			return bridge.Status, nil
		}
	}
	return "", nil
}
