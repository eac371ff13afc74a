package redact

import (
	"regexp"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
	"github.com/pipesteward/pipesteward/rules/joblog/redact/providers"
)

// The table of the providers' secrets is generated from gitleaks' rules. To
// update it, set the new version in internal/providers, and run:
//
//	go mod download -json github.com/zricethezav/gitleaks/v8@VERSION
//	go run ./internal/providers DIR/config/gitleaks.toml providers.go
//
// where DIR is the directory in the output of the first command.

const (
	windowBefore = 64   // bytes before a keyword that are searched
	windowAfter  = 1024 // and after it

	// workPerByte limits the number of bytes that expressions are run on, for
	// each byte of the text, so that a job that writes only keywords does not
	// take longer.
	workPerByte = 8
	leastWork   = 64 << 10

	longestBetween = 64 // bytes between a provider's name and the assignment operator
	shortestValue  = 14 // bytes of a secret that is identified by a name
)

// hashes matches text between a provider's name and a value that indicates a
// hash.
var hashes = regexp.MustCompile(`(?i)sha(?:[^r]|$)|commit|digest|checksum|revision|md5|hash|etag`)

// finder finds the secrets of a provider.
type finder struct {
	*providers.Provider
	number int // index among the finders
	re     func() *regexp.Regexp
}

func newFinder(p *providers.Provider, number int) *finder {
	return &finder{Provider: p, number: number, re: sync.OnceValue(func() *regexp.Regexp {
		if p.Reach > 0 {
			return regexp.MustCompile("^(?:" + p.Expr + ")")
		}
		return regexp.MustCompile(p.Expr)
	})}
}

func (f *finder) keywords() []keyword {
	keywords := make([]keyword, len(f.Keywords))
	for i, text := range f.Keywords {
		keywords[i] = keyword{text: text, fold: f.Fold, word: f.Word, inspect: f.inspect}
	}
	return keywords
}

// inspect hides the secret that begins with the keyword at at, or adds the
// bytes around it to the window to be searched.
func (f *finder) inspect(m *masker, at int) {
	if m.searched == nil { // most texts have no keyword
		m.searched = make([]span, len(providers.FromGitleaks)+len(providers.More))
	}
	w := &m.searched[f.number]
	if f.Reach == 0 {
		if at-windowBefore > w.to {
			f.search(m)
			w.from = at - windowBefore
		}
		w.to = min(len(m.text), at+windowAfter)
		return
	}
	to := min(len(m.text), at+f.Reach+1)
	if at < w.to { // within a secret
		return
	}
	if f.Named && !assigned(m.text[at:to]) {
		return
	}
	if known := len(m.found); m.spend(to-at, at) && f.match(m, at, to) > 0 && len(m.found) > known {
		w.to = m.tokenEnd(at)
	}
}

// spend reports whether expressions may be run on n more bytes, at position
// at. If not, it hides the rest of the line.
func (m *masker) spend(n, at int) bool {
	if m.work -= n; m.work >= 0 {
		return true
	}
	if at >= m.noWork {
		m.noWork = lineEnd(m.text, at)
		m.hide(at, m.noWork)
	}
	return false
}

// search hides the secrets in the window.
func (f *finder) search(m *masker) {
	w := m.searched[f.number]
	for w.from < w.to {
		end := f.match(m, w.from, w.to)
		if end == 0 {
			return
		}
		w.from = end
	}
}

// match hides the first secret in a part of the text, and returns the end of
// the match, or 0.
func (f *finder) match(m *masker, from, to int) int {
	loc := f.re().FindStringSubmatchIndex(m.text[from:to])
	if loc == nil || loc[1] == 0 {
		return 0
	}
	start, end := from+loc[2*f.Group], from+loc[2*f.Group+1]
	switch {
	case f.Digit && !strings.ContainsAny(m.text[start:end], "0123456789"):
	case f.Named && hashes.MatchString(m.text[from+loc[0]:start]):
	default:
		m.hide(start, m.tokenEnd(end))
	}
	return from + loc[1]
}

// assigned reports whether a possible secret is assigned to the name that
// begins a text. It is a fast check before running expressions.
func assigned(text string) bool {
	at := 0
	for at < min(len(text), longestBetween) && (ascii.IsNameByte(text[at]) || ascii.IsBlank(text[at]) || ascii.IsQuote(text[at])) {
		at++
	}
	if at == len(text) || !isAssigning(text[at]) {
		return false
	}
	for at < len(text) && (isAssigning(text[at]) || ascii.IsBlank(text[at]) || ascii.IsQuote(text[at])) {
		at++
	}
	end := min(len(text), at+shortestValue)
	return end-at == shortestValue && !strings.ContainsAny(text[at:end], " \t\r\n\"'`")
}

func isAssigning(c byte) bool {
	return c == '=' || c == ':' || c == '>' || c == ',' || c == '|' || c == '?'
}
