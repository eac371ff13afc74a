package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/backtest"
	"github.com/pipesteward/pipesteward/actions/backtest/history"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

func backtestCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "backtest",
		Usage: "run the rules, dry, over past jobs, and tell what they would have done and saved",
		Description: "Reads the past jobs of projects from GitLab, rebuilds the events of those that ended, and evaluates the rules on them with\n" +
			"the clock of each. It prints for each rule what it would have done and how often such a job passed when somebody really\n" +
			"ran it again, the failures that no rule acts on, and what retries would have saved and wasted. No webhook and no server\n" +
			"is needed, and nothing is changed; with --seed, only a server at --admin-url learns what became of each such run.\n\n" +
			"What was read is kept in --cache, readable by you alone, with secrets in logs masked: Ctrl-C stops it, and the same\n" +
			"command continues where it was stopped; a second backtest reads only what is new.\n\n" +
			"Exit status: 0; 1 when it was stopped, or a project could not be read; 2 for a wrong command line.",
		Flags: slices.Concat(reworded(map[string]string{
			"gitlab-token": secretUsage("gitlab-token", tokenUsage(scopeRead)),
			"store":        secretUsage("store", "the `URL` of a Redis (redis://, ...) whose replicas share --gitlab-rate with this command"),
		}, flagsOf("rules", "store", "gitlab-url", "gitlab-token", "gitlab-rate", "native-retry-wait", "log-window", "log-level", "log-format")), adminFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "project", Usage: "`PROJECT`, glob or group whose jobs are read (repeatable)"},
			&cli.StringFlag{Name: "since", Value: "7d", Usage: "jobs that ended since `WHEN`: so long ago, like 24h or 7d, or a time, like 2026-11-24T00:00:00Z"},
			&cli.StringFlag{Name: "until", Usage: "jobs that ended until `WHEN`, likewise; default: now"},
			&cli.StringFlag{Name: "cache", Usage: "`DIRECTORY` of what was read of GitLab; default: pipesteward/backtest in the user's cache directory"},
			&cli.StringFlag{Name: "compare", Usage: "another rule `FILE`, or directory of *.yaml, to compare with; - reads it from standard input"},
			&cli.BoolFlag{Name: "seed", Usage: "add what became of runs that were run again to what a running server knows of retries, each once"},
			&cli.IntFlag{Name: "passing-logs", Usage: "read also the logs of the newest `N` runs of each job that passed, for `pipesteward propose`"},
			&cli.BoolFlag{Name: "no-logs", Usage: "read no job logs: rules that need them can't be evaluated then"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON, with each failed job that was really run again"},
		}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Bool("seed") {
				if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/status", nil, &admin.Status{}); err != nil { // before GitLab is read
					return err
				}
			}
			o, log, err := commandSettings(c, stderr, scopeRead)
			if err != nil {
				return err
			}
			b, err := backtestOptions(c, time.Now())
			if err != nil {
				return err
			}
			if c.Bool("seed") {
				b.seed = func(instance string, tries []backtest.Try) error { return seed(ctx, c, instance, tries, stderr) }
			}
			return runBacktest(ctx, o, b, log, stdout, stderr)
		},
	}
}

type backtestSettings struct {
	projects     []string
	since, until time.Time
	cache        string
	compare      string // "": with nothing
	logs, json   bool
	passing      int                                               // how many logs of each job that passed are read
	seed         func(instance string, tries []backtest.Try) error // nil: no server is told
}

