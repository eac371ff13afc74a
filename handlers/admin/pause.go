package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Pauser keeps the pauses, which all replicas share. It records who changes them in one step
// with the change.
type Pauser interface {
	// List returns the pauses in force, oldest first.
	List(ctx context.Context) ([]event.Pause, error)
	// Pause puts a pause in force, in place of one with the same scope, which it returns.
	// Without replace, the error is an *event.StateError if that is another person's and
	// would have lasted longer. from is the address that the request comes from.
	Pause(ctx context.Context, p event.Pause, replace bool, from string) (replaced *event.Pause, err error)
	// Resume ends the pause that has the scope of the given one, and returns it; nil if there
	// was none.
	Resume(ctx context.Context, scope event.Pause, actor event.Actor) (ended *event.Pause, err error)
	// ResumeAll ends all pauses, and returns those that could be read.
	ResumeAll(ctx context.Context, actor event.Actor) (ended []event.Pause, err error)
}

// PauseRequest is the body of POST /api/v1/pause. It pauses the projects of a
// glob, or a rule, or everything if it has neither.
type PauseRequest struct {
	Project *string   `json:"project,omitempty"`
	Rule    *string   `json:"rule,omitempty"`
	For     string    `json:"for,omitempty"` // a duration such as 2h
	Until   time.Time `json:"until,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`      // who does this, where the sender is not authenticated
	Replace bool      `json:"replace,omitempty"` // also a longer pause that another person made
}

// ResumeRequest is the body of POST /api/v1/resume. It ends the pause of a project
// glob or of a rule, or the pause of everything if it has neither.
type ResumeRequest struct {
	Project *string `json:"project,omitempty"`
	Rule    *string `json:"rule,omitempty"`
	Every   bool    `json:"every,omitempty"` // every pause ends
	By      string  `json:"by,omitempty"`    // as in PauseRequest
}

// scopeOf returns a pause with a scope. An empty text is an error: it comes from
// an unset variable, and would mean everything.
func scopeOf(project, rule *string) (event.Pause, error) {
	var p event.Pause
	err := errors.Join(scopeParameter("project", project, &p.Project), scopeParameter("rule", rule, &p.Rule))
	return p, err
}

// scopeParameter reads a parameter that limits a scope.
func scopeParameter(name string, from, to *string) error {
	switch {
	case from == nil:
	case *from == "":
		return fmt.Errorf("parameter %q is empty: give a value, or leave it out for everything", name)
	default:
		*to = *from
	}
	return nil
}

// Paused is the response to both: the pauses that are in force now, and what the request
// changed of those before.
type Paused struct {
	Paused   []event.Pause `json:"paused"`
	Replaced *event.Pause  `json:"replaced,omitempty"` // the pause of the same scope that a new one replaced
	Ended    []event.Pause `json:"ended,omitempty"`    // those that somebody has resumed
	Warnings []string      `json:"warnings,omitempty"` // about the pause that was requested
}

// ProjectFinder looks for projects in GitLab.
type ProjectFinder interface {
	// HasProject reports whether there is a project with the path, or that the glob matches.
	HasProject(ctx context.Context, glob string) (bool, error)
}

// findTimeout bounds the search for the projects of a pause.
const findTimeout = 5 * time.Second

// doubts returns a warning if a pause, or a mute with the same projects, seems to stop
// nothing: no delivery of such a project was received, and GitLab shows none. A project
// may come later, so the pause is in force all the same. There is no warning while
// GitLab can't be reached.
func (a *admin) doubts(ctx context.Context, p event.Pause, what string) []string {
	if p.Project == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	seen, _, err := a.Deliveries.Deliveries(ctx, func(d *event.Delivery) bool { return d.Project != "" && p.Covers(d.Project) }, time.Time{}, "", 1)
	if err != nil || len(seen) > 0 {
		return nil
	}
	if found, err := a.Projects.HasProject(ctx, p.Project); err != nil || found {
		return nil
	}
	text := fmt.Sprintf("the %s stops nothing now: no event of a project that %q matches has come, and GitLab shows no such project", what, p.Project)
	if !strings.ContainsAny(p.Project, "*?[{") {
		text += fmt.Sprintf("; if it is a group, %s %q", what, p.Project+"/**")
	}
	return []string{text}
}

