package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

// muteFlags name what is muted or unmuted.
func muteFlags() []cli.Flag {
	return append(scopeFlags(), &cli.StringFlag{Name: "channel", Usage: "only the channel of this `NAME`, as the rule file has it, like '#ci'"})
}

// muteScope returns what the flags name.
func muteScope(c *cli.Command) admin.MuteScope {
	return admin.MuteScope{Rule: given(c, "rule"), Project: given(c, "project"), Channel: given(c, "channel")}
}

func muteCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "mute",
		Usage: "send no notifications, or none of a rule, of a project or to a channel",
		Description: "Keeps notifications from being sent, by all replicas at once, until `unmute` or the given time: those to which all\n" +
			"of --rule, --project and --channel apply that are given. Actions go on. What is muted is not sent later: the journal\n" +
			"has it, see `decisions` and `why`.\n\n" +
			"It replaces a mute with the same scope, and says which.",
		Flags: append(append(muteFlags(), endFlags("mute", "unmutes")...),
			&cli.BoolFlag{Name: "replace", Usage: "also in place of a mute with the same scope that another person made and that would last longer"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			until, err := endOf(c, "mute")
			if err != nil {
				return err
			}
			return changeMutes(ctx, c, stdout, "/api/v1/mute", admin.MuteRequest{
				MuteScope: muteScope(c), For: c.String("for"), Until: until, Reason: c.String("reason"), By: who(c), Replace: c.Bool("replace"),
			})
		},
	}
}

func unmuteCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "unmute",
		Usage: "end a mute",
		Description: "Ends the mute with the same scope: the same --rule, --project and --channel, or without them that of everything.\n" +
			"`status` lists the mutes.",
		Flags: append(muteFlags(), &cli.BoolFlag{Name: "every", Usage: "end all mutes, whatever their scope"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			return changeMutes(ctx, c, stdout, "/api/v1/unmute", admin.UnmuteRequest{MuteScope: muteScope(c), Every: c.Bool("every"), By: who(c)})
		},
	}
}

// changeMutes posts what is to be muted or unmuted, and prints which mutes that replaced or
// ended, and what is muted then.
func changeMutes(ctx context.Context, c *cli.Command, stdout io.Writer, path string, request any) error {
	var now admin.Muted
	if err := changeScope(ctx, c, path, request, &now, &now.Warnings); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(stdout, now)
	}
	printChange(stdout, now.Replaced, now.Ended, now.Muted, muteText)
	printMutes(stdout, now.Muted)
	return nil
}

func printMutes(w io.Writer, all []event.Mute) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is muted")
	}
	for _, m := range all {
		fmt.Fprintln(w, muteText(m))
	}
}

// muteText describes a mute in one line.
func muteText(m event.Mute) string {
	return fmt.Sprintf("%s, since %s", printable(m.String()), timeText(m.Since))
}
