package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/sweep"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func sweepCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "sweep",
		Usage: "run the schedule rules now",
		Description: "Goes through the jobs of the projects that the rules `on: schedule` name, erases what they say, and sums\n" +
			"up what that freed. Look at what would go with --dry-run first. Ctrl-C ends it; the same command goes on\n" +
			"where it stopped. What other actions want is queued: `serve` on the same store carries it out. Exit status: 0;\n" +
			"1 when a run was stopped, or all that it tried failed; 2 for a wrong command line.",
		Flags: append(flagsOf("rules", "store", "gitlab-url", "gitlab-token", "gitlab-rate", "log-window", "dry-run"),
			&cli.StringSliceFlag{Name: "rule", Usage: "only the rule of this `NAME` (repeatable)"},
			&cli.BoolFlag{Name: "restart", Usage: "begin anew, where a sweep was stopped"},
			&cli.BoolFlag{Name: "json", Usage: "print the sums as JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("sweep takes no arguments, but got %q: name a rule with --rule", c.Args().First())}
			}
			o, err := readSettings(c)
			if err != nil {
				return err
			}
			return runSweep(ctx, o, sweepOptions{c.StringSlice("rule"), c.Bool("restart"), c.Bool("json")}, stdout, stderr)
		},
	}
}

type sweepOptions struct {
	rules         []string // names; none: all
	restart, json bool
}

func runSweep(ctx context.Context, o app.Options, only sweepOptions, stdout, stderr io.Writer) (err error) {
	loaded, err := app.LoadRules(o.Rules, rulefile.Options{DryRun: o.DryRun, Capacity: limits.NewCapacity()})
	if err != nil {
		return err
	}
	scheduled, err := chosen(loaded.Scheduled(), only.rules)
	if err != nil {
		return err
	}
	log := newLogger(stderr)
	db, err := app.OpenStore(ctx, o.Store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	gl, err := app.NewGitLab(o, db, nil, log)
	if err != nil {
		return err
	}

	show := newSweepView(stderr)
	decisions := actions.New(actions.Config{Queue: db, Journal: db, Now: time.Now, Workers: 1})
	manual := sweep.Manual{
		Sweeper: sweep.Sweeper{
			GitLab: gl, Rules: func() *rules.Rules { return loaded }, Now: time.Now, Pauses: pause.Pauses{Store: db, Now: time.Now},
			Queue: decisions.QueueDecisions, Capacity: sweep.QueueCapacity(db),
		},
		Store: db, Display: sweepDisplay{show, stderr}, Restart: only.restart,
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
			show.say(fmt.Sprintf("%s: %v", rule.Name, err))
		}
		failed = failed || err != nil || sweep.Outcome(run, gl.Instance(), time.Now().UTC()).Result == event.ResultFailed
	}
	show.end(stopped || failed)
	if only.json {
		err = printJSON(stdout, runs)
	} else {
		err = printSweeps(stdout, runs)
	}
	if stopped {
		fmt.Fprintln(stderr, "stopped: the same command goes on from here, with --restart from the beginning")
	}
	if stopped || failed {
		err = errors.Join(err, errTold)
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

// sweepView shows the progress of sweeps.
type sweepView interface {
	begin(run event.Sweep) func(sweep.Step)
	say(line string)
	end(stopped bool)
}

// sweepDisplay shows runs by hand in a view.
type sweepDisplay struct {
	view   sweepView
	stderr io.Writer
}

var _ sweep.Display = sweepDisplay{}

// Continued implements sweep.Display.
func (d sweepDisplay) Continued(run event.Sweep) {
	fmt.Fprintf(d.stderr, "%s: goes on with the sweep that began %s and was stopped after %s jobs; --restart begins anew\n",
		run.Rule, humanize.Time(run.Began), humanize.Comma(int64(run.Jobs)))
}

// Begin implements sweep.Display.
func (d sweepDisplay) Begin(run event.Sweep) func(sweep.Step) { return d.view.begin(run) }

// Waits implements sweep.Display.
func (d sweepDisplay) Waits(run event.Sweep, wait time.Duration, err error) {
	d.view.say(fmt.Sprintf("%s: goes on in %s: %v", run.Rule, wait.Round(time.Second), err))
}

func newSweepView(stderr io.Writer) sweepView {
	if f, ok := stderr.(*os.File); ok && isTerminal(stderr) {
		return newSweepBar(f)
	}
	return &sweepLines{out: stderr}
}

// sweepProgress is the progress of a sweep.
type sweepProgress struct {
	mu    sync.Mutex
	rule  string
	began time.Time
	first int // jobs that were processed before
	at    sweep.Step
	// from and done are how many projects were done at first, and are done now, with the
	// part of the current one.
	from, done float64
	event.SweepCounts
}

func newSweepProgress(run event.Sweep) *sweepProgress {
	return &sweepProgress{rule: run.Rule, began: time.Now(), first: run.Jobs, SweepCounts: run.SweepCounts}
}

func (s *sweepProgress) add(step sweep.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Add(step.SweepCounts)
	done := float64(step.Position-1) + step.Through
	if s.at.Projects == 0 {
		s.from = done
	}
	s.at, s.done = step, max(s.done, done) // jobs that are processed at the same time end in any order
}

// part returns how many projects this process has done, and how many it has to do.
func (s *sweepProgress) part() (done, of float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done - s.from, float64(s.at.Projects) - s.from
}

// line returns the progress for people: what is done, how fast, and how long the rest may
// take, estimated from the projects and the dates of their jobs.
func (s *sweepProgress) line(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := now.Sub(s.began)
	if s.at.Projects == 0 {
		return s.rule + ": looks its projects up"
	}
	line := fmt.Sprintf("%s: project %d of %d (%s), %s jobs, %.0f/s, %s erased, %s freed", s.rule, s.at.Position, s.at.Projects, s.at.Project,
		humanize.Comma(int64(s.Jobs)), s.rate(now), humanize.Comma(int64(s.Erased)), humanize.Bytes(uint64(s.Freed)))
	if done := s.done - s.from; done > 0.001 {
		left := time.Duration(float64(took) / done * (float64(s.at.Projects) - s.done))
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	return line
}

// short returns the line beside a bar, which shows the rest.
func (s *sweepProgress) short(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%s: %s looked at, %.0f/s, %s freed", s.rule, humanize.Comma(int64(s.Jobs)), s.rate(now), humanize.Bytes(uint64(s.Freed)))
}

// rate returns how many jobs were processed per second.
func (s *sweepProgress) rate(now time.Time) float64 {
	return float64(s.Jobs-s.first) / max(now.Sub(s.began).Seconds(), 0.001)
}

// linesEach is the time between two lines of progress without a terminal.
const linesEach = 5 * time.Second

// sweepLines writes a line of progress every linesEach.
type sweepLines struct {
	mu   sync.Mutex
	out  io.Writer
	stop func()
}

func (v *sweepLines) begin(run event.Sweep) func(sweep.Step) {
	v.end(false)
	s := newSweepProgress(run)
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(linesEach)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				v.say(s.line(now))
			}
		}
	})
	v.stop = func() {
		close(done)
		writing.Wait()
		v.stop = nil
		v.say(s.line(time.Now()))
	}
	return s.add
}

