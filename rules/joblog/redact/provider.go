package redact

import (
	"regexp"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// The table of the providers' secrets is made from gitleaks' rules. To bring it
// up to date, name the new version in internal/providers, and:
//
//	go mod download -json github.com/zricethezav/gitleaks/v8@VERSION
//	go run ./internal/providers DIR/config/gitleaks.toml providers.go
//
// where DIR is what the first prints.

// provider is a kind of secret that a provider gives out.
type provider struct {
	id       string
	keywords []string // a match begins with one of them or, where reach is 0, has one
	reach    int      // bytes that a match may have
	fold     bool     // keywords in upper or lower case
	word     bool     // keywords begin a word
	named    bool     // the provider's name before it tells the secret
	digit    bool     // no secret without a digit
	group    int      // of expr, which is the secret
	expr     string
}

const (
	windowBefore = 64   // bytes before a keyword that are searched
	windowAfter  = 1024 // and after it

	// patience bounds the bytes that expressions are run on, for each byte of the
	// text. A job that writes nothing but keywords must not take more.
	patience      = 8
	leastPatience = 64 << 10

	longestBetween = 64 // bytes from a provider's name to what assigns a value
	shortestValue  = 14 // bytes of a secret that is told by a name
)

// hashes tell, between a provider's name and a value, that it is a hash.
var hashes = regexp.MustCompile(`(?i)sha(?:[^r]|$)|commit|digest|checksum|revision|md5|hash|etag`)

// finder finds the secrets of a provider.
type finder struct {
	*provider
	number int // among the finders
	re     func() *regexp.Regexp
}

func newFinder(p *provider, number int) *finder {
	return &finder{provider: p, number: number, re: sync.OnceValue(func() *regexp.Regexp {
		if p.reach > 0 {
			return regexp.MustCompile("^(?:" + p.expr + ")")
		}
		return regexp.MustCompile(p.expr)
	})}
}

func (f *finder) keywords() []keyword {
	keywords := make([]keyword, len(f.provider.keywords))
	for i, text := range f.provider.keywords {
		keywords[i] = keyword{text: text, fold: f.fold, word: f.word, look: f.look}
	}
	return keywords
}

// look hides the secret that a keyword at at begins, or puts the bytes round it
// in the window that is to be searched.
func (f *finder) look(m *masker, at int) {
	w := &m.searched[f.number]
	if f.reach == 0 {
		if at-windowBefore > w.to {
			f.search(m)
			w.from = at - windowBefore
		}
		w.to = min(len(m.text), at+windowAfter)
		return
	}
	to := min(len(m.text), at+f.reach+1)
	if at < w.to { // within a secret
		return
	}
	if f.named && !assigned(m.text[at:to]) {
		return
	}
	if known := len(m.found); m.spend(to-at, at) && f.match(m, at, to) > 0 && len(m.found) > known {
		w.to = m.tokenEnd(at)
	}
}

// spend reports whether expressions may still be run on n bytes, for what stands
// at at. When they may not, the rest of the line is hidden.
func (m *masker) spend(n, at int) bool {
	if m.patience -= n; m.patience >= 0 {
		return true
	}
	if at >= m.noPatience {
		m.noPatience = lineEnd(m.text, at)
		m.hide(at, m.noPatience)
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

// match hides the first secret in a part of the text, and gives the end of what
// matched or 0.
func (f *finder) match(m *masker, from, to int) int {
	loc := f.re().FindStringSubmatchIndex(m.text[from:to])
	if loc == nil || loc[1] == 0 {
		return 0
	}
	start, end := from+loc[2*f.group], from+loc[2*f.group+1]
	switch {
	case f.digit && !strings.ContainsAny(m.text[start:end], "0123456789"):
	case f.named && hashes.MatchString(m.text[from+loc[0]:start]):
	default:
		m.hide(start, m.tokenEnd(end))
	}
	return from + loc[1]
}

// assigned reports whether a value that may be a secret is assigned to the name
// that begins a text. It spares most names the expressions.
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
