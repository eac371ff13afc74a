package actions

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/rules/event"
)

// notObserved is the verdict where GitLab refuses to show the job or its
// pipeline for good. One that was deleted is no failure.
func notObserved(p *pending, e *gitlab.Error) *verdict {
	if e.Status == http.StatusNotFound && !strings.Contains(e.Message, "Project") {
		return skipped("GitLab says %q: the job or its pipeline was deleted, or is hidden from the token's user", e.Message)
	}
	return failed("%s", reasonOf(p, e))
}

// refused gives the verdict on a call that surely had no effect. Nothing is
// called again before the job's state was read: now where GitLab refused for
// good, since the reason is most often that somebody else was faster; at the
// next attempt where it may pass.
func (r *Runner) refused(ctx context.Context, verb verb, p *pending, e *gitlab.Error) (*verdict, error) {
	if err := r.freshness(p).Found(e); event.Transient(err) {
		return nil, err
	}
	if v, err := r.observe(ctx, verb, p); v != nil || err != nil {
		return v, err
	}
	return failed("%s", reasonOf(p, e)), nil
}

// reasonOf words a final refusal for people, with what to do about it.
func reasonOf(p *pending, e *gitlab.Error) string {
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

// ofDeployment says why GitLab may refuse every verb on a job that deploys; ""
// where the job does not.
func ofDeployment(p *pending) string {
	if p.Job.Environment.Name == "" {
		return ""
	}
	return fmt.Sprintf(": if the environment %s is protected, the token's user must be one of those who may deploy to it; and if a newer deployment to it was made, GitLab refuses this outdated one", p.Job.Environment.Name)
}
