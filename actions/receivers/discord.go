package receivers

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Discord: https://discord.com/developers/docs/resources/webhook#execute-webhook

// Limits of an embed, in characters.
const (
	maxEmbedTitle       = 256
	maxEmbedDescription = 4096
	maxEmbed            = 6000 // all texts together
)

var discordMarkdown = message.Markdown{Special: "\\`*_~|<>[]()#-+.!@:"}

// discordRequest has the mentions in its content, and all else in an embed, which
// notifies nobody. Only those in AllowedMentions are notified.
type discordRequest struct {
	Content         string         `json:"content,omitzero"`
	Embeds          []discordEmbed `json:"embeds"`
	AllowedMentions discordAllowed `json:"allowed_mentions"`
}

type discordEmbed struct {
	Title       string         `json:"title,omitzero"`
	URL         string         `json:"url,omitzero"`
	Description string         `json:"description,omitzero"`
	Color       int            `json:"color"`
	Fields      []discordField `json:"fields,omitempty"`
}

type discordField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordAllowed struct {
	Parse []string `json:"parse"` // kinds of which all are allowed
	Users []string `json:"users,omitempty"`
	Roles []string `json:"roles,omitempty"`
}

func discordMessage(m message.Message) discordRequest {
	md := discordMarkdown
	embed := discordEmbed{
		Title: strings.TrimSpace(m.Level.Emoji() + " " + md.Escape(m.Title)),
		URL:   m.Link, Description: md.Lines(m.Text), Color: m.Level.Color(),
	}
	for _, f := range m.Fields {
		embed.Fields = append(embed.Fields, discordField{md.Escape(f.Name), md.Escape(f.Value), true})
	}
	r := discordRequest{Embeds: []discordEmbed{embed}, AllowedMentions: discordAllowed{Parse: []string{}}}
	people, everyone := m.Mentions(receiver.Discord)
	for _, id := range people {
		r.Content += "<@" + id + "> "
		if role, ok := strings.CutPrefix(id, "&"); ok {
			r.AllowedMentions.Roles = append(r.AllowedMentions.Roles, role)
		} else {
			r.AllowedMentions.Users = append(r.AllowedMentions.Users, id)
		}
	}
	if everyone {
		r.Content += "@everyone"
		r.AllowedMentions.Parse = []string{"everyone"}
	}
	return r
}

// discordTakes reports whether a message is short enough.
func discordTakes(m message.Message) bool {
	embed := discordMessage(m).Embeds[0]
	title, description := utf8.RuneCountInString(embed.Title), utf8.RuneCountInString(embed.Description)
	all := title + description
	for _, f := range embed.Fields {
		all += utf8.RuneCountInString(f.Name) + utf8.RuneCountInString(f.Value)
	}
	return title <= maxEmbedTitle && description <= maxEmbedDescription && all <= maxEmbed
}

var discordVerdicts = map[string]verdict{
	"10015": isMendable("there is no such webhook any more: make one in the channel's settings, and copy its address to url"),
	"50027": isMendable("the token in the address is wrong: copy the address of the webhook to url"),
	"10003": isMendable("the webhook's channel is gone: make a webhook in another, and copy its address to url"),
	"50006": isFinal("Discord takes no empty message"),
	"50035": isFinal("Discord can't read the message, or it is too long"),
}

func sendDiscord(ctx context.Context, s *sending, m message.Message) *Error {
	m.Title = message.CutRunes(message.OneLine(m.Title), maxEmbedTitle/2-len("ℹ️ ")) // an escape doubles a character
	m = m.Fit(discordTakes)
	u, err := url.Parse(s.secret[receiver.SettingURL])
	if err != nil { // it was checked
		return mendable(codeSettings, "url is no address: copy it again")
	}
	query := u.Query()
	query.Set("wait", "true") // for an answer that says whether it was posted
	u.RawQuery = query.Encode()
	a, e := s.post(ctx, u.String(), nil, encode(discordMessage(m)))
	if e != nil {
		return e
	}
	var result struct {
		ID         string      `json:"id"`
		Code       json.Number `json:"code"`
		Message    string      `json:"message"`
		RetryAfter float64     `json:"retry_after"` // seconds
		Global     bool        `json:"global"`
	}
	read := a.json(&result)
	switch {
	case a.status == 429:
		e := limited("http_429", inSeconds(result.RetryAfter))
		if after := a.retryAfter(); result.RetryAfter <= 0 && after > 0 {
			e.after = min(after, maxAgain)
		}
		if result.Global {
			e.advice = "too many messages to Discord from this machine: sent again later"
		}
		e.detail = result.Message
		return e
	case read && !a.ok() && result.Code != "" && result.Code != "0":
		return judge(result.Code.String(), result.Message, discordVerdicts, a)
	case !a.ok():
		return a.failure()
	case !read || result.ID == "":
		return unexpected("Discord's")
	}
	s.exhausted(a)
	return nil
}

// exhausted obeys what Discord says of its rate limit with each message: no more are taken
// until it resets.
func (s *sending) exhausted(a answer) {
	reset, err := strconv.ParseFloat(a.header.Get("X-RateLimit-Reset-After"), 64)
	if err == nil && reset > 0 && a.header.Get("X-RateLimit-Remaining") == "0" {
		s.refused(s.now, inSeconds(reset))
	}
}
