// Package spelling suggests the intended word for a misspelt one.
package spelling

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// elsewhere maps words of GitLab's pages and of other tools to those of
// GitLab's API.
var elsewhere = map[string]string{
	"passed":    "success",
	"succeeded": "success",
	"cancelled": "canceled",
	"delayed":   "scheduled",
	"blocked":   "manual",
}

// Suggestion returns the end of an error message, ` (did you mean "x"?)`, with
// the candidate that is nearest to a misspelt word; "" if none is near.
func Suggestion(word string, candidates []string) string {
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
