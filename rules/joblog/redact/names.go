package redact

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// secretNames are parts of names that indicate that the value is secret. They
// are compared in lower case and without - and _.
var secretNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
	"encryptionkey", "masterkey", "accountkey", "authkey", "credential", "authorization", "gitlabsession", "sessid", "sessionid",
	"clientkeydata", "certificatekey", "sharedkey", "storepass", "keypass", "dbpass", "dockercfg", "dockerconfigjson", "dockerauthconfig",
}

// harmlessKeys are the words before _KEY in names of keys that are not secret.
var harmlessKeys = []string{
	"CACHE", "PUBLIC", "PUB", "PRIMARY", "FOREIGN", "SORT", "PARTITION", "INDEX", "UNIQUE", "GROUP", "HASH", "RANGE", "LOOKUP", "ROUTING",
	"PROJECT", "ISSUE", "OBJECT", "HOST", "SEQUENCE", "SCHEMA", "TRANSLATION", "FEATURE",
}

// harmlessPasses are the words before PASS in names that are not passwords.
var harmlessPasses = []string{"BY", "COM", "ASK", "WRONG"}

// harmlessEnds are the ends of names that concern a secret but have no secret
// value.
var harmlessEnds = []string{
	"file", "path", "url", "uri", "name", "type", "dir", "stdin", "ttl", "expiry", "expires", "expiresin",
	"expiresat", "endpoint", "ref", "count", "length", "tokenizer",
}

// harmless are values that are not secret.
var harmless = []string{"true", "false", "null", "nil", "none"}

