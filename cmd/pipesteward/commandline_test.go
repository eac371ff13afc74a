package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

// eachCommand calls do with each command, that of the whole program first, and the words
// by which it is called.
func eachCommand(do func(c *cli.Command, words []string)) {
	var walk func(*cli.Command, []string)
	walk = func(c *cli.Command, words []string) {
		do(c, words)
		for _, below := range c.Commands {
			walk(below, append(slices.Clone(words), below.Name))
		}
	}
	walk(commandTree(&output{w: io.Discard}, io.Discard), nil)
}

// called runs the program with the arguments.
func called(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"pipesteward"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// TestUnknownCommands: a command that is not there is named, with the nearest one.
func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"serv"}, "there is no command \"serv\" (did you mean \"serve\"?): `pipesteward --help` lists them"},
		{[]string{"serv", "--help"}, `"serv" (did you mean "serve"?)`},
		{[]string{"help", "serv"}, `"serv" (did you mean "serve"?)`},
		{[]string{"help", "xyzzyxyzzy"}, "there is no command \"xyzzyxyzzy\": `pipesteward --help` lists them"},
		{[]string{"forecast", "--help"}, `there is no command "forecast"`},
		{[]string{"hooks", "lst"}, "there is no command \"hooks lst\" (did you mean \"list\"?): `pipesteward hooks --help` lists them"},
		{[]string{"hooks", "lst", "--help"}, `"hooks lst" (did you mean "list"?)`},
		{[]string{"hooks", "help", "lst"}, `"hooks lst" (did you mean "list"?)`},
		{[]string{"help", "queue", "drp"}, `"queue drp" (did you mean "drop"?)`},
		{[]string{"help", "serve", "now"}, `there is no command "serve now"`},
		{[]string{"completion", "basch"}, `"completion basch" (did you mean "bash"?)`},
		{[]string{"--vresion"}, "there is no flag --vresion (did you mean \"--version\"?): `pipesteward --help` lists them"},
		{[]string{"serve", "--rulez", "x"}, "there is no flag --rulez (did you mean \"--rules\"?): `pipesteward serve --help` lists them"},
		{[]string{"queue", "drop", "--xyzzyxyzzy"}, "there is no flag --xyzzyxyzzy: `pipesteward queue drop --help` lists them"},
		{[]string{"serve", "x:hush-hush@example.com"}, `serve takes no arguments, but got "[masked]@example.com": name rule files with --rules`},
	} {
		code, stdout, stderr := called(t, c.args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit status %d, want 2 and %q\n%s%s", c.args, code, c.says, stdout, stderr)
		}
	}
}

// TestHelp: the help of each command fits a narrow terminal, however it is requested, and
// names each flag with what its value is.
func TestHelp(t *testing.T) {
	t.Parallel()
	typeName := regexp.MustCompile(`--[a-z-]+ (string|int|int64|uint|duration|value|float)\b`)
	n := 0
	eachCommand(func(c *cli.Command, words []string) {
		n++
		code, text, stderr := called(t, append(slices.Clone(words), "--help")...)
		if code != 0 || stderr != "" || !strings.HasPrefix(text, "NAME:\n   "+strings.Join(append([]string{"pipesteward"}, words...), " ")) {
			t.Errorf("%q --help: exit status %d\n%s%s", words, code, text, stderr)
		}
		for line := range strings.Lines(text) {
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > wrap.DefaultWidth {
				t.Errorf("%q --help has a line of %d columns: %s", words, width, line)
			}
		}
		if odd := typeName.FindString(text); odd != "" {
			t.Errorf("%q --help does not say what the value of a flag is: %s", words, odd)
		}
		for _, f := range c.Flags {
			if !strings.Contains(text, "--"+f.Names()[0]) {
				t.Errorf("%q --help lacks --%s", words, f.Names()[0])
			}
		}
		others := [][]string{append(slices.Clone(words), "-h"), append([]string{"help"}, words...)}
		if len(c.Commands) > 0 {
			others = append(others, words, append(slices.Clone(words), "help"))
		}
		for _, args := range others {
			if code, same, _ := called(t, args...); code != 0 || same != text {
				t.Errorf("%q: exit status %d, and not the help:\n%s", args, code, same)
			}
		}
	})
	if n < 20 {
		t.Errorf("%d commands", n)
	}
	if code, text, _ := called(t, "completion", "--help"); code != 0 || !strings.Contains(text, "bash") {
		t.Errorf("the help of completion: %d %s", code, text)
	}
}

