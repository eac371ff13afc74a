package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// scopeFlags name what is paused or resumed.
func scopeFlags() []cli.Flag {
	return append(adminFlags(),
		&cli.StringFlag{Name: "project", Usage: "only the projects whose path the `GLOB` matches"},
		&cli.StringFlag{Name: "rule", Usage: "only the rule of this `NAME`"},
		&cli.StringFlag{Name: "by", Usage: "`WHO` does this; default: the user who runs the command"},
	)
}

func pauseCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "stop all actions of a running server, or those of a project or a rule",
		Description: "On all replicas, at once, until `resume` or the given time. Events are still received and decided; what they decide waits, and is checked\n" +
			"against the job's real state again afterwards.",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "for", Usage: "how `LONG`, like 2h; default: until resume"},
			&cli.TimestampFlag{Name: "until", Usage: "until `WHEN`, like 2026-12-24T18:00:00Z", Config: cli.TimestampConfig{Layouts: []string{time.RFC3339}}},
			&cli.StringFlag{Name: "reason", Usage: "`WHY`, for those who look"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			return changePauses(ctx, c, stdout, "/api/v1/pause", admin.PauseRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), For: c.String("for"), Until: c.Timestamp("until"),
				Reason: c.String("reason"), By: cmp.Or(c.String("by"), whoRuns()),
			})
		},
	}
}

func resumeCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "resume",
		Usage: "end a pause",
		Flags: append(scopeFlags(), &cli.BoolFlag{Name: "every", Usage: "end every pause that there is"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			return changePauses(ctx, c, stdout, "/api/v1/resume", admin.ResumeRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), Every: c.Bool("every"), By: cmp.Or(c.String("by"), whoRuns()),
			})
		},
	}
}

// given returns a flag's value; nil: it is not given.
func given(c *cli.Command, flag string) *string {
	if !c.IsSet(flag) {
		return nil
	}
	value := c.String(flag)
	return &value
}

// changePauses posts what is to be paused or resumed, and prints what is paused
// then.
func changePauses(ctx context.Context, c *cli.Command, stdout io.Writer, path string, request any) error {
	if c.Args().Present() {
		return &usageError{fmt.Errorf("%s takes no arguments, but got %q: give --project or --rule", c.Name, c.Args().First())}
	}
	for _, scope := range []string{"project", "rule"} {
		if c.IsSet(scope) && c.String(scope) == "" {
			return &usageError{fmt.Errorf("--%s is empty, as an unset variable is: give a value, or leave it out for everything", scope)}
		}
	}
	var now admin.Paused
	if err := callAdmin(ctx, c, http.MethodPost, path, request, &now); err != nil {
		return err
	}
	printPauses(stdout, now.Paused)
	return nil
}

func statusCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show what a running server has in force, paused and queued",
		Flags: append(adminFlags(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("status takes no arguments, but got %q", c.Args().First())}
			}
			var s admin.Status
			if err := callAdmin(ctx, c, http.MethodGet, "/api/v1/status", nil, &s); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(stdout, s)
			}
			printStatus(stdout, s)
			return nil
		},
	}
}

func printStatus(w io.Writer, s admin.Status) {
	fmt.Fprintf(w, "version  %s\n", s.Version)
	fmt.Fprintf(w, "rules    %d, loaded %s, %.12s\n", s.Rules.Count, humanize.Time(s.Rules.LoadedAt), s.Rules.Hash)
	if s.Rules.Error != "" {
		fmt.Fprintf(w, "         the rule files have changed and can't be used: %s\n", s.Rules.Error)
	}
	fmt.Fprintf(w, "queue    %d due, %d waiting, %d in flight, %d dead\n", s.Queue.Due, s.Queue.Waiting, s.Queue.Leased, s.Queue.Dead)
	if s.DryRun {
		fmt.Fprintln(w, "dry run  yes: nothing is changed in GitLab")
	}
	printParts(w, s.Parts)
	printPauses(w, s.Paused)
}

// printParts prints what else serve says of itself: its "summary" where it has
// one.
func printParts(w io.Writer, parts map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if part, ok := parts[name].(map[string]any); ok && part["summary"] != nil {
			fmt.Fprintf(w, "%-8s %v\n", name, part["summary"])
		}
	}
}

func printPauses(w io.Writer, all []event.Pause) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is paused")
	}
	for _, p := range all {
		fmt.Fprintf(w, "%s, since %s\n", p, p.Since.Format(time.RFC3339))
	}
}
