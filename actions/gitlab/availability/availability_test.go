package availability_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/gitlab/availability"
)

// prober answers probes with its kind, and counts them.
type prober struct {
	kind  apierror.TroubleKind
	count int
}

func (p *prober) ProbeGitLab(context.Context, bool) (apierror.TroubleKind, string, error) {
	p.count++
	return p.kind, "reason", nil
}

// The access breaker opens when the probe confirms a suspicion, blocks every
// request, backs off, and closes when a probe succeeds.
func TestAccessBreaker(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	p := &prober{kind: apierror.TroubleToken}
	b := availability.New(func() time.Time { return now }, p)
	suspicious := &apierror.Error{Status: http.StatusUnauthorized, Suspect: apierror.TroubleToken}
	b.Observe(t.Context(), http.MethodGet, suspicious)
	if !suspicious.Unavailable() || suspicious.After <= 0 {
		t.Errorf("the error has trouble %q and After %s, want the confirmed trouble", suspicious.Trouble, suspicious.After)
	}
	var blocked *availability.BlockedError
	if err := b.Admit(t.Context(), http.MethodGet); !errors.As(err, &blocked) || blocked.Kind != apierror.TroubleToken {
		t.Errorf("a request was answered with %v, want that it is blocked", err)
	}
	probes := p.count
	now = now.Add(time.Minute)
	if err := b.Admit(t.Context(), http.MethodGet); err == nil || p.count != probes+1 {
		t.Errorf("after %d more probes: %v, want one probe, and the request blocked", p.count-probes, err)
	}
	now, p.kind = now.Add(time.Minute), ""
	if err := b.Admit(t.Context(), http.MethodGet); err != nil || !b.UpSince().Equal(now) {
		t.Errorf("after a probe that succeeded: %v, up since %s", err, b.UpSince())
	}
}

// A suspicion that the probe clears opens nothing.
func TestClearedSuspicion(t *testing.T) {
	b := availability.New(func() time.Time { return time.Unix(1e9, 0) }, &prober{})
	e := &apierror.Error{Status: http.StatusUnauthorized, Suspect: apierror.TroubleToken}
	b.Observe(t.Context(), http.MethodGet, e)
	if trouble, ok := b.Trouble(); ok || e.Unavailable() {
		t.Errorf("trouble %+v, error %v, want none", trouble, e)
	}
}

// The scope breaker blocks only requests that change something.
func TestScopeBreaker(t *testing.T) {
	b := availability.New(func() time.Time { return time.Unix(1e9, 0) }, &prober{})
	b.Observe(t.Context(), http.MethodPost, &apierror.Error{Status: http.StatusForbidden, Suspect: apierror.TroubleScope})
	if err := b.Admit(t.Context(), http.MethodGet); err != nil {
		t.Errorf("a read is blocked: %v", err)
	}
	if b.Writable() == nil || b.Admit(t.Context(), http.MethodPost) == nil {
		t.Error("a write is not blocked")
	}
}
