package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/unknown"
)

// unknownFilters are the filters of the API.
var unknownFilters = []filterFlag{
	{"since", "only failures since `WHEN`: so long ago, like 24h or 7d, or a time, like 2026-12-24T18:00:00Z"},
	{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
}

// defaultUnknown is how many clusters are listed.
const defaultUnknown = 20

func unknownFailuresCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "unknown",
		Usage: "list failed jobs that no failure class covers, grouped by what their logs say",
		Description: "Groups the failed jobs by the line of the log that says the most, with numbers, ids, paths, hosts and times masked:\n" +
			"those whose log a rule has read anyway, for job.failure_class, log() or a retry, and which is of no class in `classes`, or all\n" +
			"with `classes: {every_failure: true}` in a rule file. How many logs were not read goes to standard error. The\n" +
			"newest 10,000 are kept, for as long as the server's --unknown-retention says (30 days). Retries are those by Pipesteward. `propose` writes a class for a group.",
		Flags: append(append(adminFlags(), filterFlags(unknownFilters)...),
			&cli.IntFlag{Name: "limit", Value: defaultUnknown, Usage: "list at most `N`, those with the most jobs"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			query, err := queryOf(c, unknownFilters)
			if err != nil {
				return err
			}
			limit := c.Int("limit")
			if limit <= 0 {
				return &usageError{errors.New("--limit must be more than 0")}
			}
			page, err := readUnknown(ctx, c, query)
			if err != nil {
				return err
			}
			clusters := page.Clusters
			more := len(clusters) > limit
			clusters = clusters[:min(limit, len(clusters))]
			if err := (unknownPrinter{newItemPrinter(stdout, c.Bool("json"))}).list(clusters); err != nil {
				return err
			}
			if more {
				hintMore(stderr, limit)
			}
			if hint := page.notRead(); hint != "" {
				fmt.Fprintln(stderr, hint)
			}
			return nil
		},
	}
}

// unknownPage is the response of the server.
type unknownPage struct {
	Clusters     []unknown.Cluster `json:"clusters"`
	NotRead      int               `json:"not_read"`
	EveryFailure bool              `json:"every_failure"`
}

// readUnknown reads clusters from a running server.
func readUnknown(ctx context.Context, c *cli.Command, query url.Values) (page unknownPage, err error) {
	err = callAdmin(ctx, c, http.MethodGet, "/api/v1/unknown?"+query.Encode(), nil, &page)
	return page, err
}

// notRead says how many failed jobs are not counted; "" if all are.
func (p unknownPage) notRead() string {
	logs := fmt.Sprintf("the logs of %s were not read, so these jobs are not listed", english.Plural(p.NotRead, "failed job", ""))
	switch {
	case !p.EveryFailure:
		return logs + ": no rule read them, and jobs that no rule is about are not counted at all. To have the log of each failed job read, for one request to GitLab each, write `classes: {every_failure: true}` in a rule file"
	case p.NotRead > 0:
		return logs + ": it was before the rules had `every_failure`, or GitLab did not give them"
	}
	return ""
}

// unknownPrinter prints clusters.
type unknownPrinter struct{ itemPrinter }

func (p unknownPrinter) list(all []unknown.Cluster) error {
	l := listing{head: []any{"cluster", "jobs", "retries passed", "first", "last", "runners", "what the logs say"}}
	for _, c := range all {
		c := cleaned(c)
		retries := fmt.Sprintf("%d of %d", c.Passed, c.Retried)
		l.rows = append(l.rows, row{
			cells: []any{c.ID, strconv.Itoa(c.Failed), retries, timeText(c.First), timeText(c.Last), strings.Join(c.Runners, ", "), c.Text},
			paragraph: []string{
				fmt.Sprintf("%s  %s, %s retries passed", p.colour.bold(c.ID), english.Plural(c.Failed, "job", ""), retries),
				timeText(c.First) + " to " + timeText(c.Last),
				strings.Join(c.Runners, ", "),
				c.Text,
			},
		})
	}
	return p.all(all, l, "no failed jobs without a class")
}
