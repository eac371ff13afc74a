package rules_test

import (
	"testing"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/internal/golden"
)

// TestGenerated: the JSON Schemas in deploy/ say what the code says.
func TestGenerated(t *testing.T) {
	for name, schema := range map[string]func() ([]byte, error){
		"rules.schema.json":      rules.Schema,
		"rules.test.schema.json": rules.TestSchema,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := schema()
			if err != nil {
				t.Fatal(err)
			}
			golden.File(t, "../deploy/"+name, string(got))
		})
	}
}
