package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Status is the response to GET /api/v1/status. Parts are further values that serve
// reports of itself, by name.
type Status struct {
	Version string         `json:"version"`
	DryRun  bool           `json:"dry_run"` // of the process: it changes nothing
	Rules   RulesStatus    `json:"rules"`
	Queue   Depth          `json:"queue"`
	Paused  []event.Pause  `json:"paused"`
	Parts   map[string]any `json:"parts,omitempty"`
}

// RulesStatus identifies the rules in force.
type RulesStatus struct {
	Hash     string    `json:"hash"`
	Count    int       `json:"count"`
	LoadedAt time.Time `json:"loaded_at"`
	Error    string    `json:"error,omitzero"` // why the present files can't be used
}

// Depth counts the queue's records.
type Depth struct {
	Due     int `json:"due"`
	Waiting int `json:"waiting"`
	Leased  int `json:"leased"`
	Dead    int `json:"dead"`
}

func (a *admin) status(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	depth, err := a.Store.Depth(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	paused, err := a.Pauses.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	state := a.Rules.State()
	s := Status{
		Version: a.Version, DryRun: a.DryRun, Queue: Depth(depth), Paused: paused, Parts: map[string]any{},
		Rules: RulesStatus{state.Hash, len(state.Rules), state.LoadedAt, state.Error},
	}
	for name, part := range a.Parts {
		s.Parts[name] = part(ctx)
	}
	return c.JSON(http.StatusOK, s)
}
