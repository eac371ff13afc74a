package templates_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/templates"
)

// TestGenerated checks that the table in rules/README.md matches the code.
func TestGenerated(t *testing.T) {
	var b strings.Builder
	b.WriteString("| template | is about | default, in English |\n| --- | --- | --- |\n")
	for _, d := range templates.Docs {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Name, d.Is, d.Default)
	}
	golden.Section(t, "../README.md", "<!-- Made from rules/templates by `make generate` -->\n", "<!-- The end of the templates. -->\n", b.String())
}
