package redact

import (
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// privateKeys hides private keys in PEM format. If the first or the last line
// is missing, the base64 lines next to the other one are hidden.
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

// lastDashes returns the end of the last line of a key. Its label is at at.
func lastDashes(t string, at int) int {
	line := t[at:min(lineEnd(t, at), at+40)]
	if i := strings.Index(line, "-----"); i >= 0 {
		return at + i + len("-----")
	}
	return at + len(line)
}

// keyAfter returns the end of the key after its first line, which ends at at:
// the rest of that line, if newlines are escaped, and the lines after it.
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

// keyBefore returns the start of the lines of a key that end at at.
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

// isKeyLine reports whether a line may be part of a private key: a word in
// base64, also with escaped newlines or, if it is long, after a prefix; or a
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

func isKeyByte(c byte) bool { return ascii.IsAlnum(c) || c == '+' || c == '/' || c == '=' || c == '\\' }
