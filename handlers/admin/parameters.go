package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

// known checks that the query has only these parameters, each once.
func known(v url.Values, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("parameter %q is unknown: there are %s", name, strings.Join(names, ", "))
		}
		if len(v[name]) > 1 {
			return fmt.Errorf("parameter %q is given %d times: give it once", name, len(v[name]))
		}
	}
	return nil
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

// sinceOf reads a parameter that is a time, or a duration that ends now; zero if it is
// missing.
func sinceOf(v url.Values, now time.Time) (time.Time, error) {
	value := v.Get("since")
	if value == "" {
		return time.Time{}, nil
	}
	if since, err := time.Parse(time.RFC3339, value); err == nil {
		return since, nil
	}
	span, err := model.ParseDuration(value)
	if err != nil || span == 0 {
		return time.Time{}, fmt.Errorf("parameter %q: it must be a duration like 2h or 7d, or a time like 2026-12-24T18:00:00Z", "since")
	}
	return now.Add(-time.Duration(span)), nil
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
