package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/demo"
)

func demoCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "show the whole program on this machine, with a simulated GitLab and Slack",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "keep", Usage: "go on running afterwards, to look around and to fail jobs; Ctrl-C ends it"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			o := demo.Options{Out: stdout, Colour: newPrinter(stdout).colour, Program: invocation(), Version: thisBuild().version, Beat: demo.Beat, Keep: c.Bool("keep")}
			if isTerminal(stdout) && isTerminal(os.Stdin) {
				o.Commands = os.Stdin
			}
			return demo.Run(ctx, o)
		},
	}
}

// invocation returns how a shell in the current directory runs this program: as it was
// run, or `go run` where that made it. `go run` runs a program in a directory that it
// removes again.
func invocation() string {
	const source = "./cmd/pipesteward"
	if !strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return demo.Shell(os.Args[0])
	}
	if _, err := os.Stat(source); err == nil {
		return "go run " + source
	}
	return "go run github.com/pipesteward/pipesteward/cmd/pipesteward"
}
