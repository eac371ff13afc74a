package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/facts/ondefault"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/progress"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/store/traced"
)

func sweepCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "sweep",
		Usage: "run the schedule rules now",
		Description: "Evaluates the rules with `on: schedule` on all jobs of the projects that they name, whatever their cron says.\n" +
			"Jobs are erased at once, and it prints how much space that freed; other actions are queued, and `serve` on the\n" +
			"same store carries them out. See with --dry-run first what would be erased. Ctrl-C stops it; the same command continues\n" +
			"where it was stopped.\n\n" +
			"Exit status: 0 when all is done; 1 when it was stopped, or all that a rule tried failed; 2 for a wrong command line.",
		Flags: append(reworded(map[string]string{"dry-run": "change nothing in GitLab, and print what would be erased", "gitlab-token": dryRunToken},
			flagsOf("rules", "store", "gitlab-url", "gitlab-token", "gitlab-rate", "log-window", "dry-run", "log-level", "log-format")),
			&cli.StringSliceFlag{Name: "rule", Usage: "only the rule of this `NAME` (repeatable)"},
			&cli.BoolFlag{Name: "restart", Usage: "begin from the start, also if a sweep was stopped"},
			&cli.BoolFlag{Name: "json", Usage: "print the sums as JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			o, log, err := commandSettings(c, stderr, scopeOf(c))
			if err != nil {
				return err
			}
			return runSweep(ctx, o, sweepOptions{c.StringSlice("rule"), c.Bool("restart"), c.Bool("json")}, log, stdout, stderr)
		},
	}
}

type sweepOptions struct {
	rules         []string // names; none: all
	restart, json bool
}

func runSweep(ctx context.Context, o app.Options, only sweepOptions, log *slog.Logger, stdout, stderr io.Writer) (err error) {
	loaded, err := app.LoadRules(o.Rules, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()})
	if err != nil {
		return err
	}
	scheduled, err := chosen(loaded.Scheduled(), only.rules)
	if err != nil {
		return err
	}
	db, err := app.OpenStore(ctx, o.Store, app.Longest(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db = traced.New(db, time.Now)
	gl, err := app.NewGitLab(o, db, nil, log)
	if err != nil {
		return err
	}

	show := progress.New(stderr, wrap.Columns(stderr))
	decisions := actions.New(actions.Config{Queue: db, Journal: db, Now: time.Now, Workers: 1})
	manual := sweep.Manual{
		Sweeper: sweep.Sweeper{
			GitLab: gl, Rules: func() *rules.Rules { return loaded }, Now: time.Now, Pauses: pause.Pauses{Store: db, Now: time.Now},
			Queue: decisions.QueueDecisions, Capacity: sweep.QueueCapacity(db), Default: ondefault.New(time.Now),
		},
		Store: db, Display: show, Restart: only.restart,
	}
	var runs []event.Sweep
	stopped, failed := false, false
	for _, rule := range scheduled {
		run, err := manual.Run(ctx, rule)
		if !run.Began.IsZero() {
			runs = append(runs, run)
		}
		if stopped = ctx.Err() != nil; stopped {
			break
		}
		if err != nil {
			show.Say(printable(fmt.Sprintf("%s: %v", rule.Name, err)))
		}
		failed = failed || err != nil || sweep.Outcome(run, gl.Instance(), time.Now().UTC()).Result == event.ResultFailed
	}
	show.End(stopped || failed)
	if only.json {
		err = printJSON(stdout, runs)
	} else {
		err = printSweeps(stdout, runs)
	}
	if stopped {
		fmt.Fprintln(stderr, "stopped: the same command goes on from here, with --restart from the beginning")
	}
	if stopped || failed {
		err = errors.Join(err, errReported)
	}
	return err
}

// chosen returns the rules with these names; all rules without names.
func chosen(all []rules.Scheduled, names []string) ([]rules.Scheduled, error) {
	if len(all) == 0 {
		return nil, errors.New("there is no rule `on: schedule` to run: rules.example.yaml shows one")
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(r rules.Scheduled) bool { return r.Name == name }) {
			return nil, &usageError{fmt.Errorf("--rule: there is no schedule rule %q", name)}
		}
	}
	return slices.DeleteFunc(all, func(r rules.Scheduled) bool { return len(names) > 0 && !slices.Contains(names, r.Name) }), nil
}

// printSweeps prints the results of the runs, a table for each.
func printSweeps(w io.Writer, runs []event.Sweep) error {
	for i, run := range runs {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", run.Rule, run.Sums()); err != nil {
			return err
		}
		if len(run.Projects) > 0 {
			if _, err := fmt.Fprintln(w, sweepTable(run)); err != nil {
				return err
			}
		}
		if err := printProblems(w, run.Problems); err != nil {
			return err
		}
	}
	return nil
}

// printProblems prints the problems, a line for each.
func printProblems(w io.Writer, problems []event.SweepProblem) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, "!", printable(p.String())); err != nil {
			return err
		}
	}
	return nil
}

func sweepTable(run event.Sweep) string {
	erased, freed := "erased", "freed"
	if run.DryRun {
		erased, freed = "would erase", "would free"
	}
	columnNames := []any{"project", "jobs", erased, "erased before", "kept", "queued", "failed", freed}
	if !run.Erases() {
		columnNames = []any{"project", "jobs", "kept", "queued", "failed"}
	}
	t := newTable(columnNames...)
	row := func(name string, c event.SweepCounts) table.Row {
		n := func(i int) string { return humanize.Comma(int64(i)) }
		if !run.Erases() {
			return table.Row{name, n(c.Jobs), n(c.Kept), n(c.Queued), n(c.Failed)}
		}
		return table.Row{name, n(c.Jobs), n(c.Erased), n(c.Before), n(c.Kept), n(c.Queued), n(c.Failed), humanize.Bytes(uint64(c.Freed))}
	}
	for _, p := range run.Projects {
		t.AppendRow(row(p.Path, p.SweepCounts))
	}
	if run.More > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("and %d more", run.More)})
	}
	t.AppendFooter(row("all projects", run.SweepCounts))
	var columns []table.ColumnConfig
	for i := 2; i <= len(columnNames); i++ {
		columns = append(columns, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignFooter: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t.Render()
}
