package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/doctor"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/progress"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/handlers"
	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

func doctorCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check token, rights, webhooks, store, clock and Slack, and say what to mend",
		Description: "Give it the settings of `serve`. It changes nothing in GitLab or Slack. It checks the projects that --projects and\n" +
			"schedule rules name, and those that sent events; if there are none of these, all of which the token's user is a\n" +
			"member. The state of a running `serve` is read from --admin-url.\n\n" +
			"Exit status: 0 without problems; 1 with problems, with --strict also with warnings, or if a check could not be\n" +
			"made, because it was stopped or got no answer; 2 for a wrong command line.",
		Flags: append(append(reworded(map[string]string{
			"projects":                 listUsage("projects", "`PROJECT`, glob or group that `serve` gets as --projects"),
			"ensure-hooks":             "check for a `serve` with --ensure-hooks",
			"insecure-no-webhook-auth": "check for a `serve` with --insecure-no-webhook-auth",
			"dry-run":                  "check for a `serve` with --dry-run",
		}, serveFlags()), adminFlags()...),
			&cli.StringSliceFlag{Name: "project", Usage: "check only this `PROJECT`, glob or group, instead of all that `serve` has (repeatable)"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only what is not in order"},
			&cli.BoolFlag{Name: "strict", Usage: "exit with 1 also if there are warnings"},
			&cli.BoolFlag{Name: "json", Usage: "print all findings as JSON, each with all its projects"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			only := c.StringSlice("project")
			for _, entry := range only {
				if err := rules.CheckProjects(entry); err != nil {
					return &usageError{fmt.Errorf("--project: %w", err)}
				}
			}
			o, wrong := readSettings(c)
			_, logErr := newLogger(c, io.Discard)
			rate, err := parseRate(defaultRate)
			if err != nil {
				return err
			}
			cfg, end := app.Checkup(ctx, o, app.JoinSettings(wrong, logErr), rate)
			for _, v := range unknownVariables(c.Root(), os.Environ()) {
				cfg.NoSettings = append(cfg.NoSettings, fmt.Sprintf("no setting has the environment variable %s, so it has no effect%s", v.name, v.suggestion))
			}
			cfg.Only, cfg.Server, cfg.ServerWanted = only, runningServer{c}, c.IsSet("admin-url")
			cfg.Secrets = append(cfg.Secrets, adminSecrets(c)...)
			show := progress.NewCount(stderr, wrap.Columns(stderr), "checks")
			cfg.Progress = show.Done
			found := doctor.Run(ctx, cfg, doctor.Checks)
			show.End()
			if err := end(); err != nil {
				return err
			}
			if c.Bool("json") {
				err = printJSON(stdout, checkupReport{doctor.Count(found, doctor.Problem), doctor.Count(found, doctor.Warning), doctor.Count(found, doctor.Unknown), found})
			} else {
				err = printCheckup(stdout, found, c.Bool("quiet"))
			}
			failed := doctor.Count(found, doctor.Problem) > 0 || c.Bool("strict") && doctor.Count(found, doctor.Warning) > 0
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return fmt.Errorf("stopped, and not all was checked: %s", strings.Join(unmade(found), ", "))
			case len(unmade(found)) > 0:
				return fmt.Errorf("not all could be checked now: %s: run doctor again", strings.Join(unmade(found), ", "))
			case failed:
				return errReported
			}
			return nil
		},
	}
}

// checkupReport is the output of --json.
type checkupReport struct {
	Problems int              `json:"problems"`
	Warnings int              `json:"warnings"`
	Unknown  int              `json:"unknown"` // not checked
	Findings []doctor.Finding `json:"findings"`
}

// unmade returns the ids of the checks that were not made, or not to their end, and can be
// made another time.
func unmade(found []doctor.Finding) []string {
	var ids []string
	for _, f := range found {
		if f.Severity == doctor.Unknown && f.Passing {
			ids = append(ids, f.Check)
		}
	}
	return slices.Compact(ids)
}

// runningServer is the server whose admin API the flags of a command name.
type runningServer struct{ flags *cli.Command }

