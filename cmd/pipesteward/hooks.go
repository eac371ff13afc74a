package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/hooks"
	"github.com/pipesteward/pipesteward/actions/projects"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/progress"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers/webhook"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

func hooksCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "hooks",
		Usage: "show, create and repair the webhooks of projects and groups",
		Commands: []*cli.Command{
			hooksListCommand(stdout, stderr),
			hooksEnsureCommand(stdout, stderr),
		},
	}
}

func hooksListCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "show the webhooks of projects and groups, and what is wrong with them",
		ArgsUsage: "[PROJECT, GLOB or GROUP]...",
		Description: "Shows the webhooks of the projects and groups that the arguments name: those that post to --webhook-url, or without\n" +
			"it to any URL that ends in /webhooks/gitlab. It shows whether GitLab sends to them, and which deliveries failed in\n" +
			"the last day, and changes nothing.\n\n" +
			"Exit status: 0; 1 if an argument names nothing in GitLab, or no webhooks could be read; 2 for a wrong command line.",
		Flags: append(hooksFlags(secretUsage("gitlab-token", tokenUsage(scopeRead)), "projects", "webhook-url", "store", "gitlab-url", "gitlab-token", "gitlab-rate", "log-level", "log-format"),
			&cli.BoolFlag{Name: "problems", Usage: "show only those with something wrong or remarkable"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			o, log, entries, err := hooksSettings(c, stderr, scopeRead)
			if err != nil {
				return err
			}
			result, err := runHooks(ctx, o, entries, hooks.Ensurer{Wanted: app.WantedHook(o)}, log, stderr)
			if isNothing(result, err) {
				return err
			}
			failed := len(result.Problems) > 0 || result.IsUnread()
			if c.Bool("problems") {
				result.Reports = slices.DeleteFunc(result.Reports, func(r hooks.Report) bool { return !r.IsWrong() && len(r.Findings) == 0 })
			}
			if c.Bool("json") {
				err = errors.Join(printJSON(stdout, result), err)
			} else {
				printHooks(stdout, result, o.WebhookURL)
			}
			if err == nil && failed {
				return errReported
			}
			return err
		},
	}
}

func hooksEnsureCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "ensure",
		Usage:     "create and repair the webhooks of projects and groups",
		ArgsUsage: "[PROJECT, GLOB or GROUP]...",
		Description: "Gives each project and group that the arguments name one webhook, which posts job and pipeline events to\n" +
			"--webhook-url, with the first --webhook-token and the first --webhook-signing-token. A group gets one webhook for\n" +
			"all projects below it if it may have one (GitLab Premium, role Owner); else each of these projects gets its own.\n\n" +
			"A webhook that already posts to --webhook-url is repaired. If GitLab has disabled it, a test delivery enables it:\n" +
			"`serve` must run to answer that. Other webhooks are never changed. See with --dry-run first what would be changed.\n" +
			"After Ctrl-C, the same command continues: webhooks that are right are only read.\n\n" +
			"Exit status: 0; 1 when something is left wrong; 2 for a wrong command line.",
		Flags: append(hooksFlags(dryRunToken, "projects", "webhook-url", "webhook-token", "webhook-signing-token", "insecure-no-webhook-auth", "store", "gitlab-url", "gitlab-token", "gitlab-rate", "dry-run", "log-level", "log-format"),
			&cli.BoolFlag{Name: "rotate", Usage: "set the secrets of all these webhooks again, for instance after a change of --webhook-token"},
			&cli.StringSliceFlag{Name: "replace-url", Usage: "an earlier public `URL` of this service: webhooks that post to it get --webhook-url instead (repeatable)"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			o, log, entries, err := hooksSettings(c, stderr, scopeOf(c), "webhook-url", "webhook-token")
			if err := app.JoinSettings(err, checkReplaced(c.StringSlice("replace-url"))); err != nil {
				return err
			}
			wanted := app.WantedHook(o)
			wanted.Rotate, wanted.Replaces = c.Bool("rotate"), c.StringSlice("replace-url")
			result, err := runHooks(ctx, o, entries, hooks.Ensurer{Wanted: wanted, Change: true, DryRun: o.DryRun}, log, stderr)
			if isNothing(result, err) {
				return err
			}
			if c.Bool("json") {
				err = errors.Join(printJSON(stdout, result), err)
			} else {
				printEnsured(stdout, result, o.DryRun)
			}
			if ctx.Err() != nil {
				return errors.New("stopped: the same command goes on, and only reads what is right already")
			}
			if err == nil && result.IsWrong() {
				return errReported
			}
			return err
		},
	}
}

