package rules_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules"
)

// Each file of testdata/warnings is named for what is warned of in it and has
// beside it what people are to read. Rules that are right have nothing there.
func TestCheckWarns(t *testing.T) {
	each(t, "testdata/warnings/*.yaml", func(_ *testing.T, s rules.Source) string {
		_, found := rules.Check(rules.Options{}, s)
		return found.Error()
	})
}
