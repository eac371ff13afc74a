package redact

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

const (
	maxTag    = 256 // bytes of an element's start tag
	maxObject = 256 // bytes between a name and its value
	maxNames  = 2   // names that are inspected beside a value
	nameCost  = 16  // bytes that the search for a name counts as
)

var (
	// cookies matches the start of the cookies of a header or of curl's flag.
	cookies = regexp.MustCompile(`^(?i)(?:cookie2?\\?["']?\s*[:=]\s*(?:\[\s*)?|cookie["']?,?\s+)(?:\\?["'])?()[\w.$-]+=`)

	// ofName matches the name of a pair as in {"name": "x", "value": "y"}.
	ofName = regexp.MustCompile(`^(?i:name|key)\\?["']?\s*[:=]\s*\\?["']?([\w.-]+)`)
)

// cookieAttributes are the attributes in Set-Cookie, which are not secret.
var cookieAttributes = []string{"path", "domain", "expires", "max-age", "samesite", "version", "priority"}

// cookie hides the values of Cookie and Set-Cookie, up to the end of the line
// or of the quotes.
func (m *masker) cookie(at int) {
	t := m.text
	if at < m.noCookie {
		return
	}
	loc := cookies.FindStringSubmatchIndex(t[at:min(len(t), at+maxName)])
	if loc == nil {
		return
	}
	from := at + loc[2]
	end := from
	for end < len(t) && t[end] != '\n' && !ascii.IsQuote(t[end]) && t[end] != '\\' {
		end++
	}
	m.noCookie = end
	for from < end {
		next := end
		if i := strings.IndexByte(t[from:end], ';'); i >= 0 {
			next = from + i
		}
		name, value, ok := strings.Cut(t[from:next], "=")
		if ok && !slices.Contains(cookieAttributes, strings.ToLower(strings.TrimSpace(name))) {
			value = strings.TrimRight(value, " \t\r")
			m.hideValue(from+len(name)+len("="), from+len(name)+len("=")+len(value))
		}
		from = next + 1
	}
}

// pair hides the value of a pair with a secret name, in JSON, YAML or XML:
// {"name": "DB_PASSWORD", "value": "x"}. The word value begins at at.
func (m *masker) pair(at int) {
	t := m.text
	i := at + len("value")
	quoted := false
	for i < len(t) && (ascii.IsQuote(t[i]) || t[i] == '\\') && i < at+len(`value\"`) {
		i++
		quoted = true
	}
	i = skipBlanks(t, i)
	if i >= len(t) || t[i] != ':' && t[i] != '=' {
		return
	}
	value := skipBlanks(t, i+1)
	names := m.namesBefore(objectBefore(t, at), at)
	if names == nil {
		names = m.namesAfter(objectAfter(t, value), at)
	}
	stop := byte(0)
	if quoted {
		stop = ','
	}
	if slices.ContainsFunc(names, func(name string) bool { return secretName(name) || keyName(name) }) {
		m.valueOnce(value, stop)
	}
}

