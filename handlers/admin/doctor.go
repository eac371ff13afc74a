package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Doctor checks whether the server can do its work, as the command doctor does.
type Doctor interface {
	// Checkup returns what each check found last, on any replica.
	Checkup(ctx context.Context) (Checkup, error)
	// Check begins to make the checks that send few requests, or all. Besides those of the
	// store, its error is an *event.StateError while others are made.
	Check(ctx context.Context, all bool, by string) error
}

// CheckupRequest is the body of POST /api/v1/doctor, which may be missing.
type CheckupRequest struct {
	All bool   `json:"all,omitempty"` // also the checks that send requests for each project
	By  string `json:"by,omitempty"`  // who requests it, where the sender is not authenticated
}

// Checkup is the response to both: what each check found last. Findings are in the order of
// the checks; several may be of one check.
type Checkup struct {
	Running  *Running  `json:"running,omitempty"` // checks that are being made; nil: none are
	Last     *Ended    `json:"last,omitempty"`    // the checks that were made last; nil: none were
	Findings []Finding `json:"findings"`
}

// Finding is what a check found.
type Finding struct {
	Check    string    `json:"check"`    // id
	Subject  string    `json:"subject"`  // what the check is about
	Severity string    `json:"severity"` // problem, warning, unknown (it could not be checked), note or ok
	Seen     string    `json:"seen"`
	Advice   string    `json:"advice,omitzero"` // what to do
	Projects []string  `json:"projects,omitempty"`
	At       time.Time `json:"at"` // when the check was made
}

func (a *admin) checkup(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	checkup, err := a.Doctor.Checkup(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, checkup)
}

func (a *admin) startCheckup(c echo.Context) error {
	var req CheckupRequest
	err := readOptional(c, &req)
	who := ChangeRequest{By: req.By}
	if err == nil {
		err = who.check(c)
	}
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	return a.began(c, a.Doctor.Check(ctx, req.All, who.By), func() (any, error) { return a.Doctor.Checkup(ctx) })
}
