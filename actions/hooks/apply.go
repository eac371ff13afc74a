package hooks

import (
	"context"
	"encoding/json"
	"fmt"
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
	// TestHook makes GitLab deliver a sample, and returns an error unless it was answered
	// with 2xx.
	TestHook(ctx context.Context, h gitlab.Hook) error
	// Hook returns a webhook as it is now.
	Hook(ctx context.Context, h gitlab.Hook) (gitlab.Hook, error)
}

var _ Writer = (*gitlab.Client)(nil)

// A test enables a webhook when GitLab has logged it, which older versions do in the
// background: the state is read so often, and so long after each other.
const (
	stateReads = 5
	stateEvery = time.Second
)

// applier carries out plans.
type applier struct {
	gitlab Writer
	wanted *Wanted
	sleep  func(ctx context.Context, d time.Duration) error
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
		now = a.withHook(p, h)
		done = append(done, fmt.Sprintf("created webhook %d", h.ID))
	case len(p.Changes) > 0:
		h, err := a.gitlab.EditHook(ctx, *p.Ours, a.wanted.settings(p.Ours, p.Changes))
		if err != nil {
			return now, done, err
		}
		now = a.withHook(p, h)
		done = append(done, fmt.Sprintf("set of webhook %d: %s", h.ID, listed(p.Changes)))
	}
	if len(done) > 0 {
		if now, err = a.verify(now); err != nil {
			return now, done, err
		}
	}
	if !p.Test {
		return now, done, nil
	}
	h, err := a.test(ctx, *now.Ours)
	if err != nil {
		return now, done, err
	}
	now = a.withHook(now, h)
	if p.Ours.Sends() {
		return now, append(done, fmt.Sprintf("tried webhook %d by a test delivery: it works", h.ID)), nil
	}
	return now, append(done, fmt.Sprintf("enabled webhook %d by a test delivery", h.ID)), nil
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
		return h, &testError{err, h.ID}
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

// testError is the error of a test delivery.
type testError struct {
	err     error
	webhook int64
}

func (e *testError) Error() string {
	return fmt.Sprintf("the test delivery of webhook %d failed: %s", e.webhook, receiverWords(apierror.Words(e.err)))
}

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

func (e *testError) Unwrap() error { return e.err }
