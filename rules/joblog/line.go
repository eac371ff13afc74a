package joblog

import (
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// Line gives the one line of a log that tells most, as Excerpt finds it, or else
// the last of the job's script. What differs from job to job is made alike in it, so
// that the same fault gives the same line: numbers, ids, durations and times
// are N, names of temporary directories are …. It is empty if the log is.
func Line(text string) string {
	l := split(text)
	if len(l) == 0 {
		return ""
	}
	own := l.own()
	at := l.telling(own)
	if at < 0 {
		at = own - 1
	}
	return shorten(alike(strings.TrimSpace(l[at])))
}

// temporary are directories with names that differ from job to job in them.
var temporary = []string{"/tmp/", "/var/folders/", "/builds/", `\Temp\`}

// alike replaces what differs from job to job in a line.
func alike(line string) string {
	var b strings.Builder
	b.Grow(len(line))
	for i := 0; i < len(line); {
		if n := temporaryLen(line[i:]); n > 0 {
			sep := line[i+n-1]
			b.WriteString(line[i : i+n])
			i += n
			for i < len(line) && line[i] != sep && !ascii.IsBlank(line[i]) && !ascii.IsQuote(line[i]) && !strings.ContainsRune(":,;)", rune(line[i])) {
				i++
			}
			b.WriteString("…")
			continue
		}
		if !ascii.IsAlnum(line[i]) {
			b.WriteByte(line[i])
			i++
			continue
		}
		from := i
		for i < len(line) && ascii.IsAlnum(line[i]) {
			i++
		}
		if !differs(line[from:i]) {
			b.WriteString(line[from:i])
			continue
		}
		// A time, a version or a UUID is one N with all its parts.
		for i+1 < len(line) && strings.IndexByte(".:,-+", line[i]) >= 0 && ascii.IsAlnum(line[i+1]) {
			end := i + 1
			for end < len(line) && ascii.IsAlnum(line[end]) {
				end++
			}
			if part := line[i+1 : end]; !differs(part) && (len(part) != 4 || !isHexWord(part)) {
				break
			}
			i = end
		}
		b.WriteByte('N')
	}
	return b.String()
}

// temporaryLen gives the length of the temporary directory's path that s
// begins with, up to the name that differs, or 0.
func temporaryLen(s string) int {
	if s[0] != '/' && s[0] != '\\' {
		return 0
	}
	for _, t := range temporary {
		if strings.HasPrefix(s, t) && len(s) > len(t) {
			return len(t)
		}
	}
	return 0
}

// differs reports whether a word of letters and digits may be another one in
// another job: a number, with its unit, an id in hex, or a mixture as ids are.
// Words that only end with digits, like E0308 and python3, tell something.
func differs(word string) bool {
	if ascii.IsDigit(word[0]) {
		return true
	}
	first := strings.IndexAny(word, "0123456789")
	if first < 0 {
		return false
	}
	mixture := strings.Trim(word[first:], "0123456789") != ""
	return len(word) >= 7 && isHexWord(word) || len(word) >= 5 && mixture
}

func isHexWord(word string) bool {
	return strings.Trim(word, "0123456789abcdef") == ""
}
