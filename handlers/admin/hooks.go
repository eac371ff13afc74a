package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Hooks reads and repairs the webhooks of projects and groups, as the command hooks does.
type Hooks interface {
	// Hooks returns the webhooks as any replica has read them last.
	Hooks(ctx context.Context) (HooksPage, error)
	// Read begins to read them again, and with ensure to repair them. Besides those of the
	// store, its error is an *event.StateError while this is under way, or if the server
	// repairs none.
	Read(ctx context.Context, ensure bool, by string) error
}

// HooksRequest is the body of POST /api/v1/hooks, which may be missing.
type HooksRequest struct {
	Ensure bool `json:"ensure,omitempty"` // webhooks are also created and repaired
	ChangeRequest
}

// HooksPage is the response to both.
type HooksPage struct {
	Running  *Running  `json:"running,omitempty"` // they are being read; nil: they are not
	Last     *Ended    `json:"last,omitempty"`    // when they were read last; nil: never
	Ensured  bool      `json:"ensured"`           // what was wrong then was also repaired, as far as that may be done
	Ensures  bool      `json:"ensures"`           // the server keeps them in order: --ensure-hooks
	Webhooks []Webhook `json:"webhooks"`          // one for each project or group, those that are wrong first
	More     int       `json:"more,omitzero"`     // projects and groups that are left out of these
	Notes    []string  `json:"notes,omitempty"`
	Problems []string  `json:"problems,omitempty"` // what is wrong with entries of --projects
}

// Webhook is how the webhook of a project or a group is.
type Webhook struct {
	Owner    string   `json:"owner"`   // full path
	Kind     string   `json:"kind"`    // project or group
	Verdict  string   `json:"verdict"` // ok, covered (by a group's), or what is wrong, in a word
	Wrong    bool     `json:"wrong"`   // events may be missing or come twice
	Findings []string `json:"findings,omitempty"`
	Todo     []string `json:"to_do,omitempty"` // what would be done to repair it
	Done     []string `json:"done,omitempty"`  // what was done
	Held     string   `json:"held,omitzero"`   // why it was not: the pause, or the dry run
	Error    string   `json:"error,omitzero"`  // why it could not be read or repaired
	Hook     *Hook    `json:"hook,omitempty"`  // nil: there is none
}

// Hook is a webhook in GitLab.
type Hook struct {
	ID            int64     `json:"id"`
	URL           string    `json:"url"` // without secrets
	Events        []string  `json:"events"`
	State         string    `json:"state,omitzero"` // executable, temporarily_disabled or disabled
	DisabledUntil time.Time `json:"disabled_until,omitzero"`
	VerifiesTLS   bool      `json:"tls_verification"`
	Failed        int       `json:"failed"`               // deliveries of the day before
	More          bool      `json:"more_failed,omitzero"` // there may be more of them
	LastFailed    string    `json:"last_failed,omitzero"` // HTTP status of the last one that failed
	LastFailedAt  time.Time `json:"last_failed_at,omitzero"`
}

func (a *admin) hooks(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	page, err := a.Hooks.Hooks(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, page)
}

func (a *admin) readHooks(c echo.Context) error {
	var req HooksRequest
	err := readOptional(c, &req)
	if err == nil {
		err = req.check(c)
	}
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	err = a.Hooks.Read(ctx, req.Ensure, req.By)
	if err == nil && req.Ensure {
		a.changed(c, event.Change{Action: event.ChangeHooks, By: req.By, Reason: req.Reason})
	}
	return a.began(c, err, func() (any, error) { return a.Hooks.Hooks(ctx) })
}
