package mcp

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pipesteward/pipesteward/actions/report"
)

const defaultRows = 10

// maxDays is how many days of a report are listed.
const maxDays = 31

type reportInput struct {
	Since   string `json:"since,omitempty" jsonschema:"a duration that ends now, like 24h or 30d, or a time like 2026-12-24T18:00:00Z; default 7d"`
	Rule    string `json:"rule,omitempty" jsonschema:"only decisions of the rule of this name"`
	Project string `json:"project,omitempty" jsonschema:"only those of a project, by its id, or of those whose path a glob like platform/** matches"`
	DryRun  bool   `json:"dry_run,omitempty" jsonschema:"what would have been done by rules in dry run, in place of what was done"`
	Rows    int    `json:"rows,omitempty" jsonschema:"at most so many rows of each table, 1 to 100; default 10"`
}

func reportOf(ctx context.Context, from Sources, in reportInput) (r report.Report, notes []string, err error) {
	if in.Rows < 0 || in.Rows > report.MaxRows {
		return r, nil, fmt.Errorf("rows must be from 1 to %d, not %d", report.MaxRows, in.Rows)
	}
	query := given("since", in.Since, "rule", in.Rule, "project", in.Project)
	if in.DryRun {
		query.Set("dry_run", "true")
	}
	if err := from.API.Get(ctx, "/api/v1/report", query, &r); err != nil {
		return r, nil, err
	}
	rows := cmp.Or(in.Rows, defaultRows)
	for _, table := range []struct {
		what string
		rows *[]report.Row
	}{
		{"rules", &r.Rules}, {"actions", &r.Actions}, {"projects", &r.Projects}, {"failure classes", &r.Classes}, {"jobs", &r.Jobs},
	} {
		var cut []string
		*table.rows, cut = first(*table.rows, rows, table.what, "name one rule or project, or give a larger rows")
		notes = append(notes, cut...)
	}
	var cut []string
	r.Runners, cut = first(r.Runners, rows, "runners", "give a larger rows")
	notes = append(notes, cut...)
	if days := len(r.Days); days > maxDays {
		r.Days = r.Days[days-maxDays:]
		notes = append(notes, fmt.Sprintf("only the last %d of %d days are listed; the sums are of all", maxDays, days))
	}
	return r, notes, nil
}
