package rules_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
)

// Each file of testdata/warnings is named for what is warned of in it and has
// beside it what people are to read. Rules that are right have nothing there.
func TestCheckWarns(t *testing.T) {
	golden.Each(t, "testdata/warnings/*.yaml", func(_ *testing.T, name string, data []byte) string {
		_, found := rules.Check(rules.Options{}, rules.Source{Name: name, Data: data})
		return found.Error()
	})
}
