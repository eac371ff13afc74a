package slacktest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
)

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// shownMessage is a message as a person sees it.
type shownMessage struct {
	Channel string
	Time    string
	Parts   []shownPart
	Replies []*shownMessage
}

// shownPart is one block of a message, without interactive elements.
type shownPart struct {
	Small bool // a context block
	Text  template.HTML
}

// Page returns a page of HTML that looks as Slack does: the first message of a channel with its
// thread.
func (s *Server) Page(channel string) (string, error) {
	var root *shownMessage
	thread := ""
	for _, m := range s.Messages(channel) {
		shown, err := m.shown()
		switch {
		case err != nil:
			return "", err
		case root == nil:
			root, thread = shown, m.TS
		case m.ThreadTS == thread:
			root.Replies = append(root.Replies, shown)
		}
	}
	if root == nil {
		return "", fmt.Errorf("slacktest: #%s has no message", channel)
	}
	var page strings.Builder
	err := pageTemplate.Execute(&page, root)
	return page.String(), err
}

func (m Message) shown() (*shownMessage, error) {
	shown := &shownMessage{Channel: m.Channel}
	var seconds int64
	if _, err := fmt.Sscanf(m.TS, "%d.", &seconds); err != nil {
		return nil, fmt.Errorf("slacktest: a message has no time: %w", err)
	}
	shown.Time = time.Unix(seconds, 0).UTC().Format("15:04")
	var blocks []block
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		return nil, fmt.Errorf("slacktest: the blocks of a message can't be read: %w", err)
	}
	for _, b := range blocks {
		shown.Parts = append(shown.Parts, shownPart{Small: b.Type == "context", Text: toHTML(strings.Join(b.texts(), " "))})
	}
	return shown, nil
}

var code = regexp.MustCompile("`([^`\n]+)`")

// toHTML renders mrkdwn, in which <, > and & of values are escaped as in HTML.
func toHTML(mrkdwn string) template.HTML {
	text := markup.ReplaceAllStringFunc(mrkdwn, func(s string) string {
		parts := markup.FindStringSubmatch(s)
		label := parts[2]
		if label == "" {
			label = strings.TrimLeft(parts[1], "!#")
		}
		return "\x00" + label + "\x01"
	})
	text = code.ReplaceAllString(bold.ReplaceAllString(text, "<b>$1</b>"), "<code>$1</code>")
	return template.HTML(strings.NewReplacer("\x00", "<a>", "\x01", "</a>", "\n", "<br>").Replace(emoji.Replace(text))) //nolint:gosec // only the simulation's own messages are shown
}
