package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

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
