package health

import (
	"context"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	// tokenEvery is the time between two checks of the access token.
	tokenEvery = 24 * time.Hour
	// tokenWarning is how long before its expiry a token is warned of.
	tokenWarning = 14 * 24 * time.Hour
)

// checkToken logs the scopes and the expiry of the access token, and warns of what
// will stop the work. It returns false while they can't be read.
func (m *Monitor) checkToken(ctx context.Context) (done bool) {
	t, err := m.GitLab.AccessToken(ctx)
	if ctx.Err() != nil || event.Transient(err) {
		return false
	}
	if err != nil {
		m.Log.Info("the access token's scopes and expiry are unknown: this GitLab does not show them", "error", err)
		return true
	}
	about := []any{"token", t.Name, "scopes", t.Scopes, "expires", "never"}
	left := time.Duration(0)
	if !t.ExpiresAt.IsZero() {
		about[len(about)-1], left = t.ExpiresAt.Format(time.DateOnly), t.ExpiresAt.Sub(m.Now())
	}
	expiring := !t.ExpiresAt.IsZero() && left < tokenWarning
	if t.May("api") && !expiring {
		m.Log.Info("the access token is good", about...)
	}
	if !t.May("api") {
		m.Log.Warn("the access token lacks the scope api: GitLab will refuse every action; give a token with that scope", about...)
	}
	if expiring {
		m.Log.Warn("the access token expires in "+event.Coarse(max(left, 0)).String()+": make a new one, or rotate it, and give it to Pipesteward before", about...)
	}
	return true
}