// namesBefore returns the last names in the part of the text that ends at at:
// two at most, and of one line.
func (m *masker) namesBefore(part string, at int) []string {
	var names []string
	for i := len(part) - 1; i >= 0 && len(names) < maxNames && (part[i] != '\n' || names == nil); i-- {
		if name := m.nameAt(part, i, at); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// namesAfter returns the first names in the part of the text that begins at
// at.
func (m *masker) namesAfter(part string, at int) []string {
	var names []string
	for i := 0; i < len(part) && len(names) < maxNames && (part[i] != '\n' || names == nil); i++ {
		if name := m.nameAt(part, i, at); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// nameAt returns the name if name="…" or key="…" begins at index i of a part;
// otherwise "".
func (m *masker) nameAt(part string, i, at int) string {
	if c := part[i] | 0x20; c != 'n' && c != 'k' || !startsFold(part[i:], "name") && !startsFold(part[i:], "key") || !m.spend(nameCost, at) {
		return ""
	}
	if name := ofName.FindStringSubmatch(part[i:min(len(part), i+2*maxName)]); name != nil {
		return name[1]
	}
	return ""
}

// objectBefore returns the text before at in the object, element or list item
// that contains at.
func objectBefore(t string, at int) string {
	from := at
	for from > max(0, at-maxObject) {
		c := t[from-1]
		if strings.IndexByte("{}<>", c) >= 0 || strings.HasPrefix(t[from-1:], "\n\n") || c == '-' && from < len(t) && t[from] == ' ' && strings.TrimSpace(lineBefore(t, from-1)) == "" {
			break
		}
		from--
	}
	return t[from:at]
}

// objectAfter returns the text after at in the same object.
func objectAfter(t string, at int) string {
	t = t[at:min(len(t), at+maxObject)]
	for i := range len(t) {
		c := t[i]
		if c == '}' || c == '>' || strings.HasPrefix(t[i:], "\n\n") || c == '-' && i+1 < len(t) && t[i+1] == ' ' && strings.TrimSpace(lineBefore(t, i)) == "" {
			return t[:i]
		}
	}
	return t
}

// element hides the text of an element whose start tag ends at i if the
// element's name, or a name or key in the tag, is secret. It returns the end
// of the text.
func (m *masker) element(i int) int {
	t := m.text
	from := i
	for from > max(0, i-maxTag) && t[from-1] != '<' && t[from-1] != '>' && t[from-1] != '\n' {
		from--
	}
	if from == 0 || t[from-1] != '<' || from == i || t[i-1] == '/' || !ascii.IsAlnum(t[from]) {
		return 0
	}
	tag := t[from:i]
	name := tag
	if end := strings.IndexAny(tag, " \t"); end >= 0 {
		name = tag[:end]
	}
	if name = name[strings.LastIndexByte(name, ':')+1:]; len(name) > maxName || !isName(name) {
		return 0
	}
	secret := secretName(name)
	if !secret {
		secret = slices.ContainsFunc(m.namesAfter(tag[len(name):], i), secretName)
	}
	if !secret {
		return 0
	}
	at := i + 1
	rest := t[at:]
	const cdata = "<![CDATA["
	end := strings.IndexByte(rest, '<')
	if trimmed := strings.TrimLeft(rest, " \t\r\n"); strings.HasPrefix(trimmed, cdata) {
		at += len(rest) - len(trimmed) + len(cdata)
		rest = t[at:]
		if end = strings.Index(rest, "]]>"); end < 0 {
			end = len(rest)
		}
	} else if end < 0 || !strings.HasPrefix(rest[end:], "</") { // cut off, or not an element, as in --token <token> <url>
		if end < 0 {
			end = len(rest)
		}
		if end = lineEnd(rest[:end], 0); !mixed(rest[:end]) || strings.Contains(rest[:end], " ") {
			return 0
		}
	}
	value := rest[:end]
	at += len(value) - len(strings.TrimLeft(value, " \t\r\n"))
	return m.hideValue(at, at+len(strings.TrimSpace(value)))
}

func isName(s string) bool {
	for i := range len(s) {
		if !ascii.IsNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// blockOf hides the block scalar of the name that begins at from. A name far
// to the right in its line has none. It returns the end, or 0.
func (m *masker) blockOf(from, at int) int {
	if at >= len(m.text) || m.text[at] != '|' && m.text[at] != '>' {
		return 0
	}
	start := max(0, from-maxBefore)
	newline := strings.LastIndexByte(m.text[start:from], '\n')
	if newline < 0 && start > 0 {
		return 0
	}
	return m.block(at, from-start-newline-1)
}

// block hides a YAML block scalar whose | or > is at at, and returns its end,
// or 0 if there is none. Its lines are indented more than column.
func (m *masker) block(at, column int) int {
	t := m.text
	if at >= len(t) || t[at] != '|' && t[at] != '>' {
		return 0
	}
	end := at + 1
	for end < len(t) && strings.IndexByte("+-123456789 \t\r", t[end]) >= 0 {
		end++
	}
	if end == len(t) || t[end] != '\n' {
		return 0
	}
	from, to := 0, 0
	for end < len(t) {
		start := end + 1
		end = lineEnd(t, start)
		line := strings.TrimRight(t[start:end], " \t\r")
		first := len(line) - len(strings.TrimLeft(line, " \t"))
		if line == "" {
			continue
		}
		if first <= column {
			break
		}
		if from == 0 {
			from = start + first
		}
		to = start + len(line)
	}
	if from == 0 {
		return 0
	}
	return m.hideValue(from, to)
}
