package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
)

// Writer changes webhooks; a *gitlab.Client implements it.
type Writer interface {
	CreateHook(ctx context.Context, owned gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error)
	EditHook(ctx context.Context, h gitlab.Hook, s gitlab.HookSettings) (gitlab.Hook, error)
	DeleteHook(ctx context.Context, h gitlab.Hook) error
	// TestHook makes GitLab deliver a sample, and returns an error unless it was answered
	// with 2xx.
	TestHook(ctx context.Context, h gitlab.Hook) error
	// Hook returns a webhook as it is now.
	Hook(ctx context.Context, h gitlab.Hook) (gitlab.Hook, error)
}

var _ Writer = (*gitlab.Client)(nil)

// A test enables a webhook when GitLab has logged it, which older versions do in the
// background: the state is read so often, and so long after each other. As often it is read
// whether another run has removed the webhook that it created at the same time.
const (
	stateReads = 5
	stateEvery = time.Second
)

// applier carries out plans.
type applier struct {
	gitlab GitLab
	wanted *Wanted
	sleep  func(ctx context.Context, d time.Duration) error
	// created are the ids of the webhooks that were created, until it is known whether
	// another run has created the same.
	created map[Owner]int64
	// above returns our webhook of a group above a path, as GitLab has it now; nil: there is
	// none, or it is hidden.
	above func(ctx context.Context, path string) (*gitlab.Hook, error)
	// below returns the projects in a group that have a webhook of ours now.
	below   func(ctx context.Context, group string) (paths []string, err error)
	planned bool // the steps are named as what would be done
}

// apply carries out a plan. It returns what remains to be done, and what was done, in
// words, also with an error. An error is GitLab's, or says which setting GitLab did not
// take.
func (a *applier) apply(ctx context.Context, p Plan) (left Plan, done []string, err error) {
	now := p
	switch {
	case p.Create:
		h, err := a.gitlab.CreateHook(ctx, p.Owner.hook(), a.wanted.settings(nil, nil))
		if err != nil {
			return now, done, err
		}
		a.created[p.Owner] = h.ID
		now = a.withHook(p, h)
		done = a.step(done, "create the webhook", "created webhook %d", h.ID)
	case len(p.Changes) > 0:
		h, err := a.gitlab.EditHook(ctx, *p.Ours, a.wanted.settings(p.Ours, p.Changes))
		if err != nil {
			return now, done, err
		}
		now = a.withHook(p, h)
		done = append(done, fmt.Sprintf("set of webhook %d: %s", h.ID, listed(p.Changes)))
	}
	if len(done) > 0 {
		now, err = a.verify(now)
	}
	if id, is := a.created[p.Owner]; is {
		var removed string
		now, removed, err = a.settle(ctx, now, id, err)
		if removed != "" {
			done = append(done, removed)
		}
	}
	if err != nil || !p.Test {
		return now, done, err
	}
	h, err := a.test(ctx, *now.Ours)
	if err != nil {
		return now, done, err
	}
	now = a.withHook(now, h)
	if p.Ours.Sends() {
		return now, a.step(done, fmt.Sprintf("try webhook %d by a test delivery", h.ID), "tried webhook %d by a test delivery: it works", h.ID), nil
	}
	return now, a.step(done, fmt.Sprintf("enable webhook %d by a test delivery", h.ID), "enabled webhook %d by a test delivery", h.ID), nil
}

// step adds a step to those that were done; planned names it as what would be done.
func (a *applier) step(done []string, planned, format string, id int64) []string {
	if a.planned {
		return append(done, planned)
	}
	return append(done, fmt.Sprintf(format, id))
}

