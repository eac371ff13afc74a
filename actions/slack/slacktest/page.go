package slacktest

import (
	"cmp"
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

// shownMessage is a message of a page.
type shownMessage struct {
	Time    string
	Blocks  []shownBlock
	Replies []*shownMessage
}

// shownBlock is a block of a message of a page: its text, or buttons.
type shownBlock struct {
	Type    string
	Text    template.HTML
	Buttons []Button
}

// Page returns messages of a channel, such as Server.Messages lists them, as a page of HTML that
// looks like Slack and loads nothing: each message with its thread.
func Page(channel string, messages []Message) (string, error) {
	var roots []*shownMessage
	byTS := map[string]*shownMessage{}
	for _, m := range messages {
		shown, err := m.shown()
		if err != nil {
			return "", fmt.Errorf("slacktest: message %s: %w", m.TS, err)
		}
		byTS[m.TS] = shown
		if root := byTS[m.ThreadTS]; root != nil {
			root.Replies = append(root.Replies, shown)
		} else {
			roots = append(roots, shown)
		}
	}
	var page strings.Builder
	err := pageTemplate.Execute(&page, map[string]any{"Channel": channel, "Messages": roots})
	return page.String(), err
}

func (m Message) shown() (*shownMessage, error) {
	var seconds int64
	if _, err := fmt.Sscanf(m.TS, "%d.", &seconds); err != nil {
		return nil, fmt.Errorf("it has no time: %w", err)
	}
	shown := &shownMessage{Time: time.Unix(seconds, 0).UTC().Format("15:04")}
	var blocks []block
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		return nil, fmt.Errorf("its blocks can't be read: %w", err)
	}
	for _, b := range blocks {
		if b.Type != "section" && b.Type != "context" && b.Type != "actions" {
			return nil, fmt.Errorf("pages do not show blocks of type %q", b.Type)
		}
		shown.Blocks = append(shown.Blocks, shownBlock{b.Type, toHTML(strings.Join(b.texts(), " ")), b.shown()})
	}
	return shown, nil
}

// shown lists the buttons of a block as people see them: a menu is one, with an ellipsis, until
// they open it.
func (b block) shown() (all []Button) {
	for _, button := range b.buttons() {
		switch {
		case !button.Menu:
			all = append(all, button)
		case len(all) == 0 || all[len(all)-1].ActionID != button.ActionID:
			all = append(all, Button{Text: "⋯", ActionID: button.ActionID})
		}
	}
	return all
}

// marks matches what is marked up: a fence, code, a link or a mention, and bold text.
var marks = regexp.MustCompile("(?s)```\n?(.*?)\n?```|`([^`\n]+)`|" + markup.String() + `|\B` + bold.String() + `\B`)

// toHTML renders a text of mrkdwn.
func toHTML(text string) template.HTML {
	var html strings.Builder
	end := 0
	for _, at := range marks.FindAllStringSubmatchIndex(text, -1) {
		group := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return text[at[2*i]:at[2*i+1]]
		}
		html.WriteString(escape(text[end:at[0]]))
		end = at[1]
		switch fenced, code, target, label, bold := group(1), group(2), group(3), group(4), group(5); {
		case fenced != "":
			html.WriteString("<pre>" + escape(fenced) + "</pre>")
		case code != "":
			html.WriteString("<code>" + escape(code) + "</code>")
		case bold != "":
			html.WriteString("<b>" + string(toHTML(bold)) + "</b>")
		case strings.ContainsAny(target[:min(1, len(target))], "@!#"):
			html.WriteString(`<span class="mention">` + escape(plain(group(0))) + "</span>")
		default:
			html.WriteString("<a>" + escape(cmp.Or(label, target)) + "</a>")
		}
	}
	return template.HTML(html.String() + escape(text[end:])) //nolint:gosec // all of it is escaped
}

// escape returns mrkdwn without markup as HTML.
func escape(mrkdwn string) string {
	return template.HTMLEscapeString(entities.Replace(emoji.Replace(mrkdwn)))
}