// TestMisuse: what makes no sense ends each command with 2, with a text on standard error
// and nothing on standard output, be it JSON or not.
func TestMisuse(t *testing.T) {
	t.Parallel()
	eachCommand(func(c *cli.Command, words []string) {
		if len(c.Commands) > 0 {
			return
		}
		misuses := map[string][]string{"there is no flag --xyzzyxyzzy": {"--xyzzyxyzzy"}}
		if c.ArgsUsage == "" {
			misuses[strings.Join(words, " ")+" takes no arguments, but got \"xyzzy\""] = []string{"xyzzy"}
		}
		for _, f := range c.Flags {
			if n, is := f.(*cli.IntFlag); is {
				misuses["--"+n.Name+`: "many" is not a whole number`] = []string{"--" + n.Name, "many"}
				misuses["--"+n.Name+" needs a value"] = []string{"--" + n.Name}
			}
			if d, is := f.(*cli.DurationFlag); is {
				misuses["--"+d.Name+`: "often" is not a duration like 30s or 5m`] = []string{"--" + d.Name, "often"}
			}
			if b, is := f.(*cli.BoolFlag); is {
				misuses["--"+b.Name+`: "maybe" is not true or false`] = []string{"--" + b.Name + "=maybe"}
			}
		}
		for says, misuse := range misuses {
			args := append(slices.Clone(words), misuse...)
			if !strings.HasSuffix(says, "needs a value") && slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == "json" }) {
				args = append(args, "--json")
			}
			if code, stdout, stderr := called(t, args...); code != 2 || stdout != "" || !strings.Contains(stderr, says) {
				t.Errorf("%q: exit status %d, want 2 and %q\n%s%s", args, code, says, stdout, stderr)
			}
		}
	})
}

// TestWrongVariables: variables that can't be parsed are named, with what to write and with
// all else that is wrong, by each command that takes them.
func TestWrongVariables(t *testing.T) {
	t.Setenv("PIPESTEWARD_DRY_RUN", "xyzzy")
	t.Setenv("PIPESTEWARD_LOG_WINDOW", "xyzzy")
	for _, words := range withFlag("dry-run") {
		if words[0] == "report" || words[0] == "doctor" { // a flag of its own; its findings
			continue
		}
		args := slices.Concat(words, []string{"--gitlab-rate", "5", "--gitlab-token", "hush-hush"})
		wants := []string{`--dry-run: "xyzzy" is not true or false`, `--gitlab-rate: "5" is not a rate`}
		if slices.ContainsFunc(withFlag("log-window"), func(other []string) bool { return slices.Equal(other, words) }) {
			wants = append(wants, `--log-window: "xyzzy" is not a number of bytes`)
		}
		code, _, stderr := called(t, args...)
		for _, want := range wants {
			if code != 2 || !strings.Contains(stderr, want) {
				t.Errorf("%q: exit status %d, want 2 and %q:\n%s", args, code, want, stderr)
			}
		}
	}
	if code, _, stderr := called(t, "catch-up", "--admin-url", "http://127.0.0.1:1"); code != 2 || !strings.Contains(stderr, "--dry-run: ") {
		t.Errorf("catch-up of a server: exit status %d: %s", code, stderr)
	}
	if code, _, stderr := called(t, "serve", "--dry-run"); strings.Contains(stderr, "--dry-run") {
		t.Errorf("the flag does not stand for the variable: exit status %d: %s", code, stderr)
	}
}

// TestStoppedBySignal: a command that a signal ends says so.
func TestStoppedBySignal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"status", "--admin-url", "http://127.0.0.1:1"},
		{"decisions", "--follow", "--admin-url", "http://127.0.0.1:1"},
		{"hooks", "list", "platform/shop", "--gitlab-url", "http://127.0.0.1:1", "--gitlab-token", "hush-hush"},
		{"catch-up", "--gitlab-url", "http://127.0.0.1:1", "--gitlab-token", "hush-hush", "--rules", "../../rules.example.yaml", "--store", "bolt:" + filepath.Join(dir, "a.db")},
	} {
		var stderr bytes.Buffer
		code := run(ctx, append([]string{"pipesteward"}, args...), io.Discard, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "stopped before") || strings.HasSuffix(stderr.String(), "context canceled\n") {
			t.Errorf("%q: exit status %d: %s", args, code, stderr.String())
		}
	}
}

