package joblog

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	masked       = "[masked]" // stands where a secret stood
	maskedGitLab = "[MASKED]" // what GitLab itself puts there

	maxName   = 64       // bytes of the name of a value
	maxUser   = 4 << 10  // bytes of a URL, from its // to the @ after a password
	maxRounds = 8        // of Mask: a log made to need more doesn't hold up the rest
	maxKey    = 32 << 10 // bytes of a private key, from its first line to its last
	shortest  = 8        // characters of a value that MaskValues hides, as GitLab has it for masked variables
	shortHash = 20       // characters after a token's prefix
)

// tokens are what secrets begin with that can be told by that, up to the last
// - or _, and how many characters follow at least. GitLab's are those of its
// token overview (doc/security/tokens); an instance may have its own text before
// them.
var tokens = map[string]int{
	"glpat-": shortHash, "gloas-": shortHash, "gldt-": shortHash, "glrt-": shortHash, "glrtr-": shortHash,
	"glcbt-": shortHash, "glptt-": shortHash, "glft-": shortHash, "glimt-": shortHash, "glagent-": shortHash,
	"glwt-": shortHash, "glsoat-": shortHash, "glffct-": shortHash,

	"xoxa-": 10, "xoxb-": 10, "xoxe-": 10, "xoxp-": 10, "xoxr-": 10, "xoxs-": 10, "xoxc-": 10, "xoxd-": 10, "xapp-": 10,

	"whsec_": shortHash, // GitLab's signing tokens of webhooks
	"ghp_":   shortHash, "gho_": shortHash, "ghu_": shortHash, "ghs_": shortHash, "ghr_": shortHash,
	"github_pat_": shortHash, "npm_": 30,
}

// longestToken is the length of the longest of the tokens' beginnings.
const longestToken = len("github_pat_")

// secretNames tell, in a name without its - and _ and in lower case, that its
// value is secret.
var secretNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
	"encryptionkey", "masterkey", "accountkey", "authkey", "credential", "authorization", "gitlabsession", "sessid", "sessionid",
	"clientkeydata", "certificatekey", "sharedkey", "storepass", "keypass", "dbpass", "dockercfg", "dockerconfigjson", "dockerauthconfig",
}

// harmlessKeys end, before _KEY, the names of keys that are no secrets.
var harmlessKeys = []string{
	"CACHE", "PUBLIC", "PUB", "PRIMARY", "FOREIGN", "SORT", "PARTITION", "INDEX", "UNIQUE", "GROUP", "HASH", "RANGE", "LOOKUP", "ROUTING",
	"PROJECT", "ISSUE", "OBJECT", "HOST", "SEQUENCE", "SCHEMA", "TRANSLATION", "FEATURE",
}

// harmlessPasses end, before PASS, the names of what is no password.
var harmlessPasses = []string{"BY", "COM", "ASK", "WRONG"}

// harmlessEnds end the names of what is about a secret and is none.
var harmlessEnds = []string{
	"file", "path", "url", "uri", "name", "type", "dir", "stdin", "ttl", "expiry", "expires", "expiresin",
	"expiresat", "endpoint", "ref", "count", "length", "tokenizer",
}

// harmless are values that are no secrets.
var harmless = []string{"true", "false", "null", "nil", "none"}

// schemes stand before the credentials of an Authorization header.
var schemes = []string{"bearer", "basic", "token", "digest", "negotiate", "apikey"}

// span is a part of a text, to be hidden.
type span struct{ from, to int }

