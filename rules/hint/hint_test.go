package hint_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/rules/hint"
)

// parts are what the texts below are made of: what hints look for, in any order.
var parts = []string{
	"job", "pipeline", ".", "status", "(", ")", "[", "]", "{", "}", "{{", "}}", "${{", "{%", "=", "==", "===", "=~", "!~", "/", "^", "%", "|", "&", "in", "not", "and", "or", "null", "is", "for",
	"startsWith", "contains", "includes", "length", "any", "select", "failed_with", "$CI_JOB_NAME", "90d", "7", `"a"`, `"`, "'", "`", ",", "-", " ", "\n", "“", "é", "#", "has", "trace", "size", ":", "?", "??",
}

// TestHintsOfAnyText checks that no text, however broken, ends in a panic, and that
// hints are about a place in it.
func TestHintsOfAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(parts)).Draw(t, "parts"), rapid.SampledFrom([]string{"", " "}).Draw(t, "separator"))
		length := len([]rune(text))
		if h, ok := hint.Foreign(text); ok && (h.At < 0 || h.At >= length || h.Message == "") {
			t.Errorf("%q: hint %+v", text, h)
		}
		for at := range length {
			hint.OperandsAt(text, at)
			hint.Negated(text, at)
			hint.Alternatives(text, at)
			if unquoted, from := hint.Unquoted(text, at); unquoted != "" && (from < 0 || from > at) {
				t.Errorf("%q: %q at %d is meant at %d", text, unquoted, from, at)
			}
		}
		hint.Last(text)
		hint.Block(text)
	})
}

// TestHintsOfLongTexts checks that a long text has no hint rather than a late one.
func TestHintsOfLongTexts(t *testing.T) {
	for _, part := range []string{"ref ", "[ref, ", `in "a", `, "((", "job.name.x("} {
		if h, ok := hint.Foreign(strings.Repeat(part, 10_000) + "= 1"); ok {
			t.Errorf("%q, 10,000 times: hint %+v", part, h)
		}
	}
}
