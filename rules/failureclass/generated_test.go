package failureclass_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/golden"
)

// TestGenerated checks that the table in rules/README.md matches the pack.
func TestGenerated(t *testing.T) {
	samples, _ := common(t)
	var b strings.Builder
	b.WriteString("| class | retry | is about |\n| --- | --- | --- |\n")
	for _, s := range samples {
		retry := "may help"
		if s.Hopeless {
			retry = "no"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, retry, s.Doc)
	}
	golden.Section(t, "../README.md", "<!-- Made from rules/failureclass/common.yaml by `make generate` -->\n", "<!-- The end of the classes. -->\n", b.String())
}
