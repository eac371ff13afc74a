package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"

	"github.com/pipesteward/pipesteward/rules/event"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

// parameters are those of a query that an address takes; others take none.
var parameters = map[string][]string{
	"/api/v1/decisions":   {"rule", "action", "outcome", "project", "pipeline", "job", "ref", "since", "text", "limit", "cursor", "id"},
	"/api/v1/report":      {"since", "rule", "project", "dry_run", "person_after"},
	"/api/v1/report/page": {"since", "rule", "project", "dry_run", "person_after"},
	"/api/v1/unknown":     {"since", "project", "id"},
	"/api/v1/deliveries":  {"result", "project", "pipeline", "job", "since", "limit", "cursor"},
	"/api/v1/queue":       {"state", "waits_for", "kind", "project", "rule", "action", "pipeline", "job", "since", "limit", "cursor"},
	"/api/v1/dead":        {"kind", "project", "rule", "action", "pipeline", "job", "since", "limit", "cursor"},
	"/api/v1/changes":     {"limit"},
	"/api/v1/why":         {"url"},
}

// knownQuery refuses a query that can't be read, or that has other parameters than the
// address takes: what is not understood would select too much. Health and metrics take
// any query, which monitors add, and package auth checks its own.
func knownQuery(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Path()
		if !strings.HasPrefix(path, "/api/v1/") && path != "/-/reload" {
			return next(c)
		}
		v, err := url.ParseQuery(c.Request().URL.RawQuery)
		if err != nil {
			return badRequest(c, fmt.Errorf("the query can't be read: %w: write & between parameters, and %%25 and %%3B for the characters %% and ;", err))
		}
		if err := known(v, parameters[path]...); err != nil {
			return badRequest(c, err)
		}
		return next(c)
	}
}

// known checks that the query has only these parameters, each once and with a value. Several
// ids may be given, and the cursor of the first page is empty.
func known(v url.Values, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		switch {
		case len(names) == 0:
			return fmt.Errorf("parameter %q is unknown: this address takes none", name)
		case !slices.Contains(names, name):
			return fmt.Errorf("parameter %q is unknown: there are %s", name, strings.Join(names, ", "))
		case name == "id":
		case len(v[name]) > 1:
			return fmt.Errorf("parameter %q is given %d times: give it once", name, len(v[name]))
		case v[name][0] == "" && name != "cursor":
			return fmt.Errorf("parameter %q is empty: give a value, or leave it out", name)
		}
	}
	return nil
}

// project selects projects by a glob of their paths or by an id; "" stands for any.
type project string

// projectOf reads a parameter that selects projects.
func projectOf(v url.Values) (project, error) {
	value := v.Get("project")
	if err := event.CheckProjects(value); err != nil {
		return "", fmt.Errorf("parameter %q: %w", "project", err)
	}
	return project(value), nil
}

func (p project) matches(path string, id int64) bool {
	return p == "" || event.MatchesProject(string(p), path) || string(p) == strconv.FormatInt(id, 10)
}

// oneOf reads a parameter that is a word of a closed set; "" if it is missing.
func oneOf(v url.Values, name string, allowed []string) (string, error) {
	value := v.Get(name)
	if value != "" && !slices.Contains(allowed, value) {
		return "", fmt.Errorf("parameter %q: it must be one of %s", name, strings.Join(allowed, ", "))
	}
	return value, nil
}

// idOf reads a parameter that is an id in GitLab; 0 if it is missing.
func idOf(v url.Values, name string) (int64, error) {
	value := v.Get(name)
	if value == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("parameter %q: it must be an id, a whole number from 1", name)
	}
	return id, nil
}

// oldest is how long ago a time may be at most: nothing is kept for longer.
const oldest = 10 * 365 * 24 * time.Hour

// sinceOf reads a parameter that is a time in the last ten years, or a duration that ends
// now; zero if it is missing.
func sinceOf(v url.Values, now time.Time) (time.Time, error) {
	value := v.Get("since")
	if value == "" {
		return time.Time{}, nil
	}
	since, err := time.Parse(time.RFC3339, value)
	if err != nil {
		span, err := model.ParseDuration(value)
		if err != nil || span == 0 {
			return time.Time{}, fmt.Errorf("parameter %q: it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z", "since")
		}
		since = now.Add(-time.Duration(span))
	}
	switch {
	case since.After(now):
		return time.Time{}, fmt.Errorf("parameter %q: %s is in the future", "since", value)
	case now.Sub(since) > oldest:
		return time.Time{}, fmt.Errorf("parameter %q: %s is too long ago: give one of the last ten years", "since", value)
	}
	return since, nil
}

// limitOf reads the number of items of a page.
func limitOf(v url.Values) (int, error) {
	value := v.Get("limit")
	if value == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fmt.Errorf("parameter %q: it must be a whole number from 1 to %d", "limit", maxLimit)
	}
	return limit, nil
}
