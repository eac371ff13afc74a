package joblog

import (
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// Line returns the most informative line of a log: the error line that Excerpt
// finds, otherwise the last line of the job's script. The parts that differ
// between jobs are replaced, so that the same fault results in the same line:
// numbers, ids, durations and times by N, names of temporary directories by ….
// Line returns "" for an empty log.
func Line(text string) string {
	return shorten(normalize(split(text).telling()))
}

// Telling returns the most informative line of a log, as Line does, with the parts that
// differ between jobs.
func Telling(text string) string { return shorten(split(text).telling()) }

// telling returns the most informative line, without blanks around it.
func (l logLines) telling() string {
	if len(l) == 0 {
		return ""
	}
	scriptEnd := l.scriptEnd()
	at := l.errorLine(scriptEnd)
	if at < 0 {
		at = scriptEnd - 1
	}
	return strings.TrimSpace(l[at])
}

// temporary are directories that contain names that differ between jobs.
var temporary = []string{"/tmp/", "/var/folders/", "/builds/", `\Temp\`}

// normalize replaces the parts of a line that differ between jobs.
func normalize(line string) string {
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
		if !varies(line[from:i]) {
			b.WriteString(line[from:i])
			continue
		}
		// A time, a version or a UUID is replaced by one N.
		for i+1 < len(line) && strings.IndexByte(".:,-+", line[i]) >= 0 && ascii.IsAlnum(line[i+1]) {
			end := i + 1
			for end < len(line) && ascii.IsAlnum(line[end]) {
				end++
			}
			if part := line[i+1 : end]; !varies(part) && (len(part) != 4 || !isHexWord(part)) {
				break
			}
			i = end
		}
		b.WriteByte('N')
	}
	return b.String()
}

// temporaryLen returns the length of the path of the temporary directory at
// the start of s, up to the name that differs; 0 if there is none.
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

// varies reports whether a word of letters and digits may differ between jobs:
// a number, with its unit, a hex id, or a random mixture. Words that end with
// digits, such as E0308 and python3, are informative.
func varies(word string) bool {
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
