package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Running is work that takes long, that a person has requested, and that is under way.
type Running struct {
	Began time.Time `json:"began"`
	By    string    `json:"by,omitzero"`
	Done  int       `json:"done,omitzero"` // so many parts
	Of    int       `json:"of,omitzero"`   // of so many; 0: their number is not known yet
}

// Ended is such work that has ended.
type Ended struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	By    string    `json:"by,omitzero"`    // who requested it; "": the server did it by itself
	Error string    `json:"error,omitzero"` // why it ended early
}

// began answers to a request to begin such work: with how that is, by last.
func (a *admin) began(c echo.Context, err error, last func() (any, error)) error {
	state, busy := errors.AsType[*event.StateError](err)
	if busy {
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Reason})
	}
	if err != nil {
		return a.unavailable(c, err)
	}
	answer, err := last()
	if err != nil {
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, answer)
}
