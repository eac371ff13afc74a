package schema

import (
	"bytes"
	"encoding/json"
)

// JSON is a JSON Schema, or a part of one.
type JSON map[string]any

// Publish encodes the schema as a JSON Schema document (draft 2020-12).
func (s JSON) Publish(description string) ([]byte, error) {
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["description"] = description
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
