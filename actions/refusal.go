package actions

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/rules/event"
)

// unobservable returns the verdict where GitLab finally refuses to show the job or its
// pipeline. A deleted one is no failure.
func unobservable(p *pending, e *apierror.Error) *verdict {
	if e.Status == http.StatusNotFound && !strings.Contains(e.Message, "Project") {
		return skipped("GitLab says %q: the job or its pipeline was deleted, or is hidden from the token's user", e.Message)
	}
	return failed("%s", reasonOf(p, e))
}

// refused returns the verdict on a request that had no effect. The job's state is read
// before another request is sent: at the next attempt after a transient error, else
// now, since the reason is most often that somebody else was faster.
func (r *Runner) refused(ctx context.Context, a *attempt, e *apierror.Error) (*verdict, error) {
	if err := r.states.Freshness(a.Decision).Found(e); event.Transient(err) {
		return nil, err
	}
	if v, err := r.calledFor(ctx, a); v != nil || err != nil {
		return v, err
	}
	return failed("%s", reasonOf(a.pending, e)), nil
}

// reasonOf returns a final refusal for people, with what to do about it.
func reasonOf(p *pending, e *apierror.Error) string {
	write := e.Rights() && e.Method == http.MethodPost
	switch {
	case write && p.Action.Verb == event.VerbPlay && len(p.Action.Variables) > 0:
		return fmt.Sprintf("GitLab refused: %s (%d): the job is played with variables, for which the token's user needs the project's minimum role to use pipeline variables (Settings, CI/CD, Variables)%s", e.Message, e.Status, ofDeployment(p))
	case write && p.Job.Environment.Name != "":
		return fmt.Sprintf("GitLab refused: %s (%d)%s", e.Message, e.Status, ofDeployment(p))
	case e.Status == http.StatusNotFound:
		return fmt.Sprintf("GitLab refused: %s: the job or its project is gone, or hidden from the token's user", e.Message)
	case e.Rights():
		return fmt.Sprintf("GitLab refused: %s (%d): check the token, its scope `api`, the rights of its user on the project, which may be archived, and, if the ref %s is protected, to push or merge there", e.Message, e.Status, p.Pipeline.Ref)
	}
	return fmt.Sprintf("GitLab refused: %s (%d)", e.Message, e.Status)
}

// ofDeployment returns why GitLab may refuse every verb on a job that deploys; "" for
// other jobs.
func ofDeployment(p *pending) string {
	if p.Job.Environment.Name == "" {
		return ""
	}
	return fmt.Sprintf(": if the environment %s is protected, the token's user must be one of those who may deploy to it; and if a newer deployment to it was made, GitLab refuses this outdated one", p.Job.Environment.Name)
}
