package mcp

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"github.com/pipesteward/pipesteward/actions/unknown"
)

const (
	defaultClusters = 10
	maxClusters     = 50
)

type unknownInput struct {
	Since   string `json:"since,omitempty" jsonschema:"only failures since: a duration that ends now, like 24h or 7d, or a time like 2026-12-24T18:00:00Z; default: all of the last 30 days"`
	Project string `json:"project,omitempty" jsonschema:"only those of a project, by its id, or of those whose path a glob like platform/** matches"`
	Limit   int    `json:"limit,omitempty" jsonschema:"at most so many groups, the largest, 1 to 50; default 10"`
}

// unknownPage is the answer of the API.
type unknownPage struct {
	Clusters     []unknown.Cluster `json:"clusters"`
	NotRead      int               `json:"not_read" jsonschema:"failed jobs whose log no rule has read, so that they are in no group"`
	EveryFailure bool              `json:"every_failure" jsonschema:"the rules have the log of each failed job read"`
}

func unknownFailures(ctx context.Context, from Sources, in unknownInput) (page unknownPage, notes []string, err error) {
	if in.Limit < 0 || in.Limit > maxClusters {
		return page, nil, fmt.Errorf("limit must be from 1 to %d, not %d", maxClusters, in.Limit)
	}
	if err := from.API.Get(ctx, "/api/v1/unknown", given("since", in.Since, "project", in.Project), &page); err != nil {
		return page, nil, err
	}
	page.Clusters, notes = first(page.Clusters, cmp.Or(in.Limit, defaultClusters), "groups, the smallest,", "give a later since, a project, or a larger limit")
	if !page.EveryFailure {
		notes = append(notes, "only jobs whose log a rule has read are here: `classes: {every_failure: true}` in a rule file has the log of each failed job read")
	}
	return page, notes, nil
}

type proposeInput struct {
	ID string `json:"id" jsonschema:"the id of a group that unknown lists"`
}

// proposal is a failure class, and what it was tried on.
type proposal struct {
	Class   string   `json:"class" jsonschema:"the name of the failure class"`
	Rules   string   `json:"rules" jsonschema:"a rule file with the class and a rule"`
	Test    string   `json:"test" jsonschema:"a file of rule tests for it"`
	Shipped int      `json:"shipped_logs" jsonschema:"logs of jobs that passed, which ship with Pipesteward: the class matches none of them"`
	Logs    int      `json:"your_logs" jsonschema:"logs of your own jobs that passed on which the class was tried"`
	Matched []string `json:"wrongly_matched,omitempty" jsonschema:"those of your logs that the class matches although the job passed: then the class is wrong"`
}

func propose(ctx context.Context, from Sources, in proposeInput) (p proposal, notes []string, err error) {
	var page unknownPage
	if err := from.API.Get(ctx, "/api/v1/unknown", url.Values{"id": {in.ID}}, &page); err != nil {
		return p, nil, err
	}
	if len(page.Clusters) == 0 {
		return p, nil, fmt.Errorf(`there is no group %q: the tool "unknown" lists them`, in.ID)
	}
	var logs unknown.Logs = noLogs{}
	if from.Passing != nil {
		if logs, err = from.Passing(page.Clusters[0]); err != nil {
			return p, nil, err
		}
	}
	made, err := unknown.Propose(page.Clusters[0], logs)
	if err != nil {
		return p, nil, err
	}
	p = proposal{Class: made.Class, Rules: made.Rules, Test: made.Test, Shipped: made.Shipped, Logs: made.Logs}
	p.Matched, notes = first(made.Matched, maxClusters, "logs that the class matches", "the class is wrong with these already")
	if made.Logs == 0 {
		notes = append(notes, "the class was tried on none of your logs: whether it takes jobs that are fine is not known. A person can try it with `pipesteward backtest --passing-logs` and `pipesteward propose`")
	}
	return p, notes, nil
}

// noLogs are no logs.
type noLogs struct{}

// Each implements unknown.Logs.
func (noLogs) Each(func(name, log string) error) error { return nil }
