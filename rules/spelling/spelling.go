// Package spelling suggests the intended word for a misspelt one.
package spelling

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// elsewhere maps words of GitLab's pages and of other tools to those that are
// meant here. The first one that is a candidate is suggested.
var elsewhere = map[string][]string{
	// statuses and outcomes
	"passed":      {"success"},
	"succeeded":   {"success", "done"},
	"success":     {"done"},
	"ok":          {"success", "done"},
	"failure":     {"failed"},
	"fail":        {"failed"},
	"error":       {"failed"},
	"errored":     {"failed"},
	"on_failure":  {"failed"},
	"on_success":  {"done"},
	"cancelled":   {"canceled"},
	"delayed":     {"scheduled"},
	"blocked":     {"manual"},
	"in_progress": {"running"},
	"queued":      {"pending"},
	"gaveup":      {"gave_up"},
	"fixed":       {"recovered"},
	"resolved":    {"recovered"},
	// keys
	"condition":   {"if"},
	"expr":        {"if"},
	"filter":      {"if"},
	"match":       {"if"},
	"only":        {"if"},
	"event":       {"on"},
	"events":      {"on"},
	"trigger":     {"on"},
	"kind":        {"on"},
	"action":      {"actions"},
	"do":          {"actions"},
	"then":        {"actions"},
	"steps":       {"actions"},
	"script":      {"actions"},
	"slack":       {"notify", "channel"},
	"alert":       {"notify"},
	"dry-run":     {"dry_run"},
	"dryrun":      {"dry_run"},
	"attempts":    {"max_attempts"},
	"count":       {"max_attempts"},
	"limit":       {"max_attempts"},
	"max":         {"max_attempts"},
	"max_retries": {"max_attempts"},
	"retries":     {"max_attempts"},
	"times":       {"max_attempts"},
	"interval":    {"delay"},
	"sleep":       {"delay"},
	"wait":        {"delay"},
	"body":        {"text"},
	"message":     {"text"},
	"msg":         {"text"},
	"template":    {"text"},
	"receiver":    {"channel"},
	"to":          {"channel"},
	"outcome":     {"when"},
	"outcomes":    {"when"},
	"job":         {"jobs"},
	"vars":        {"variables"},
	"env":         {"variables"},
	"pattern":     {"log"},
	"regex":       {"log"},
	"regexp":      {"log"},
	// fields
	"branch":              {"ref", "source_branch"},
	"ref_name":            {"ref"},
	"commit":              {"sha"},
	"builds":              {"jobs"},
	"result":              {"status"},
	"conclusion":          {"status"},
	"reason":              {"failure_reason"},
	"retry_count":         {"attempt"},
	"retries_count":       {"attempt"},
	"web_url":             {"url"},
	"link":                {"url"},
	"full_path":           {"path"},
	"path_with_namespace": {"path"},
	"group":               {"namespace"},
	"login":               {"username"},
	"allowed_to_fail":     {"allow_failure"},
	"started":             {"started_at"},
	"finished":            {"finished_at"},
	"created":             {"created_at"},
	"build":               {"job"},
	"mr":                  {"merge_request"},
	"trace":               {"log"},
}

// Nearest returns the candidate that is nearest to a misspelt word; "" if none is
// near.
func Nearest(word string, candidates []string) string {
	for _, meant := range elsewhere[strings.ToLower(word)] {
		if slices.Contains(candidates, meant) {
			return meant
		}
	}
	best, distance := "", len(word)/3+2
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		d := levenshtein.Distance(strings.ToLower(word), strings.ToLower(c), nil)
		if len(word) > 3 && strings.HasPrefix(c, word) {
			d = 1
		}
		if d < distance {
			best, distance = c, d
		}
	}
	return best
}

// Suggestion returns the end of an error message, ` (did you mean "x"?)`, with
// the candidate that is nearest to a misspelt word; "" if none is near.
func Suggestion(word string, candidates []string) string {
	best := Nearest(word, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}
