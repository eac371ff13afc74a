package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
)

// LimitsReader reads what may defer retries.
type LimitsReader interface {
	// Limits returns the circuit breakers that have opened lately, and the budgets: that of
	// all projects, those of failure classes, and those of the projects of the decisions.
	Limits(ctx context.Context, of []event.Decision) (Limits, error)
}

// Limits is the response to GET /api/v1/limits: what may defer retries, and the settings in
// the rule files.
type Limits struct {
	Storm       Storm     `json:"storm"`    // when a breaker opens
	Breakers    []Breaker `json:"breakers"` // those that have opened within the last 7 days, by class
	Budgets     []Budget  `json:"budgets"`  // of all projects, of failure classes, and of the projects with the newest retries
	PerJob      int       `json:"per_job"`
	PerPipeline int       `json:"per_pipeline"`
}

// Storm is when so many failures of one class are an outage.
type Storm struct {
	Failures  int            `json:"failures"`
	Pipelines int            `json:"pipelines"`
	Within    event.Duration `json:"within"`
	Pause     event.Duration `json:"pause"`
}

// Breaker is the circuit breaker of a failure class.
type Breaker struct {
	Class   string    `json:"class"`
	Open    bool      `json:"open"` // retries of such failures wait
	Started time.Time `json:"started"`
	Until   time.Time `json:"until"` // it closes then, unless more failures come; of a closed one: when it closed, or would have
}

// Budget is a rate of retries, and how many are left of it now.
type Budget struct {
	Scope string         `json:"scope"` // total, class or project
	Name  string         `json:"name,omitzero"`
	Count int            `json:"count"`
	Per   event.Duration `json:"per"`
	Left  int            `json:"left"`
}

const (
	// limitsDecisions is how many of the newest decisions are searched for projects, and
	// limitsProjects how many of these have their budgets shown.
	limitsDecisions = 200
	limitsProjects  = 20
)

func (a *admin) limits(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	entries, _, err := a.Store.Entries(ctx, "", limitsDecisions)
	if err != nil {
		return a.unavailable(c, err)
	}
	var of []event.Decision
	known := map[string]bool{}
	for _, entry := range entries {
		o, ok := a.outcome(ctx, entry)
		id := o.Meta.Instance + "/" + strconv.FormatInt(o.Project.ID, 10)
		if ok && o.Action.Verb == event.VerbRetry && !known[id] && len(of) < limitsProjects {
			known[id] = true
			of = append(of, o.Decision)
		}
	}
	limits, err := a.Limits.Limits(ctx, of)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, limits)
}
