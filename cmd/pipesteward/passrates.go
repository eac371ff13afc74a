package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/report"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// passRatesSince is what pass rates are about: all that a journal keeps.
const passRatesSince = "30d"

// passRates is how many of the retries of each rule with `min_pass_rate` passed, as a running
// server knows it.
type passRates struct {
	rules   []passRate
	unknown string // why they are not known; "": they are
}

// passRate is that of one rule.
type passRate struct {
	rule   *rules.Rule
	min    float64 // its min_pass_rate
	passed string
}

// readPassRates reads the pass rates from the running server that the flags name. That it gives no
// answer is no error: an error is about the flags.
func readPassRates(ctx context.Context, c *cli.Command, loaded *rules.Rules) (p passRates, err error) {
	for _, r := range loaded.All() {
		for _, a := range r.Actions {
			if a.MinPassRate > 0 {
				p.rules = append(p.rules, passRate{rule: r, min: a.MinPassRate})
			}
		}
	}
	if len(p.rules) == 0 {
		return p, nil
	}
	var sums report.Report
	if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/report?since="+passRatesSince, nil, &sums); err != nil {
		if _, usage := errors.AsType[*usageError](err); usage {
			return p, err
		}
		p.unknown = err.Error()
		return p, nil
	}
	for i := range p.rules {
		p.rules[i].passed = passed(sums.Rules, p.rules[i].rule.Name)
	}
	return p, nil
}

// text prints for people: a line for each rule, or one if nothing is known.
func (p passRates) text(w io.Writer) error {
	var b strings.Builder
	if p.unknown != "" {
		fmt.Fprintf(&b, "the pass rates of retries are not known: %s\n", printable(p.unknown))
	} else {
		for _, r := range p.rules {
			fmt.Fprintf(&b, "%s (min_pass_rate: %s): %s\n", printable(r.rule.Name), event.Percent(r.min), r.passed)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// checkPassRate is the check of what findings returns.
const checkPassRate = "pass-rate"

// findings returns the pass rates for programs, where the rules stand.
func (p passRates) findings() schema.FileErrors {
	var all schema.FileErrors
	for _, r := range p.rules {
		message := r.passed
		if p.unknown != "" {
			message = "the pass rate of its retries is not known: " + p.unknown
		}
		all = append(all, schema.FileError{
			File: r.rule.File, Line: r.rule.Line, Column: r.rule.Column, Severity: schema.SeverityInfo, Rule: r.rule.Name, Check: checkPassRate,
			Message: fmt.Sprintf("min_pass_rate: %s: %s", event.Percent(r.min), message),
		})
	}
	return all
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