// Status implements doctor.Server.
func (s runningServer) Status(ctx context.Context) (doctor.ServerStatus, error) {
	var status admin.Status
	if err := callAdmin(ctx, s.flags, http.MethodGet, "/api/v1/status", nil, &status); err != nil {
		return doctor.ServerStatus{}, err
	}
	answer := doctor.ServerStatus{
		Address: redact.URL(s.flags.String("admin-url")), Version: status.Version, DryRun: status.DryRun, RulesErr: status.Rules.Error,
		Paused: status.Paused, Dead: status.Queue.Dead, Due: status.Queue.Due,
	}
	var ready handlers.Response
	if err := callAdmin(ctx, s.flags, http.MethodGet, "/readyz", nil, &ready); err != nil {
		answer.NotReady = err.Error()
	}
	var inForce admin.RulesState
	if err := callAdmin(ctx, s.flags, http.MethodGet, "/api/v1/rules", nil, &inForce); err != nil {
		return doctor.ServerStatus{}, err
	}
	for _, r := range inForce.Rules {
		answer.RuleFiles = append(answer.RuleFiles, r.Hash)
	}
	return answer, nil
}

// marks are the signs of the severities, as a terminal shows them.
func marks(p printer) map[doctor.Severity]string {
	return map[doctor.Severity]string{
		doctor.OK: p.green("✓"), doctor.Note: p.dim("·"), doctor.Warning: p.yellow("!"), doctor.Problem: p.red("✗"), doctor.Unknown: p.yellow("?"),
	}
}

const (
	// idWidth is the width of the column of checks.
	idWidth = 19
	// namedProjects is how many projects of a finding are named.
	namedProjects = 3
)

// printCheckup prints the findings by subject, and their number; quiet: only those that
// are not in order.
func printCheckup(w io.Writer, found []doctor.Finding, quiet bool) error {
	p, width := newPrinter(w), wrap.Width(w)
	var b strings.Builder
	subject := ""
	for i := 0; i < len(found); i++ {
		f := found[i]
		if quiet && (f.Severity == doctor.OK || f.Severity == doctor.Note) {
			continue
		}
		name, alike := f.Check, []string{f.Check}
		for i+1 < len(found) && isAlike(f, found[i+1]) {
			i++
			alike = append(alike, found[i].Check)
		}
		if len(alike) > 1 {
			name = fmt.Sprintf("%d checks", len(alike))
		}
		if f.Subject != subject {
			if subject != "" {
				b.WriteByte('\n')
			}
			subject = f.Subject
			fmt.Fprintln(&b, p.bold(subject))
		}
		const margin = 2 + 2 + idWidth + 1
		fmt.Fprintf(&b, "  %s %-*s %s\n", marks(p)[f.Severity], idWidth, name, wrap.Text(printable(f.Seen), width, margin, margin))
		if len(alike) > 1 {
			fmt.Fprintf(&b, "%*s%s\n", margin, "", p.dim(wrap.Text(strings.Join(alike, ", "), width, margin, margin)))
		}
		if len(f.Projects) > 0 {
			fmt.Fprintf(&b, "%*s%s\n", margin, "", wrap.Text(printable(named(f.Projects)), width, margin, margin))
		}
		if f.Advice != "" {
			fmt.Fprintf(&b, "%*s%s\n", margin, "", wrap.Text(printable("→ "+f.Advice), width, margin, margin+2))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(sumOf(found) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// isAlike reports whether two checks of a subject could not be made for the same reason.
func isAlike(a, b doctor.Finding) bool {
	return a.Severity == doctor.Unknown && b.Severity == doctor.Unknown && a.Subject == b.Subject && a.Seen == b.Seen && a.Advice == "" && b.Advice == "" &&
		len(a.Projects)+len(b.Projects) == 0
}

// named names the projects of a finding: some of many.
func named(paths []string) string {
	some := strings.Join(paths[:min(len(paths), namedProjects)], ", ")
	if len(paths) > namedProjects {
		some += ", … (--json lists all)"
	}
	return fmt.Sprintf("%s: %s", english.Plural(len(paths), "project", ""), some)
}

// sumOf says how many findings there are of each severity.
func sumOf(found []doctor.Finding) string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, what)
		}
	}
	problems, warnings, unknown := doctor.Count(found, doctor.Problem), doctor.Count(found, doctor.Warning), doctor.Count(found, doctor.Unknown)
	add(problems, english.Plural(problems, "problem", ""))
	add(warnings, english.Plural(warnings, "warning", ""))
	add(unknown, fmt.Sprintf("%d not checked", unknown))
	if len(parts) == 0 {
		return "all is in order"
	}
	return strings.Join(parts, ", ")
}
