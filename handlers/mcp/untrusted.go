package mcp

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// maxText bounds one text of a result, in bytes.
const maxText = 8000

// decisionID matches the id of a decision, in two parts: its key, which has the address of
// GitLab, and when it was made. Together they look like an address with a password, as in
// retry:https://gitlab.example.com:8:704:failed@1796126651000000000.
var decisionID = regexp.MustCompile(`^([a-z_]+:https?://[^\s@]+)(@[0-9]{19}(?::[a-z_]+)?)$`)

// masked returns a text of somebody else for an assistant: without what a person would not
// see but a model reads, with its secrets masked, and not too long. The id of a decision
// remains one, so that the assistant can ask for the decision.
func masked(text string) string {
	text = visible(text)
	if id := decisionID.FindStringSubmatch(text); id != nil {
		text = redact.Secrets(id[1]) + id[2]
	} else {
		text = redact.Secrets(text)
	}
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
