package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/steer"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// recordFilters are the filters of the API; those of queuedFilters are not for dead
// records.
var (
	recordFilters = []filterFlag{
		{"kind", "only records of this `KIND`: " + strings.Join(steer.Kinds, ", ")},
		{"project", "only those of the projects whose path the `GLOB` matches, in any letter case, or of that with this id"},
		{"rule", "only those of the rule of this `NAME`"},
		{"action", "only those with this `ACTION`: " + strings.Join(event.Verbs, ", ")},
		{"pipeline", "only those of the pipeline with this `ID`"},
		{"job", "only those of the job with this `ID`"},
		{"since", "only those whose event was received or whose decision was made since `WHEN`, with --dead those buried since: so long ago, like 2h or 7d, or a time, like 2026-12-24T18:00:00Z"},
	}
	queuedFilters = []filterFlag{
		{"state", "only those in this `STATE`: due, waiting or leased"},
		{"waits-for", "only those that wait for `WHAT`: " + strings.Join(event.Waits, ", ")},
	}
)

func queueCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "queue",
		Usage: "look at the queue of a running server, and change it",
		Commands: []*cli.Command{
			queueListCommand(stdout, stderr),
			queueRequeueCommand(stdout),
			queueDropCommand(stdout, os.Stdin),
		},
	}
}

func queueListCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list what waits, for what and until when; with --dead, what was buried and why",
		Description: "Lists records, those that are due soonest first. Dead records are those that failed for good: nothing happens with\n" +
			"them until somebody requeues or drops them. On a narrow terminal, each record is a paragraph instead of a row.",
		Flags: slices.Concat(adminFlags(), filterFlags(queuedFilters), filterFlags(recordFilters), []cli.Flag{
			&cli.BoolFlag{Name: "dead", Usage: "list the dead records, newest first"},
			&cli.IntFlag{Name: "limit", Value: 50, Usage: "list at most `N`"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		}),
		Action: func(ctx context.Context, c *cli.Command) error {
			filters, path, member := slices.Concat(queuedFilters, recordFilters), "/api/v1/queue", "records"
			if c.Bool("dead") {
				path, member = "/api/v1/dead", "dead"
				for _, f := range queuedFilters {
					if c.IsSet(f.name) {
						return &usageError{fmt.Errorf("--%s selects records in the queue, and --dead lists those that are not in it any more: give one", f.name)}
					}
				}
			}
			query, err := queryOf(c, filters)
			if err != nil {
				return err
			}
			limit := c.Int("limit")
			if limit < 1 {
				return &usageError{errors.New("--limit must be more than 0")}
			}
			items, more, err := listAdmin(ctx, c, path, member, query, limit)
			if err != nil {
				return err
			}
			out, none := newItemPrinter(stdout, c.Bool("json")), "no records"
			var l listing
			if c.Bool("dead") {
				none = "no dead records"
				dead, err := decodeAll[admin.DeadRecord](items)
				if err != nil {
					return err
				}
				l = listDead(dead, out.colour)
			} else {
				records, err := decodeAll[admin.QueuedRecord](items)
				if err != nil {
					return err
				}
				l = listQueue(records, out.colour, time.Now())
			}
			if err := out.all(items, l, none); err != nil {
				return err
			}
			if more {
				defer hintMore(stderr, limit)
			}
			if out.json {
				return nil
			}
			var depth admin.Depth
			if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/queue?limit=1", nil, &depth); err != nil {
				return err
			}
			_, err = fmt.Fprintf(stdout, "%s in all\n", depthText(depth))
			return err
		},
	}
}

// depthText counts the records of the queue for people.
func depthText(d admin.Depth) string {
	return fmt.Sprintf("%d due, %d waiting, %d leased, %d dead", d.Due, d.Waiting, d.Leased, d.Dead)
}

// listQueue returns the list of records in the queue.
func listQueue(records []admin.QueuedRecord, p printer, now time.Time) listing {
	l := listing{head: []any{"until", "state", "what", "project", "pipeline/job", "rule", "tries", "waits for"}}
	for _, r := range records {
		r := cleaned(r)
		why := strings.TrimSpace(strings.Join([]string{r.WaitsFor, r.Reason}, "\n"))
		until := timeText(r.Until)
		about := cmp.Or(r.About, r.Kind)
		l.rows = append(l.rows, row{
			cells: []any{until, stateText(r.State, p), about, r.Project, jobText(r.Pipeline, r.Job, r.JobName), r.Rule, strconv.Itoa(r.Tries), why + idLine(r.ID, p)},
			paragraph: []string{
				p.bold(about) + "  " + stateText(r.State, p),
				dueText(r, now),
				whereText(r.Subject),
				r.Reason,
				strings.TrimSpace(idLine(r.ID, p)),
			},
		})
	}
	return l
}

// idLine returns the line with the id of a record.
func idLine(id string, p printer) string { return "\n" + p.dim(id) }

// stateText returns the state of a record in its colour.
func stateText(state string, p printer) string {
	switch state {
	case admin.StateLeased:
		return p.green(state)
	case admin.StateWaiting:
		return p.yellow(state)
	}
	return state
}

