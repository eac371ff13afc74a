package main

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// TestManualPage: the manual page has all commands and flags, with the words of the help, and
// mandoc finds no mistake in it.
func TestManualPage(t *testing.T) {
	t.Parallel()
	code, page, stderr := called(t, "man")
	if code != 0 || stderr != "" {
		t.Fatalf("man: exit status %d\n%s", code, stderr)
	}
	eachCommand(func(c *cli.Command, words []string) {
		if name := strings.Join(append([]string{"pipesteward"}, words...), " "); len(words) > 0 && !strings.Contains(page, `.SS "`+roffText.Replace(name)) {
			t.Errorf("the page lacks the command %s", name)
		}
		for _, f := range c.Flags {
			names, usage := flagHelp(f)
			if text := ".TP\n" + roffText.Replace(names) + "\n" + roffText.Replace(usage) + "\n"; !strings.Contains(page, text) {
				t.Errorf("the page lacks %s of %q", names, words)
			}
		}
	})

	mandoc, err := exec.LookPath("mandoc")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("install mandoc to have it look for mistakes in the page")
	}
	page = strings.Replace(page, `.TH PIPESTEWARD 1 ""`, `.TH PIPESTEWARD 1 "2026-12-01"`, 1) // tests are built without a date
	if out, err := roff(t.Context(), page, mandoc, "-T", "lint", "-W", "warning"); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	text, err := roff(t.Context(), page, mandoc, "-T", "ascii", "-O", "width=200")
	if want := "source <(pipesteward completion bash)"; err != nil || !strings.Contains(text, want) {
		t.Errorf("mandoc prints no line %s: %v\n%s", want, err, text)
	}
}

// roff runs a program that reads the page.
func roff(ctx context.Context, page string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(page)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