// backtestOptions reads the flags that only this command has.
func backtestOptions(c *cli.Command, now time.Time) (b backtestSettings, err error) {
	b = backtestSettings{projects: c.StringSlice("project"), until: now, compare: c.String("compare"), logs: !c.Bool("no-logs"), json: c.Bool("json"), passing: c.Int("passing-logs")}
	var wrong []error
	if len(b.projects) == 0 {
		wrong = append(wrong, errors.New("--project: name at least one project, glob or group, such as --project platform/shop"))
	}
	for _, entry := range b.projects {
		if err := rules.CheckProjects(entry); err != nil {
			wrong = append(wrong, fmt.Errorf("--project: %w", err))
		}
	}
	if b.since, err = parseWhen("since", c.String("since"), now); err != nil {
		wrong = append(wrong, err)
	}
	if text := c.String("until"); text != "" {
		if b.until, err = parseWhen("until", text, now); err != nil {
			wrong = append(wrong, err)
		}
	}
	switch {
	case b.passing < 0 || b.passing > maxPassingLogs:
		wrong = append(wrong, fmt.Errorf("--passing-logs: give a number from 0 to %d, not %d", maxPassingLogs, b.passing))
	case b.passing > 0 && !b.logs:
		wrong = append(wrong, errors.New("--passing-logs and --no-logs: give one of them"))
	}
	if len(wrong) == 0 && !b.since.Before(b.until) {
		wrong = append(wrong, fmt.Errorf("--since: %s is not before %s, where the time of the backtest ends", timeText(b.since), timeText(b.until)))
	}
	if len(wrong) > 0 {
		return b, &usageError{errors.Join(wrong...)}
	}
	b.cache, err = backtestCache(c)
	return b, err
}

// maxPassingLogs is how many logs of each job that passed can be read.
const maxPassingLogs = 100

// backtestCache returns the directory of what backtests have read of GitLab.
func backtestCache(c *cli.Command) (string, error) {
	if dir := c.String("cache"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("--cache: give a directory, since there is none for caches: %w", err)
	}
	return filepath.Join(dir, "pipesteward", "backtest"), nil
}

func runBacktest(ctx context.Context, o app.Options, b backtestSettings, log *slog.Logger, stdout, stderr io.Writer) (err error) {
	ruleFiles, sets := []string{o.Rules}, make([]*rules.Rules, 1)
	if sets[0], err = app.LoadRules(o.Rules, rulefile.Options{}); err != nil {
		return err
	}
	if b.compare != "" {
		other, err := comparedRules(b.compare)
		if err != nil {
			return fmt.Errorf("--compare: %w", err)
		}
		ruleFiles, sets = append(ruleFiles, b.compare), append(sets, other)
	}
	limiter, closeLimiter, err := app.OpenLimiter(ctx, o.Store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLimiter()) }()
	gl, err := app.NewGitLab(o, limiter, nil, log)
	if err != nil {
		return err
	}
	gl = gl.Sweeping()

	show := newBacktestProgress(stderr)
	reader := history.Reader{GitLab: gl, Dir: b.cache, Window: o.LogWindow, Now: time.Now, Sleep: gitlab.Sleep, Say: show.say, Unusable: show.unusable}
	cfg := backtest.Config{Since: b.since, Until: b.until, Events: gl, NativeRetry: o.NativeRetryWait, Progress: show.evaluated}
	if b.logs {
		cfg.Logs = reader
	}
	var problems []event.SweepProblem
	cfg.Projects, problems, err = readProjects(ctx, gl, reader, b, show)
	results := make([]backtestResult, len(sets))
	if err == nil {
		err = runRules(ctx, cfg, ruleFiles, sets, results, func(past *backtest.Backtest) error { return past.ReadPassing(ctx, b.passing, reader) })
	}
	show.end()
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped: what was read is kept, and the same command goes on from there")
	case err != nil:
		if _, ofCache := errors.AsType[*history.CacheError](err); ofCache {
			err = fmt.Errorf("--cache: %w", err)
		}
		return errors.Join(err, printProblems(stderr, problems))
	}
	if b.json {
		err = printJSON(stdout, backtestJSON(results, problems))
	} else if err = newBacktestPrinter(stdout).print(stdout, results); err == nil {
		err = printProblems(stdout, problems)
	}
	if err == nil && b.seed != nil {
		err = b.seed(gl.Instance(), results[0].Tries)
	}
	if err == nil && len(problems) > 0 {
		err = errReported
	}
	return err
}

