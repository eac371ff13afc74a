package receivers

import (
	"context"
	"strings"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// WeCom (WeChat Work): https://developer.work.weixin.qq.com/document/path/99110

// maxWeCom is how many bytes the content of a text may have.
const maxWeCom = 2048

// weComRequest is a message without markup: the markdown of bots has no documented
// escape, and notifies nobody by mobile number.
type weComRequest struct {
	Type string    `json:"msgtype"`
	Text weComText `json:"text"`
}

type weComText struct {
	Content string   `json:"content"`
	People  []string `json:"mentioned_list,omitempty"`
	Mobiles []string `json:"mentioned_mobile_list,omitempty"`
}

// weComEscape keeps <@id> from notifying anybody, by a character of no width.
var weComEscape = strings.NewReplacer("<@", "<\u200b@")

func weComMessage(m message.Message) weComRequest {
	r := weComRequest{"text", weComText{Content: weComEscape.Replace(m.Plain())}}
	people, everyone := m.Mentions(receiver.WeCom)
	for _, id := range people {
		if receiver.IsMobile(id) {
			r.Text.Mobiles = append(r.Text.Mobiles, id)
		} else {
			r.Text.People = append(r.Text.People, id)
		}
	}
	if everyone {
		r.Text.People = append(r.Text.People, "@all")
	}
	return r
}

var weComVerdicts = map[string]verdict{
	"-1":    isFailed,
	"45009": isLimited(0),
	"45033": isLimited(0),
	"93000": isMendable("there is no bot with this address, or it was removed from the group: copy the address from the bot's page to url"),
	"93004": isMendable("the bot is disabled: enable it, or add another one and copy its address to url"),
	"93008": isMendable("the bot is not in the group any more: add it again, and copy its address to url"),
	"40008": isFinal("WeCom can't read the message"),
	"40058": isFinal("WeCom can't read the message, or it is too long"),
	"44004": isFinal("WeCom takes no empty message"),
	"45002": isFinal("the message is too long for WeCom"),
}

func sendWeCom(ctx context.Context, s *sending, m message.Message) *Error {
	m = m.Fit(func(m message.Message) bool { return len(weComMessage(m).Text.Content) <= maxWeCom })
	a, e := s.post(ctx, s.secret[receiver.SettingURL], nil, encode(weComMessage(m)))
	if e != nil {
		return e
	}
	code, text, e := errcode(a, "WeCom's")
	if code == "" {
		return e
	}
	return judge(code, text, weComVerdicts, a)
}