// hooksFlags are flagsOf with the meaning that they have here, and a description of the token.
func hooksFlags(token string, names ...string) []cli.Flag {
	return reworded(map[string]string{
		"projects":                 listUsage("projects", "`PROJECT`, glob or group, where no argument names any"),
		"dry-run":                  "change nothing, and print what would be created, repaired and enabled",
		"store":                    secretUsage("store", "`URL` of the Redis of `serve`, if it has one: both then share one rate limit of requests to GitLab"),
		"gitlab-token":             token,
		"insecure-no-webhook-auth": "create webhooks without a secret",
	}, flagsOf(names...))
}

// checkReplaced returns what is wrong with --replace-url, as app.SettingErrors.
func checkReplaced(replaced []string) error {
	var wrong app.SettingErrors
	for _, old := range replaced {
		wrong = wrong.WithMalformed("replace-url", hooks.CheckURL(old, webhook.Path))
	}
	return wrong.Err()
}

// hooksSettings is commandSettings with the projects and groups that the arguments name, or
// else --projects: what stands in the environment for `serve` must not widen what a person
// has asked for. The error may also have usageErrors.
func hooksSettings(c *cli.Command, stderr io.Writer, scope string, needed ...string) (o app.Options, log *slog.Logger, entries []string, err error) {
	o, log, err = commandSettings(c, stderr, scope, needed...)
	entries = c.Args().Slice()
	var misuse error
	for _, entry := range entries {
		if err := rules.CheckProjects(entry); err != nil {
			misuse = errors.Join(misuse, &usageError{err})
		}
	}
	if len(entries) == 0 {
		entries = o.Projects
	}
	if len(entries) == 0 {
		misuse = &usageError{fmt.Errorf("hooks %s: name projects, globs or groups, like platform, 'apps/*/web' or tools/lint", c.Name)}
	}
	return o, log, entries, app.JoinSettings(misuse, err)
}

// runHooks runs an Ensurer with the settings, and shows on stderr how far it is.
func runHooks(ctx context.Context, o app.Options, entries []string, e hooks.Ensurer, log *slog.Logger, stderr io.Writer) (result hooks.Result, err error) {
	limiter, closeIt, err := app.OpenLimiter(ctx, o.Store, log)
	if err != nil {
		return hooks.Result{}, err
	}
	defer func() { err = errors.Join(err, closeIt()) }()
	gl, err := app.NewGitLab(o, limiter, nil, log)
	if err != nil {
		return hooks.Result{}, err
	}
	count := progress.NewCount(stderr, wrap.Columns(stderr), "webhooks of")
	e.GitLab, e.EveryDelivery, e.Now = gl, true, time.Now
	e.Resolve = func(ctx context.Context, entries []string) ([]gitlab.Project, []event.SweepProblem, error) {
		return projects.Resolve(ctx, gl, entries)
	}
	e.Progress = count.Done
	e.Waits = func(wait time.Duration, err error) {
		count.Say(printable(fmt.Sprintf("waits for %s: %v", event.Coarse(wait), err)))
	}
	result, err = e.Run(ctx, entries)
	count.End()
	return result, err
}

// isNothing reports whether a run ended before it found anything to print.
func isNothing(result hooks.Result, err error) bool {
	return err != nil && len(result.Reports)+len(result.Problems) == 0
}

// printHooks prints the webhooks as a table, and what is to be said of them below it.
func printHooks(w io.Writer, result hooks.Result, wanted string) {
	p := newPrinter(w)
	// Where all have one address, it stands above the table.
	addresses := map[string]bool{}
	for _, r := range result.Reports {
		if r.Webhook != nil {
			addresses[r.Webhook.URL] = true
		}
	}
	several := len(addresses) > 1 || len(addresses) == 1 && wanted != "" && !addresses[redact.URL(wanted)]
	if !several {
		for address := range addresses {
			fmt.Fprintf(w, "webhooks to %s\n", address)
		}
	}
	head := []any{"project or group", "events", "state", "TLS", "failed, 1 day", "verdict"}
	if several {
		head = slices.Insert(head, 1, any("URL"))
	}
	l, width := listing{head: head}, wrap.Columns(w)
	for _, r := range result.Reports {
		verdict := paintVerdict(p, r.Verdict)
		item := row{cells: []any{ownerOf(r), "", "", "", "", verdict}, paragraph: []string{p.bold(ownerOf(r)) + "  " + verdict}}
		address := ""
		if h := r.Webhook; h != nil {
			events, state, tls, failures := strings.Join(h.Events, ", "), stateOf(*h), tlsOf(*h), failuresOf(*h)
			item.cells[1], item.cells[2], item.cells[3], item.cells[4], address = events, state, tls, failures, h.URL
			item.paragraph = append(item.paragraph, state+", TLS "+tls, "events: "+events)
			if failures != "" {
				item.paragraph = append(item.paragraph, "failed in 1 day: "+failures)
			}
		}
		if several {
			item.cells, item.paragraph = slices.Insert(item.cells, 1, any(address)), append(item.paragraph, address)
		}
		l.rows = append(l.rows, item)
	}
	if len(l.rows) > 0 {
		fmt.Fprintln(w, l.render(width))
	}
	for _, r := range result.Reports {
		for _, finding := range r.Findings {
			printMarked(w, p.yellow("!"), ownerOf(r)+": "+finding)
		}
		if r.Error != "" {
			printMarked(w, p.red("✗"), ownerOf(r)+": "+r.Error)
		}
	}
	printNotes(w, result)
	fmt.Fprintln(w, sums(result.Counts, "to create", "to repair", "to enable"))
}

