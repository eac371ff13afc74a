package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// storyTimeout bounds the making of a story, which reads GitLab, too.
const storyTimeout = 18 * time.Second

// Storyteller tells what happened to a job or a pipeline.
type Storyteller interface {
	// Story returns the story of the job or the pipeline of a page of GitLab, which is
	// JSON. An error about what was requested declares by a method Missing whether that
	// does not exist; else the address is wrong.
	// The commands in it call the server at the address admin.
	Story(ctx context.Context, url, admin string) (any, error)
}

func (a *admin) why(c echo.Context) error {
	v := c.QueryParams()
	if v.Get("url") == "" {
		return badRequest(c, errors.New(`parameter "url" is missing: give the address of a job or a pipeline in GitLab, percent-encoded`))
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), storyTimeout)
	defer cancel()
	story, err := a.Stories.Story(ctx, v.Get("url"), c.Scheme()+"://"+c.Request().Host)
	var requested interface{ Missing() bool }
	switch {
	case err == nil:
		return c.JSON(http.StatusOK, story)
	case errors.As(err, &requested) && requested.Missing():
		return c.JSON(http.StatusNotFound, handlers.Response{Error: err.Error()})
	case requested != nil:
		return badRequest(c, err)
	}
	a.Log.ErrorContext(c.Request().Context(), "a story can't be told", "error", err)
	return c.JSON(http.StatusInternalServerError, handlers.Response{Error: "the story can't be told: see the log"})
}
