package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers"
)

// reportTimeout bounds the making of a report, which may read a large journal.
const reportTimeout = 18 * time.Second

// reportSpan is how far back a report goes where the request does not say.
const reportSpan = 7 * 24 * time.Hour

// Reporter sums the journal.
type Reporter interface {
	// Report returns the sums, which are JSON, of the decisions of a rule and of the projects
	// that have an id or match a glob, or all, which were made since a time; dryRun:
	// only of what would have been done.
	Report(ctx context.Context, since time.Time, rule, project string, dryRun bool) (any, error)
}

func (a *admin) report(c echo.Context) error {
	v := c.QueryParams()
	since, err1 := sinceOf(v, a.Now())
	if v.Get("since") == "" {
		since = a.Now().Add(-reportSpan)
	}
	if since.After(a.Now()) {
		err1 = fmt.Errorf("parameter %q: %s is in the future", "since", since.UTC().Format(time.RFC3339))
	}
	project, err2 := projectOf(v)
	dryRun, err3 := oneOf(v, "dry_run", []string{"true", "false"})
	if err := errors.Join(err1, err2, err3); err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), reportTimeout)
	defer cancel()
	report, err := a.Reports.Report(ctx, since, v.Get("rule"), string(project), dryRun == "true")
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return c.JSON(http.StatusServiceUnavailable, handlers.Response{Error: fmt.Sprintf("the report takes longer than %s: give a later parameter %q", reportTimeout, "since")})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, report)
}