// comparedRules loads the rules of --compare.
func comparedRules(path string) (*rules.Rules, error) {
	sources, err := readSources(path)
	if err != nil {
		return nil, err
	}
	loaded, _, err := app.LoadSources(sources, rulefile.Options{})
	return loaded, err
}

// readProjects reads the jobs of the projects. The problems are about entries that name
// none, and about projects that can't be read; the error about GitLab as a whole.
func readProjects(ctx context.Context, gl *gitlab.Client, reader history.Reader, b backtestSettings, show *backtestProgress) (all []backtest.Project, problems []event.SweepProblem, err error) {
	found, problems, err := projects.Resolve(ctx, gl, b.projects)
	if err != nil {
		return nil, problems, err
	}
	from := b.since.Add(-backtest.Reach)
	for _, p := range found {
		pipelines, err := reader.Pipelines(ctx, p, from, func(back time.Time, _ int) { show.read(p.Path, from, back) })
		switch {
		case history.IsGeneral(ctx, err):
			if _, ofCache := errors.AsType[*history.CacheError](err); !ofCache {
				err = fmt.Errorf("%w; what was read is kept, and the same command goes on from there", err)
			}
			return nil, problems, err
		case err != nil:
			problems = append(problems, event.SweepProblem{Project: p.Path, Reason: err.Error(), Times: 1})
			continue
		}
		all = append(all, backtest.Project{Project: p, Pipelines: pipelines, Read: from})
	}
	if len(all) == 0 {
		return nil, problems, errors.New("no project could be read")
	}
	return all, problems, nil
}

// runRules runs each set of rules over the projects, and then reads what else is wanted.
func runRules(ctx context.Context, cfg backtest.Config, files []string, sets []*rules.Rules, results []backtestResult, then func(*backtest.Backtest) error) error {
	past, err := backtest.New(cfg)
	if err != nil {
		return err
	}
	for i, set := range sets {
		report, err := past.Run(ctx, set)
		if err != nil {
			return err
		}
		results[i] = backtestResult{files[i], report}
	}
	return then(past)
}

// backtestResult is the report about the rules of a file.
type backtestResult struct {
	File string `json:"file"`
	backtest.Report
}

// backtestJSON returns what --json prints.
func backtestJSON(results []backtestResult, problems []event.SweepProblem) any {
	out := struct {
		File string `json:"file"`
		backtest.Report
		Compare    *backtestResult      `json:"compare,omitempty"`
		Unreadable []event.SweepProblem `json:"unreadable"` // projects
	}{File: results[0].File, Report: results[0].Report, Unreadable: problems}
	if len(results) > 1 {
		out.Compare = &results[1]
	}
	return out
}

// backtestPrinter prints reports for people.
type backtestPrinter struct {
	printer
	prose int // width of lines of prose, in columns
	width int // of the terminal, in columns; 0: it is none
}

func newBacktestPrinter(w io.Writer) backtestPrinter {
	return backtestPrinter{newPrinter(w), wrap.Width(w), wrap.Columns(w)}
}

