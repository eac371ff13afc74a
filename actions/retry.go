package actions

import (
	"context"
	"strconv"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// maxNativeRuns is how many runs a job can have by GitLab's own `retry:`, which allows
// 2 retries at most and counts those of people.
const maxNativeRuns = 3

// observeRetry: a retry is called for while the job is failed, has no newer run, failed
// for a reason that a retry may fix, has attempts left, and its pipeline is not outdated.
func observeRetry(ctx context.Context, r *Runner, p *pending) (*verdict, error) {
	s, newerPipeline, err := r.states.StateAndNewer(ctx, &p.Decision)
	if err != nil {
		return nil, err
	}
	p.retried = s.Retried
	if n := s.Attempt(); n > 0 {
		p.Job.Attempt = n // the hook may be old
	}
	if newer := s.Newest(); newer.ID > s.Job.ID {
		if p.Called {
			v := done(newer.ID, "%s, seen after the call was cut short", p.attempted())
			v.newRun = newer.Job
			return v, nil
		}
		return skipped("already retried as job %d, which is %s", newer.ID, newer.Status), nil
	}
	if p.Job.FailureReason == "" && s.Job.Status == "failed" {
		// Not every hook has the failure reason.
		p.Job.FailureReason, p.Job.FailureClass = s.Job.FailureReason, s.Job.FailureClass
		if err := r.Breakers.Count(ctx, []event.Decision{p.Decision}); err != nil {
			return nil, err
		}
		breakers, err := r.Breakers.States(ctx, p.FailureClasses())
		if err != nil {
			return nil, err
		}
		if v, err := r.deferForBreaker(ctx, p, breakers); v != nil || err != nil {
			return v, err
		}
	}
	perJob := r.Rules().Limits().PerJob
	switch {
	case waitsToBePlayed(s.Job):
		return skipped("the job is %s: only failed jobs are retried", s.Job.Status), nil
	case s.Job.Status != "failed":
		return skipped("the job is %s, no longer failed", s.Job.Status), nil
	case s.Job.Archived:
		return skipped("the job is archived, and GitLab runs it no more"), nil
	case p.Requested(): // a person may have mended what no retry mends, and counts the attempts
	case event.Hopeless(s.Job.FailureReason) && p.Before.FailureReason != "":
		return gaveUp("no retry mends %s; the run before failed with %s", s.Job.FailureReason, p.Before.FailureReason), nil
	case event.Hopeless(s.Job.FailureReason):
		return skipped("no retry mends %s", s.Job.FailureReason), nil
	case p.Job.Attempt >= p.Action.MaxAttempts:
		return gaveUp("%s failed, as many as the rule allows%s", english.Plural(p.Job.Attempt, "attempt", ""), p.otherReason()), nil
	case p.Job.Attempt >= perJob:
		return gaveUp("%s failed, as many as `limits.per_job` allows%s", english.Plural(p.Job.Attempt, "attempt", ""), p.otherReason()), nil
	}
	// Not every hook has the attempt, so the delay is known only now.
	if wait := r.delay(p.Decision) - time.Duration(p.Waited); wait > 0 {
		return deferred(wait, event.WaitDelay, "the delay of the rule"), nil
	}
	return outdated(p, newerPipeline), nil
}

// delay returns how long a decision waits before it is carried out: its rule's delay, and
// at least NativeRetry after a failure that GitLab may retry by itself.
// What a person requested waits for nothing.
func (r *Runner) delay(d event.Decision) time.Duration {
	if d.Requested() {
		return 0
	}
	wait := d.Pause()
	if d.Action.Verb == event.VerbRetry && d.Job.Attempt < maxNativeRuns {
		wait = max(wait, r.NativeRetry)
	}
	return wait
}

func actRetry(ctx context.Context, _ *Runner, gl *gitlab.Client, p *pending) (*verdict, error) {
	run, err := gl.Retry(ctx, p.Project.ID, p.Job.ID)
	if err != nil {
		return nil, err
	}
	v := done(run.ID, "%s", p.attempted())
	v.newRun = run.Job // it may have failed already, before its event can be matched
	return v, nil
}

// attempted returns for people which attempt a retry makes, and why the runs before it
// failed where the reasons differ.
func (p *pending) attempted() string {
	attempt := "attempt " + strconv.Itoa(p.Job.Attempt+1)
	if !p.Requested() {
		attempt += " of " + strconv.Itoa(p.Action.MaxAttempts)
	}
	if p.Probe {
		attempt += ", a probe: " + p.PassRate
	}
	return attempt + p.otherReason()
}

// otherReason returns for people that the run before failed for another reason; "" where
// it did not.
func (p *pending) otherReason() string {
	before := p.Before.FailureReason
	if before == "" || before == p.Job.FailureReason {
		return ""
	}
	return "; it failed with " + p.Job.FailureReason + ", and before with " + before
}
