package schema

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

// Masked returns the text of a file, which may not be YAML, with a star for each character of
// what may be a secret: lines and columns stay. Secrets are recognized by their shape and by
// the name of their key.
func Masked(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for _, value := range []*regexp.Regexp{flowValue, blockValue} {
			line = StarGroups(value, line, func(groups []string) bool { return isSecretKey(groups[1]) })
		}
		lines[i] = line
	}
	return redact.Starred(strings.Join(lines, "\n"))
}

// flowValue and blockValue match a key and its value, which may not be closed: in a mapping
// between brackets, and at the beginning of a line.
var (
	flowValue  = regexp.MustCompile(`[{,]\s*["']?([\w.-]+)["']?\s*:\s*("(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|[^\s,}"'{\[][^,}]*)`)
	blockValue = regexp.MustCompile(`^[\s-]*["']?([\w.-]+)["']?\s*:\s*([^\s>|].*?)\s*$`)
)

// isSecretKey reports whether the value of a key is secret. The url of a receiver has a secret.
func isSecretKey(key string) bool { return key == "url" || redact.Name(key) }

// StarGroups replaces by stars the last group of each match in a line whose groups are
// secret.
func StarGroups(re *regexp.Regexp, line string, secret func(groups []string) bool) string {
	var b strings.Builder
	done := 0
	for _, at := range re.FindAllStringSubmatchIndex(line, -1) {
		groups := make([]string, len(at)/2)
		for i := range groups {
			groups[i] = line[at[2*i]:at[2*i+1]]
		}
		if secret(groups) {
			from, to := at[len(at)-2], at[len(at)-1]
			b.WriteString(line[done:from] + strings.Repeat("*", utf8.RuneCountInString(line[from:to])))
			done = to
		}
	}
	return b.String() + line[done:]
}

// shortestQuoted is the number of characters from which on a secret is masked in messages; a
// shorter one may be a part of any word.
const shortestQuoted = 4

// masked returns a message about a line without the secrets of the line that it quotes.
func (d *Document) masked(line int, message string) string {
	if d.shown == nil {
		d.shown = []rune(Masked(string(d.text)))
	}
	starts := d.lineStarts()
	if line < 1 || line > len(starts) {
		return message
	}
	end := len(d.text)
	if line < len(starts) {
		end = starts[line]
	}
	for at := starts[line-1]; at < end; at++ {
		from := at
		for at < end && d.shown[at] != d.text[at] {
			at++
		}
		if at-from >= shortestQuoted {
			message = strings.ReplaceAll(message, string(d.text[from:at]), strings.Repeat("*", at-from))
		}
	}
	return message
}
