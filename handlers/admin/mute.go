package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Muter keeps the mutes, which all replicas share.
type Muter interface {
	// List returns the mutes in force, oldest first.
	List(ctx context.Context) ([]event.Mute, error)
	// Mute puts a mute in force, in place of one with the same scope.
	Mute(ctx context.Context, m event.Mute) error
	// Unmute ends the mute of the scope, and reports whether there was one.
	Unmute(ctx context.Context, scope, by string) (found bool, err error)
	// UnmuteAll ends all mutes, and returns how many there were.
	UnmuteAll(ctx context.Context, by string) (n int, err error)
}

// MuteScope is what a mute applies to: the notifications of a rule, of the projects of a
// glob or in a channel, those to which all of these apply if several are given, or all.
type MuteScope struct {
	Rule    *string `json:"rule,omitempty"`
	Project *string `json:"project,omitempty"`
	Channel *string `json:"channel,omitempty"`
}

// MuteRequest is the body of POST /api/v1/mute.
type MuteRequest struct {
	MuteScope
	For    string    `json:"for,omitempty"` // a duration such as 2h
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"` // as in PauseRequest
}

// UnmuteRequest is the body of POST /api/v1/unmute. It ends the mute with this scope.
type UnmuteRequest struct {
	MuteScope
	Every bool   `json:"every,omitempty"` // every mute ends
	By    string `json:"by,omitempty"`    // as in PauseRequest
}

// Muted is the response to both: the mutes that are in force now.
type Muted struct {
	Muted    []event.Mute `json:"muted"`
	Warnings []string     `json:"warnings,omitempty"` // about the mute that was requested
}

// mute returns a mute with the scope.
func (s MuteScope) mute() (event.Mute, error) {
	var m event.Mute
	err := errors.Join(scopeParameter("rule", s.Rule, &m.Rule), scopeParameter("project", s.Project, &m.Project), scopeParameter("channel", s.Channel, &m.Channel))
	return m, err
}

func (a *admin) mute(c echo.Context) error {
	var req MuteRequest
	if err := readRequest(c, &req); err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	m, err := req.mute()
	if err == nil {
		m.By, m.Reason = actor(c, req.By), req.Reason
		m.Until, err = a.end("mute", req.For, req.Until)
	}
	if err == nil {
		err = errors.Join(a.checkRule(m.Rule), m.Check(a.Now()))
	}
	if err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	err = a.Mutes.Mute(ctx, m)
	switch {
	case errors.Is(err, event.ErrManyMutes):
		return c.JSON(http.StatusConflict, handlers.Response{Error: err.Error()})
	case err != nil:
		return a.unavailable(c, err)
	}
	a.changed(c, event.Change{Action: event.ChangeMute, Target: m.Scope(), By: m.By, Reason: m.Reason, Until: m.Until})
	return a.muted(c, a.doubts(c.Request().Context(), event.Pause{Project: m.Project}, "mute")...)
}

func (a *admin) unmute(c echo.Context) error {
	var req UnmuteRequest
	if err := readRequest(c, &req); err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	m, err := req.mute()
	if err == nil {
		m.By = actor(c, req.By)
		err = m.Check(a.Now())
	}
	if err == nil && req.Every && req.MuteScope != (MuteScope{}) {
		err = errors.New(`parameter "every" ends all mutes: give it without parameter "rule", parameter "project" and parameter "channel"`)
	}
	if err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	target, found := m.Scope(), true
	if req.Every {
		target = "every mute"
		_, err = a.Mutes.UnmuteAll(ctx, m.By)
	} else {
		found, err = a.Mutes.Unmute(ctx, target, m.By)
	}
	switch {
	case err != nil:
		return a.unavailable(c, err)
	case !found:
		return c.JSON(http.StatusNotFound, handlers.Response{Error: fmt.Sprintf("no mute with the scope %q is in force: `pipesteward status` lists those that are", target)})
	}
	a.changed(c, event.Change{Action: event.ChangeUnmute, Target: target, By: m.By})
	return a.muted(c)
}

// muted answers with the mutes in force.
func (a *admin) muted(c echo.Context, warnings ...string) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	all, err := a.Mutes.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, Muted{all, warnings})
}
