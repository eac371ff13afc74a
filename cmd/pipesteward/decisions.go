package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// defaultDecisions is how many decisions are listed without --limit.
const defaultDecisions = 50

// waiting is what stands for the outcome of a decision that has none yet.
const waiting = "waiting"

// decisionFilters are the filters of the API.
var decisionFilters = []filterFlag{
	{"rule", "only those of the rule of this `NAME`"},
	{"action", "only those with this `ACTION`: " + strings.Join(event.Verbs, ", ")},
	{"outcome", "only those with this `OUTCOME`: " + strings.Join(event.Results, ", ") + ", or waiting: none yet"},
	{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
	{"pipeline", "only those of the pipeline with this `ID`"},
	{"job", "only those of the job with this `ID`"},
	{"ref", "only those of this branch or tag, by its `NAME`"},
	{"since", "only those that were made since `WHEN`: so long ago, like 2h or 7d, or a time, like 2026-12-24T18:00:00Z"},
}

func decisionsCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "decisions",
		Usage: "list what a running server has decided, and what came of it",
		Description: "Lists decisions, the newest first. With --follow, it prints the last ones, the oldest first, and then each decision\n" +
			"that is made or whose outcome changes. On a narrow terminal, each decision is a paragraph instead of a row.",
		Flags: slices.Concat(adminFlags(), filterFlags(decisionFilters), []cli.Flag{
			&cli.IntFlag{Name: "limit", Value: defaultDecisions, Usage: "list at most `N`; with --follow, begin with the last N"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on printing those that come, until Ctrl-C"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "with --follow, how often the server is queried, as `TIME`"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON: a list, or with --follow one object on each line"},
		}),
		Action: func(ctx context.Context, c *cli.Command) error {
			query, err := queryOf(c, decisionFilters)
			if err != nil {
				return err
			}
			limit, interval := c.Int("limit"), c.Duration("interval")
			if err := checkPace(c); err != nil {
				return err
			}
			if err := checkOutcome(c.String("outcome")); err != nil {
				return err
			}
			out := decisionPrinter{newItemPrinter(stdout, c.Bool("json"))}
			if c.Bool("follow") {
				return followDecisions(ctx, c, query, limit, interval, out, stderr)
			}
			items, more, err := listAdmin(ctx, c, "/api/v1/decisions", "decisions", query, limit)
			if err != nil {
				return err
			}
			if err := out.list(items); err != nil {
				return err
			}
			if more {
				hintMore(stderr, limit)
			}
			return nil
		},
	}
}

// checkOutcome checks the outcome that is selected, which the server does not see when
// decisions are followed.
func checkOutcome(outcome string) error {
	if known := append(slices.Clone(event.Results), waiting); outcome != "" && !slices.Contains(known, outcome) {
		return &usageError{fmt.Errorf("--outcome: %q is none of %s", outcome, strings.Join(known, ", "))}
	}
	return nil
}

// decisionPrinter prints decisions.
type decisionPrinter struct{ itemPrinter }

// list prints a list of decisions.
func (p decisionPrinter) list(items []json.RawMessage) error {
	all, err := decodeAll[event.Outcome](items)
	if err != nil {
		return err
	}
	l := listing{head: []any{"time", "project", "ref", "pipeline/job", "rule", "action", "outcome", "reason"}}
	for _, o := range all {
		o := cleaned(o)
		l.rows = append(l.rows, row{
			cells:     []any{timeOf(o), o.Project.Path, cmp.Or(o.Job.Ref, o.Pipeline.Ref), jobOf(o), ruleOf(o), o.Action.Verb, p.outcome(o), p.reason(o)},
			paragraph: p.paragraph(o),
		})
	}
	return p.all(items, l, "no decisions")
}

// paragraph returns the lines about a decision, which is cleaned.
func (p decisionPrinter) paragraph(o event.Outcome) []string {
	return []string{
		fmt.Sprintf("%s  %s  %s", timeOf(o), p.outcome(o), p.colour.bold(words.ActionOf(&o.Decision))+requestedBy(o)),
		whereText(admin.Subject{
			Project: o.Project.Path, Ref: cmp.Or(o.Job.Ref, o.Pipeline.Ref), Pipeline: o.Pipeline.ID, Job: o.Job.ID, JobName: o.Job.Name, Rule: o.Rule,
		}),
		p.reason(o),
	}
}

// ruleOf returns the rule of a decision, or who requested it.
func ruleOf(o event.Outcome) string {
	if o.Requested() {
		return o.By.String()
	}
	return o.Rule
}

// requestedBy returns " by" and who requested a decision; "": a rule did.
func requestedBy(o event.Outcome) string {
	if o.Requested() {
		return " by " + o.By.String()
	}
	return ""
}

// outcome returns the outcome in its colour.
func (p decisionPrinter) outcome(o event.Outcome) string {
	switch o.Result {
	case "":
		return p.colour.dim(waiting)
	case event.ResultDone, event.ResultRecovered:
		return p.colour.green(o.Result)
	case event.ResultFailed, event.ResultGaveUp:
		return p.colour.red(o.Result)
	case event.ResultDeferred:
		return p.colour.yellow(o.Result)
	}
	return o.Result
}

// reason returns the reason of the outcome; of a decision that failed, with its id, by
// which it can be requeued; and which channels were not notified of the outcome.
func (p decisionPrinter) reason(o event.Outcome) string {
	var lines []string
	if o.Reason != "" {
		lines = append(lines, o.Reason)
	}
	if o.Result == event.ResultFailed {
		lines = append(lines, p.colour.dim("id "+o.ID))
	}
	for _, n := range o.NotNotified() {
		lines = append(lines, p.colour.red(fmt.Sprintf("%s not notified: %s", n.Address, n.Error)))
	}
	return strings.Join(lines, "\n")
}

// timeOf returns when the decision got its outcome, or was made.
func timeOf(o event.Outcome) string {
	at := o.At
	if at.IsZero() {
		at = o.DecidedAt
	}
	return timeText(at)
}

// jobOf returns the pipeline and the job of a decision, as far as it has them.
func jobOf(o event.Outcome) string { return jobText(o.Pipeline.ID, o.Job.ID, o.Job.Name) }

// jobText returns pipeline and job as in 70/rspec (700).
func jobText(pipeline, job int64, name string) string {
	if pipeline == 0 && job == 0 {
		return ""
	}
	text := strconv.FormatInt(pipeline, 10)
	if job != 0 {
		text += fmt.Sprintf("/%s (%d)", name, job)
	}
	return text
}