// settle looks whether another run has created the same webhook as this one, which then
// both see: each creates first and looks then. The one with the higher id is removed, by
// the run that created it. What this run did not create is never removed. failed is the
// error of what was done before; removed says in words that ours was.
func (a *applier) settle(ctx context.Context, p Plan, id int64, failed error) (left Plan, removed string, err error) {
	own := p.Owner.hook()
	own.ID = id
	for read := 1; ; read++ {
		if p.Hooks, err = a.list(ctx, p.Owner); err != nil {
			return p, removed, err
		}
		p.Hooks = slices.DeleteFunc(p.Hooks, func(h gitlab.Hook) bool { return removed != "" && h.ID == id })
		var same []gitlab.Hook // the oldest first
		for _, h := range p.Hooks {
			if h.ID == id || sameURL(h.URL, a.wanted.URL) {
				same = append(same, h)
			}
		}
		slices.SortFunc(same, func(a, b gitlab.Hook) int { return cmp.Compare(a.ID, b.ID) })
		switch {
		case removed == "" && len(same) > 0 && same[0].ID < id:
			if err := a.gitlab.DeleteHook(ctx, own); err != nil && !apierror.IsFinal(err, http.StatusNotFound) { // else an earlier try has removed it
				return p, "", &stepError{err, fmt.Sprintf("webhooks %d and %d were created at the same time, and webhook %d could not be removed again", same[0].ID, id, id)}
			}
			removed = fmt.Sprintf("removed webhook %d again, since another run created webhook %d with the same address at the same time", id, same[0].ID)
			p.Yielded, failed = true, nil
			delete(a.created, p.Owner)
			continue
		case len(same) > 1 && read < stateReads: // those of other runs, which remove them
			if err := a.sleep(ctx, stateEvery); err != nil {
				return p, removed, err
			}
			continue
		}
		if removed == "" {
			var apart Plan
			if apart, removed, err = a.apart(ctx, p, own); removed != "" || err != nil {
				return apart, removed, err
			}
		}
		delete(a.created, p.Owner)
		if len(same) > 0 && (same[0].ID != id || len(same) > 1) {
			yielded := p.Yielded
			p = a.withHook(p, same[0])
			p.Yielded = yielded
		}
		return p, removed, failed
	}
}

// apart looks whether other runs have created a webhook of a group above, or of a project
// below, since this one read that there is none: events would come twice. The lower one is
// removed by the run that created it. One below that stays was there before ours: then ours is
// removed, which is an error. Each run creates first and looks then, and looks again after it
// has removed its own.
func (a *applier) apart(ctx context.Context, p Plan, own gitlab.Hook) (left Plan, removed string, err error) {
	above, err := a.above(ctx, p.Owner.Path)
	if err != nil {
		return p, "", err
	}
	if above != nil {
		other := fmt.Sprintf("another run created webhook %d of group %s at the same time", above.ID, above.Group)
		if p, err = a.remove(ctx, p, own); err != nil {
			return p, "", &stepError{err, fmt.Sprintf("%s, and webhook %d could not be removed again", other, own.ID)}
		}
		removed = fmt.Sprintf("removed webhook %d again, since %s", own.ID, other)
		if p.Above, err = a.above(ctx, p.Owner.Path); err == nil && p.Above == nil {
			err = errors.New("that webhook is removed now, too: run this again")
		}
		return p, removed, err
	}
	if p.Owner.Project != 0 || a.planned {
		return p, "", nil
	}
	for read := 1; ; read++ {
		below, err := a.below(ctx, p.Owner.Path)
		if err != nil || len(below) == 0 {
			return p, "", err
		}
		if read < stateReads { // their runs remove them
			if err := a.sleep(ctx, stateEvery); err != nil {
				return p, "", err
			}
			continue
		}
		other := fmt.Sprintf("another run created one of %s at the same time", below[0])
		if p, err = a.remove(ctx, p, own); err != nil {
			return p, "", &stepError{err, fmt.Sprintf("%s, and webhook %d could not be removed again", other, own.ID)}
		}
		return p, fmt.Sprintf("removed webhook %d again, since %s", own.ID, other), errors.New("run this again: each project without a webhook then gets its own")
	}
}

