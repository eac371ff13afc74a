package redact

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	masked       = "[masked]" // replaces a secret
	maskedGitLab = "[MASKED]" // GitLab's own replacement of a secret

	maxName   = 64       // bytes of the name of a value
	maxUser   = 4 << 10  // bytes of a URL, from its // to the @ after a password
	maxRounds = 8        // of Secrets: limits the time for a log that is made to need more
	maxKey    = 32 << 10 // bytes of a private key, from its first line to its last
	shortest  = 8        // characters of a value that Values hides, like GitLab's minimum for masked variables
	shortHash = 20       // characters after a token's prefix
)

// span is a part of a text to be hidden.
type span struct{ from, to int }

// Secrets replaces secrets with [masked]. It recognizes them by their format
// (tokens of about two hundred providers, JWTs, private keys, webhooks, URLs
// with credentials or a signature), by their name (password=…, "api_key": "…",
// --token …, PRIVATE-TOKEN: …) and by their context (docker login -p …, the
// data of a Kubernetes Secret, cookies). References such as $TOKEN and
// GitLab's own [MASKED] remain. In doubt the value is hidden. A second call
// changes nothing, except for texts that are made to need more than 8 rounds.
func Secrets(text string) string {
	return inRounds(text, false, func(string) string { return masked })
}

// Starred is Secrets for a file that people write and whose lines are shown: each character
// of a secret becomes a star, so that lines and columns stay, and a token's prefix is enough,
// because the token may be mistyped.
func Starred(text string) string { return inRounds(text, true, Stars) }

// Stars returns a text with a star for each character but white space.
func Stars(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return r
		}
		return '*'
	}, text)
}

// inRounds replaces secrets by what mark makes of them; short: tokens of any length too.
func inRounds(text string, short bool, mark func(string) string) string {
	// A hidden text may have prevented the recognition of another secret. The
	// second round usually finds nothing more.
	for range maxRounds {
		next := replace(text, secrets(text, short), mark)
		if next == text {
			return text
		}
		text = next
	}
	return text
}

// Values replaces the values with [masked], the longest first. Values of fewer
// than 8 characters remain, because hiding them would hide too much else.
func Values(text string, values []string) string {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return utf8.RuneCountInString(v) < shortest })
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var found []span
	for _, v := range slices.Compact(values) {
		for at := 0; ; {
			i := strings.Index(text[at:], v)
			if i < 0 {
				break
			}
			found = append(found, span{at + i, at + i + len(v)})
			at += i + len(v)
		}
	}
	return replace(text, found, func(string) string { return masked })
}

// replace replaces each span, or each group of overlapping spans, by what mark
// makes of it.
func replace(text string, spans []span, mark func(string) string) string {
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var b strings.Builder
	b.Grow(len(text) + len(masked))
	done := 0
	for i := 0; i < len(spans); {
		s := spans[i]
		for i++; i < len(spans) && spans[i].from < s.to; i++ {
			s.to = max(s.to, spans[i].to)
		}
		b.WriteString(text[done:s.from])
		b.WriteString(mark(text[s.from:s.to]))
		done = s.to
	}
	b.WriteString(text[done:])
	return b.String()
}

// secrets returns the parts of the text to be hidden; short: tokens of any length too.
func secrets(text string, short bool) []span {
	if text == "" {
		return nil
	}
	m := masker{text: text, short: short, work: workPerByte*len(text) + leastWork}
	m.shapes()
	m.privateKeys()
	m.keywords()
	return m.found
}

type masker struct {
	text      string
	short     bool // tokens of any length are hidden
	found     []span
	work      int    // bytes that expressions may still be run on
	searched  []span // by finder: the window to be searched, or the last secret; nil: no finder has any
	lastToken span   // the last token that tokenEnd scanned
	lastValue span   // the last value that valueOnce hid

	noUser      int // there is no user of a URL before this position
	noJWT       int // likewise for JWTs
	noHook      int // likewise for webhooks
	noCookie    int // likewise for cookies
	noSignature int // likewise for signatures of URLs
	noManifest  int // likewise for Kubernetes Secrets
	noWork      int // everything before this position is hidden because the work is exhausted
}

func (m *masker) hide(from, to int) { m.found = append(m.found, span{from, to}) }

// telling contains the bytes that shapes inspects. Each secret contains one of
// them, near its start, that is rare in logs.
var telling = func() (set [256]bool) {
	for _, c := range []byte("-_:=J4A >") {
		set[c] = true
	}
	return set
}()

// shapes scans the text once, and inspects the surroundings of each telling
// byte. It skips text that a name has hidden, so that the time stays linear.
func (m *masker) shapes() {
	t := m.text
	for i := 0; i < len(t); i++ {
		if !telling[t[i]] {
			continue
		}
		end := 0
		switch t[i] {
		case '-':
			if end = m.token(i); end == 0 {
				end = m.flag(i)
			}
		case '_':
			end = m.token(i)
		case ':':
			if strings.HasPrefix(t[i:], "://") {
				m.userinfo(i + len("://"))
			} else {
				end = m.assignment(i)
			}
		case '=':
			end = m.assignment(i)
		case 'J': // eyJ is {" in base64
			end = m.jwt(i)
		case '4': // part of the prefix of runners' old registration tokens
			if from := i - len("GR13"); from >= 0 && strings.HasPrefix(t[from:], "GR1348941") {
				end = m.run(from, from+len("GR1348941"), shortHash)
			}
		case 'A': // last letter of AKIA and ASIA
			end = m.accessKeyID(i)
		case ' ':
			end = m.scheme(i)
		case '>':
			end = m.element(i)
		}
		i = max(i, end-1)
	}
}

func lineEnd(t string, at int) int {
	if i := strings.IndexByte(t[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(t)
}

// closing returns the index of the next s from at on, or the end of the line.
func closing(t string, at int, s string) int {
	for at < len(t) && t[at] != '\n' && !strings.HasPrefix(t[at:], s) {
		at++
	}
	return at
}

func skipBlanks(t string, at int) int {
	for at < len(t) && (t[at] == ' ' || t[at] == '\t') {
		at++
	}
	return at
}

func startsFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func endsFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}
