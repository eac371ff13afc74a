package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"
)

// byFlag names who makes a change.
func byFlag() cli.Flag {
	return &cli.StringFlag{Name: "by", Usage: "`NAME` of who does this; default: the user who runs the command"}
}

// who returns who makes a change.
func who(c *cli.Command) string { return cmp.Or(c.String("by"), whoRuns()) }

// filterFlag is a filter that a command passes to the server: the flag, the parameter of
// the API, which has the same name with underscores, and what it selects.
type filterFlag struct{ name, usage string }

// filterFlags returns the flags of filters.
func filterFlags(filters []filterFlag) []cli.Flag {
	flags := make([]cli.Flag, len(filters))
	for i, f := range filters {
		flags[i] = &cli.StringFlag{Name: f.name, Usage: f.usage}
	}
	return flags
}

// queryOf returns the parameters of the filters that are given. An empty value is an
// error: it comes from an unset variable, and would select everything.
func queryOf(c *cli.Command, filters []filterFlag) (url.Values, error) {
	query := url.Values{}
	for _, f := range filters {
		if !c.IsSet(f.name) {
			continue
		}
		if c.String(f.name) == "" {
			return nil, &usageError{fmt.Errorf("--%s is empty, as an unset variable is: give a value, or leave it out for everything", f.name)}
		}
		query.Set(strings.ReplaceAll(f.name, "-", "_"), c.String(f.name))
	}
	return query, nil
}

// checkPace checks --limit and --interval of a list that can be followed.
func checkPace(c *cli.Command) error {
	switch limit := c.Int("limit"); {
	case limit < 0 || limit == 0 && !c.Bool("follow"):
		return &usageError{errors.New("--limit must be more than 0")}
	case c.Duration("interval") <= 0:
		return &usageError{errors.New("--interval must be more than 0, like 2s")}
	}
	return nil
}

// maxPage is how many items one page of the API has at most.
const maxPage = 500

// listAdmin reads up to limit items of a list of the admin API, page by page: the member
// of the answers that has them is named like the list. It reports whether there are more.
func listAdmin(ctx context.Context, c *cli.Command, path, member string, query url.Values, limit int) (items []json.RawMessage, more bool, err error) {
	query, items = maps.Clone(query), []json.RawMessage{}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(items), maxPage)))
		var page map[string]json.RawMessage
		if err := callAdmin(ctx, c, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, false, err
		}
		var some []json.RawMessage
		var next string
		if err := errors.Join(json.Unmarshal(page[member], &some), json.Unmarshal(page["next"], &next)); err != nil {
			return nil, false, fmt.Errorf("the answer to %s can't be read: %w", path, err)
		}
		items = append(items, some...)
		if next == "" || len(items) >= limit {
			return items, next != "", nil
		}
		query.Set("cursor", next)
	}
}

// hintMore says that the limit has cut a list.
func hintMore(stderr io.Writer, limit int) {
	fmt.Fprintf(stderr, "there may be more: --limit %d\n", 10*limit)
}

// decodeAll decodes the items of a list.
func decodeAll[T any](items []json.RawMessage) ([]T, error) {
	all := make([]T, len(items))
	for i, item := range items {
		if err := json.Unmarshal(item, &all[i]); err != nil {
			return nil, fmt.Errorf("the server's answer can't be read: %w", err)
		}
	}
	return all, nil
}