// remove removes a webhook that this run created. An earlier try may have done so.
func (a *applier) remove(ctx context.Context, p Plan, own gitlab.Hook) (Plan, error) {
	if err := a.gitlab.DeleteHook(ctx, own); err != nil && !apierror.IsFinal(err, http.StatusNotFound) {
		return p, err
	}
	delete(a.created, p.Owner)
	p.Hooks = slices.DeleteFunc(slices.Clone(p.Hooks), func(h gitlab.Hook) bool { return h.ID == own.ID })
	p.Ours, p.Create, p.Changes, p.Test, p.Yielded = nil, false, nil, false, true
	return p, nil
}

// list returns the webhooks of an owner as they are now.
func (a *applier) list(ctx context.Context, o Owner) ([]gitlab.Hook, error) {
	if o.Project == 0 {
		return a.gitlab.GroupHooks(ctx, o.Path)
	}
	return a.gitlab.ProjectHooks(ctx, o.Project)
}

// withHook returns what is left to do now that ours is h. What is known of earlier
// deliveries does not count any more.
func (a *applier) withHook(p Plan, h gitlab.Hook) Plan {
	found := p.Found
	found.Hooks, found.Deliveries = []gitlab.Hook{h}, nil
	for _, other := range p.Hooks {
		if other.ID != h.ID {
			found.Hooks = append(found.Hooks, other)
		}
	}
	wanted := *a.wanted
	wanted.Rotate = false
	p = wanted.Plan(found)
	p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool { // nobody sees whether the secrets are right
		return c == ChangeToken && p.Ours.HasToken != gitlab.Absent || c == ChangeSigningToken && p.Ours.HasSigningToken != gitlab.Absent
	})
	return p
}

// verify checks what GitLab made of the settings.
func (a *applier) verify(p Plan) (Plan, error) {
	switch {
	case a.wanted.SigningToken == "" || p.Ours.HasSigningToken == gitlab.Present:
	case a.wanted.Token == "":
		p.Unsigned, p.Changes = true, nil
	default:
		// GitLab knows no signing tokens. Deliveries have the secret token, and no webhook is
		// changed for the other again.
		a.wanted.SigningToken = ""
		p = a.withHook(p, *p.Ours)
	}
	if len(p.Changes) > 0 {
		return p, fmt.Errorf("GitLab has not set of webhook %d: %s; set it on the webhook's page", p.Ours.ID, listed(p.Changes))
	}
	return p, nil
}

// test makes GitLab deliver a sample to a webhook and returns it as it is then.
func (a *applier) test(ctx context.Context, h gitlab.Hook) (gitlab.Hook, error) {
	if err := a.gitlab.TestHook(ctx, h); err != nil {
		return h, &stepError{err, fmt.Sprintf("the test delivery of webhook %d failed", h.ID)}
	}
	for read := 1; ; read++ {
		now, err := a.gitlab.Hook(ctx, h)
		if err != nil || now.Sends() {
			return now, err
		}
		if read == stateReads {
			return now, fmt.Errorf("a test delivery of webhook %d was answered, and yet it is %s", h.ID, stateOf(now))
		}
		if err := a.sleep(ctx, stateEvery); err != nil {
			return now, err
		}
	}
}

// stepError is the error of a step, which says what failed.
type stepError struct {
	err  error
	what string
}

func (e *stepError) Error() string { return e.what + ": " + receiverWords(apierror.Words(e.err)) }

// receiverWords returns the words of this service where GitLab quotes its answer, such
// as 422 {"error":"..."}.
func receiverWords(refusal string) string {
	_, quoted, _ := strings.Cut(refusal, " ")
	var answer struct{ Error string }
	if json.Unmarshal([]byte(quoted), &answer) == nil && answer.Error != "" {
		return answer.Error
	}
	return refusal
}

func (e *stepError) Unwrap() error { return e.err }
