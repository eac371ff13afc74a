package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// FileError is one mistake in a rule file, or what looks like one.
type FileError struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // counts from 1
	Column   int    `json:"column"` // counts from 1, in characters
	Severity string `json:"severity"`
	Rule     string `json:"rule"`    // name of the rule it is in; "" outside of rules
	Message  string `json:"message"` // what is wrong and what to write instead
}

// Severities of a FileError.
const (
	SeverityError   = "error"   // the files can't be used
	SeverityWarning = "warning" // they can, but may not do what is meant
)

func (e FileError) Error() string {
	place := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Rule != "" {
		place += fmt.Sprintf("rule %q: ", e.Rule)
	}
	if e.Severity == SeverityWarning {
		place += "warning: "
	}
	return place + e.Message
}

// FileErrors holds every mistake of the files that were loaded, and what looks
// like one, in the order of files, lines and columns.
type FileErrors []FileError

// Of gives those of one severity.
func (es FileErrors) Of(severity string) FileErrors {
	var some FileErrors
	for _, e := range es {
		if e.Severity == severity {
			some = append(some, e)
		}
	}
	return some
}

func (es FileErrors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// RuleError says that an expression of a rule failed on an event. The rule
// did not fire for it.
type RuleError struct {
	Rule string
	Part string // if, jobs, variables.NAME, text ...
	Err  error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rule %q: %s: %v", e.Rule, e.Part, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }

// elsewhere maps what GitLab's pages, or other tools, call a thing to what
// its API calls it.
var elsewhere = map[string]string{
	"passed":    "success",
	"succeeded": "success",
	"cancelled": "canceled",
	"delayed":   "scheduled",
	"blocked":   "manual",
}

// didYouMean names the candidate nearest to a misspelt word, as the end of a
// message; "" when none is near.
func didYouMean(word string, candidates []string) string {
	best, distance := elsewhere[word], len(word)/3+2
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		d := levenshtein.Distance(strings.ToLower(word), strings.ToLower(c), nil)
		if len(word) > 3 && strings.HasPrefix(c, word) {
			d = 1
		}
		if d < distance && elsewhere[word] == "" {
			best, distance = c, d
		}
	}
	if best == "" || !slices.Contains(candidates, best) {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}
