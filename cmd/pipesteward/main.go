// Command pipesteward keeps GitLab pipelines moving: it receives pipeline and
// job events, decides by rules, acts through the Jobs API and notifies people in
// Slack. See README.md.
//
// The package has more than 2,000 lines because it is one program: each command has a
// file, which reads its flags, calls the package that does the work, and prints the
// result. What commands share is in settings.go, adminclient.go, terminal.go and
// listing.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	_ "time/tzdata" // for schedules, where the machine has no time zones

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit status, 0 for success, 1 for
// failure, 2 for a command line or settings that make no sense, or the status that a command
// documents.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &output{w: stdout}
	err := commandTree(out, stderr).Run(ctx, args)
	if _, status := errors.AsType[*statusError](err); out.err != nil && (err == nil || status) {
		err = out.err
	}
	status := exitStatus(err)
	if _, says := errors.AsType[*statusError](err); err == nil || says {
		return status
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errStopped
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintln(stderr, errorText(err.Error(), wrap.Columns(stderr)))
	}
	return status
}

// exitStatus returns the exit status of a command that ends with an error, nil included.
func exitStatus(err error) int {
	result, says := errors.AsType[*statusError](err)
	_, misused := errors.AsType[*usageError](err)
	settings, _ := errors.AsType[app.SettingErrors](err)
	switch {
	case err == nil:
		return 0
	case says:
		return result.status
	case misused, settings.Malformed():
		return 2
	}
	return 1
}

// errorText returns an error as it is printed, in lines of at most width columns; 0: of any
// length.
func errorText(text string, width int) string {
	text = "pipesteward: " + printableLines(text)
	if width == 0 {
		return text
	}
	return wrapped(text, width)
}

// commandTree returns the tree of all commands.
func commandTree(out *output, stderr io.Writer) *cli.Command {
	stdout := newCleanOutput(out)
	commands := []*cli.Command{
		serveCommand(stderr),
		checkCommand(stdout),
		explainCommand(stdout),
		testCommand(stdout),
		backtestCommand(stdout, stderr),
		sweepCommand(stdout, stderr),
		catchUpCommand(stdout, stderr),
		hooksCommand(stdout, stderr),
		decisionsCommand(stdout, stderr),
		reportCommand(stdout),
		deliveriesCommand(stdout, stderr),
		unknownFailuresCommand(stdout, stderr),
		proposeCommand(stdout, stderr),
		queueCommand(stdout, stderr),
		backupCommand(out, stderr),
		ciCommand(out, stderr), // begins and ends sections of the job's log by control characters
		pauseCommand(stdout),
		resumeCommand(stdout),
		muteCommand(stdout),
		unmuteCommand(stdout),
		statusCommand(stdout),
		whyCommand(stdout),
		doctorCommand(stdout, stderr),
		schemaCommand(stdout),
		manCommand(stdout),
		mcpCommand(out), // JSON, in which characters that steer a terminal are escaped
		demoCommand(stdout),
	}
	root := &cli.Command{
		Name:  "pipesteward",
		Usage: "keeps GitLab pipelines moving",
		Description: "Exit status: 0 for success, 1 for failure, 2 for a command line or settings that make no sense; commands whose\n" +
			"status says more describe it. Errors go to standard error, also with --json, which prints whole JSON or nothing on\n" +
			"standard output.",
		Version:               thisBuild().String(),
		Writer:                stdout,
		ErrWriter:             stderr,
		EnableShellCompletion: true,
		Commands:              commands,

		ConfigureShellCompletionCommand: func(c *cli.Command) {
			c.Hidden, c.Usage = false, "print a script that completes commands and flags in a shell"
			c.Description = "Load it in the shell's startup file: ~/.bashrc, which needs the package bash-completion before, or ~/.zshrc after\n" +
				"compinit. In fish and PowerShell, save it:\n\n" +
				"   source <(pipesteward completion bash)\n" +
				"   source <(pipesteward completion zsh)\n" +
				"   pipesteward completion fish > ~/.config/fish/completions/pipesteward.fish\n" +
				"   pipesteward completion powershell > pipesteward.ps1; . ./pipesteward.ps1"
			for _, shell := range c.Commands {
				switch shell.Name {
				case "pwsh":
					shell.Aliases = []string{"powershell"}
				case "fish":
					shell.Action = printThen(shell.Action, stdout, fishFiles)
				}
				shell.Usage = "print the script of " + shell.Name
			}
			prepare(c)
		},
		// run prints the error and returns the status itself.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	prepare(root)
	return root
}

// fishFiles has fish complete names of files where the program proposes nothing, as the
// scripts of the other shells do.
const fishFiles = "\ncomplete -c pipesteward -n 'not __pipesteward_perform_completion | string length -q' -F\n"

// printThen returns an action that prints a text after what the given action prints.
func printThen(action cli.ActionFunc, stdout io.Writer, text string) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		if err := action(ctx, c); err != nil {
			return err
		}
		_, err := io.WriteString(stdout, text)
		return err
	}
}

// errStopped is the end of a command by a signal.
var errStopped = errors.New("stopped before it was done")

// errReported is a failure that a command has already reported.
var errReported = errors.New("failed")

// statusError is the result of a command that has reported it, and whose exit statuses
// say more than success and failure.
type statusError struct{ status int }

func (e *statusError) Error() string { return "exit status " + strconv.Itoa(e.status) }
