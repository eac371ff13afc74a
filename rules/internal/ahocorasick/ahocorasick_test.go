package ahocorasick_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/internal/ahocorasick"
)

// TestScan compares an automaton with a search for each text at each place.
func TestScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.SampledFrom([]rune("abABé1")), 1, 4, -1)
		texts := rapid.SliceOfN(word, 0, 6).Draw(t, "texts")
		in := strings.Join(rapid.SliceOfN(word, 0, 8).Draw(t, "in"), "")
		var got, want []string
		ahocorasick.New(texts).Scan(in, func(n, at int) { got = append(got, fmt.Sprint(n, " at ", at)) })
		for n, text := range texts {
			for at := range len(in) - len(text) + 1 {
				if lower(in[at:at+len(text)]) == lower(text) {
					want = append(want, fmt.Sprint(n, " at ", at))
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q in %q: %q, want %q", texts, in, got, want)
		}
	})
}

// lower returns a text with A and B in lower case.
func lower(text string) string { return strings.NewReplacer("A", "a", "B", "b").Replace(text) }
