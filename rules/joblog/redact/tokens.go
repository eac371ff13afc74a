package redact

import (
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// tokens contains the prefixes that identify secrets, up to the last - or _,
// with the minimum number of characters that follow. GitLab's are documented
// in its token overview (doc/security/tokens). An instance may put a custom
// prefix before them.
var tokens = map[string]int{
	"glpat-": shortHash, "gloas-": shortHash, "gldt-": shortHash, "glrt-": shortHash, "glrtr-": shortHash,
	"glcbt-": shortHash, "glptt-": shortHash, "glft-": shortHash, "glimt-": shortHash, "glagent-": shortHash,
	"glwt-": shortHash, "glsoat-": shortHash, "glffct-": shortHash,

	"xoxa-": 10, "xoxb-": 10, "xoxe-": 10, "xoxp-": 10, "xoxr-": 10, "xoxs-": 10, "xoxc-": 10, "xoxd-": 10, "xapp-": 10,

	"whsec_": shortHash, // GitLab's signing tokens of webhooks
	"ghp_":   shortHash, "gho_": shortHash, "ghu_": shortHash, "ghs_": shortHash, "ghr_": shortHash,
	"github_pat_": shortHash, "npm_": 30,
}

// longestToken is the length of the longest prefix in tokens.
const longestToken = len("github_pat_")

// schemes precede the credentials of an Authorization header.
var schemes = []string{"bearer", "basic", "token", "digest", "negotiate", "apikey"}

// token hides a token whose prefix ends at text[i], and returns its end.
func (m *masker) token(i int) int {
	t := m.text
	for from := i - 1; from >= 0 && from > i-longestToken; from-- {
		c := t[from]
		if !ascii.IsLower(c) && c != '_' {
			return 0
		}
		if c != 'g' && c != 'x' && c != 'w' && c != 'n' {
			continue
		}
		if least, ok := tokens[t[from:i+1]]; ok {
			if m.short {
				least = 1
			}
			return m.run(from, i+1, least)
		}
	}
	return 0
}

// run hides the text from from on if at least least characters of tokens
// follow at at, and returns its end.
func (m *masker) run(from, at, least int) int {
	end := m.tokenEnd(at)
	if end-at < least {
		return 0
	}
	m.hide(from, end)
	return end
}

// tokenEnd returns the end of the token that contains at. It scans no token
// twice.
func (m *masker) tokenEnd(at int) int {
	if at < m.lastToken.from || at >= m.lastToken.to {
		m.lastToken = span{at, at}
		for m.lastToken.to < len(m.text) && isTokenByte(m.text[m.lastToken.to]) {
			m.lastToken.to++
		}
	}
	end := m.lastToken.to
	for end > at && m.text[end-1] == '.' { // the end of a sentence
		end--
	}
	return end
}

func isTokenByte(c byte) bool {
	return ascii.IsAlnum(c) || c == '-' || c == '_' || c == '.' || c == '=' || c == '/' || c == '+'
}

// jwt hides a JSON web token (RFC 7519), also if it is cut off: base64url
// parts separated by dots. The first part and usually the second begin with
// eyJ.
func (m *masker) jwt(i int) int {
	t := m.text
	if i < m.noJWT || i < 2 || t[i-2:i] != "ey" {
		return 0
	}
	end, dots := i+1, 0
	for ; end < len(t); end++ {
		if c := t[end]; c == '.' && end > i+8 {
			dots++
		} else if !ascii.IsAlnum(c) && c != '-' && c != '_' && c != '=' {
			break
		}
	}
	for t[end-1] == '.' {
		end--
		dots--
	}
	if dots < 1 || end-i < shortHash {
		m.noJWT = end
		return 0
	}
	m.hide(i-2, end)
	return end
}

// accessKeyID hides an AWS access key id.
func (m *masker) accessKeyID(i int) int {
	t, from := m.text, i-3
	if from < 0 || t[from:i] != "AKI" && t[from:i] != "ASI" {
		return 0
	}
	end := i + 1
	for end < len(t) && (ascii.IsUpper(t[end]) || ascii.IsDigit(t[end])) {
		end++
	}
	if end-from < 20 {
		return 0
	}
	m.hide(from, end)
	return end
}

// scheme hides the text after "Bearer " and "Basic ", in any context, unless
// it is a plain word.
func (m *masker) scheme(i int) int {
	t := m.text
	if i < len("basic") || t[i-1]|0x20 != 'r' && t[i-1]|0x20 != 'c' { // a fast check for most blanks
		return 0
	}
	if !endsFold(t[:i], "bearer") && !endsFold(t[:i], "basic") {
		return 0
	}
	end := i + 1
	for end < len(t) && (isTokenByte(t[end]) || t[end] == '~') {
		end++
	}
	if value := t[i+1 : end]; len(value) < shortest || !mixed(value) {
		return 0
	}
	m.hide(i+1, end)
	return end
}

// userinfo hides the credentials of a URL whose authority begins at from.
func (m *masker) userinfo(from int) {
	t := m.text
	if from < m.noUser {
		return
	}
	end := from
	for end < min(len(t), from+maxUser) && !ascii.IsBlank(t[end]) && !ascii.IsQuote(t[end]) && t[end] != '<' && t[end] != '>' && t[end] != '\\' {
		end++
	}
	word := t[from:end]
	last := strings.LastIndexByte(word, '@')
	if last < 0 {
		m.noUser = end
		return
	}
	if slash := strings.IndexAny(word, "/?#"); slash >= 0 && slash < last {
		// The @ belongs to the path, as in https://host:8443/@scope, unless a
		// password contains the slash.
		if at := strings.LastIndexByte(word[:slash], '@'); at >= 0 {
			last = at
		} else if _, port, ok := strings.Cut(word[:slash], ":"); !ok || strings.Trim(port, "0123456789") == "" || strings.HasPrefix(word, "[") {
			return
		}
	}
	user, password, ok := strings.Cut(word[:last], ":")
	switch {
	case last == 0, done(word[:last]), ok && (password == "" || done(password)):
	case !ok && user == "git": // ssh://git@host contains no secret
	default:
		m.hide(from, from+last)
	}
}
