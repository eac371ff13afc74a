package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/auth"
	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	backupPath = "/api/v1/backup"
	// backupTimeout bounds the making of a copy, which takes as long as the disk needs, and
	// transferTimeout its transfer.
	backupTimeout   = 10 * time.Minute
	transferTimeout = 2 * time.Hour
)

// Backups copies the store.
type Backups interface {
	// Backup returns a copy of the store as it is, and its length in bytes. Its errors are
	// ErrNoBackup for a store that can't be copied so, and an *event.StateError if another
	// copy is made for too long.
	Backup(ctx context.Context) (io.ReadCloser, int64, error)
}

// ErrNoBackup is the error of a store that only its own tools can copy.
var ErrNoBackup = errors.New("this can't make a backup")

// backup sends a copy of the store. A reader that stops early sees that by the length.
func (a *admin) backup(c echo.Context) error {
	control := http.NewResponseController(c.Response())
	if err := control.SetWriteDeadline(a.Now().Add(backupTimeout + transferTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), backupTimeout)
	defer cancel()
	copied, size, err := a.Backups.Backup(ctx)
	state, busy := errors.AsType[*event.StateError](err)
	switch {
	case errors.Is(err, ErrNoBackup):
		return badRequest(c, err)
	case busy:
		return c.JSON(http.StatusConflict, handlers.Response{Error: state.Error()})
	case err != nil:
		a.Log.ErrorContext(c.Request().Context(), "no backup of the store could be made", "user", auth.User(c), "error", err)
		return c.JSON(http.StatusServiceUnavailable, handlers.Response{Error: "no backup of the store could be made: " + err.Error()})
	}
	defer func() { _ = copied.Close() }() // it is read only
	a.Log.InfoContext(c.Request().Context(), "a backup of the store is sent", "user", auth.User(c), "from", c.RealIP())
	c.Response().Header().Set(echo.HeaderContentLength, strconv.FormatInt(size, 10))
	return c.Stream(http.StatusOK, echo.MIMEOctetStream, copied)
}
