package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/demo"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

func TestDemo(t *testing.T) {
	await.Long(t, "the demo takes the time that it takes to watch")
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "demo"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, stdout.String(), stderr.String())
	}
	shows(t, stdout.String(),
		"attempt 2 of 3", "attempt 3 of 3", "Played deploy-staging", "leaves it alone", "Erased the log of review-app", "in #ci", "/-/pipelines/",
		"5 outcomes", "What to try next", "demo --keep", "serve --help")
	if strings.Contains(stdout.String(), "\x1b") {
		t.Errorf("there are colours, and no terminal:\n%q", stdout.String())
	}
}

// shows checks that an output has the parts, across the ends of lines, and that its lines
// fit a terminal.
func shows(t *testing.T, output string, parts ...string) {
	t.Helper()
	words := strings.Join(strings.Fields(output), " ")
	for _, part := range parts {
		if !strings.Contains(words, part) {
			t.Errorf("the demo does not show %q:\n%s", part, output)
		}
	}
	for line := range strings.Lines(output) {
		n := text.StringWidthWithoutEscSequences(strings.TrimRight(line, "\n"))
		if n > 80 && !strings.Contains(line, os.TempDir()) { // which is longer in tests than elsewhere
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
}

// keptDemo is a demo that stays up.
type keptDemo struct {
	*testing.T
	commands io.Writer
	ended    chan error

	mu  sync.Mutex
	out bytes.Buffer
}

// keepDemo starts a demo that stays up, with a prompt, and waits for the end of its story.
func keepDemo(ctx context.Context, t *testing.T, colour bool) *keptDemo {
	t.Helper()
	commands, typed := io.Pipe()
	d := &keptDemo{T: t, commands: typed, ended: make(chan error, 1)}
	go func() {
		err := demo.Run(ctx, demo.Options{Out: d, Colour: colour, Program: "pipesteward", Version: "v1", Keep: true, Commands: commands})
		_ = commands.Close() // nobody reads what is typed now
		d.ended <- err
	}()
	d.prompted(1)
	return d
}

// Write implements io.Writer.
func (d *keptDemo) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *keptDemo) output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// prompted waits until the demo has prompted n times.
func (d *keptDemo) prompted(n int) {
	d.Helper()
	await.Until(d, "the demo prompts", func() bool {
		select {
		case err := <-d.ended:
			d.Fatalf("the demo ends with %v\n%s", err, d.output())
			return true
		default:
			return strings.Count(d.output(), "demo> ") >= n
		}
	}, d.output)
}

// types types a line, and returns what the demo prints until it prompts again.
func (d *keptDemo) types(line string) string {
	d.Helper()
	before := d.output()
	if _, err := io.WriteString(d.commands, line+"\n"); err != nil {
		d.Fatal(err)
	}
	d.prompted(strings.Count(before, "demo> ") + 1)
	return strings.TrimPrefix(d.output(), before)
}

// All commands that a demo prints work as they are pasted into a shell, its files exist as
// long as it stays up, and its prompt fails jobs.
func TestDemoKeeps(t *testing.T) {
	await.Long(t, "the demo takes the time that it takes to watch")
	t.Parallel()
	d := keepDemo(t.Context(), t, false)
	shows(t, d.output(), "Everything stays up", "In a browser, the page of the service", "1. Decisions:", "status --admin-url", "curl -s", "pipesteward explain", "fail JOB [REASON]")
	bin := t.TempDir()
	if err := os.Symlink(executable(t), filepath.Join(bin, "pipesteward")); err != nil {
		t.Fatal(err)
	}
	for command, says := range map[string]string{
		"status":                "queue",
		"pipesteward why":       "retry-infrastructure",
		"pipesteward decisions": "retry-infrastructure",
		"/api/v1/decisions":     `"outcome":"done"`,
		"metrics":               "pipesteward_decisions_total",
		"explain":               "failed (stuck_pending_with_matching_runners)",
		"X-Gitlab-Toke":         "HTTP/1.1 202 Accepted",
		"/-/pipelines/":         "platform/shop: pipeline 101 for main is success",
		"PRIVATE-TOKEN":         `"name":"integration"`,
		"cat":                   "retry-infrastructure",
	} {
		line := printed(t, d.output(), command)
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", line)
		cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), says) {
			t.Errorf("%s\n%v, and lacks %q:\n%s", line, err, says, out)
		}
	}

	for _, step := range []struct {
		line string
		says []string
	}{
		{"fail", []string{"name one job, such as fail integration"}},
		{"fail integratoin", []string{`there is no job "integratoin" (did you mean "integration"?)`}},
		{"fail integration out_of_luck", []string{`"out_of_luck" is no failure reason of GitLab`}},
		{"fial integration", []string{`"fial" is no command (did you mean "fail"?)`}},
		{"", nil},
		{"fail deploy-staging", []string{"waits in the new pipeline for the jobs of the stages before it"}},
		{"fail integration", []string{"failed, runner_system_failure", "attempt 2 of 3", "in #ci"}},
		{"fail integration stuck_pending_no_matching_runners", []string{"attempt 3 of 3"}},
		{"fail integration", []string{"Gave up on integration"}},
		{"fail unit-tests script_failure", []string{"leaves it alone: no rule wants anything done"}},
		{"list", []string{"platform/shop, pipeline", "integration", "failed", "unit-tests"}},
		{"pass integration", []string{"Played deploy-staging"}},
		{"help", []string{"pass JOB"}},
	} {
		shows(t, d.types(step.line), step.says...)
	}
	if _, err := io.WriteString(d.commands, "quit\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-d.ended; err != nil {
		t.Errorf("quit: %v", err)
	}
	rules := regexp.MustCompile(`/\S*rules\.yaml`).FindString(d.output())
	if _, err := os.Stat(rules); err == nil {
		t.Errorf("%s was left behind", rules)
	}
}

// printed returns the command with a part that a demo printed, as it stands there.
func printed(t *testing.T, output, part string) string {
	t.Helper()
	_, suggestions, _ := strings.Cut(output, "Everything stays up")
	for block := range strings.SplitSeq(suggestions, "\n\n") {
		_, command, _ := strings.Cut(block, "\n    ")
		for line := range strings.SplitSeq(strings.ReplaceAll(command, "\\\n", "\\\x00"), "\n") {
			if line = strings.ReplaceAll(line, "\x00", "\n"); strings.Contains(line, part) {
				return line
			}
		}
	}
	t.Fatalf("the demo prints no command with %q:\n%s", part, output)
	return ""
}

// Ctrl-C ends the prompt, and so does the end of the input. There are colours on a
// terminal.
func TestDemoEnds(t *testing.T) {
	await.Long(t, "the demo takes the time that it takes to watch")
	t.Parallel()
	for name, end := range map[string]func(d *keptDemo, interrupt func()){
		"Ctrl-C":           func(_ *keptDemo, interrupt func()) { interrupt() },
		"the input's end":  func(d *keptDemo, _ func()) { _ = d.commands.(io.Closer).Close() },
		"the command exit": func(d *keptDemo, _ func()) { _, _ = io.WriteString(d.commands, "exit\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			d := keepDemo(ctx, t, true)
			end(d, interrupt)
			if err := <-d.ended; err != nil {
				t.Errorf("%v\n%s", err, d.output())
			}
			if !strings.Contains(d.output(), "\x1b[36mSlack") {
				t.Errorf("there are no colours:\n%q", d.output())
			}
		})
	}
}
