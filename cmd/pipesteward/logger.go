package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules/spelling"
	"github.com/pipesteward/pipesteward/store"
)

// Formats of the log. formatAuto is text on a terminal, else JSON.
const (
	formatAuto = "auto"
	formatText = "text"
	formatJSON = "json"
)

var (
	logFormats = []string{formatAuto, formatText, formatJSON}
	logLevels  = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
)

// newLogger returns a logger with the level and the format of the command's flags, and an
// error if these are wrong: the defaults are used in their place. It warns of environment
// variables that look like settings and are none.
func newLogger(c *cli.Command, w io.Writer) (*slog.Logger, error) {
	var wrong app.SettingErrors
	level, err := parseLevel(cmp.Or(c.String("log-level"), "info"))
	wrong = wrong.WithMalformed("log-level", err)
	format := strings.ToLower(cmp.Or(c.String("log-format"), formatAuto))
	if !slices.Contains(logFormats, format) {
		wrong = wrong.WithMalformed("log-format", fmt.Errorf("%q is none of %s%s", format, strings.Join(logFormats, ", "), spelling.Suggestion(format, logFormats)))
		format = formatAuto
	}
	var h slog.Handler
	if format == formatText || format == formatAuto && isTerminal(w) {
		h = textHandler(w, level, newPrinter(w).colour)
	} else {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	log := slog.New(store.QuietOutages(h))
	for _, v := range unknownVariables(c.Root(), os.Environ()) {
		log.Warn("no setting has this environment variable, so it has no effect"+v.suggestion, "variable", v.name)
	}
	return log, wrong.Err()
}

// textHandler writes lines for people.
func textHandler(w io.Writer, level slog.Level, colour bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "2006-01-02 15:04:05.000", NoColor: !colour, ReplaceAttr: forTerminal})
}

// parseLevel parses the name of a level.
func parseLevel(name string) (slog.Level, error) {
	var names []string
	for _, level := range logLevels {
		if strings.EqualFold(name, level.String()) {
			return level, nil
		}
		names = append(names, strings.ToLower(level.String()))
	}
	return 0, fmt.Errorf("%q is none of %s%s", name, strings.Join(names, ", "), spelling.Suggestion(strings.ToLower(name), names))
}

// red is the colour of errors, as tint counts colours.
const red = 9

// ids are the fields in which 0 means that there is none.
var ids = []string{"project_id", "pipeline", "job", "new_job"}

// forTerminal leaves out an attribute that says nothing, and makes any other safe to be
// written to a terminal: tint lets control sequences pass, and makes one of the four
// characters \x1b too.
func forTerminal(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		if v == "" {
			return slog.Attr{}
		}
		return slog.String(a.Key, withoutEscapes(v))
	case int64:
		if v == 0 && slices.Contains(ids, a.Key) {
			return slog.Attr{}
		}
		return a
	case slog.Level, time.Time, bool, float64, uint64, time.Duration:
		return a
	case error:
		return tint.Attr(red, slog.String(a.Key, withoutEscapes(v.Error())))
	default:
		return slog.String(a.Key, withoutEscapes(fmt.Sprint(v)))
	}
}

var withoutEscapes = strings.NewReplacer("\x1b", "␛", `\x1b`, "␛").Replace

// unknownVariable is an environment variable that looks like a setting and is none.
type unknownVariable struct{ name, suggestion string }

var (
	settingName = regexp.MustCompile(`\b` + app.VariablePrefix + `[A-Z_]+\b`)
	// ofService matches the variables, with their values, that Kubernetes adds for a
	// Service whose name begins with "pipesteward".
	ofService = regexp.MustCompile(`^[A-Z0-9_]+(_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?=|_PORT_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?=|_PORT=[a-z]+://)`)
)

// unknownVariables returns the environment variables that begin like those of settings
// and that no flag of the commands has or mentions.
func unknownVariables(root *cli.Command, environ []string) []unknownVariable {
	var known []string
	for _, command := range append(slices.Clone(root.Commands), root) {
		for _, flag := range command.Flags {
			if f, ok := flag.(cli.DocGenerationFlag); ok {
				known = append(append(known, f.GetEnvVars()...), settingName.FindAllString(f.GetUsage(), -1)...)
			}
		}
	}
	names := make([]string, len(known)) // what they have in common says nothing of what is meant
	for i, name := range known {
		names[i] = strings.TrimPrefix(name, app.VariablePrefix)
	}
	var unknown []unknownVariable
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		short, looksLikeOne := strings.CutPrefix(name, app.VariablePrefix)
		if looksLikeOne && !slices.Contains(known, name) && !ofService.MatchString(variable) {
			unknown = append(unknown, unknownVariable{name, strings.Replace(spelling.Suggestion(short, names), `"`, `"`+app.VariablePrefix, 1)})
		}
	}
	slices.SortFunc(unknown, func(a, b unknownVariable) int { return cmp.Compare(a.name, b.name) })
	return unknown
}
