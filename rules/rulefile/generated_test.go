package rulefile_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules/internal/golden"
	"github.com/pipesteward/pipesteward/rules/rulefile"
	"github.com/pipesteward/pipesteward/rules/ruletest"
)

// TestGenerated checks that the JSON Schemas in deploy/ match the code.
func TestGenerated(t *testing.T) {
	for name, schema := range map[string]func() ([]byte, error){
		"rules.schema.json":      rulefile.Schema,
		"rules.test.schema.json": ruletest.Schema,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := schema()
			if err != nil {
				t.Fatal(err)
			}
			golden.File(t, "../../deploy/"+name, string(got))
		})
	}
}