// flag hides the value of a flag whose - is at i, as in --password value, and
// returns its end. A flag with = is an assignment.
func (m *masker) flag(i int) int {
	t := m.text
	if i > 0 && t[i-1] != ' ' && !ascii.IsQuote(t[i-1]) && t[i-1] != '\t' && t[i-1] != '\n' {
		return 0
	}
	from := i
	for from < len(t) && t[from] == '-' {
		from++
	}
	end := from
	for end < len(t) && ascii.IsNameByte(t[end]) && end-from < maxName {
		end++
	}
	name, quoted := t[from:end], false
	if end < len(t) && ascii.IsQuote(t[end]) { // in a list: "--password", "value"
		quoted = true
		for end < len(t) && (ascii.IsQuote(t[end]) || t[end] == ',') {
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

// assignment hides the value after the : or = at i if the name before it is
// secret, and returns its end.
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
	for to > 0 && (ascii.IsQuote(t[to-1]) || t[to-1] == '\\') && i-to < 12 {
		to--
		quoted = true
	}
	from := to
	for from > 0 && ascii.IsNameByte(t[from-1]) && to-from < maxName {
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
		// A path as in src/token.go:12 and /etc/passwd: has no value, nor does
		// the user of a URL.
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
		stop = ',' // before the next element of the list
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

// inSentence reports whether the name that begins at from follows a word, as
// in "failed to get a token: 401 Unauthorized".
func inSentence(t string, from int) bool {
	if from < 2 || t[from-1] != ' ' {
		return false
	}
	last := t[from-2]
	return ascii.IsLower(last) || ascii.IsUpper(last) || strings.HasSuffix(t[:from-1], masked) // masked text counts as a word
}

// enclosing returns the quote that encloses the text that begins at i,
// ignoring dashes before it; 0 if there is none.
func enclosing(t string, i int) byte {
	for i > 0 && t[i-1] == '-' {
		i--
	}
	if i > 0 && ascii.IsQuote(t[i-1]) {
		return t[i-1]
	}
	return 0
}

// header hides the text after the scheme of an Authorization header, up to the
// end of the line or of the quotes, and returns its end.
func (m *masker) header(at int, stop byte) int {
	t := m.text
	if at < len(t) && ascii.IsQuote(t[at]) {
		stop = t[at]
		at++
	}
	for _, s := range schemes {
		if startsFold(t[at:], s) && at+len(s) < len(t) && t[at+len(s)] == ' ' {
			at = skipBlanks(t, at+len(s))
			end := at
			for end < len(t) && t[end] != '\n' && t[end] != '\r' && t[end] != stop && (stop != 0 || !ascii.IsQuote(t[end]) || s == "digest") {
				end++
			}
			return m.hideValue(at, end)
		}
	}
	return m.value(at, stop, false)
}

// value hides the value that begins at at, and returns its end: the text in
// quotes or brackets, otherwise up to the next blank or stop. In prose, a
// plain word that is followed by others is no value.
func (m *masker) value(at int, stop byte, prose bool) int {
	t := m.text
	if at >= len(t) {
		return 0
	}
	switch c := t[at]; {
	case c == '\\' && at+1 < len(t) && ascii.IsQuote(t[at+1]): // nested quotes
		return m.hideValue(at+2, closing(t, at+2, t[at:at+2]))
	case ascii.IsQuote(c) && c != stop:
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
		first := at // of the list, after the parts that are already masked
		for strings.HasPrefix(t[first:], masked) {
			first += len(masked)
		}
		return m.hideValue(at, closing(t, first, "]"))
	case c == '{' || c == '(':
		return 0 // the names in it are inspected separately
	}
	end := at
	for end < len(t) && !ascii.IsBlank(t[end]) && (stop == 0 || t[end] != stop) {
		end++
	}
	if prose && end < len(t) && t[end] == ' ' && !mixed(strings.TrimRight(t[at:end], ".,;:)")) {
		return 0
	}
	return m.hideValue(at, end)
}

// hideValue hides a value unless there is nothing to hide, and returns its
// end.
func (m *masker) hideValue(at, end int) int {
	if !done(m.text[at:end]) {
		m.hide(at, end)
	}
	return end
}

// done reports whether a value is masked already, or is not secret.
func done(value string) bool {
	if strings.Contains(value, "$") {
		value = reference.ReplaceAllString(value, "")
	}
	value = strings.ReplaceAll(strings.ReplaceAll(value, masked, ""), maskedGitLab, "")
	value = strings.Trim(value, " \t\\*.,;:)]}|>\"'`&")
	return value == "" || slices.ContainsFunc(harmless, func(h string) bool { return strings.EqualFold(h, value) })
}

// reference matches $VARIABLE, ${variable} and ${{variable}}, which are not
// secret.
var reference = regexp.MustCompile(`\$[A-Z_][A-Z0-9_]*|\$\{\{?[A-Za-z_][\w.]*\}\}?`)

// mixed reports whether a value looks generated: it has at least 6 characters
// of two kinds, not counting an initial capital letter.
func mixed(value string) bool {
	kinds := 0
	lower, upper, digit, other := false, false, false, false
	for i := range len(value) {
		switch c := value[i]; {
		case ascii.IsLower(c):
			lower = true
		case ascii.IsUpper(c):
			upper = upper || i > 0
		case ascii.IsDigit(c):
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

// Name reports whether the value of a setting or a variable of this name is secret: as in
// logs, and that of each key, like DEPLOY_KEY, because a file does not list what it cached.
func Name(name string) bool { return secretName(name) || keyName(strings.ToUpper(name)) }

// secretName reports whether values with this name are secret.
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

// keyName reports whether a name is like STRIPE_KEY. Its value is secret if it
// looks like a key.
func keyName(name string) bool {
	kind, ok := strings.CutSuffix(name, "_KEY")
	if !ok || strings.ToUpper(name) != name {
		return false
	}
	return !slices.ContainsFunc(harmlessKeys, func(h string) bool { return strings.HasSuffix(kind, h) })
}

// passName reports whether a name may be that of a password. It may also be
// that of a number of tests or a directory.
func passName(name string) bool {
	return strings.EqualFold(name, "pass") || strings.EqualFold(name, "pw") || strings.EqualFold(name, "pwd")
}

// keyLike reports whether a value looks like a key or a password, and not like
// a path, URL, number or call.
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

// maySecret is a fast check that excludes most names: all secret names contain
// k, ss, cr, au, pw or pa.
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

// lowered returns a name in lower case, without - and _.
func lowered(name string) string {
	var buf [maxName]byte
	low := buf[:0]
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-' || c == '_':
		case ascii.IsUpper(c):
			low = append(low, c+'a'-'A')
		default:
			low = append(low, c)
		}
	}
	return string(low)
}
