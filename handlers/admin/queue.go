package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/goccy/go-json"
	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

func (a *admin) queue(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	d, err := a.Store.Depth(ctx)
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, Depth(d))
}

// deadRecord is a buried record. Record is its body: an Event, a Decision or an
// Outcome, depending on Kind.
type deadRecord struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Record any       `json:"record,omitempty"`
}

func (a *admin) dead(c echo.Context) error {
	v := c.QueryParams()
	limit, err := limitOf(v)
	if err := errors.Join(known(v, "limit"), err); err != nil {
		return c.JSON(http.StatusBadRequest, handlers.Response{Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storeTimeout)
	defer cancel()
	records, err := a.Store.Dead(ctx, limit)
	if err != nil {
		return a.unavailable(c, err)
	}
	list := make([]deadRecord, len(records))
	for i, r := range records {
		list[i] = deadRecord{ID: r.ID, Kind: r.Kind, Reason: r.Reason, At: r.At.UTC(), Record: readable(r)}
	}
	return c.JSON(http.StatusOK, struct {
		Dead []deadRecord `json:"dead"`
	}{list})
}

// readable returns the body of a buried record, with secrets hidden. It is nil if
// the body can't be decoded, which may be why the record was buried.
func readable(r store.DeadRecord) any {
	var o event.Outcome // has all fields of the smaller ones
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return nil
	}
	hide(&o.Decision)
	switch r.Kind {
	case event.RecordEvent:
		return o.Event
	case event.RecordDecision:
		return o.Decision
	case event.RecordOutcome:
		return o
	default:
		return nil
	}
}
