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

// reportTimeout bounds the making of a report, which may read a large journal.
const reportTimeout = 18 * time.Second

// reportSpan is how far back a report goes where the request does not say.
const reportSpan = 7 * 24 * time.Hour

// Reporter sums the journal. An error may be an *event.RequestError, about the rule of a query.
type Reporter interface {
	// Report returns the sums, which are JSON.
	Report(ctx context.Context, q ReportQuery) (any, error)
	// Page returns them as people read them, in sentences, charts and tables, likewise.
	Page(ctx context.Context, q ReportQuery) (any, error)
}

// ReportQuery selects the decisions that a report sums; "" stands for any.
type ReportQuery struct {
	Since   time.Time // when they were made
	Rule    string
	Project string // a project's id, or a glob of paths
	DryRun  bool   // only what would have been done
	// PersonAfter is how long after its failure a person would have retried a job, on
	// average; 0: the report's default.
	PersonAfter time.Duration
}

// maxPersonAfter bounds ReportQuery.PersonAfter.
const maxPersonAfter = 30 * 24 * time.Hour

// report answers with what read makes of the query.
func (a *admin) report(c echo.Context, read func(context.Context, ReportQuery) (any, error)) error {
	v := c.QueryParams()
	since, err1 := sinceOf(v, a.Now())
	if v.Get("since") == "" {
		since = a.Now().Add(-reportSpan)
	}
	project, err2 := projectOf(v)
	dryRun, err3 := oneOf(v, "dry_run", []string{"true", "false"})
	personAfter, err4 := personAfterOf(v.Get("person_after"))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return badRequest(c, err)
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), reportTimeout)
	defer cancel()
	report, err := read(ctx, ReportQuery{Since: since, Rule: v.Get("rule"), Project: string(project), DryRun: dryRun == "true", PersonAfter: personAfter})
	var wrong *event.RequestError
	switch {
	case errors.As(err, &wrong):
		return badRequest(c, fmt.Errorf("parameter %q: %w", "rule", wrong))
	case errors.Is(err, context.DeadlineExceeded):
		return c.JSON(http.StatusServiceUnavailable, handlers.Response{Error: fmt.Sprintf("the report takes longer than %s: give a later parameter %q", reportTimeout, "since")})
	case err != nil:
		return a.unavailable(c, err)
	}
	return c.JSON(http.StatusOK, report)
}

// personAfterOf reads the parameter person_after; 0 if it is missing.
func personAfterOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := event.ParseDuration(text)
	if err == nil && (d <= 0 || d > maxPersonAfter) {
		err = fmt.Errorf("%s is not a time of more than 0 and at most %s", text, event.Duration(maxPersonAfter))
	}
	if err != nil {
		return 0, fmt.Errorf("parameter %q: %w", "person_after", err)
	}
	return d, nil
}
