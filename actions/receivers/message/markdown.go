package message

import (
	"regexp"
	"strings"
)

// Markdown is how a medium writes Markdown.
type Markdown struct {
	Special string // the characters that a backslash escapes
	// Broken are the characters that a backslash does not keep from notifying or
	// linking; one of no width after them does.
	Broken string
}

// bareAddress matches an address that a client may make clickable. A backslash in it
// would become part of it. Nothing in it is markup.
var bareAddress = regexp.MustCompile(`https?://[A-Za-z0-9._/?=&%:+-]*[A-Za-z0-9/]`)

// Escape makes a value safe: it is shown as it is.
func (md Markdown) Escape(value string) string {
	var b strings.Builder
	for value != "" {
		plain, address := value, ""
		if at := bareAddress.FindStringIndex(value); at != nil {
			plain, address, value = value[:at[0]], value[at[0]:at[1]], value[at[1]:]
		} else {
			value = ""
		}
		for _, r := range plain {
			if r < 0x80 && strings.ContainsRune(md.Special, r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
			if strings.ContainsRune(md.Broken, r) {
				b.WriteRune('\u200b')
			}
		}
		b.WriteString(address)
	}
	return b.String()
}

// Lines is Escape for a text of several lines: none becomes a code block by the white
// space before it, or makes a heading of the line before.
func (md Markdown) Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		lines[i] = md.Escape(line)
		if strings.HasPrefix(line, "=") {
			lines[i] = "\u200b" + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}
