package unknown

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/failureclass"
)

// TestEverydayWords checks that the words that a fifth of the passing logs have are not taken
// for specific ones.
func TestEverydayWords(t *testing.T) {
	const sample = "shop" // the project in the logs of tests
	logs, err := failureclass.PassingLogs()
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]int{}
	for _, log := range logs {
		seen := map[string]bool{}
		for _, word := range regexp.MustCompile(`\pL[\pL\pN_]{2,}`).FindAllString(strings.ToLower(log.Log), -1) {
			if !seen[word] {
				seen[word] = true
				in[word]++
			}
		}
	}
	for word, n := range in {
		if n*5 >= len(logs) && word != sample && len(specificWords(word)) > 0 {
			t.Errorf("%q is in %d of %d logs", word, n, len(logs))
		}
	}
}
