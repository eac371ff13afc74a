package actions

import (
	"context"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules"
)

// observeRetry: a retry is called for while the job is failed, has no newer
// run, can be mended by a retry and has attempts left.
func observeRetry(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	job, runs, err := r.runs(ctx, p)
	if err != nil {
		return nil, err
	}
	if n := attemptOf(job, runs); n > 0 {
		p.Job.Attempt = n // what GitLab has counts, not what an old hook says
	}
	if newer := newest(runs); newer.ID > job.ID {
		if p.Called {
			return done(newer.ID, "attempt %d of %d, seen after the call was cut short", p.Job.Attempt+1, p.Action.MaxAttempts), nil
		}
		return skipped("already retried as job %d, which is %s", newer.ID, newer.Status), nil
	}
	switch {
	case job.Status != "failed":
		return skipped("the job is %s, no longer failed", job.Status), nil
	case rules.Hopeless(job.FailureReason):
		return skipped("no retry mends %s", job.FailureReason), nil
	case p.Job.Attempt >= p.Action.MaxAttempts:
		return &verdict{result: rules.ResultGaveUp, reason: plural(p.Job.Attempt, "attempt") + " failed, as many as the rule allows"}, nil
	}
	// Not every hook tells which attempt it was, so only now the wait is known.
	if wait := p.Action.Pause(p.Job.Attempt) - time.Duration(p.Waited); wait > 0 {
		return deferred(wait), nil
	}
	return nil, nil
}

func actRetry(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	run, err := r.GitLab.Retry(ctx, p.Project.ID, p.Job.ID)
	if err != nil {
		return nil, err
	}
	return done(run.ID, "attempt %d of %d", p.Job.Attempt+1, p.Action.MaxAttempts), nil
}

// runs reads the decision's job and all runs of its name in its pipeline,
// those that were retried included.
func (r *Runner) runs(ctx context.Context, p *pending) (gitlab.Job, []gitlab.Job, error) {
	job, err := r.GitLab.Job(ctx, p.Project.ID, p.Job.ID)
	if err != nil {
		return job, nil, err
	}
	pipeline := job.Pipeline.ID
	if pipeline == 0 {
		pipeline = p.Pipeline.ID
	}
	all, err := r.GitLab.PipelineJobs(ctx, p.Project.ID, pipeline, true)
	if err != nil {
		return job, nil, err
	}
	var runs []gitlab.Job
	for _, run := range all {
		if run.Name == job.Name {
			runs = append(runs, run)
		}
	}
	return job, runs, nil
}

// newest gives the run with the highest id: GitLab gives every run a new one.
func newest(runs []gitlab.Job) gitlab.Job {
	var latest gitlab.Job
	for _, run := range runs {
		if run.ID > latest.ID {
			latest = run
		}
	}
	return latest
}

// attemptOf counts the runs up to the job, itself included.
func attemptOf(job gitlab.Job, runs []gitlab.Job) int {
	n := 0
	for _, run := range runs {
		if run.ID <= job.ID {
			n++
		}
	}
	return n
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
