package schema

import (
	"fmt"
	"strings"
)

// FileError is a mistake in a file, or a warning about it.
type FileError struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // counts from 1
	Column   int    `json:"column"` // counts from 1, in characters
	Severity string `json:"severity"`
	Rule     string `json:"rule"`           // name of the rule that contains the mistake; "" outside of rules
	Check    string `json:"check,omitzero"` // id of the lint check that warns
	Message  string `json:"message"`        // what is wrong and what to write instead
}

// Severities of a FileError.
const (
	SeverityError   = "error"   // the files can't be used
	SeverityWarning = "warning" // the files can be used, but may not do what is intended
	SeverityInfo    = "info"    // nothing is wrong
)

func (e FileError) Error() string {
	place := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Rule != "" {
		place += fmt.Sprintf("rule %q: ", e.Rule)
	}
	if e.Severity == SeverityWarning {
		place += "warning: "
	}
	if e.Check != "" {
		return place + e.Message + " [" + e.Check + "]"
	}
	return place + e.Message
}

// FileErrors are the mistakes and warnings about one or more files, ordered by
// file, line and column.
type FileErrors []FileError

// Of returns the errors with the given severity.
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
