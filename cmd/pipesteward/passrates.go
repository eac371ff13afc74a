package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
)

// passRatesSince is what printPassRates is about: all that a journal keeps.
const passRatesSince = "30d"

// printPassRates prints for each rule with `min_pass_rate` how many of its retries passed, as
// the running server that the flags name knows it. That it gives no answer is a note; an error
// is about the flags.
func printPassRates(ctx context.Context, c *cli.Command, w io.Writer, loaded *rules.Rules) error {
	type wanted struct {
		rule string
		rate float64
	}
	var all []wanted
	for _, r := range loaded.All() {
		for _, a := range r.Actions {
			if a.MinPassRate > 0 {
				all = append(all, wanted{r.Name, a.MinPassRate})
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	var sums report.Report
	if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/report?since="+passRatesSince, nil, &sums); err != nil {
		if _, usage := errors.AsType[*usageError](err); usage {
			return err
		}
		_, err = fmt.Fprintf(w, "the pass rates of retries are not known: %s\n", printable(err.Error()))
		return err
	}
	for _, of := range all {
		if _, err := fmt.Fprintf(w, "%s (min_pass_rate: %s): %s\n", printable(of.rule), event.Percent(of.rate), passed(sums.Rules, of.rule)); err != nil {
			return err
		}
	}
	return nil
}

// passed says how many of the retries of a rule passed, by the rows of a report.
func passed(rows []report.Row, rule string) string {
	i := slices.IndexFunc(rows, func(r report.Row) bool { return r.Name == rule && r.Others == 0 })
	switch {
	case i >= 0 && rows[i].Retries.PassRate != nil:
		return report.RateText(rows[i].Retries) + " of its retries passed in the last " + passRatesSince
	case i < 0 && len(rows) > 0 && rows[len(rows)-1].Others > 0:
		return "the server's report has no row for it: see `pipesteward report --rule`"
	}
	return "no retry is known that ended in the last " + passRatesSince
}