// printMarked prints a text behind a mark, in lines that fit the terminal.
func printMarked(w io.Writer, mark, text string) {
	fmt.Fprintf(w, "%s %s\n", mark, wrap.Text(printable(text), wrap.Columns(w), 2, 2))
}

func ownerOf(r hooks.Report) string {
	if r.Kind == "group" {
		return "group " + r.Owner
	}
	return r.Owner
}

// stateOf says whether GitLab sends to the webhook.
func stateOf(h hooks.Webhook) string {
	switch {
	case h.State == gitlab.StatusPaused && !h.DisabledUntil.IsZero():
		return "disabled until " + timeText(h.DisabledUntil)
	case h.State == "":
		return "unknown"
	}
	return strings.ReplaceAll(h.State, "_", " ")
}

func tlsOf(h hooks.Webhook) string {
	switch {
	case strings.HasPrefix(h.URL, "http:"):
		return "none"
	case h.VerifiesTLS:
		return "verified"
	}
	return "not verified"
}

// failuresOf says how many deliveries failed, and the last one's status and time.
func failuresOf(h hooks.Webhook) string {
	if h.Failed == 0 {
		return ""
	}
	text := strconv.Itoa(h.Failed)
	if h.More {
		text += "+"
	}
	text += ", last " + h.LastFailed
	if !h.LastFailedAt.IsZero() {
		text += " " + humanize.Time(h.LastFailedAt)
	}
	return text
}

func paintVerdict(p printer, v hooks.Verdict) string {
	switch v {
	case hooks.OK, hooks.Covered:
		return p.green(string(v))
	case hooks.Unreadable, hooks.Disabled, hooks.Missing:
		return p.red(string(v))
	case hooks.Wrong, hooks.Failing, hooks.Doubled:
	}
	return p.yellow(string(v))
}

// printEnsured prints a line for each project or group that was changed, or is to be, or
// that is left wrong.
func printEnsured(w io.Writer, result hooks.Result, dryRun bool) {
	p := newPrinter(w)
	for _, r := range result.Reports {
		if len(r.Done) > 0 {
			printMarked(w, p.green("✓"), ownerOf(r)+": "+strings.Join(r.Done, "; "))
		}
		if dryRun && len(r.Todo) > 0 {
			printMarked(w, p.yellow("~"), ownerOf(r)+": would "+strings.Join(r.Todo, "; "))
		}
		switch {
		case r.Error != "":
			printMarked(w, p.red("✗"), ownerOf(r)+": "+r.Error)
		case r.IsWrong():
			printMarked(w, p.red("✗"), ownerOf(r)+": "+strings.Join(r.Findings, "; "))
		default:
			for _, finding := range r.Findings {
				printMarked(w, p.yellow("!"), ownerOf(r)+": "+finding)
			}
		}
	}
	printNotes(w, result)
	if dryRun {
		fmt.Fprintln(w, sums(result.Counts, "to create", "to repair", "to enable"))
		return
	}
	fmt.Fprintln(w, sums(result.Counts, "created", "repaired", "enabled again"))
}

// printNotes prints what is not about one webhook.
func printNotes(w io.Writer, result hooks.Result) {
	p := newPrinter(w)
	for _, note := range result.Notes {
		printMarked(w, p.yellow("!"), note)
	}
	for _, problem := range result.Problems {
		printMarked(w, p.red("✗"), fmt.Sprint(problem))
	}
}

// sums says how many webhooks there are of each kind.
func sums(c hooks.Counts, created, repaired, enabled string) string {
	var parts []string
	for _, part := range []struct {
		n     int
		words string
	}{{c.Created, created}, {c.Repaired, repaired}, {c.Enabled, enabled}, {c.Right, "right"}, {c.Covered, "covered by a group's webhook"}, {c.Wrong, "wrong"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", humanize.Comma(int64(part.n)), part.words))
		}
	}
	if len(parts) == 0 {
		return "no projects"
	}
	return fmt.Sprintf("%s: %s", english.Plural(c.All(), "project or group", "projects and groups"), strings.Join(parts, ", "))
}
