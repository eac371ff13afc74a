package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/demo"
)

func demoCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "show the whole thing on this machine, with a simulated GitLab and Slack",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "keep", Usage: "stay running after the story, to look around; Ctrl-C ends it"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			return demo.Run(ctx, stdout, version(), c.Bool("keep"))
		},
	}
}
