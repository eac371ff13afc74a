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
)

// scopeFlags name what is paused or resumed.
func scopeFlags() []cli.Flag {
	return append(adminFlags(),
		&cli.StringFlag{Name: "project", Usage: "only the projects whose path the `GLOB` matches, like 'platform/**' for a group"},
		&cli.StringFlag{Name: "rule", Usage: "only the rule of this `NAME`"},
		byFlag(),
	)
}

func pauseCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "stop all actions of a running server, or those of a project or a rule",
		Description: "Stops actions on all replicas at once, until `resume` or the given time. Events are still received, and rules\n" +
			"evaluated. Their actions wait; afterwards, those that a job's state still needs are carried out.",
		Flags: append(scopeFlags(),
			&cli.StringFlag{Name: "for", Usage: "end after `TIME`, like 2h; default: when somebody resumes"},
			&cli.StringFlag{Name: "until", Usage: "end at `TIME`, like 2026-12-24T18:00:00Z"},
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why, for those who look at the pause"},
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
		Description: "Ends the pause with the same scope: that of --project with the same glob, that of --rule, or without both that of\n" +
			"everything. `status` lists the pauses.",
		Flags: append(scopeFlags(), &cli.BoolFlag{Name: "every", Usage: "end all pauses, whatever their scope"}),
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
	for _, scope := range []string{"project", "rule"} {
		if c.IsSet(scope) && c.String(scope) == "" {
			return &usageError{fmt.Errorf("--%s is empty, as an unset variable is: give a value, or leave it out for everything", scope)}
		}
	}
	var now admin.Paused
	if err := callAdmin(ctx, c, http.MethodPost, path, request, &now); err != nil {
		return err
	}
	for _, warning := range now.Warnings {
		fmt.Fprintf(c.Root().ErrWriter, "warning: %s\n", printable(warning))
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
