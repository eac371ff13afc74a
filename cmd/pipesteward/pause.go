package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// scopeFlags name what is paused or resumed.
func scopeFlags() []cli.Flag {
	return append(adminFlags(),
		&cli.StringFlag{Name: "project", Usage: "only the projects whose path the `GLOB` matches"},
		&cli.StringFlag{Name: "rule", Usage: "only the rule of this `NAME`"},
		byFlag(),
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
			&cli.StringFlag{Name: "until", Usage: "until `WHEN`, like 2026-12-24T18:00:00Z"},
			&cli.StringFlag{Name: "reason", Usage: "`WHY`, for those who look"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			var until time.Time
			if c.IsSet("until") {
				var err error
				if until, err = time.Parse(time.RFC3339, c.String("until")); err != nil {
					return &usageError{fmt.Errorf("--until: %q is not a time like %s: for a duration there is --for", c.String("until"), timeText(time.Now()))}
				}
			}
			if c.IsSet("for") && c.String("for") == "" {
				return &usageError{errors.New("--for is empty, as an unset variable is: give a duration, or leave it out for a pause without an end")}
			}
			return changePauses(ctx, c, stdout, "/api/v1/pause", admin.PauseRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), For: c.String("for"), Until: until,
				Reason: c.String("reason"), By: who(c),
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
				Project: given(c, "project"), Rule: given(c, "rule"), Every: c.Bool("every"), By: who(c),
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
		return &usageError{fmt.Errorf("%s takes no arguments, but got %q: give --project or --rule", c.Name, redact.URL(c.Args().First()))}
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

func printPauses(w io.Writer, all []event.Pause) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is paused")
	}
	for _, p := range all {
		fmt.Fprintf(w, "%s, since %s\n", printable(p.String()), timeText(p.Since))
	}
}
