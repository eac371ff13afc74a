package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

const defaultAdminURL = "http://127.0.0.1:9090"

// adminFlags name the running server that a command calls.
func adminFlags() []cli.Flag {
	return []cli.Flag{stringFlag("admin-url", defaultAdminURL, "`URL` of the running server's --admin-listen")}
}

// adminTimeout bounds one call of the admin API.
const adminTimeout = 20 * time.Second

// refusedError is the answer of a server that refuses a call.
type refusedError struct {
	status int // of HTTP
	text   string
}

func (e *refusedError) Error() string { return e.text }

// away reports whether an error of callAdmin may pass by itself: no server answers, or
// one that has no store now.
func away(err error) bool {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.status >= http.StatusInternalServerError
	}
	_, usage := errors.AsType[*usageError](err)
	return err != nil && !usage
}

// callAdmin calls the admin API of the running server that the command's flags name.
// body and into are JSON; a nil body sends none. Its errors are the server's words.
func callAdmin(ctx context.Context, c *cli.Command, method, path string, body, into any) error {
	base := c.String("admin-url")
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(base, "/")+path, bytes.NewReader(content))
	if err != nil || req.URL.Host == "" {
		return &usageError{fmt.Errorf("--admin-url: %q is not a URL: write for instance %s", base, defaultAdminURL)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers at %s (start `serve`, or give its --admin-listen as --admin-url): %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Error string }
		if json.Unmarshal(answered, &refused) == nil && refused.Error != "" {
			return &refusedError{resp.StatusCode, refused.Error}
		}
		return &refusedError{resp.StatusCode, fmt.Sprintf("%s answers %s: is it the --admin-listen of `serve`?", base, resp.Status)}
	}
	if err := json.Unmarshal(answered, into); err != nil {
		return fmt.Errorf("%s gives no JSON (%w): is it the --admin-listen of `serve`?", base, err)
	}
	return nil
}

// byFlag names who makes a change.
func byFlag() cli.Flag {
	return &cli.StringFlag{Name: "by", Usage: "`WHO` does this; default: the user who runs the command"}
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

// whoRuns returns the name of the user who runs the command, "" where the
// system does not know it.
func whoRuns() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
