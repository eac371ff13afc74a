package redact

import (
	"cmp"
	"slices"
	"strings"
)

// Known returns a function that replaces secrets by a mark wherever they stand in a text.
// Of secrets that begin alike, the longest is replaced: the rest of it would stay
// otherwise. Empty secrets are none.
func Known(mark string, secrets ...string) func(string) string {
	longest := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, secret := range longest {
		if secret != "" {
			pairs = append(pairs, secret, mark)
		}
	}
	return strings.NewReplacer(pairs...).Replace
}
