package receivers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Feishu and Lark: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot

// maxFeishu is how many bytes a request may have.
const maxFeishu = 20_000

// card is a message card. All values are plain_text, which has no markup; only the
// mentions, of which each is an id, are lark_md.
type card struct {
	Header   cardHeader    `json:"header"`
	Elements []cardElement `json:"elements"`
}

type cardHeader struct {
	Template string   `json:"template"`
	Title    cardText `json:"title"`
}

type cardElement struct {
	Tag     string       `json:"tag"` // div or action
	Text    *cardText    `json:"text,omitempty"`
	Fields  []cardField  `json:"fields,omitempty"`
	Actions []cardButton `json:"actions,omitempty"`
}

type cardField struct {
	Short bool     `json:"is_short"`
	Text  cardText `json:"text"`
}

type cardButton struct {
	Tag  string   `json:"tag"`
	Text cardText `json:"text"`
	URL  string   `json:"url"`
	Type string   `json:"type"`
}

type cardText struct {
	Tag     string `json:"tag"` // plain_text or lark_md
	Content string `json:"content"`
}

// linkLabel is the text of the button or link that leads to the message's address.
const linkLabel = "GitLab ↗"

func plainText(text string) cardText { return cardText{"plain_text", text} }

func feishuCard(m message.Message) card {
	template := map[message.Level]string{message.OK: "green", message.Warning: "orange", message.Error: "red"}[m.Level]
	if template == "" {
		template = "blue"
	}
	c := card{Header: cardHeader{template, plainText(m.Headline())}, Elements: []cardElement{}}
	if m.Text != "" {
		text := plainText(m.Text)
		c.Elements = append(c.Elements, cardElement{Tag: "div", Text: &text})
	}
	if len(m.Fields) > 0 {
		facts := cardElement{Tag: "div"}
		for _, f := range m.Fields {
			facts.Fields = append(facts.Fields, cardField{true, plainText(f.Name + "\n" + f.Value)})
		}
		c.Elements = append(c.Elements, facts)
	}
	people, everyone := m.Mentions(receiver.Feishu)
	if everyone {
		people = append(people, "all")
	}
	if len(people) > 0 {
		text := cardText{Tag: "lark_md"}
		for _, id := range people {
			text.Content += "<at id=" + id + "></at>"
		}
		c.Elements = append(c.Elements, cardElement{Tag: "div", Text: &text})
	}
	if m.Link != "" {
		c.Elements = append(c.Elements, cardElement{Tag: "action", Actions: []cardButton{{"button", plainText(linkLabel), m.Link, "default"}}})
	}
	return c
}

type feishuRequest struct {
	Timestamp string `json:"timestamp,omitzero"` // seconds
	Sign      string `json:"sign,omitzero"`
	Type      string `json:"msg_type"`
	Card      card   `json:"card"`
}

// feishuSign returns the signature: HMAC-SHA256 of nothing, with the timestamp and the secret as
// the key.
func feishuSign(secret string, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	return timestamp, base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(timestamp+"\n"+secret)).Sum(nil))
}

// feishuVerdicts are the codes of custom bots. 9499 is a bad request, but also, by its
// message, too many of them.
var feishuVerdicts = map[string]verdict{
	"9499":     isFinal("Feishu can't read the message, or it is too long"),
	"11232":    isLimited(0),
	"99991400": isLimited(0),
	"19001":    isMendable("there is no bot with this address: copy it from the group's settings to url"),
	"19002":    isFinal("Feishu can't read the message"),
	"19021":    isMendable("the signature is wrong: copy the secret of the bot's signature verification to secret, and check this machine's clock"),
	"19022":    isMendable("the bot takes no requests from this address: add it to the bot's IP whitelist"),
	"19024":    isMendable("the bot takes only messages with one of its keywords: remove them from its security settings, and use signature verification"),
}

func sendFeishu(ctx context.Context, s *sending, m message.Message) *Error {
	request := func(m message.Message) []byte {
		r := feishuRequest{Type: "interactive", Card: feishuCard(m)}
		if secret := s.secret[receiver.SettingSecret]; secret != "" {
			r.Timestamp, r.Sign = feishuSign(secret, s.now)
		}
		return encode(r)
	}
	m = m.Fit(func(m message.Message) bool { return len(request(m)) <= maxFeishu })
	a, e := s.post(ctx, s.secret[receiver.SettingURL], nil, request(m))
	if e != nil {
		return e
	}
	var result struct {
		Code    *int   `json:"code"`
		Message string `json:"msg"`
		// Of old: StatusCode is there beside the code, or in its place.
		StatusCode    *int   `json:"StatusCode"`
		StatusMessage string `json:"StatusMessage"`
	}
	if !a.json(&result) || result.Code == nil && result.StatusCode == nil {
		if !a.ok() {
			return a.failure()
		}
		return unexpected("Feishu's")
	}
	code, text := result.Code, result.Message
	if code == nil {
		code, text = result.StatusCode, result.StatusMessage
	}
	switch {
	case *code == 0 && a.ok():
		return nil
	case *code == 0:
		return a.failure()
	case *code == 9499 && strings.Contains(strings.ToLower(text), "too many"):
		return judge("9499", text, map[string]verdict{"9499": isLimited(0)}, a)
	}
	return judge(strconv.Itoa(*code), text, feishuVerdicts, a)
}
