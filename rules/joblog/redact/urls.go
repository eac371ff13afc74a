package redact

import (
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// webhook returns the keyword for the URLs of a kind of webhook. The rest of
// the URL after it is hidden.
func webhook(beginning string) keyword {
	return keyword{text: beginning, inspect: func(m *masker, at int) {
		if at < m.noHook {
			return
		}
		t := m.text
		at += len(beginning)
		end := at
		for end < len(t) && !ascii.IsBlank(t[end]) && !ascii.IsQuote(t[end]) && t[end] != '<' && t[end] != '>' && t[end] != '\\' {
			end++
		}
		m.noHook = end
		m.hideValue(at, end)
	}}
}

// signature hides the signature of a URL that grants access, such as those of
// Azure (sig), AWS and Google.
func (m *masker) signature(at int) {
	if at < m.noSignature {
		return
	}
	t := m.text
	from := at + strings.IndexByte(t[at:], '=') + 1
	end := from
	for end < len(t) && (isTokenByte(t[end]) || t[end] == '%') {
		end++
	}
	m.noSignature = end
	if end-from >= 16 && mixed(t[from:end]) {
		m.hide(from, end)
	}
}
