package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
)

func schemaCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of rule files, for editors",
		Description: "An editor that knows the schema completes keys and values, shows what they mean and marks\n" +
			"mistakes. Those in expressions are found when the rules are loaded.\n\n" +
			"Keep the schema beside the rules:\n\n" +
			"   pipesteward schema > rules.schema.json\n\n" +
			"and begin each rule file with this line, with the path from the file to the schema:\n\n" +
			"   # yaml-language-server: $schema=rules.schema.json\n\n" +
			"VS Code (with Red Hat's YAML extension), Neovim, Emacs, Helix and others that use\n" +
			"yaml-language-server obey it, JetBrains' editors too.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "tests", Usage: "print the schema of test files"},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			made := rulefile.Schema
			if c.Bool("tests") {
				made = ruletest.Schema
			}
			schema, err := made()
			if err != nil {
				return err
			}
			_, err = stdout.Write(schema)
			return err
		},
	}
}
