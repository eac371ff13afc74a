package actions

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/gitlab"
)

// observePlay: a play is called for while the job waits to be played.
func observePlay(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, runs, err := r.runs(ctx, p)
	if err != nil {
		return nil, err
	}
	// GitLab may have started a clone and left the original as it was.
	running := job
	if newer := newest(runs); newer.ID > job.ID {
		running = newer
	}
	switch {
	case running.ID == job.ID && waitsToBePlayed(job):
		return nil, nil
	case p.Called:
		return done(running.ID, "seen after the call was cut short"), nil
	case running.ID != job.ID:
		return skipped("already played as job %d, which is %s", running.ID, running.Status), nil
	}
	return skipped("the job is %s and does not wait to be played", job.Status), nil
}

func waitsToBePlayed(job gitlab.Job) bool {
	return job.Status == "manual" || job.Status == "scheduled"
}

func actPlay(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	played, err := r.GitLab.Play(ctx, p.Project.ID, p.Job.ID, p.Action.Variables, p.Action.Inputs)
	if err != nil {
		return nil, err
	}
	id := played.ID
	if waitsToBePlayed(played) {
		// The answer is the original: the job that runs is a clone of it. The
		// play took effect whether or not the clone's id can be learnt.
		if _, runs, err := r.runs(ctx, p); err == nil {
			id = max(id, newest(runs).ID)
		}
	}
	return done(id, ""), nil
}
