package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// ActivityReader reads what the rules made of the events that were evaluated lately.
type ActivityReader interface {
	Activity(ctx context.Context) (Activity, error)
}

// Activity is the response to GET /api/v1/rules/activity: what the rules made of the events
// that are kept, which are some of the last 30 days.
type Activity struct {
	Since  time.Time      `json:"since,omitzero"` // when the oldest of them was evaluated
	Events int            `json:"events"`
	Rules  []RuleActivity `json:"rules"` // by name
}

// RuleActivity is what one rule made of them.
type RuleActivity struct {
	Rule       string    `json:"rule"`
	Matched    int       `json:"matched"`
	Failed     int       `json:"failed"` // events on which an expression failed, so that the rule did not match
	LastMatch  time.Time `json:"last_match,omitzero"`
	LastFailed time.Time `json:"last_failed,omitzero"`
	Error      string    `json:"error,omitzero"` // of the last failed expression
}

func (a *admin) activity(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	activity, err := a.Activity.Activity(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, activity)
}
