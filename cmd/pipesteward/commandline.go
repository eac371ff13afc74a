package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// instead says how to give what people write as arguments of commands that take none.
var instead = map[string]string{
	"backtest":   "name projects with --project, and rule files with --rules",
	"catch-up":   "name projects with --projects",
	"ci":         "name rule files with --rules",
	"decisions":  "use --project, --job or another filter",
	"deliveries": "use --project, --job or another filter",
	"doctor":     "name projects with --project",
	"explain":    "name the event with --event or --job",
	"mcp":        "the assistant names projects and jobs as arguments of the tools",
	"mute":       "give --rule, --project or --channel",
	"pause":      "give --project or --rule",
	"queue list": "use --project, --job or another filter",
	"resume":     "give --project or --rule",
	"serve":      "name rule files with --rules",
	"sweep":      "name rules with --rule",
	"unmute":     "give --rule, --project or --channel",
}

// prepare gives a command, and those below it, what all have in common: their help, errors
// of usage, and that a command without arguments refuses them.
func prepare(c *cli.Command) {
	c.OnUsageError = misused
	c.DisableSliceFlagSeparator = true // a secret may hold a comma
	c.HideHelp = true                  // misused and showHelp print it
	for _, below := range c.Commands {
		prepare(below)
	}
	action := c.Action
	if isTraced(c) {
		action = withSpan(action)
		c.Action = action
	}
	switch {
	case len(c.Commands) > 0:
		c.Action = func(_ context.Context, c *cli.Command) error { return showHelp(c, c.Args().Slice()) }
	case c.ArgsUsage == "":
		c.Action = func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return refuseArgument(c)
			}
			return action(ctx, c)
		}
	}
}

// nameOf returns the full name of a command, without that of the program.
func nameOf(c *cli.Command) string {
	return strings.TrimSpace(strings.TrimPrefix(c.FullName(), c.Root().Name))
}

// refuseArgument returns the error of a command that takes no arguments, and got some.
func refuseArgument(c *cli.Command) error {
	name := nameOf(c)
	hint := ""
	if instead := instead[name]; instead != "" {
		hint = ": " + instead
	}
	return &usageError{fmt.Errorf("%s takes no arguments, but got %q%s", name, redact.URL(c.Args().First()), hint)}
}

// misused handles what can't be parsed of a command's flags: a request for help, or a
// mistake.
func misused(_ context.Context, c *cli.Command, err error, _ bool) error {
	flag, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	switch {
	case unknown && (flag == "help" || flag == "h"):
		if len(c.Commands) == 0 {
			return showHelp(c, nil)
		}
		return showHelp(c, c.Args().Slice())
	case unknown:
		var known []string
		for _, f := range c.VisibleFlags() {
			known = append(known, "--"+f.Names()[0])
		}
		flag = "--" + redact.URL(flag)
		return &usageError{fmt.Errorf("there is no flag %s%s: `%s --help` lists them", flag, spelling.Suggestion(flag, known), c.FullName())}
	}
	return &usageError{errors.New(unparsed(c, err.Error()))}
}

// wrongValue is what the flags package says of a value that it can't parse.
var wrongValue = regexp.MustCompile(`^invalid value (".*") for flag -(\S+): `)

// kindsOfValue describe the values of flags, by the name of their kind.
var kindsOfValue = map[string]string{"int": "a whole number", "int64": "a whole number", "duration": "a duration like 30s or 5m", "bool": "true or false"}

// unparsed returns the text about what can't be parsed of a command's flags, in words for
// people.
func unparsed(c *cli.Command, text string) string {
	if name, is := strings.CutPrefix(text, "flag needs an argument: "); is {
		return "--" + strings.TrimLeft(name, "-") + " needs a value"
	}
	found := wrongValue.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	for _, f := range c.Flags {
		documented, is := f.(cli.DocGenerationFlag)
		if !is || !slices.Contains(f.Names(), found[2]) {
			continue
		}
		if kind := kindsOfValue[documented.TypeName()]; kind != "" {
			return fmt.Sprintf("--%s: %s is not %s", f.Names()[0], found[1], kind)
		}
	}
	return text
}

// showHelp prints the help of the command below c that the words name: with the word help
// before them or without.
func showHelp(c *cli.Command, words []string) error {
	if len(words) > 0 && words[0] == "help" {
		words = words[1:]
	}
	for _, word := range words {
		next := c.Command(word)
		if next == nil {
			return unknownCommand(c, word)
		}
		c = next
	}
	return printHelp(c)
}

// unknownCommand returns the error of a word that names no command below c.
func unknownCommand(c *cli.Command, word string) error {
	word = redact.URL(word)
	var known []string
	for _, below := range c.VisibleCommands() {
		known = append(known, below.Name)
	}
	lists := c.FullName() + " --help"
	return &usageError{fmt.Errorf("there is no command %q%s: `%s` lists them", strings.TrimSpace(nameOf(c)+" "+word), spelling.Suggestion(word, known), lists)}
}