func (p backtestPrinter) print(w io.Writer, results []backtestResult) error {
	var b strings.Builder
	for i, r := range results {
		r.Report = cleaned(r.Report)
		results[i] = r
		if len(results) > 1 {
			b.WriteString(p.bold(printable(r.File)) + "\n")
		}
		for line := range strings.Lines(backtest.Text(r.Report)) {
			b.WriteString(wrap.Text(strings.TrimSpace(line), p.prose, 0, 2) + "\n")
		}
		b.WriteString("\n")
	}
	if len(results) > 1 {
		b.WriteString(wrap.Text(fmt.Sprintf("Each figure: with %s → with %s", printable(results[0].File), printable(results[1].File)), p.prose, 0, 2) + "\n")
	}
	b.WriteString(p.rules(results).render(p.width) + "\n")
	for _, r := range results {
		if len(r.Uncaught.Groups) > 0 {
			p.uncaught(&b, r, len(results) > 1)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rules lists what each rule would have done.
func (p backtestPrinter) rules(results []backtestResult) listing {
	l := listing{head: []any{"rule", "fired", "retries", "passed when run again", "saved", "wasted", "requested"}}
	add := func(name string, cells ...string) {
		r := row{cells: []any{name}, paragraph: []string{p.bold(name)}}
		for i, cell := range cells {
			r.cells, r.paragraph = append(r.cells, cell), append(r.paragraph, labelled(l.head[i+1], cell))
		}
		l.rows = append(l.rows, r)
	}
	var names []string
	for _, r := range results {
		for _, rule := range r.Rules {
			if !rule.NotEvaluated && !slices.Contains(names, rule.Name) {
				names = append(names, rule.Name)
			}
		}
	}
	for _, name := range names {
		add(name, sideBySide(results, func(r backtestResult) []string {
			i := slices.IndexFunc(r.Rules, func(rule backtest.RuleReport) bool { return rule.Name == name })
			if i < 0 {
				return nil
			}
			rule := r.Rules[i]
			return append(append([]string{strconv.Itoa(rule.Fired)}, retryCells(rule.Retries)...), backtest.ActionsText(rule))
		})...)
	}
	add("all rules", sideBySide(results, func(r backtestResult) []string {
		return append(append([]string{""}, retryCells(r.Total)...), "")
	})...)
	return l
}

func retryCells(r backtest.Retries) []string {
	would := ""
	if r.Would > 0 {
		would = strconv.Itoa(r.Would)
	}
	return []string{would, backtest.RateText(r), backtest.SavedText(r), backtest.WastedText(r)}
}

// sideBySide returns the cells of one report, or those of two with an arrow between.
func sideBySide(results []backtestResult, cells func(backtestResult) []string) []string {
	const columns = 6
	var both [][]string
	for _, r := range results {
		of := cells(r)
		if of == nil {
			of = make([]string, columns)
		}
		both = append(both, of)
	}
	joined := both[0]
	if len(both) == 1 {
		return joined
	}
	for i := range joined {
		if a, b := both[0][i], both[1][i]; a != "" || b != "" {
			joined[i] = orDash(a) + " → " + orDash(b)
		}
	}
	return joined
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// uncaught prints the failures that no rule acts on.
func (p backtestPrinter) uncaught(b *strings.Builder, r backtestResult, named bool) {
	head := "failed runs that no rule acts on"
	if named {
		head += " in " + printable(r.File)
	}
	l := listing{head: []any{"failures", "class", "passed when run again", "jobs", "cluster", "what the logs say"}}
	groups := r.Uncaught.Groups
	shown := groups[:min(len(groups), maxRowsShown)]
	for _, g := range shown {
		passed := ""
		if n := g.Passed + g.Failed; n > 0 {
			passed = fmt.Sprintf("%d of %d", g.Passed, n)
		}
		class, jobs := g.Class, strings.Join(g.Jobs, ", ")
		if g.Reason != "" {
			class += " (" + g.Reason + ")"
		}
		l.rows = append(l.rows, row{
			cells:     []any{strconv.Itoa(g.Count), class, passed, jobs, g.Cluster, g.Text},
			paragraph: []string{p.bold(strconv.Itoa(g.Count) + " " + class), labelled(l.head[2], passed), labelled(l.head[3], jobs), labelled(l.head[4], g.Cluster), labelled(l.head[5], g.Text)},
		})
	}
	fmt.Fprintf(b, "\n%s\n%s\n", p.bold(head), l.render(p.width))
	if more := len(groups) - len(shown); more > 0 {
		b.WriteString(p.dim(fmt.Sprintf("and %d more: --json has them", more)) + "\n")
	}
}
