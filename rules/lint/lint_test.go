package lint_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/lint"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// Each file of testdata/warnings is named for what is warned of in it and has
// beside it what people are to read. Rules that are right have nothing there.
func TestCheckWarns(t *testing.T) {
	golden.Each(t, "testdata/warnings/*.yaml", func(_ *testing.T, name string, data []byte) string {
		_, found := lint.Check(rulefile.Options{}, rulefile.Source{Name: name, Data: data})
		return found.Error()
	})
}
