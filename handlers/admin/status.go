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
	Queue   QueueStatus    `json:"queue"`
	Paused  []event.Pause  `json:"paused"`
	Muted   []event.Mute   `json:"muted"`
	Changes []event.Change `json:"changes"` // the last ones that people made, newest first
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

// QueueStatus tells how the queue is.
type QueueStatus struct {
	Depth
	OldestDue   float64        `json:"oldest_due_seconds"`     // how long the most overdue record has been due; 0 if none is due
	WaitsFor    map[string]int `json:"waits_for,omitempty"`    // how many of the records that are due next wait for what
	DeadReasons map[string]int `json:"dead_reasons,omitempty"` // of the newest dead records
}

const (
	// statusRecords is how many records, and how many dead ones, the status is based on.
	statusRecords = 200
	// statusChanges is how many changes it shows.
	statusChanges = 3
)

// queueStatus reads how the queue is.
func (a *admin) queueStatus(ctx context.Context) (s QueueStatus, err error) {
	depth, err := a.Store.Depth(ctx)
	if err != nil {
		return s, err
	}
	s = QueueStatus{Depth: Depth(depth), WaitsFor: map[string]int{}, DeadReasons: map[string]int{}}
	records, _, err := a.Store.Records(ctx, "", statusRecords)
	if err != nil {
		return s, err
	}
	now := a.Now()
	for i, r := range records {
		if i == 0 {
			s.OldestDue = max(now.Sub(r.Next()).Seconds(), 0)
		}
		if record := a.queuedRecord(r, now); record.WaitsFor != "" {
			s.WaitsFor[record.WaitsFor]++
		}
	}
	dead, _, err := a.Store.Dead(ctx, "", statusRecords)
	for _, d := range dead {
		s.DeadReasons[d.Reason]++
	}
	return s, err
}

func (a *admin) status(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	queue, err := a.queueStatus(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	changes, err := a.Changes.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	paused, err := a.Pauses.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	muted, err := a.Mutes.List(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	state := a.Rules.State()
	s := Status{
		Version: a.Version, DryRun: a.DryRun, Queue: queue, Paused: paused, Muted: muted, Changes: changes[:min(len(changes), statusChanges)], Parts: map[string]any{},
		Rules: RulesStatus{state.Hash, len(state.Rules), state.LoadedAt, state.Error},
	}
	for name, part := range a.Parts {
		s.Parts[name] = part(ctx)
	}
	return c.JSON(http.StatusOK, s)
}