// Mask replaces secrets by [masked]: what is known by its shape (tokens of some
// two hundred providers, JWTs, private keys, webhooks, URLs with credentials or
// a signature), what a name tells (password=…, "api_key": "…", --token …,
// PRIVATE-TOKEN: …) and what its place tells (docker login -p …, the data of a
// Secret of Kubernetes, cookies). References such as $TOKEN stay. In doubt it
// hides. [MASKED], which GitLab puts, stays. Masking twice changes no more than
// masking once, but for texts that are made to need more than 8 rounds.
func Mask(text string) string {
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

// MaskValues replaces the values by [masked], the longest first. Those with
// less than 8 characters are left: they would hide too much.
func MaskValues(text string, values []string) string {
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

// token hides a token whose beginning ends at text[i].
func (m *masker) token(i int) int {
	t := m.text
	for from := i - 1; from >= 0 && from > i-longestToken; from-- {
		c := t[from]
		if !isLower(c) && c != '_' {
			return 0
		}
		if c != 'g' && c != 'x' && c != 'w' && c != 'n' {
			continue
		}
		if least, ok := tokens[t[from:i+1]]; ok {
			return m.run(from, i+1, least)
		}
	}
	return 0
}

// run hides what begins at from and goes on after at with least characters that
// tokens are made of, and gives its end.
func (m *masker) run(from, at, least int) int {
	end := m.tokenEnd(at)
	if end-at < least {
		return 0
	}
	m.hide(from, end)
	return end
}

// tokenEnd gives the end of a token from at on. It goes over no token twice.
func (m *masker) tokenEnd(at int) int {
	if at < m.lastToken.from || at >= m.lastToken.to {
		m.lastToken = span{at, at}
		for m.lastToken.to < len(m.text) && isTokenByte(m.text[m.lastToken.to]) {
			m.lastToken.to++
		}
	}
	end := m.lastToken.to
	for end > at && m.text[end-1] == '.' { // of the sentence
		end--
	}
	return end
}

func isTokenByte(c byte) bool {
	return isAlnum(c) || c == '-' || c == '_' || c == '.' || c == '=' || c == '/' || c == '+'
}

// jwt hides a JSON web token (RFC 7519): parts in base64url with dots between,
// the first and mostly the second of which begin with eyJ. One that is cut off
// counts, too.
func (m *masker) jwt(i int) int {
	t := m.text
	if i < m.noJWT || i < 2 || t[i-2:i] != "ey" {
		return 0
	}
	end, dots := i+1, 0
	for ; end < len(t); end++ {
		if c := t[end]; c == '.' && end > i+8 {
			dots++
		} else if !isAlnum(c) && c != '-' && c != '_' && c != '=' {
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
	for end < len(t) && (isUpper(t[end]) || isDigit(t[end])) {
		end++
	}
	if end-from < 20 {
		return 0
	}
	m.hide(from, end)
	return end
}

// scheme hides what stands after "Bearer " and "Basic " when it is no plain
// word, wherever that is.
func (m *masker) scheme(i int) int {
	t := m.text
	if i < len("basic") || t[i-1]|0x20 != 'r' && t[i-1]|0x20 != 'c' { // spares most blanks the comparing
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
	for end < min(len(t), from+maxUser) && !isBlank(t[end]) && !isQuote(t[end]) && t[end] != '<' && t[end] != '>' && t[end] != '\\' {
		end++
	}
	word := t[from:end]
	last := strings.LastIndexByte(word, '@')
	if last < 0 {
		m.noUser = end
		return
	}
	if slash := strings.IndexAny(word, "/?#"); slash >= 0 && slash < last {
		// The @ is the path's, as in https://host:8443/@scope, unless a password
		// has the slash in it.
		if at := strings.LastIndexByte(word[:slash], '@'); at >= 0 {
			last = at
		} else if _, port, ok := strings.Cut(word[:slash], ":"); !ok || strings.Trim(port, "0123456789") == "" || strings.HasPrefix(word, "[") {
			return
		}
	}
	user, password, ok := strings.Cut(word[:last], ":")
	switch {
	case last == 0, done(word[:last]), ok && (password == "" || done(password)):
	case !ok && user == "git": // as in ssh://git@host, whom everybody is
	default:
		m.hide(from, from+last)
	}
}

// flag hides the value of a flag whose - stands at i: --password value. Those
// with a = are assignments.
func (m *masker) flag(i int) int {
	t := m.text
	if i > 0 && t[i-1] != ' ' && !isQuote(t[i-1]) && t[i-1] != '\t' && t[i-1] != '\n' {
		return 0
	}
	from := i
	for from < len(t) && t[from] == '-' {
		from++
	}
	end := from
	for end < len(t) && isNameByte(t[end]) && end-from < maxName {
		end++
	}
	name, quoted := t[from:end], false
	if end < len(t) && isQuote(t[end]) { // of a list: "--password", "value"
		quoted = true
		for end < len(t) && (isQuote(t[end]) || t[end] == ',') {
			end++
		}
	}
	value := skipBlanks(t, end)
	if value == end && !quoted || value == len(t) || !secretName(name) || t[value] == '-' {
		return 0
	}
	stop := enclosing(t, i)
	if quoted {
		stop = ','
	}
	return m.value(value, stop, false)
}

// assignment hides the value after the : or = at i, when the name before it
// tells that it is secret.
func (m *masker) assignment(i int) int {
	t := m.text
	if i+1 < len(t) && t[i] == ':' && (t[i+1] == ':' || t[i+1] == '/') || i > 0 && t[i-1] == ':' && t[i] == ':' {
		return 0
	}
	to := i
	for to > 0 && (t[to-1] == ' ' || t[to-1] == '\t') && i-to < 8 {
		to--
	}
	quoted := false
	for to > 0 && (isQuote(t[to-1]) || t[to-1] == '\\') && i-to < 12 {
		to--
		quoted = true
	}
	from := to
	for from > 0 && isNameByte(t[from-1]) && to-from < maxName {
		from--
	}
	name := strings.TrimLeft(t[from:to], "-.")
	from = to - len(name)
	certain := secretName(name)
	if !certain && !keyName(name) && (t[i] != '=' || !passName(name)) {
		return 0
	}
	before := byte('\n')
	if from > 0 {
		before = t[from-1]
	}
	at := i + 1
	prose := false
	if t[i] == ':' {
		// A path as in src/token.go:12 and /etc/passwd: has no value, nor has the
		// user of a URL.
		if before == '/' || before == '\\' && !quoted || certain && !secretName(name[strings.LastIndexByte(name, '.')+1:]) {
			return 0
		}
		prose = !quoted && at < len(t) && t[at] == ' ' && inSentence(t, from)
		if at < len(t) && t[at] == '=' { // :=
			at++
		}
	} else {
		for at < len(t) && (t[at] == '=' || t[at] == '>' || t[at] == '~') { // ==, =>, =~
			at++
		}
	}
	at = skipBlanks(t, at)
	if t[i] == ':' {
		if end := m.blockOf(from, at); end > 0 {
			return end
		}
	}
	stop := enclosing(t, from)
	switch {
	case quoted:
		stop = ',' // of the next in the list
	case before == '?' || before == '&':
		stop = '&'
	}
	if strings.HasSuffix(lowered(name), "authorization") {
		return m.header(at, stop)
	}
	if !certain && !keyLike(strings.Trim(t[at:wordEnd(t, at, stop)], `"'`)) {
		return 0
	}
	return m.value(at, stop, prose)
}

// inSentence reports whether the name at from follows a word, as in "failed to
// get a token: 401 Unauthorized".
func inSentence(t string, from int) bool {
	if from < 2 || t[from-1] != ' ' {
		return false
	}
	last := t[from-2]
	return isLower(last) || isUpper(last) || strings.HasSuffix(t[:from-1], masked) // which was a word
}

// enclosing gives the quote that encloses what begins at i, dashes before it
// left out, or 0.
func enclosing(t string, i int) byte {
	for i > 0 && t[i-1] == '-' {
		i--
	}
	if i > 0 && isQuote(t[i-1]) {
		return t[i-1]
	}
	return 0
}

// header hides what an Authorization header has after the scheme, to the end
// of the line or of the quotes.
func (m *masker) header(at int, stop byte) int {
	t := m.text
	if at < len(t) && isQuote(t[at]) {
		stop = t[at]
		at++
	}
	for _, s := range schemes {
		if startsFold(t[at:], s) && at+len(s) < len(t) && t[at+len(s)] == ' ' {
			at = skipBlanks(t, at+len(s))
			end := at
			for end < len(t) && t[end] != '\n' && t[end] != '\r' && t[end] != stop && (stop != 0 || !isQuote(t[end]) || s == "digest") {
				end++
			}
			return m.hideValue(at, end)
		}
	}
	return m.value(at, stop, false)
}

// value hides the value at at: what stands in quotes or brackets, or else to the
// next blank or to stop. In prose a plain word with more after it is no value.
func (m *masker) value(at int, stop byte, prose bool) int {
	t := m.text
	if at >= len(t) {
		return 0
	}
	switch c := t[at]; {
	case c == '\\' && at+1 < len(t) && isQuote(t[at+1]): // in quotes that are in quotes
		return m.hideValue(at+2, closing(t, at+2, t[at:at+2]))
	case isQuote(c) && c != stop:
		at++
		end := at
		for end < len(t) && t[end] != '\n' && t[end] != c {
			if t[end] == '\\' && end+1 < len(t) && t[end+1] != '\n' {
				end++
			}
			end++
		}
		end = min(end, len(t))
		for _, s := range schemes {
			if startsFold(t[at:end], s+" ") {
				at += len(s) + 1
			}
		}
		return m.hideValue(at, end)
	case c == '[' && !strings.HasPrefix(t[at:], masked) && !strings.HasPrefix(t[at:], maskedGitLab):
		at++
		first := at // of the list, after what is masked already
		for strings.HasPrefix(t[first:], masked) {
			first += len(masked)
		}
		return m.hideValue(at, closing(t, first, "]"))
	case c == '{' || c == '(':
		return 0 // the names in it tell
	}
	end := at
	for end < len(t) && !isBlank(t[end]) && (stop == 0 || t[end] != stop) {
		end++
	}
	if prose && end < len(t) && t[end] == ' ' && !mixed(strings.TrimRight(t[at:end], ".,;:)")) {
		return 0
	}
	return m.hideValue(at, end)
}

// hideValue hides a value unless nothing is left to hide, and gives its end.
func (m *masker) hideValue(at, end int) int {
	if !done(m.text[at:end]) {
		m.hide(at, end)
	}
	return end
}

// done reports whether a value is masked already, or is none.
func done(value string) bool {
	if strings.Contains(value, "$") {
		value = reference.ReplaceAllString(value, "")
	}
	value = strings.ReplaceAll(strings.ReplaceAll(value, masked, ""), maskedGitLab, "")
	value = strings.Trim(value, " \t\\*.,;:)]}|>\"'`&")
	return value == "" || slices.ContainsFunc(harmless, func(h string) bool { return strings.EqualFold(h, value) })
}

// reference is $VARIABLE, ${variable} or ${{variable}}, which tells nothing.
var reference = regexp.MustCompile(`\$[A-Z_][A-Z0-9_]*|\$\{\{?[A-Za-z_][\w.]*\}\}?`)

// mixed reports whether a value looks made up by a machine: at least 6
// characters of two kinds, where a word's first capital is no kind.
func mixed(value string) bool {
	kinds := 0
	lower, upper, digit, other := false, false, false, false
	for i := range len(value) {
		switch c := value[i]; {
		case isLower(c):
			lower = true
		case isUpper(c):
			upper = upper || i > 0
		case isDigit(c):
			digit = true
		default:
			other = true
		}
	}
	for _, kind := range []bool{lower, upper, digit, other} {
		if kind {
			kinds++
		}
	}
	return len(value) >= 6 && kinds > 1
}

// secretName reports whether the value of a name is secret.
func secretName(name string) bool {
	if len(name) < 4 || !maySecret(name) {
		return false
	}
	low := lowered(name)
	if low == "auth" || strings.HasSuffix(name, "_auth") || endsFold(name, "_pass") || endsFold(name, "_pwd") || endsFold(name, "_pw") ||
		strings.HasSuffix(name, "_PAT") {
		return true
	}
	if kind, ok := strings.CutSuffix(name, "PASS"); ok && kind != "" { // DBPASS
		return !slices.ContainsFunc(harmlessPasses, func(h string) bool { return strings.HasSuffix(kind, h) })
	}
	for _, end := range harmlessEnds {
		if strings.HasSuffix(low, end) {
			return false
		}
	}
	return slices.ContainsFunc(secretNames, func(s string) bool { return strings.Contains(low, s) })
}

// keyName reports whether a name is one as in STRIPE_KEY, whose value is secret
// when it looks like a key.
func keyName(name string) bool {
	kind, ok := strings.CutSuffix(name, "_KEY")
	if !ok || strings.ToUpper(name) != name {
		return false
	}
	return !slices.ContainsFunc(harmlessKeys, func(h string) bool { return strings.HasSuffix(kind, h) })
}

// passName reports whether a name may be a password's, or a number of tests or
// a directory.
func passName(name string) bool {
	return strings.EqualFold(name, "pass") || strings.EqualFold(name, "pw") || strings.EqualFold(name, "pwd")
}

// keyLike reports whether a value looks like a key or a password, and like no
// path, URL, number or call.
func keyLike(value string) bool {
	switch {
	case len(value) < shortest || !mixed(value) || strings.Trim(value, "0123456789.:-") == "":
		return false
	case strings.HasPrefix(value, "/") || strings.HasPrefix(value, "./") || strings.HasPrefix(value, "~/") || strings.Contains(value, `:\`):
		return false
	default:
		return !strings.Contains(value, "://") && !strings.ContainsAny(value, "(){}")
	}
}

// maySecret spares most names the look: all secret ones have a k, ss, cr, au,
// pw or pa.
func maySecret(name string) bool {
	for i := range len(name) {
		c := name[i] | 0x20
		next := byte(0)
		if i+1 < len(name) {
			next = name[i+1] | 0x20
		}
		if c == 'k' || c == 's' && next == 's' || c == 'c' && next == 'r' || c == 'a' && next == 'u' || c == 'p' && (next == 'w' || next == 'a') {
			return true
		}
	}
	return false
}

// lowered gives a name in lower case, without - and _.
func lowered(name string) string {
	var buf [maxName]byte
	low := buf[:0]
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-' || c == '_':
		case isUpper(c):
			low = append(low, c+'a'-'A')
		default:
			low = append(low, c)
		}
	}
	return string(low)
}

// privateKeys hides private keys in PEM. Where the first or the last line is
// missing, the lines of base64 count that stand next to the other.
func (m *masker) privateKeys() {
	const label, begin, end, dashes = "PRIVATE KEY", "-----BEGIN ", "-----END ", "-----"
	t := m.text
	for at := 0; ; {
		i := strings.Index(t[at:], label)
		if i < 0 {
			return
		}
		i += at
		near := max(at, i-len("-----BEGIN ENCRYPTED OPENSSH "))
		at = i + len(label)
		if from := strings.LastIndex(t[near:i], begin); from >= 0 {
			to := at
			if n := strings.Index(t[at:min(len(t), at+20)], dashes); n >= 0 {
				to = at + n + len(dashes)
			}
			next := len(t)
			if n := strings.Index(t[to:], begin); n >= 0 {
				next = to + n
			}
			inside := t[to:min(next, to+maxKey)]
			if n := strings.Index(inside, end); n >= 0 {
				at = to + n + len(end)
				to = lastDashes(t, at)
			} else {
				to = keyAfter(t, to)
			}
			m.hide(near+from, to)
			at = to
		} else if from := strings.LastIndex(t[near:i], end); from >= 0 {
			at = lastDashes(t, near+from+len(end))
			m.hide(keyBefore(t, near+from), at)
		}
	}
}

// lastDashes gives where the last line of a key ends, whose label is at at.
func lastDashes(t string, at int) int {
	line := t[at:min(lineEnd(t, at), at+40)]
	if i := strings.Index(line, "-----"); i >= 0 {
		return at + i + len("-----")
	}
	return at + len(line)
}

// keyAfter gives the end of what follows the first line of a key at at: the
// rest of that line, where newlines are escaped, and the lines after it.
func keyAfter(t string, at int) int {
	end := skipBlanks(t, at)
	for end < len(t) && (isKeyByte(t[end]) || t[end] == '\r') {
		end++
	}
	for end < len(t) && t[end] == '\n' {
		next := lineEnd(t, end+1)
		if !isKeyLine(t[end+1 : next]) {
			break
		}
		end = next
	}
	return end
}

// keyBefore gives the start of the lines of a key that stand before at.
func keyBefore(t string, at int) int {
	from := max(0, at-maxKey)
	from += strings.LastIndexByte(t[from:at], '\n') + 1
	if !isKeyLine(t[from:at]) && strings.TrimSpace(t[from:at]) != "" {
		return at
	}
	for from > 0 {
		above := strings.LastIndexByte(t[:from-1], '\n') + 1
		if !isKeyLine(t[above : from-1]) {
			break
		}
		from = above
	}
	return from
}

// isKeyLine reports whether a line can be one of a private key: a word in
// base64, with escaped newlines too, also after a prefix when it is long; or a
// header.
func isKeyLine(line string) bool {
	line = strings.Trim(line, " \t\r\"',")
	if strings.HasPrefix(line, "Proc-Type:") || strings.HasPrefix(line, "DEK-Info:") {
		return true
	}
	last := line[strings.LastIndexAny(line, " \t")+1:]
	if last == "" || last != line && len(last) < 40 {
		return false
	}
	for i := range len(last) {
		if !isKeyByte(last[i]) {
			return false
		}
	}
	return true
}

func isKeyByte(c byte) bool { return isAlnum(c) || c == '+' || c == '/' || c == '=' || c == '\\' }

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

func isBlank(c byte) bool    { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isQuote(c byte) bool    { return c == '"' || c == '\'' || c == '`' }
func isNameByte(c byte) bool { return isAlnum(c) || c == '_' || c == '-' || c == '.' }
