package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// scopeFlags name what is paused, muted or the reverse.
func scopeFlags() []cli.Flag {
	return append(adminFlags(),
		&cli.StringFlag{Name: "project", Usage: "only the projects whose path the `GLOB` matches, in any letter case, like 'platform/**' for a group"},
		&cli.StringFlag{Name: "rule", Usage: "only the rule of this `NAME`"},
		byFlag(),
		&cli.BoolFlag{Name: "json", Usage: "print the server's answer as JSON"},
	)
}

// endFlags say when a pause or a mute ends, and why it is made. ends is what people do to
// end it.
func endFlags(what, ends string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "for", Usage: "end after `TIME`, like 2h; default: when somebody " + ends},
		&cli.StringFlag{Name: "until", Usage: "end at `TIME`, like 2026-12-24T18:00:00Z"},
		&cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why, for those who look at the " + what},
	}
}

// endOf returns the value of --until, and checks --for.
func endOf(c *cli.Command, what string) (until time.Time, err error) {
	if c.IsSet("until") {
		if until, err = time.Parse(time.RFC3339, c.String("until")); err != nil {
			return until, &usageError{fmt.Errorf("--until: %q is not a time like %s: for a duration there is --for", c.String("until"), timeText(time.Now()))}
		}
	}
	if c.IsSet("for") && c.String("for") == "" {
		return until, &usageError{fmt.Errorf("--for is empty, as an unset variable is: give a duration, or leave it out for a %s without an end", what)}
	}
	return until, nil
}

func pauseCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "pause",
		Usage: "stop all actions of a running server, or those of a project or a rule",
		Description: "Stops actions on all replicas at once, until `resume` or the given time. Events are still received, and rules\n" +
			"evaluated. Their actions wait; afterwards, those that a job's state still needs are carried out.\n\n" +
			"It replaces a pause with the same scope, and says which.",
		Flags: append(append(scopeFlags(), endFlags("pause", "resumes")...),
			&cli.BoolFlag{Name: "replace", Usage: "also in place of a pause with the same scope that another person made and that would last longer"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			until, err := endOf(c, "pause")
			if err != nil {
				return err
			}
			return changePauses(ctx, c, stdout, "/api/v1/pause", admin.PauseRequest{
				Project: given(c, "project"), Rule: given(c, "rule"), For: c.String("for"), Until: until,
				Reason: c.String("reason"), By: who(c), Replace: c.Bool("replace"),
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

// changePauses posts what is to be paused or resumed, and prints which pauses that
// replaced or ended, and what is paused then.
func changePauses(ctx context.Context, c *cli.Command, stdout io.Writer, path string, request any) error {
	var now admin.Paused
	if err := changeScope(ctx, c, path, request, &now, &now.Warnings); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(stdout, now)
	}
	printChange(stdout, now.Replaced, now.Ended, now.Paused, pauseText)
	printPauses(stdout, now.Paused)
	return nil
}

// printChange prints which pause or mute a request replaced and which ones it ended, before
// those that are in force.
func printChange[T any](w io.Writer, replaced *T, ended, inForce []T, text func(T) string) {
	if replaced != nil {
		fmt.Fprintf(w, "replaced: %s\n", text(*replaced))
	}
	for _, item := range ended {
		fmt.Fprintf(w, "ended: %s\n", text(item))
	}
	if len(ended) > 0 && len(inForce) > 0 {
		fmt.Fprintln(w, "still in force:")
	}
}

// changeScope posts a request with a scope, reads the response into now and prints its
// warnings, but with --json.
func changeScope(ctx context.Context, c *cli.Command, path string, request, now any, warnings *[]string) error {
	for _, scope := range []string{"project", "rule", "channel"} {
		if c.IsSet(scope) && c.String(scope) == "" {
			return &usageError{fmt.Errorf("--%s is empty, as an unset variable is: give a value, or leave it out for everything", scope)}
		}
	}
	if err := callAdmin(ctx, c, http.MethodPost, path, request, now); err != nil {
		return err
	}
	if c.Bool("json") {
		return nil // the answer has them
	}
	for _, warning := range *warnings {
		fmt.Fprintf(c.Root().ErrWriter, "warning: %s\n", printable(warning))
	}
	return nil
}

func printPauses(w io.Writer, all []event.Pause) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is paused")
	}
	for _, p := range all {
		fmt.Fprintln(w, pauseText(p))
	}
}

// pauseText describes a pause in one line.
func pauseText(p event.Pause) string {
	return fmt.Sprintf("%s, since %s", printable(p.String()), timeText(p.Since))
}