func (v *sweepLines) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.out, line)
}

func (v *sweepLines) end(bool) {
	if v.stop != nil {
		v.stop()
	}
}

// A bar counts thousandths of projects.
const thousandth = 1000

var inProjects = progress.Units{Formatter: func(n int64) string {
	return fmt.Sprintf("%.1f projects", float64(n)/thousandth)
}}

// sweepBar shows bars on a terminal, one for each rule.
type sweepBar struct {
	bars  progress.Writer
	ended sync.WaitGroup
	last  *progress.Tracker
}

func newSweepBar(out *os.File) *sweepBar {
	v := &sweepBar{bars: progress.NewWriter()}
	v.bars.SetOutputWriter(out)
	v.bars.SetUpdateFrequency(200 * time.Millisecond)
	v.bars.SetTrackerLength(20)
	v.bars.SetTrackerPosition(progress.PositionRight)
	v.bars.Style().Visibility.ETA = true
	v.bars.Style().Visibility.Value = true
	v.ended.Go(v.bars.Render)
	return v
}

func (v *sweepBar) begin(run event.Sweep) func(sweep.Step) {
	v.done(false)
	s := newSweepProgress(run)
	tracker := &progress.Tracker{Message: run.Rule, Total: thousandth, Units: inProjects, AutoStopDisabled: true}
	v.last = tracker
	v.bars.AppendTracker(tracker)
	var shown time.Time
	var mu sync.Mutex
	return func(step sweep.Step) {
		s.add(step)
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(shown) > 100*time.Millisecond {
			shown = now
			done, of := s.part()
			tracker.UpdateTotal(int64(of * thousandth))
			tracker.SetValue(int64(done * thousandth))
			tracker.UpdateMessage(s.short(now))
		}
	}
}

func (v *sweepBar) say(line string) { v.bars.Log("%s", line) }

func (v *sweepBar) done(stopped bool) {
	switch {
	case v.last == nil:
	case stopped:
		v.last.MarkAsErrored()
	default:
		v.last.MarkAsDone()
	}
}

func (v *sweepBar) end(stopped bool) {
	v.done(stopped)
	v.bars.Stop()
	v.ended.Wait()
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
		if _, err := fmt.Fprintln(w, "!", p); err != nil {
			return err
		}
	}
	return nil
}

func sweepTable(run event.Sweep) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	erased, freed := "erased", "freed"
	if run.DryRun {
		erased, freed = "would erase", "would free"
	}
	t.AppendHeader(table.Row{"project", "jobs", erased, "erased before", "kept", "queued", "failed", freed})
	row := func(name string, c event.SweepCounts) table.Row {
		n := func(i int) string { return humanize.Comma(int64(i)) }
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
	for i := 2; i <= 8; i++ {
		columns = append(columns, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignFooter: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t.Render()
}