// dueText returns what a record waits for and until when, and how often it was tried.
func dueText(r admin.QueuedRecord, now time.Time) string {
	var parts []string
	switch r.State {
	case admin.StateWaiting:
		parts = []string{fmt.Sprintf("until %s, in %s", timeText(r.Until), event.Coarse(max(r.Until.Sub(now), 0)))}
		if r.WaitsFor != "" {
			parts = append(parts, "for "+r.WaitsFor)
		}
	case admin.StateDue:
		parts = []string{"since " + timeText(r.Until)}
	}
	if r.Tries > 0 {
		parts = append(parts, "tried "+english.Plural(r.Tries, "time", ""))
	}
	return strings.Join(parts, ", ")
}

// whereText returns project, ref, pipeline, job and rule of a record.
func whereText(s admin.Subject) string {
	var parts []string
	if where := strings.TrimSpace(s.Project + " " + s.Ref); where != "" {
		parts = append(parts, where)
	}
	if s.Pipeline != 0 {
		parts = append(parts, fmt.Sprintf("pipeline %d", s.Pipeline))
	}
	if s.Job != 0 {
		parts = append(parts, fmt.Sprintf("job %d", s.Job))
	}
	if s.Rule != "" {
		parts = append(parts, "rule "+s.Rule)
	}
	return strings.Join(parts, ", ")
}

// listDead returns the list of dead records.
func listDead(dead []admin.DeadRecord, p printer) listing {
	l := listing{head: []any{"buried", "what", "project", "pipeline/job", "rule", "reason"}}
	for _, d := range dead {
		d := cleaned(d)
		about := cmp.Or(d.About, d.Kind)
		l.rows = append(l.rows, row{
			cells: []any{timeText(d.At), about, d.Project, jobText(d.Pipeline, d.Job, d.JobName), d.Rule, d.Reason + idLine(d.ID, p)},
			paragraph: []string{
				p.bold(about) + "  " + p.red("dead"),
				"since " + timeText(d.At),
				whereText(d.Subject),
				d.Reason,
				strings.TrimSpace(idLine(d.ID, p)),
			},
		})
	}
	return l
}

// changeFlags are the flags of the commands that change records.
func changeFlags() []cli.Flag {
	return append(adminFlags(), byFlag(), &cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why, for those who look at the changes"},
		&cli.BoolFlag{Name: "json", Usage: "print the server's answers as JSON, in a list"})
}

func queueRequeueCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "requeue",
		Usage:     "put dead records back, or have failed decisions made again",
		ArgsUsage: "ID…",
		Description: "An ID is that of a dead record (`queue list --dead`), or of a decision with the outcome failed (`decisions --outcome failed`).\n" +
			"A decision is checked again before it is carried out: if it is not needed any more, it is skipped. A failed one can be made again once for each failure.",
		Flags: changeFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			return eachRecord(ctx, c, stdout, "requeue", func(done event.Requeued) string {
				if done.Decision != "" {
					return "requeued " + done.ID + " as " + done.Decision
				}
				return "requeued " + done.ID
			})
		},
	}
}

func queueDropCommand(stdout io.Writer, stdin *os.File) *cli.Command {
	return &cli.Command{
		Name:      "drop",
		Usage:     "remove records that wait, or dead ones, for good",
		ArgsUsage: "ID…",
		Description: "An ID is that of a record (`queue list`, `queue list --dead`). The outcome of a decision that is dropped is `skipped`.\n" +
			"A leased record, which a worker carries out now, can't be dropped.",
		Flags: append(changeFlags(), &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask first"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Bool("json") && !c.Bool("yes") {
				return &usageError{errors.New("drop removes records for good: with --json, which asks nobody, give --yes")}
			}
			if c.Args().Present() && !c.Bool("yes") {
				if err := confirmDrop(c.Args().Slice(), stdin, isTerminal(stdin), stdout); err != nil {
					return err
				}
			}
			return eachRecord(ctx, c, stdout, "drop", func(done event.Requeued) string { return "dropped " + done.ID })
		},
	}
}

// confirmDrop asks a person on a terminal whether records are to be dropped.
func confirmDrop(ids []string, in io.Reader, terminal bool, out io.Writer) error {
	if !terminal {
		return &usageError{errors.New("drop removes records for good: give --yes where nobody can be asked")}
	}
	for _, id := range ids {
		fmt.Fprintln(out, "  "+id)
	}
	fmt.Fprintf(out, "drop %s for good? [y/N] ", english.Plural(len(ids), "record", ""))
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was dropped")
	}
	return nil
}

// eachRecord changes each of the records in the arguments, and prints the results; the
// error is of all that failed.
func eachRecord(ctx context.Context, c *cli.Command, stdout io.Writer, change string, text func(event.Requeued) string) error {
	if !c.Args().Present() {
		return &usageError{fmt.Errorf("queue %s needs the ID of a record: see `pipesteward queue list --help`", change)}
	}
	var errs []error
	all := []event.Requeued{}
	for _, id := range c.Args().Slice() {
		if id == "" {
			return &usageError{errors.New("an ID is empty, as an unset variable is")}
		}
		var done event.Requeued
		err := callAdmin(ctx, c, http.MethodPost, "/api/v1/queue/"+url.PathEscape(id)+"/"+change, admin.ChangeRequest{By: who(c), Reason: c.String("reason")}, &done)
		if _, refused := errors.AsType[*refusedError](err); refused {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
			continue
		}
		if err != nil {
			errs = append(errs, err)
			break
		}
		if all = append(all, done); !c.Bool("json") {
			fmt.Fprintln(stdout, text(done))
		}
	}
	if c.Bool("json") {
		errs = append(errs, printJSON(stdout, all))
	}
	return errors.Join(errs...)
}
