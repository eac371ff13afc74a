package rules

import (
	"bytes"
	"encoding/json"
)

// schema is a JSON Schema, or a part of one.
type schema map[string]any

func (s schema) publish(description string) ([]byte, error) {
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
