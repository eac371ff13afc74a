// Package message has what receivers are sent: plain data, in no markup, and how it is
// shortened, escaped and made plain text for a medium.
package message

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Level says how a message is marked: by an emoji, a colour or the priority of a mail.
type Level string

// The levels; "" is neither good nor bad.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Error   Level = "error"
)

// Emoji returns the character that marks the level where a medium has no colours.
func (l Level) Emoji() string {
	switch l {
	case OK:
		return "✅"
	case Warning:
		return "⚠️"
	case Error:
		return "❌"
	}
	return "ℹ️"
}

// Color returns the level's colour as 0xRRGGBB.
func (l Level) Color() int {
	switch l {
	case OK:
		return 0x2DA160
	case Warning:
		return 0xC17D10
	case Error:
		return 0xDD2B0E
	}
	return 0x1F75CB
}

// Message is what a receiver is sent. All texts are plain: nothing in them is markup,
// and each medium escapes them.
type Message struct {
	// ID is the idempotency key: a repetition of a message has the same ID. Required. The
	// webhook-id and the Message-ID are made of its digest.
	ID string
	At time.Time // when what the message is about happened

	Title string
	Text  string // may have several lines
	Link  string // http or https; any other is left out
	// Fields are facts, each shown on a line of its own.
	Fields []Field
	// Mention lists who is notified, as the medium names people: Feishu by open_id
	// (ou_…), DingTalk and WeCom by mobile number or user id, Teams by e-mail address
	// or object id, Mattermost by user name, Discord by the number of a user, or & and
	// that of a role. [receiver.Everyone] notifies all. Entries that can't name anybody there are
	// left out. Teams can't notify everyone, and a mail goes to the addresses of its
	// definition only, whatever address a commit names.
	Mention []string
	Level   Level
	// Outcome is the data of the body of a webhook. Without an ID, the message itself
	// is.
	Outcome event.Outcome
}

// Field is a named value.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// MaxTitle is how many runes of a title are shown.
const MaxTitle = 250

// Limits of the other parts of a message, in runes. Those of the media are beside their
// code.
const (
	maxName     = 100
	maxValue    = 500
	maxFields   = 20
	maxMentions = 20
	maxLines    = 100 // of the text
	maxLink     = 1000
	maxText     = 100_000 // bytes
)

const ellipsis = "…"

// Bounded returns the message with what no medium shows left out: control characters,
// white space, overlong parts, a link that is none.
func (m Message) Bounded() Message {
	m.Title = brief(m.Title, MaxTitle)
	m.Text = strings.TrimSpace(clean(Cut(m.Text, maxText)))
	if lines := strings.Split(m.Text, "\n"); len(lines) > maxLines {
		m.Text = strings.Join(lines[:maxLines-1], "\n") + "\n" + ellipsis
	}
	var fields []Field
	for _, f := range m.Fields[:min(len(m.Fields), maxFields)] {
		f = Field{brief(f.Name, maxName), brief(f.Value, maxValue)}
		if f.Name != "" && f.Value != "" {
			fields = append(fields, f)
		}
	}
	m.Fields = fields
	m.Link = address(m.Link)
	m.Mention = m.Mention[:min(len(m.Mention), maxMentions)]
	return m
}

// address returns a link that can stand in any markup, or "" if it is not an
// http or https address.
func address(link string) string {
	link = strings.TrimSpace(link)
	if len(link) > maxLink || !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "http://") {
		return ""
	}
	var b strings.Builder
	for _, c := range []byte(link) {
		if c <= ' ' || c >= utf8.RuneSelf || strings.IndexByte("<>()[]{}\"'`\\|*^", c) >= 0 {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Mentions returns the entries of Mention that the medium of a kind can name, each once,
// and whether everyone is notified.
func (m Message) Mentions(kind string) (names []string, everyone bool) {
	seen := map[string]bool{}
	for _, name := range m.Mention {
		switch {
		case name == receiver.Everyone:
			everyone = true
		case receiver.CanMention(kind, name) && !seen[name]:
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, everyone
}

// Headline returns the title with the mark of the level.
func (m Message) Headline() string { return strings.TrimSpace(m.Level.Emoji() + " " + m.Title) }

// Plain returns the message as plain text.
func (m Message) Plain() string {
	parts := []string{m.Headline()}
	if m.Text != "" {
		parts = append(parts, m.Text)
	}
	for _, f := range m.Fields {
		parts = append(parts, f.Name+": "+f.Value)
	}
	if m.Link != "" {
		parts = append(parts, m.Link)
	}
	return strings.Join(parts, "\n")
}

// minText is how many bytes of a text stay while there are fields that can be left out.
const minText = 600

// Fit shortens the message until it fits: the text first, then the fields, last the title.
func (m Message) Fit(fits func(Message) bool) Message {
	m = m.Bounded()
	if fits(m) {
		return m
	}
	withText := func(text string) Message { short := m; short.Text = text; return short }
	for least := min(minText, len(m.Text)); ; m.Fields = m.Fields[:len(m.Fields)-1] {
		if text, ok := longest(m.Text, least, func(text string) bool { return fits(withText(text)) }); ok {
			return withText(text)
		}
		if len(m.Fields) == 0 {
			break
		}
	}
	if text, ok := longest(m.Text, 0, func(text string) bool { return fits(withText(text)) }); ok {
		return withText(text)
	}
	m.Text = ""
	withTitle := func(title string) Message { short := m; short.Title = title; return short }
	title, _ := longest(m.Title, 0, func(title string) bool { return fits(withTitle(title)) })
	return withTitle(title)
}

// longest returns the longest beginning of a text that fits, and false if not even that
// of least bytes does.
func longest(text string, least int, fits func(string) bool) (short string, ok bool) {
	most := len(text)
	for least <= most {
		limit := least + (most-least+1)/2
		if !ok { // whether there is any is known first
			limit = least
		}
		if candidate := Cut(text, limit); fits(candidate) {
			short, ok, least = candidate, true, limit+1
		} else if !ok {
			return "", false
		} else {
			most = limit - 1
		}
	}
	return short, ok
}

// Cut returns the text's first limit bytes at most, and an ellipsis after them if any is
// missing; "" if there are none. It never ends within a rune.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	if text = strings.TrimSpace(text[:max(limit, 0)]); text == "" {
		return ""
	}
	return text + ellipsis
}

// CutRunes shortens the text to limit runes, the last an ellipsis if any is
// missing.
func CutRunes(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return strings.TrimSpace(string(runes[:limit-1])) + ellipsis
}

// brief returns the text on one line of limit runes at most.
func brief(text string, limit int) string {
	return CutRunes(OneLine(Cut(text, 2*utf8.UTFMax*limit)), limit) // no more is cleaned than may be shown
}

// clean returns the text as valid UTF-8 without characters that control a terminal
// or turn the direction in which text is read; line ends are \n.
func clean(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// OneLine returns the text on one line.
func OneLine(text string) string { return strings.Join(strings.Fields(clean(text)), " ") }
