package slacktest

import (
	"encoding/json"
	"regexp"
	"strings"
)

// block is the part of a Block Kit block that contains its text.
type block struct {
	Type string `json:"type"`
	Text struct {
		Text string `json:"text"`
	} `json:"text"`
	Elements []element `json:"elements"`
}

// texts lists the block's texts in display order.
func (b block) texts() []string {
	switch b.Type {
	case "section", "header":
		return []string{b.Text.Text}
	case "context":
		var texts []string
		for _, e := range b.Elements {
			texts = append(texts, e.said())
		}
		return texts
	}
	return nil
}

// Plain returns the message as text for a terminal: the blocks, one a line, if
// there are any, with the addresses of links.
func (m Message) Plain() string {
	var blocks []block
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil || len(blocks) == 0 {
		return plain(m.Text)
	}
	var lines []string
	for _, b := range blocks {
		lines = append(lines, plain(strings.Join(b.texts(), " ")))
	}
	return strings.Join(lines, "\n")
}

var (
	markup   = regexp.MustCompile(`<([^<>|]*)(?:\|([^<>]*))?>`)
	bold     = regexp.MustCompile(`\*([^*\n]+)\*`)
	entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
	emoji    = strings.NewReplacer(
		":white_check_mark:", "✅", ":test_tube:", "🧪", ":fast_forward:", "⏩", ":hourglass_flowing_sand:", "⏳",
		":x:", "❌", ":rotating_light:", "🚨", ":information_source:", "ℹ️", ":bell:", "🔔",
		":repeat:", "🔁", ":arrow_forward:", "▶️", ":zap:", "⚡", ":sunny:", "☀️", ":inbox_tray:", "📥", ":warning:", "⚠️", ":question:", "❓",
	)
)

// plain renders mrkdwn as text: a mention that would ping someone with its '@', a
// link as its label and address.
func plain(mrkdwn string) string {
	text := markup.ReplaceAllStringFunc(mrkdwn, func(s string) string {
		parts := markup.FindStringSubmatch(s)
		target, label := parts[1], parts[2]
		switch {
		case strings.HasPrefix(target, "!"):
			return "@" + strings.TrimPrefix(target, "!")
		case strings.HasPrefix(target, "@"):
			return target
		case strings.HasPrefix(target, "#"):
			return "#" + label
		case label == "":
			return target
		}
		return label + " (" + target + ")"
	})
	return entities.Replace(emoji.Replace(bold.ReplaceAllString(text, "$1")))
}
