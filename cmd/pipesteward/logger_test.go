package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/store"
)

// logOf returns what a program with these flags logs.
func logOf(t *testing.T, do func(*slog.Logger), flags ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := serveCommand(io.Discard)
	c.Action = func(_ context.Context, c *cli.Command) error {
		log, err := newLogger(c, &out)
		if err == nil {
			do(log)
		}
		return err
	}
	err := c.Run(t.Context(), append([]string{"serve"}, flags...))
	return out.String(), err
}

// linesOfLevels logs a line on each level.
func linesOfLevels(log *slog.Logger) {
	log.Debug("tick", "job", 7, "new_job", 0, "reason", "", "code", 0)
	log.Info("outcome", "project", "platform/shop", "took", "1.5s")
	log.Warn("outcome", "reason", "no rights here")
	log.Error("panic", "error", errors.New("a=b"))
}

func TestLogFormats(t *testing.T) {
	const debug = `{"level":"DEBUG","msg":"tick","job":7,"new_job":0,"reason":"","code":0}` + "\n"
	const info = `{"level":"INFO","msg":"outcome","project":"platform/shop","took":"1.5s"}` + "\n"
	const warn = `{"level":"WARN","msg":"outcome","reason":"no rights here"}` + "\n"
	const failed = `{"level":"ERROR","msg":"panic","error":"a=b"}` + "\n"
	const text = "WRN outcome reason=\"no rights here\"\nERR panic error=\"a=b\"\n"
	for _, c := range []struct{ flags, want string }{
		{"", info + warn + failed}, // to no terminal
		{"--log-format=json --log-level=debug", debug + info + warn + failed},
		{"--log-format=auto --log-level=error", failed},
		{"--log-format=text --log-level=WARN", text},
		{"--log-format=text --log-level=debug", "DBG tick job=7 code=0\nINF outcome project=platform/shop took=1.5s\n" + text},
	} {
		log, err := logOf(t, linesOfLevels, strings.Fields(c.flags)...)
		if err != nil {
			t.Errorf("%s: %v", c.flags, err)
		}
		log = regexp.MustCompile(`(?m)"time":"[^"]+",|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} `).ReplaceAllString(log, "")
		if diff := cmp.Diff(c.want, log); diff != "" {
			t.Errorf("%s: log differs (- want, + got):\n%s", c.flags, diff)
		}
	}
}

func TestBadLogSettings(t *testing.T) {
	_, err := logOf(t, linesOfLevels, "--log-level=warning", "--log-format", "jsn")
	want := "2 settings are missing or wrong:\n" +
		`  --log-level: "warning" is none of debug, info, warn, error (did you mean "warn"?)` + "\n" +
		`  --log-format: "jsn" is none of auto, text, json (did you mean "json"?)`
	if err == nil || err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
}

// TestLogFromTheEnvironment: the settings come from variables too, and outages are logged
// once in each format.
func TestLogFromTheEnvironment(t *testing.T) {
	t.Setenv("PIPESTEWARD_LOG_FORMAT", "text")
	t.Setenv("PIPESTEWARD_LOG_LEVEL", "error")
	log, err := logOf(t, func(log *slog.Logger) {
		for range 3 {
			log.Error("event not stored", store.Outage(errors.New("no route")))
		}
	})
	if err != nil || strings.Count(log, `ERR event not stored error="no route"`) != 1 || strings.Count(log, "\n") != 1 {
		t.Errorf("log is %v\n%s", err, log)
	}
}

// TestLogIsSafeOnATerminal: what others wrote reaches no terminal as a control sequence,
// with colour and without.
func TestLogIsSafeOnATerminal(t *testing.T) {
	for _, colour := range []bool{true, false} {
		var out bytes.Buffer
		log := slog.New(textHandler(&out, slog.LevelInfo, colour))
		for _, evil := range []any{"\x1b[2Jx", "\x1b]0;title\a", `\x1b[2J x`, errors.New("\x1b[2J x"), []string{"\x1b[2J"}, "\u009b2J", "a\nb"} {
			log.Info("line", "reason", evil)
		}
		own := regexp.MustCompile("\x1b\\[[0-9;]*m")
		if own.MatchString(out.String()) != colour {
			t.Errorf("with colour=%v the log is %q", colour, out.String())
		}
		for line := range strings.Lines(own.ReplaceAllString(out.String(), "")) {
			if !strings.Contains(line, "INF line reason=") || strings.ContainsAny(line, "\x1b\a\u009b") {
				t.Errorf("with colour=%v a line is %q", colour, line)
			}
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	root := &cli.Command{Commands: []*cli.Command{serveCommand(io.Discard), statusCommand(io.Discard)}}
	for variable, want := range map[string]string{
		"PIPESTEWARD_GITLAB_TOKEN=x":                    "known",
		"PIPESTEWARD_GITLAB_TOKEN_FILE=x":               "known",
		"PIPESTEWARD_WEBHOOK_TOKEN=x":                   "known",
		"PIPESTEWARD_GITLAB_ALIAS=x":                    "known",
		"PIPESTEWARD_ADMIN_URL=x":                       "known",
		"PIPESTEWARD_LOG_LEVEL=debug":                   "known",
		"PATH=/bin":                                     "known",
		"PIPESTEWARD_SERVICE_HOST=10.0.0.1":             "known", // of Kubernetes
		"PIPESTEWARD_ADMIN_SERVICE_PORT_HTTP=9090":      "known",
		"PIPESTEWARD_PORT=tcp://10.0.0.1:8080":          "known",
		"PIPESTEWARD_PORT_8080_TCP=tcp://10.0.0.1:8080": "known",
		"PIPESTEWARD_PORT_8080_TCP_ADDR=10.0.0.1":       "known",
		"PIPESTEWARD_GITLAB_TOKE=x":                     "PIPESTEWARD_GITLAB_TOKEN",
		"PIPESTEWARD_GITLAB_RATE_FILE=x":                "PIPESTEWARD_GITLAB_TOKEN_FILE",
		"PIPESTEWARD_LOGLEVEL=x":                        "PIPESTEWARD_LOG_LEVEL",
		"PIPESTEWARD_PORT=8080":                         "",
		"PIPESTEWARD_SLACKTOKEN=hush-hush":              "PIPESTEWARD_SLACK_TOKEN",
	} {
		got := "known"
		for _, u := range unknownVariables(root, []string{variable}) {
			got = strings.TrimSuffix(strings.TrimPrefix(u.suggestion, ` (did you mean "`), `"?)`)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", variable, got, want)
		}
	}
}

// TestUnknownVariableIsLogged: once at the start, with its name, and never with its value.
func TestUnknownVariableIsLogged(t *testing.T) {
	t.Setenv("PIPESTEWARD_SLACKTOKEN", "hush-hush")
	log, err := logOf(t, func(*slog.Logger) {})
	if err != nil || !strings.Contains(log, `did you mean \"PIPESTEWARD_SLACK_TOKEN\"?`) || !strings.Contains(log, `"variable":"PIPESTEWARD_SLACKTOKEN"`) || strings.Contains(log, "hush") {
		t.Errorf("log is %v\n%s", err, log)
	}
}