func (a *admin) pause(c echo.Context) error {
	var req PauseRequest
	if err := readRequest(c, &req); err != nil {
		return badRequest(c, err)
	}
	p, err := scopeOf(req.Project, req.Rule)
	if err == nil {
		p.By, p.Reason, p.Until = actor(c, req.By), req.Reason, req.Until
		err = a.check(&p, req.For)
	}
	if err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	replaced, err := a.Pauses.Pause(ctx, p, req.Replace, c.RealIP())
	var state *event.StateError
	switch {
	case errors.As(err, &state):
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	case errors.Is(err, event.ErrManyPauses):
		return c.JSON(http.StatusConflict, handlers.Response{Error: err.Error()})
	case err != nil:
		return a.unavailable(c, err)
	}
	return a.paused(c, Paused{Replaced: replaced, Warnings: a.doubts(c.Request().Context(), p, "pause")})
}

// check checks the pause and sets its end.
func (a *admin) check(p *event.Pause, span string) (err error) {
	if p.Until, err = a.end("pause", span, p.Until); err != nil {
		return err
	}
	if err := a.checkRule(p.Rule); err != nil {
		return err
	}
	return p.Check(a.Now())
}

// end returns when a pause or a mute ends that is to last for a time or until one; zero:
// it has no end.
func (a *admin) end(what, span string, until time.Time) (time.Time, error) {
	if span == "" {
		return until, nil
	}
	d, err := model.ParseDuration(span)
	switch {
	case err != nil || d <= 0:
		return until, fmt.Errorf(`parameter "for": %q is not a duration: write for instance 30m, 2h or 1d`, span)
	case !until.IsZero():
		return until, fmt.Errorf(`parameter "for" and parameter "until" both say when the %s ends: give one`, what)
	}
	return a.Now().Add(time.Duration(d)), nil
}

// checkRule returns an error if there is no rule of a name; "" names none.
func (a *admin) checkRule(name string) error {
	var names []string
	for _, r := range a.Rules.State().Rules {
		names = append(names, r.Name)
	}
	if name != "" && !slices.Contains(names, name) {
		return fmt.Errorf("there is no rule %q: there are %s", name, someOf(names))
	}
	return nil
}

// someOf lists names for an error, but not hundreds.
func someOf(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (a *admin) resume(c echo.Context) error {
	var req ResumeRequest
	if err := readRequest(c, &req); err != nil {
		return badRequest(c, err)
	}
	p, err := scopeOf(req.Project, req.Rule)
	if err == nil {
		p.By = actor(c, req.By)
		err = p.Check(a.Now())
	}
	if err != nil {
		return badRequest(c, err)
	}
	if req.Every && p.Scope() != (event.Pause{}).Scope() {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: `parameter "every" ends all pauses: give it without parameter "project" and parameter "rule"`})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	by := event.Actor{By: p.By, From: c.RealIP()}
	if req.Every {
		ended, err := a.Pauses.ResumeAll(ctx, by)
		if err != nil {
			return a.unavailable(c, err)
		}
		return a.paused(c, Paused{Ended: ended})
	}
	ended, err := a.Pauses.Resume(ctx, p, by)
	switch {
	case err != nil:
		return a.unavailable(c, err)
	case ended == nil:
		return c.JSON(http.StatusNotFound, handlers.Response{Error: fmt.Sprintf("no pause with the scope %q is in force: `pipesteward status` lists those that are", p.Scope())})
	}
	return a.paused(c, Paused{Ended: []event.Pause{*ended}})
}

// paused answers with the pauses in force, and what was changed.
func (a *admin) paused(c echo.Context, answer Paused) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	all, err := a.Pauses.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	answer.Paused = all
	return c.JSON(http.StatusOK, answer)
}
