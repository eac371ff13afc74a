package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the service",
		Description: "Receives webhooks, decides by the rules, acts in GitLab and notifies people in Slack.\n" +
			"Every flag is also an environment variable with PIPESTEWARD_ in front.",
		Flags: serveFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("serve takes no arguments, but got %q", redact.URL(c.Args().First()))}
			}
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
