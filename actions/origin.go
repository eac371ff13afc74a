package actions

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// An event from an unknown address is deferred until GitLab shows its own one, for
// longer each time: each check is a write to the store, and all events may wait that
// came while GitLab was down.
const (
	minAddressCheck = 2 * time.Second
	maxAddressCheck = time.Minute
)

// addressCheck returns how long an event is deferred that was checked so often.
func addressCheck(tries int) time.Duration {
	return min(minAddressCheck<<min(tries-1, 10), maxAddressCheck)
}

// foreign reports whether the event is from another GitLab than the configured one. The
// webhook refuses such events, but accepts them while it does not know GitLab's own
// address; certain is false until that is known.
func (r *Runner) foreign(e event.Event) (foreign, certain bool) {
	if e.Meta.Instance == r.GitLab.Instance() {
		return false, true
	}
	address, certain := r.GitLab.ForeignAddress(e.Meta.Instance, e.Project.URL, e.Project.Path)
	return address != "", certain
}

// fromThisGitLab skips a decision about an event of another GitLab than the configured
// one. A store may have such: --gitlab-url was changed, or the store is a copy of one
// that belongs to another GitLab's Pipesteward.
func (r *Runner) fromThisGitLab(_ context.Context, a *attempt) (*verdict, error) {
	switch foreign, certain := r.foreign(a.Event); {
	case foreign && certain:
		return skipped("the event is from another GitLab, at %s: if that is another address of the same one, name it with --gitlab-alias", a.Meta.Instance), nil
	case foreign:
		return deferred(minAddressCheck, event.WaitGitLab, "GitLab has not said its own address yet, and the event names another one than --gitlab-url"), nil
	}
	return nil, nil
}
