package actions

import (
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

// An event waits for GitLab to tell its own address, longer and longer: each look
// is a write to the store, and as many events may wait as came while GitLab was
// down.
const (
	addressSoonest = 2 * time.Second
	addressLatest  = time.Minute
)

// addressWait is how long an event waits that was looked at so often.
func addressWait(tries int) time.Duration {
	return min(addressSoonest<<min(tries-1, 10), addressLatest)
}

// foreign reports whether another GitLab sent the event: its instance is not the
// configured one then. The webhook refuses such events, but accepts them while
// GitLab could not be asked for its own address; then certain becomes true later.
func (r *Runner) foreign(e event.Event) (foreign, certain bool) {
	if e.Meta.Instance == r.GitLab.Instance() {
		return false, true
	}
	address, certain := r.GitLab.ForeignAddress(e.Meta.Instance, e.Project.URL, e.Project.Path)
	return address != "", certain
}

// ofThisGitLab returns nil for a decision about an event of the configured
// GitLab. A store may hold others: --gitlab-url was changed, or the store is a
// copy of one that belongs to another GitLab's Pipesteward.
func (r *Runner) ofThisGitLab(e event.Event) *verdict {
	switch foreign, certain := r.foreign(e); {
	case foreign && certain:
		return skipped("the event is from another GitLab, at %s: if that is another address of the same one, name it with --gitlab-alias", e.Meta.Instance)
	case foreign:
		return deferred(addressSoonest)
	}
	return nil
}
