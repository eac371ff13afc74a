package receivers

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Mattermost: https://developers.mattermost.com/integrate/webhooks/incoming/

// maxMattermost is how many characters a text may have.
const maxMattermost = 16_383

// mattermostMarkdown: the server finds @names, ~channels and #tags before it reads the
// markup, whatever a backslash escapes.
var mattermostMarkdown = message.Markdown{Special: "\\`*_{}[]()#+-.!>~|<", Broken: "@~#"}

// mattermostRequest has the mentions in its text, and all else in an attachment, whose addresses
// are not fetched for previews.
type mattermostRequest struct {
	Text        string                 `json:"text,omitzero"`
	Attachments []mattermostAttachment `json:"attachments"`
}

type mattermostAttachment struct {
	Fallback string `json:"fallback"` // of notifications; plain text
	Color    string `json:"color"`
	Text     string `json:"text"`
}

func mattermostMessage(m message.Message) mattermostRequest {
	md := mattermostMarkdown
	title := "**" + md.Escape(m.Title) + "**"
	if m.Title == "" {
		title = ""
	} else if m.Link != "" {
		title = "**[" + md.Escape(m.Title) + "](" + m.Link + ")**"
	}
	parts := []string{strings.TrimSpace(m.Level.Emoji() + " " + title)}
	if m.Text != "" {
		parts = append(parts, md.Lines(m.Text))
	}
	for _, f := range m.Fields {
		parts = append(parts, "**"+md.Escape(f.Name)+":** "+md.Escape(f.Value))
	}
	if m.Title == "" && m.Link != "" {
		parts = append(parts, m.Link)
	}
	r := mattermostRequest{Attachments: []mattermostAttachment{{
		Fallback: strings.NewReplacer("@", "@\u200b").Replace(m.Headline()),
		Color:    fmt.Sprintf("#%06X", m.Level.Color()),
		Text:     strings.Join(parts, "\n"),
	}}}
	people, everyone := m.Mentions(receiver.Mattermost)
	if everyone {
		people = append(people, "all")
	}
	for _, name := range people {
		r.Text = strings.TrimSpace(r.Text + " @" + name)
	}
	return r
}

// mattermostVerdicts are the ids of errors of incoming webhooks.
var mattermostVerdicts = map[string]verdict{
	"web.incoming_webhook.invalid.app_error":            isMendable("there is no such webhook: copy the address from Integrations to url"),
	"web.incoming_webhook.disabled.app_error":           isMendable("incoming webhooks are disabled: enable them in the System Console (Integration Management)"),
	"web.incoming_webhook.channel.app_error":            isMendable("the webhook's channel is gone: choose another in Integrations"),
	"web.incoming_webhook.channel_locked.app_error":     isMendable("the webhook may not use its channel: choose another in Integrations"),
	"web.incoming_webhook.permissions.app_error":        isMendable("the webhook's owner may not post in its channel: add that person to it"),
	"web.incoming_webhook.user.app_error":               isMendable("the webhook's owner is gone: make another webhook, and copy its address to url"),
	"web.incoming_webhook.parse.app_error":              isFinal("Mattermost can't read the message"),
	"web.incoming_webhook.text.app_error":               isFinal("Mattermost takes no empty message"),
	"web.incoming_webhook.text.length.app_error":        isFinal("the message is too long for Mattermost"),
	"web.incoming_webhook.split_props_length.app_error": isFinal("the message is too long for Mattermost"),
}

func sendMattermost(ctx context.Context, s *sending, m message.Message) *Error {
	m = m.Fit(func(m message.Message) bool {
		return utf8.RuneCountInString(mattermostMessage(m).Attachments[0].Text) <= maxMattermost
	})
	a, e := s.post(ctx, s.secret[receiver.SettingURL], nil, encode(mattermostMessage(m)))
	if e != nil {
		return e
	}
	var result struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	}
	switch {
	case a.json(&result) && result.ID != "":
		return judge(result.ID, result.Message, mattermostVerdicts, a)
	case !a.ok():
		return a.failure()
	case strings.TrimSpace(string(a.body)) != "ok":
		return unexpected("Mattermost's")
	}
	return nil
}
