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

// Muter keeps the mutes, which all replicas share. It records who changes them in one step
// with the change.
type Muter interface {
	// List returns the mutes in force, oldest first.
	List(ctx context.Context) ([]event.Mute, error)
	// Mute puts a mute in force, in place of one with the same scope, which it returns.
	// Without replace, the error is an *event.StateError if that is another person's and
	// would have lasted longer. from is the address that the request comes from.
	Mute(ctx context.Context, m event.Mute, replace bool, from string) (replaced *event.Mute, err error)
	// Unmute ends the mute that has the scope of the given one, and returns it; nil if there
	// was none.
	Unmute(ctx context.Context, scope event.Mute, actor event.Actor) (ended *event.Mute, err error)
	// UnmuteAll ends all mutes, and returns those that could be read.
	UnmuteAll(ctx context.Context, actor event.Actor) (ended []event.Mute, err error)
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
	// By and Replace are as in PauseRequest.
	By      string `json:"by,omitempty"`
	Replace bool   `json:"replace,omitempty"`
}

// UnmuteRequest is the body of POST /api/v1/unmute. It ends the mute with this scope.
type UnmuteRequest struct {
	MuteScope
	Every bool   `json:"every,omitempty"` // every mute ends
	By    string `json:"by,omitempty"`    // as in PauseRequest
}

// Muted is the response to both: the mutes that are in force now, and what the request
// changed of those before.
type Muted struct {
	Muted    []event.Mute `json:"muted"`
	Replaced *event.Mute  `json:"replaced,omitempty"` // the mute of the same scope that a new one replaced
	Ended    []event.Mute `json:"ended,omitempty"`    // those that somebody has unmuted
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
		return badRequest(c, err)
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
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	replaced, err := a.Mutes.Mute(ctx, m, req.Replace, c.RealIP())
	var state *event.StateError
	switch {
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case errors.Is(err, event.ErrManyMutes):
		return c.JSON(http.StatusConflict, handlers.Response{Error: err.Error()})
	case err != nil:
		return a.unavailable(c, err)
	}
	warnings := a.doubts(c.Request().Context(), event.Pause{Project: m.Project}, "mute")
	if m.Channel != "" && !a.Rules.MayNotify(m.Channel) {
		warnings = append(warnings, fmt.Sprintf("the mute stops nothing now: no rule notifies %q by this name", m.Channel))
	}
	return a.muted(c, Muted{Replaced: replaced, Warnings: warnings})
}

func (a *admin) unmute(c echo.Context) error {
	var req UnmuteRequest
	if err := readRequest(c, &req); err != nil {
		return badRequest(c, err)
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
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	by := event.Actor{By: m.By, From: c.RealIP()}
	if req.Every {
		ended, err := a.Mutes.UnmuteAll(ctx, by)
		if err != nil {
			return a.unavailable(c, err)
		}
		return a.muted(c, Muted{Ended: ended})
	}
	ended, err := a.Mutes.Unmute(ctx, m, by)
	switch {
	case err != nil:
		return a.unavailable(c, err)
	case ended == nil:
		return c.JSON(http.StatusNotFound, handlers.Response{Error: fmt.Sprintf("no mute with the scope %q is in force: `pipesteward status` lists those that are", m.Scope())})
	}
	return a.muted(c, Muted{Ended: []event.Mute{*ended}})
}

// muted answers with the mutes in force, and what was changed.
func (a *admin) muted(c echo.Context, answer Muted) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	all, err := a.Mutes.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	answer.Muted = all
	return c.JSON(http.StatusOK, answer)
}
