package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/failureclass"
	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// formats are the output formats of check.
var formats = map[string]func(findings, io.Writer) error{
	"text":   findings.text,
	"json":   findings.json,
	"gitlab": findings.codeQuality,
}

func checkCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what is wrong with rule files, and what to write instead",
		ArgsUsage: "[FILE...]",
		Description: "Loads the rules as `serve` does, all files together, and reports all errors and warnings: a condition that can\n" +
			"never be true, a rule that another one shadows, and others. Without a FILE, it checks those of --rules;\n" +
			"the FILE - is standard input. With --admin-url, it also prints how many of the retries of each rule with min_pass_rate\n" +
			"passed in the last 30 days, as the running server knows it; else nothing is requested of a server. In the formats json\n" +
			"and gitlab, these are findings of the severity info, of the check pass-rate.\n\n" +
			"Exit status: 0 without errors; 1 with errors, and with --strict also with warnings; 2 for a wrong command line.",
		Flags: append(adminFlags(),
			stringFlag("rules", "rules.yaml", "rule `FILE`, or a directory of *.yaml"),
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT` of the output: text, json, or gitlab: a Code Quality report, which merge requests show"},
			&cli.BoolFlag{Name: "strict", Usage: "let warnings count as errors"},
			&cli.StringSliceFlag{Name: "disable", Usage: "leave out the warnings of the check `ID`, which stands in [ ] behind each warning (repeatable); for a single rule, write the comment # pipesteward: disable=ID on it"},
			&cli.StringFlag{Name: "explain", Usage: "print what the check `ID` warns of, or what the class of a pack is about, and check nothing"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if id := c.String("explain"); id != "" {
				return explainCheck(stdout, id)
			}
			disabled := c.StringSlice("disable")
			for _, id := range disabled {
				if _, err := lint.Find(id); err != nil {
					return &usageError{fmt.Errorf("--disable: %w", err)}
				}
			}
			format, ok := formats[c.String("format")]
			if !ok {
				return &usageError{fmt.Errorf("--format must be text, json or gitlab, not %q", c.String("format"))}
			}
			paths := c.Args().Slice()
			if len(paths) == 0 {
				paths = []string{c.String("rules")}
			}
			if err := readOnce("the rule files", paths...); err != nil {
				return err
			}
			sources, err := readAllSources(paths)
			if err != nil {
				return err
			}
			loaded, found := lint.Load(rulefile.Options{}, disabled, sources...)
			var rates passRates
			if loaded != nil && c.IsSet("admin-url") {
				if rates, err = readPassRates(ctx, c, loaded); err != nil {
					return err
				}
			}
			if err := format(findings{sources, loaded, found, rates}, stdout); err != nil {
				return err
			}
			if loaded == nil || c.Bool("strict") && len(found) > 0 {
				return errReported
			}
			return nil
		},
	}
}

// explainCheck prints what a check warns of, or what a class of a pack is about.
func explainCheck(w io.Writer, id string) error {
	var doc string
	if class, _ := failureclass.InPack(id); class != nil {
		doc = class.Doc
		if class.Hopeless {
			doc += " A retry does not help."
		}
	} else {
		check, err := lint.Find(id)
		if err != nil {
			return &usageError{fmt.Errorf("--explain: %w", unexplained(id))}
		}
		doc = check.Doc
	}
	_, err := fmt.Fprintln(w, wrapped(doc, wrap.Width(w)))
	return err
}

// unexplained returns the error for what is neither a check nor a class of a pack.
func unexplained(id string) error {
	checks, classes := make([]string, len(lint.Checks)), failureclass.InPacks()
	for i, c := range lint.Checks {
		checks[i] = c.ID
	}
	return fmt.Errorf("there is no check and no failure class of a pack %q%s: the checks are %s, and the classes are %s; rules/README.md lists both with what they are about, "+
		"and a class that a rule file defines is explained by its `doc` there", id, spelling.Suggestion(id, slices.Concat(checks, classes)), schema.Enumerate(checks), schema.Enumerate(classes))
}

// readAllSources reads the rule files at several paths, each file once.
func readAllSources(paths []string) ([]rulefile.Source, error) {
	var all []rulefile.Source
	for _, path := range paths {
		sources, err := readSources(path)
		if err != nil {
			return nil, err
		}
		for _, s := range sources {
			if !slices.ContainsFunc(all, func(other rulefile.Source) bool { return filepath.Clean(other.Name) == filepath.Clean(s.Name) }) {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// findings are the mistakes and warnings of rule files.
type findings struct {
	sources []rulefile.Source
	loaded  *rules.Rules // nil if there are errors
	found   schema.FileErrors
	rates   passRates
}

// text prints for people: each finding with its line, and their number.
func (f findings) text(w io.Writer) error {
	p := newPrinter(w)
	lines := map[string][]string{}
	for _, s := range f.sources {
		if slices.ContainsFunc(f.found, func(e schema.FileError) bool { return e.File == s.Name }) {
			lines[s.Name] = strings.Split(schema.Masked(string(s.Data)), "\n")
		}
	}
	var b strings.Builder
	for _, e := range f.found {
		fmt.Fprintln(&b, p.bold(printableLines(e.Error())))
		if in := lines[e.File]; e.Line <= len(in) {
			line, caret := pointAt(shownLine(in[e.Line-1]), e.Column, maxShown)
			mark := p.red
			if e.Severity == schema.SeverityWarning {
				mark = p.yellow
			}
			fmt.Fprintf(&b, "    %s\n    %s\n", line, mark(caret))
		}
	}
	files := english.Plural(len(f.sources), "file", "")
	errors, warnings := len(f.found.Of(schema.SeverityError)), len(f.found.Of(schema.SeverityWarning))
	switch {
	case errors > 0 && warnings > 0:
		fmt.Fprintf(&b, "%s, %s in %s\n", p.red(english.Plural(errors, "error", "")), p.yellow(english.Plural(warnings, "warning", "")), files)
	case errors > 0:
		fmt.Fprintf(&b, "%s in %s\n", p.red(english.Plural(errors, "error", "")), files)
	case warnings > 0:
		fmt.Fprintf(&b, "%s in %s\n", p.yellow(english.Plural(warnings, "warning", "")), files)
	default:
		fmt.Fprintf(&b, "%s: %s in %s\n", p.green("ok"), english.Plural(f.loaded.Len(), "rule", ""), files)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return f.rates.text(w)
}

// shownLine returns a line of a masked file for a terminal: with its tabs, with a question
// mark for each other character that would steer it, and with stars for the address of a
// receiver in the place of a file, a kind or a name.
func shownLine(line string) string {
	line = strings.Map(func(r rune) rune {
		if r != '\t' && event.IsControl(r) {
			return '?'
		}
		return r
	}, strings.TrimRight(line, "\r"))
	return schema.StarGroups(receiverAddress, line, func([]string) bool { return true })
}

// receiverAddress matches, as its group, the path of such an address.
var receiverAddress = regexp.MustCompile(`(?:\{|_file["']?\s*:|receiver["']?\s*:|\b(?:` + strings.Join(receiver.Kinds(), "|") + `)["']?\s*:)\s*["']?https?://[^\s/,}]+/([^\s,}]+)`)

// maxShown is how many cells of a line are shown below a finding.
const maxShown = 120

// pointAt returns a line of a file without its indentation, and the line to print
// below it, which points at the word in a column. Columns count characters from 1;
// a terminal shows a character in none, one or two cells. Of a line with more cells than
// width, the part around the column is returned.
func pointAt(line string, column, width int) (shown, caret string) {
	runes := []rune(line)
	at := min(column-1, len(runes))
	start := 0
	for start < at && unicode.IsSpace(runes[start]) {
		start++
	}
	runes, at, start = window(runes, at, start, width)
	var b strings.Builder
	for _, r := range runes[start:at] {
		if r == '\t' { // is as wide below as it is above
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Repeat(" ", text.RuneWidth(r)))
	}
	under := 0
	for _, r := range runes[at : at+wordLength(runes[at:])] {
		under += text.RuneWidth(r)
	}
	return string(runes[start:]), b.String() + "^" + strings.Repeat("~", max(0, under-1))
}

// window returns the part of a line, from start on, that has at most so many cells, with the
// place at in it, and signs where it was cut.
func window(line []rune, at, start, width int) (part []rune, newAt, newStart int) {
	cells := func(part []rune) (n int) {
		for _, r := range part {
			n += max(1, text.RuneWidth(r))
		}
		return n
	}
	if cells(line[start:]) <= width {
		return line, at, start
	}
	from, before := at, 0
	for from > start && before < width/2 {
		from--
		before += max(1, text.RuneWidth(line[from]))
	}
	if from > start {
		part = append(part, '…')
	}
	newAt = len(part) + at - from
	end, used := from, len(part)+1
	for end < len(line) && used+max(1, text.RuneWidth(line[end])) <= width {
		used += max(1, text.RuneWidth(line[end]))
		end++
	}
	part = append(part, line[from:end]...)
	if end < len(line) {
		part = append(part, '…')
	}
	return part, newAt, 0
}

// wordLength returns the number of characters of the word at the start of a text:
// a name with its dots, a text in quotes, or a run of signs.
func wordLength(text []rune) int {
	if len(text) == 0 {
		return 0
	}
	if quote := text[0]; quote == '"' || quote == '\'' || quote == '`' {
		for i := 1; i < len(text); i++ {
			switch {
			case text[i] == '\\' && quote == '"':
				i++
			case text[i] == quote:
				return i + 1
			}
		}
		return 1
	}
	if end := slices.IndexFunc(text, func(r rune) bool { return !partOfName(r) }); end != 0 {
		return max(end, 1)
	}
	return 1
}

func partOfName(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.", r)
}

// json prints a list of findings, for programs.
func (f findings) json(w io.Writer) error {
	return printJSON(w, append(append(schema.FileErrors{}, f.found...), f.rates.findings()...))
}

// codeQuality prints the report that GitLab shows in merge requests:
// https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
func (f findings) codeQuality(w io.Writer) error {
	type lines struct {
		Begin int `json:"begin"`
	}
	type location struct {
		Path  string `json:"path"`
		Lines lines  `json:"lines"`
	}
	type violation struct {
		Description string   `json:"description"`
		CheckName   string   `json:"check_name"`
		Fingerprint string   `json:"fingerprint"`
		Severity    string   `json:"severity"`
		Location    location `json:"location"`
	}
	all := []violation{}
	seen := map[string]int{}
	for _, e := range slices.Concat(f.found, f.rates.findings()) {
		v := violation{
			Description: e.Message, CheckName: cmp.Or(e.Check, "pipesteward-"+e.Severity), Severity: "major",
			Location: location{relative(e.File), lines{e.Line}},
		}
		switch e.Severity {
		case schema.SeverityWarning:
			v.Severity = "minor"
		case schema.SeverityInfo:
			v.Severity = "info"
		}
		if e.Rule != "" {
			v.Description = fmt.Sprintf("rule %q: %s", e.Rule, e.Message)
		}
		// GitLab distinguishes old from new by the fingerprint: it stays when lines
		// move, and no two are equal.
		what := v.Location.Path + "\x00" + v.CheckName + "\x00" + lineNumber.ReplaceAllString(v.Description, "")
		if e.Check == checkPassRate { // which changes with each retry
			what = v.Location.Path + "\x00" + v.CheckName + "\x00" + e.Rule
		}
		seen[what]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", what, seen[what]))
		v.Fingerprint = hex.EncodeToString(sum[:])
		all = append(all, v)
	}
	return printJSON(w, all)
}

// lineNumber matches the part of a message that changes when lines move.
var lineNumber = regexp.MustCompile(`\bline \d+`)

// relative returns a path from the working directory, which in a CI job is the
// repository's root.
func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, whole); err == nil {
		return filepath.ToSlash(short)
	}
	return path
}
