package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

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

// TestErrorsFitTheTerminal: long lines of an error are broken on a terminal, and indented as
// theirs, and nowhere else. Ids, addresses and commands are not broken.
func TestErrorsFitTheTerminal(t *testing.T) {
	t.Parallel()
	const id = "retry:https://gitlab.example.com/platform/backend/services:7:700:failed@1764486000000000000"
	text := "2 settings are missing or wrong:\n  --gitlab-url: the GitLab URL is none: write for instance https://gitlab.example.com, and no more\n  --job: " + id + " is no job\x1b[2J"
	for _, width := range []int{40, 60, 0} {
		got := errorText(text, width)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields("pipesteward: "+printableLines(text)), " ") || !strings.Contains(got, id) {
			t.Errorf("width %d: the text is another one:\n%s", width, got)
		}
		if lines := strings.Count(got, "\n") + 1; (width == 0) != (lines == 3) {
			t.Errorf("width %d: %d lines:\n%s", width, lines, got)
		}
		if width > 0 && !strings.Contains(got, "\n    ") {
			t.Errorf("width %d: what goes on is not indented:\n%s", width, got)
		}
		checkWidth(t, strings.ReplaceAll(got, id, ""), width)
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
	for _, args := range [][]string{{"why", env.page(job), "--all"}, {"decisions"}, {"deliveries"}, {"unknown"}, {"queue", "list"}, {"queue", "list", "--dead"}, {"status"}} {
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

// hostile is a name that would colour a terminal, and claims a line, a C1 sequence and a
// direction of its own.
const hostile = "rs\x1b[31mpec\nnothing is paused\u009b\u202e\r\xff"

// fill makes all texts of a value hostile, and those of its lists down to a depth.
func fill(v reflect.Value, depth int) {
	switch kind := v.Kind(); {
	case kind == reflect.String:
		v.SetString(hostile)
	case kind == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth)
			}
		}
	case kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && depth > 0:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	}
}

func filled[T any]() (v T) {
	fill(reflect.ValueOf(&v).Elem(), 2)
	return v
}

// TestListingsSteerNoTerminal: whatever text of others a listing has, in each layout.
func TestListingsSteerNoTerminal(t *testing.T) {
	t.Parallel()
	o, d, queued, dead := filled[event.Outcome](), filled[event.Delivery](), filled[admin.QueuedRecord](), filled[admin.DeadRecord]()
	o.Job.ID, d.Job, queued.Job, dead.Job = 1, 2, 3, 4
	item, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	items := []json.RawMessage{item}
	for name, list := range map[string]func(p itemPrinter) error{
		"decisions": func(p itemPrinter) error { return decisionPrinter{p}.list(items) },
		"decisions --follow": func(p itemPrinter) error {
			return (&follower{out: decisionPrinter{p}, seen: map[string]string{}}).show(items, true)
		},
		"deliveries":          func(p itemPrinter) error { return deliveryPrinter{p}.list([]event.Delivery{d}) },
		"deliveries --follow": func(p itemPrinter) error { return deliveryPrinter{p}.each([]event.Delivery{d}) },
		"queue list": func(p itemPrinter) error {
			return p.all(items, listQueue([]admin.QueuedRecord{queued}, p.colour, time.Now()), "")
		},
		"queue list --dead": func(p itemPrinter) error {
			return p.all(items, listDead([]admin.DeadRecord{dead}, p.colour), "")
		},
	} {
		for _, p := range []itemPrinter{{}, {width: 40}, {width: 2000}, {json: true}} {
			var out bytes.Buffer
			p.w = &out
			if err := list(p); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if text == "" || strings.Contains(text, "\nnothing") || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && event.IsControl(r) }) {
				t.Errorf("%s, %d columns, JSON %v, prints %q", name, p.width, p.json, text)
			}
		}
	}
}

// TestOutputSteersNoTerminal: nothing that a command prints steers the terminal, whatever
// the command does.
func TestOutputSteersNoTerminal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		coloured bool
		writes   []string
		want     string
	}{
		{false, []string{"a\tb\nc é 日本\n"}, "a\tb\nc é 日本\n"},
		{false, []string{hostile}, "rs?[31mpec\nnothing is paused????"},
		{false, []string{"\xe6\x97", "\xa5\n", "\xe6"}, "日\n"},
		{true, []string{printer{true}.red("no"), "\x1b[8mhidden\x1b[0m\x1b]0;title\a\x1b[2J"}, "\x1b[31mno\x1b[0m?[8mhidden\x1b[0m?]0;title??[2J"},
	} {
		var out bytes.Buffer
		c := &cleanOutput{output: &output{w: &out}, coloured: test.coloured}
		for _, text := range test.writes {
			if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
				t.Errorf("%q: %d, %v", text, n, err)
			}
		}
		if out.String() != test.want {
			t.Errorf("%q is printed as %q, want %q", test.writes, out.String(), test.want)
		}
	}
}

// full is a device that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestOutputThatIsLost: no command succeeds whose output can't be written.
func TestOutputThatIsLost(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	at := []string{"--admin-url", p.admin}
	for _, args := range [][]string{
		{"--help"},
		{"--version"},
		{"status", "--help"},
		{"completion", "bash"},
		{"schema"},
		{"check", "--explain", "shadowed-rule"},
		append([]string{"status"}, at...), append([]string{"status", "--json"}, at...), append([]string{"decisions"}, at...), append([]string{"deliveries"}, at...),
		append([]string{"queue", "list"}, at...), append([]string{"why", env.page(job)}, at...), append([]string{"pause"}, at...), append([]string{"resume"}, at...),
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"pipesteward"}, args...), full{}, &stderr); code != 1 || !strings.Contains(stderr.String(), "the output can't be written: no space left on device") {
			t.Errorf("%q: exit status %d, %q", args, code, stderr.String())
		}
	}
}
