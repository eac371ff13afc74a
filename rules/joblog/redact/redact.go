package redact

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	masked       = "[masked]" // stands where a secret stood
	maskedGitLab = "[MASKED]" // what GitLab itself puts there

	maxName   = 64       // bytes of the name of a value
	maxUser   = 4 << 10  // bytes of a URL, from its // to the @ after a password
	maxRounds = 8        // of Secrets: a log made to need more doesn't hold up the rest
	maxKey    = 32 << 10 // bytes of a private key, from its first line to its last
	shortest  = 8        // characters of a value that Values hides, as GitLab has it for masked variables
	shortHash = 20       // characters after a token's prefix
)

// span is a part of a text, to be hidden.
type span struct{ from, to int }

// Secrets replaces secrets by [masked]. It knows them by their shape (tokens of some
// two hundred providers, JWTs, private keys, webhooks, URLs with credentials or a
// signature), by their name (password=…, "api_key": "…", --token …,
// PRIVATE-TOKEN: …) and by their place (docker login -p …, the data of a Kubernetes
// Secret, cookies). References such as $TOKEN stay, and so does GitLab's own
// [MASKED]. In doubt the value is hidden. A second call changes nothing, except for
// texts that are made to need more than 8 rounds.
func Secrets(text string) string {
	// What is hidden may be what kept something else from being seen. The second
	// round mostly finds nothing more.
	for range maxRounds {
		next := replace(text, secrets(text))
		if next == text {
			return text
		}
		text = next
	}
	return text
}

// Values replaces the values by [masked], the longest first. Values of fewer than 8
// characters stay: they would hide too much.
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
	return replace(text, found)
}

// replace puts [masked] where the spans are, once for those that overlap.
func replace(text string, spans []span) string {
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
		b.WriteString(masked)
		done = s.to
	}
	b.WriteString(text[done:])
	return b.String()
}

// secrets finds what is to be hidden.
func secrets(text string) []span {
	m := masker{text: text, patience: patience*len(text) + leastPatience}
	m.shapes()
	m.privateKeys()
	m.known()
	return m.found
}

type masker struct {
	text      string
	found     []span
	patience  int    // bytes that expressions may still be run on
	searched  []span // by finder: where it is still to search, or where its last secret ends
	lastToken span   // that tokenEnd went over
	lastValue span   // that valueOnce went over

	noUser      int // no user of a URL stands before here
	noJWT       int // no JWT
	noHook      int // no webhook
	noCookie    int // no cookie
	noSignature int // no signature of a URL
	noManifest  int // no Secret of Kubernetes
	noPatience  int // nothing that can still be looked at
}

func (m *masker) hide(from, to int) { m.found = append(m.found, span{from, to}) }

// telling says which bytes shapes has a look at: a secret is found by a byte of
// its beginning that is rare in logs.
var telling = func() (set [256]bool) {
	for _, c := range []byte("-_:=J4A >") {
		set[c] = true
	}
	return set
}()

// shapes goes over the text once. At a byte that may tell of a secret it looks
// around. What a name has hidden is passed by, so that the time stays linear.
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
		case 'J': // eyJ, the beginning of {" in base64
			end = m.jwt(i)
		case '4': // of runners' old registration tokens
			if from := i - len("GR13"); from >= 0 && strings.HasPrefix(t[from:], "GR1348941") {
				end = m.run(from, from+len("GR1348941"), shortHash)
			}
		case 'A': // the last letter of AKIA and ASIA
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

// closing gives where s stands next, from at on, or where the line ends.
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
