package mrkdwn

import (
	"regexp"
	"strings"
)

// markup matches what stands between < and > in mrkdwn: a target, and its label. Values in
// a text have no < of their own: they are escaped.
var markup = regexp.MustCompile(`<([^<>|\n]+)(?:\|([^<>\n]*))?>`)

// entities are the only escapes of mrkdwn:
// https://docs.slack.dev/messaging/formatting-message-text/#escaping
var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// Plain returns a text of Slack's mrkdwn as plain text: a link is its label with the
// address behind it, a mention is the name, and nothing is escaped. Stars and backticks stay:
// people read them as emphasis.
func Plain(text string) string {
	return entities.Replace(markup.ReplaceAllStringFunc(text, func(part string) string {
		parts := markup.FindStringSubmatch(part)
		target, label := parts[1], parts[2]
		switch {
		case strings.HasPrefix(target, "http://"), strings.HasPrefix(target, "https://"), strings.HasPrefix(target, "mailto:"):
			address := strings.TrimPrefix(target, "mailto:")
			if label == "" || label == address {
				return address
			}
			return label + " (" + address + ")"
		case strings.HasPrefix(target, "#"): // a channel
			if label == "" {
				return target
			}
			return "#" + label
		case strings.HasPrefix(target, "!"): // a group, all members, or a time
			if label != "" {
				return label
			}
			return "@" + strings.TrimPrefix(target, "!")
		case strings.HasPrefix(target, "@"): // a user
			if label != "" {
				return "@" + strings.TrimPrefix(label, "@")
			}
			return target
		}
		return part
	}))
}
