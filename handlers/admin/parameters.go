package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

// known checks that only these parameters are given, each once.
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

// oneOf reads a parameter that is a word of a closed set; "" if not given.
func oneOf(v url.Values, name string, allowed []string) (string, error) {
	given := v.Get(name)
	if given != "" && !slices.Contains(allowed, given) {
		return "", fmt.Errorf("parameter %q: it must be one of %s", name, strings.Join(allowed, ", "))
	}
	return given, nil
}

// idOf reads a parameter that is an id of GitLab's; 0 if not given.
func idOf(v url.Values, name string) (int64, error) {
	given := v.Get(name)
	if given == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(given, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("parameter %q: it must be an id, a whole number from 1", name)
	}
	return id, nil
}

// limitOf reads how many items are wanted.
func limitOf(v url.Values) (int, error) {
	given := v.Get("limit")
	if given == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(given)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fmt.Errorf("parameter %q: it must be a whole number from 1 to %d", "limit", maxLimit)
	}
	return limit, nil
}
