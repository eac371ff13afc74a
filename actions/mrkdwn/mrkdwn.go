// Package mrkdwn writes and reads Slack's mrkdwn, the markup of all texts of notices and
// announcements: https://docs.slack.dev/messaging/formatting-message-text
package mrkdwn

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/words"
)

// maxTitle is how many bytes of a commit's title, a branch's or a job's name are shown.
const maxTitle = 200

// Style writes names and links in mrkdwn.
var Style = words.Style{Text: Brief, Code: Code, Link: Link}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// ticks matches what could end a fence (```) around a value.
var ticks = regexp.MustCompile("`{2,}")

// Escape makes a value safe to stand in a text, which is mrkdwn: it can neither ping nor
// link, nor end the fence that a text puts around it.
func Escape(value string) string {
	value = ticks.ReplaceAllStringFunc(value, func(run string) string { return strings.Repeat("'", len(run)) })
	return escaper.Replace(value)
}

// Title returns a name or first line on one line, shortened and escaped.
func Title(value string) string { return Brief(value, maxTitle) }

// Brief returns the value on one line, shortened to limit bytes and then escaped.
func Brief(value string, limit int) string {
	return Escape(Cut(strings.Join(strings.Fields(value), " "), limit, limit))
}

// Code returns the value in fixed type; "" stays "".
func Code(value string) string {
	if value == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(Title(value), "`", "'") + "`"
}

// addressEscaper prevents that an address ends its link early.
var addressEscaper = strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C", " ", "%20", "\n", "", "&", "&amp;")

// Link returns the label, shortened and escaped, as a link if there is an address.
func Link(address, label string) string { return Linked(address, Title(label)) }

// Linked returns a text, which is escaped, as a link if there is an address.
func Linked(address, text string) string {
	if address == "" {
		return text
	}
	return "<" + addressEscaper.Replace(address) + "|" + text + ">"
}

// fence begins and ends a block of code.
const fence = "```"

// Cut shortens mrkdwn to at most so many characters and so many bytes, the last … if any
// is missing. It never ends within a link or an escaped character, and ends a fence that
// is open.
func Cut(text string, characters, bytes int) string {
	if len(text) <= bytes && utf8.RuneCountInString(text) <= characters {
		return text
	}
	const closing = "\n" + fence
	characters, bytes = characters-len("…"+closing), bytes-len("…"+closing)
	short := text
	n := 0
	for at := range text {
		if at > bytes || n > characters {
			break
		}
		short = text[:at]
		n++
	}
	if open := strings.LastIndexByte(short, '<'); open > strings.LastIndexByte(short, '>') {
		short = short[:open]
	}
	if open := strings.LastIndexByte(short, '&'); open > max(strings.LastIndexByte(short, ';'), len(short)-len("&amp;")) {
		short = short[:open]
	}
	if strings.HasPrefix(text[len(short):], "`") { // a fence may have been cut
		short = strings.TrimRight(short, "`")
	}
	short = strings.TrimSpace(short) + "…"
	if strings.Count(short, fence)%2 == 1 {
		short += closing
	}
	return short
}
