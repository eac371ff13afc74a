package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
)

func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the service",
		Description: "Receives webhooks, evaluates the rules, acts in GitLab and notifies people in Slack. Each flag can also be given as an\n" +
			"environment variable: --gitlab-url as PIPESTEWARD_GITLAB_URL. It runs until SIGINT or SIGTERM.",
		Flags: serveFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			o, err := readSettings(c)
			log, logErr := newLogger(c, stderr)
			if err := app.JoinSettings(err, logErr, o.Check()); err != nil {
				return err
			}
			service, err := app.New(ctx, o, log)
			if err != nil {
				return err
			}
			return service.Run(ctx)
		},
	}
}