// TestMissingToken: each command that needs a token for GitLab ends with 2 without one, and
// names the scope that it needs: to read, or to change something, too.
func TestMissingToken(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte(testRules), 0o600); err != nil {
		t.Fatal(err)
	}
	job := []string{"--job", "https://gitlab.com/a/b/-/jobs/1"}
	hook := []string{"--webhook-url", "https://bot.example.com/webhooks/gitlab", "--webhook-token", "hush-hush", "platform"}
	for name, test := range map[string]struct {
		args          []string
		scope, dryRun string // "": it has no --dry-run
	}{
		"serve":        {[]string{"--webhook-token", "hush-hush"}, "api", "api"},
		"backtest":     {[]string{"--project", "platform"}, "read_api", ""},
		"explain":      {job, "read_api", ""},
		"sweep":        {nil, "api", "read_api"},
		"catch-up":     {nil, "api", "read_api"},
		"hooks list":   {[]string{"platform"}, "read_api", ""},
		"hooks ensure": {hook, "api", "read_api"},
		"ci":           {nil, "", ""}, // a job token stands for it
		"doctor":       {nil, "", ""}, // reports it
		"mcp":          {nil, "", ""}, // explain says so when it is called; the other tools need none
	} {
		words := strings.Fields(name)
		has := func(flag string) bool {
			return slices.ContainsFunc(withFlag(flag), func(other []string) bool { return slices.Equal(other, words) })
		}
		if !has("gitlab-token") {
			t.Errorf("%s has no --gitlab-token", name)
		}
		if test.scope == "" {
			continue
		}
		for _, c := range []struct{ flag, scope string }{{"", test.scope}, {"--dry-run", test.dryRun}} {
			if c.scope == "" {
				continue
			}
			args := slices.Clone(words)
			for flag, value := range map[string]string{"rules": rules, "store": "bolt:" + filepath.Join(dir, "p.db")} {
				if has(flag) {
					args = append(args, "--"+flag, value)
				}
			}
			if c.flag != "" {
				args = append(args, c.flag)
			}
			args = append(args, test.args...)
			code, stdout, stderr := called(t, args...)
			if says := "access token with scope " + c.scope; code != 2 || stdout != "" || !strings.Contains(stderr, "--gitlab-token") || !regexp.MustCompile(says+`\b`).MatchString(stderr) {
				t.Errorf("%q: exit status %d, want 2 and %q:\n%s%s", args, code, says, stdout, stderr)
			}
			if _, help, _ := called(t, append(slices.Clone(words), "--help")...); !strings.Contains(strings.Join(strings.Fields(help), " "), c.scope) {
				t.Errorf("%s --help does not name the scope %s", name, c.scope)
			}
		}
	}
	if n := len(withFlag("gitlab-token")); n != 10 {
		t.Errorf("%d commands have --gitlab-token, and this table has 10", n)
	}
}

// TestSecretsThatMakeNoSense: what no file can mend ends with 2, so that a service manager
// does not start the program again; what a file can mend ends with 1.
func TestSecretsThatMakeNoSense(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		name, variable, file string
		code                 int
		says                 string
	}{
		{"no token", "", "-", 2, "--gitlab-token: it is missing"},
		{"a token of two lines", "hush\nhush", "-", 2, "--gitlab-token: it has a line break"},
		{"a token in two places", "hush", "hush", 2, "choose one"},
		{"an empty file", "", "", 1, "--gitlab-token: it is missing"},
		{"a file of two lines", "", "hush\nhush", 1, "the file must hold one line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PIPESTEWARD_GITLAB_TOKEN", c.variable)
			if c.file != "-" {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PIPESTEWARD_GITLAB_TOKEN_FILE", file)
			}
			for _, args := range [][]string{{"serve", "--rules", "../../rules.example.yaml", "--webhook-token", "x"}, {"backtest", "--project", "platform"}, {"hooks", "list", "platform"}} {
				if code, _, stderr := called(t, args...); code != c.code || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "hush") {
					t.Errorf("%q: exit status %d, want %d and %q:\n%s", args, code, c.code, c.says, stderr)
				}
			}
		})
	}
}
