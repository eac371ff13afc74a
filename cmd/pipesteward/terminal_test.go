package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/handlers/admin"
	"github.com/pipesteward/pipesteward/rules/event"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"rspec 1/2: [größer] 日本 👍🏽": "rspec 1/2: [größer] 日本 👍🏽",
		"rs\x1b[31mpec\nnothing":    "rs?[31mpec nothing",
		"a\u202eb\u009b31m\a":       "a?b?31m?",
		"a\xffb":                    "a?b",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
}

// TestNamesSteerNoTerminal: the name of a job reaches no terminal with its control
// characters.
func TestNamesSteerNoTerminal(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	job := env.stuckJob()
	p := env.run()
	body := bytes.ReplaceAll(env.gitlab.JobHookBody(job.ID), []byte(`"`+job.Name+`"`), []byte(`"rs\u001b[31mpec\nnothing is paused\u009b"`))
	p.post(body)
	p.workedOff()
	for _, args := range [][]string{{"why", env.page(job), "--all"}, {"decisions"}, {"deliveries"}, {"queue", "list"}, {"status"}} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"pipesteward", args[0]}, append(args[1:], "--admin-url", p.admin)...), &stdout, &stderr)
		out := stdout.String() + stderr.String()
		if code != 0 || strings.ContainsAny(out, "\x1b\u009b") || strings.Contains(out, "\nnothing is paused\u009b") {
			t.Errorf("%q: exit status %d\n%q", args, code, out)
		}
		if args[0] == "why" && !strings.Contains(out, "rs?[31mpec nothing is paused?") {
			t.Errorf("why does not name the job:\n%s", out)
		}
	}
}

// TestPausesSteerNoTerminal: who pauses and why is one line of text, also what an older
// server has stored.
func TestPausesSteerNoTerminal(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	p := env.run()
	for _, args := range [][]string{{"pause", "--by", "ann\x1b[31m"}, {"pause", "--reason", "a\nnothing is paused"}, {"resume", "--by", "a\nb"}, {"mute", "--reason", "a\nb"}, {"unmute", "--by", "a\nb"}} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"pipesteward", args[0], "--admin-url", p.admin}, args[1:]...), &stdout, &stderr)
		if code != 2 || !strings.Contains(stderr.String(), "has line breaks or other control characters") {
			t.Errorf("%q: exit status %d\n%s%s", args, code, stdout.String(), stderr.String())
		}
	}
	var out bytes.Buffer
	printStatus(&out, admin.Status{
		Muted:   []event.Mute{{By: "ann\x1b[31m", Reason: "a\nnothing is paused"}},
		Paused:  []event.Pause{{By: "ann\x1b[31m", Reason: "a\nnothing is paused"}},
		Changes: []event.Change{{Action: event.ChangePause, By: "ann\x1b[31m", Reason: "a\nnothing is paused"}},
	})
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "\nnothing is paused") {
		t.Errorf("status prints %q", out.String())
	}
}
