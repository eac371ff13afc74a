package mcp

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// maxText bounds one text of a result, in bytes.
const maxText = 8000

// masked returns a text of somebody else for an assistant: without what a person would not
// see but a model reads, with its secrets masked, and not too long.
func masked(text string) string {
	text = redact.Secrets(visible(text))
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d more bytes)", text[:cut], len(text)-cut)
}

// visible drops the characters that have no shape of their own, in which instructions can be
// hidden and secrets broken up, and replaces those that steer a terminal by question marks.
// Line breaks and tabs remain.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector):
			return -1
		case event.IsControl(r), r == utf8.RuneError:
			return '?'
		}
		return r
	}, text)
}

// maskTexts masks all texts of a JSON value, the names of members too.
func maskTexts(v any) any {
	switch v := v.(type) {
	case string:
		return masked(v)
	case []any:
		for i := range v {
			v[i] = maskTexts(v[i])
		}
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, value := range v {
			all[masked(name)] = maskTexts(value)
		}
		return all
	}
	return v
}
