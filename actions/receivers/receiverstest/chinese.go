package receiverstest

import (
	"crypto"
	"crypto/hmac"
	_ "crypto/sha256" // of the signatures
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The tokens in the addresses.
const (
	feishuToken   = "f2c9d0b1-0000-4000-8000-feishutoken0"
	dingTalkToken = "d1n9ta1k70c0ffee00000000000000000000000000000000000000000000dead"
	weComKey      = "693a91f6-0000-4bc4-97a0-0ec2sifa5aaa"
)

// sum returns a signature.
func sum(key, text string) string {
	mac := hmac.New(crypto.SHA256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// feishu is a custom bot of Feishu or Lark:
// https://open.larksuite.com/document/client-docs/bot-v3/use-custom-bots-in-a-group
func feishu(kind string) bot {
	b := bot{
		kind:    kind,
		pattern: "POST /" + kind + "/open-apis/bot/v2/hook/{token}",
		address: func(base string) string { return base + "/" + kind + "/open-apis/bot/v2/hook/" + feishuToken },
		limits:  []limit{{100, time.Minute}, {5, time.Second}},
	}
	refuse := func(w http.ResponseWriter, code int, text string) {
		reply(w, http.StatusOK, fields{"code": code, "msg": text, "data": fields{}})
	}
	b.serve = func(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
		var request struct {
			Timestamp string `json:"timestamp"`
			Sign      string `json:"sign"`
			Type      string `json:"msg_type"`
			Card      struct {
				Header   struct{ Title feishuText }
				Elements []struct {
					Tag     string
					Text    *feishuText
					Fields  []struct{ Text feishuText }
					Actions []struct {
						Text feishuText
						URL  string
					}
				}
			} `json:"card"`
		}
		err := json.Unmarshal(body, &request)
		secret := s.secret()
		switch {
		case r.PathValue("token") != feishuToken || s.gone(kind):
			refuse(w, 19001, "param invalid: incoming webhook access token invalid")
			return
		case err != nil || len(body) > 20*1024 || request.Type != "interactive" || len(request.Card.Elements) == 0 && request.Card.Header.Title.Content == "":
			reply(w, http.StatusBadRequest, fields{"code": 9499, "msg": "Bad Request", "data": fields{}})
			return
		case secret != "" && (request.Sign != sum(request.Timestamp+"\n"+secret, "") || !s.current(request.Timestamp, time.Hour)):
			refuse(w, 19021, "sign match fail or timestamp is not within one hour from current time")
			return
		case s.tooMany(b):
			refuse(w, 11232, "frequency limited psm[lark.oapi.app_platform_runtime]")
			return
		}
		var m Message
		see := func(t feishuText) {
			if t.Tag == "lark_md" {
				for _, at := range feishuAt.FindAllStringSubmatch(t.Content, -1) {
					m.Notified = append(m.Notified, everyoneIf(at[1], "all"))
				}
				t.Content = feishuAt.ReplaceAllString(t.Content, "@$1")
			}
			m.Text += t.Content + "\n"
		}
		see(request.Card.Header.Title)
		for _, element := range request.Card.Elements {
			if element.Text != nil {
				see(*element.Text)
			}
			for _, field := range element.Fields {
				see(field.Text)
			}
			for _, button := range element.Actions {
				m.Links = append(m.Links, Link{button.Text.Content, button.URL})
			}
		}
		s.record(kind, r, body, m)
		reply(w, http.StatusOK, fields{"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": fields{}, "msg": "success"})
	}
	return b
}

type feishuText struct{ Tag, Content string }

var feishuAt = regexp.MustCompile(`<at id=([^>]*)></at>`)

// everyoneIf returns Everyone if a name is that of all.
func everyoneIf(name, all string) string {
	if name == all {
		return Everyone
	}
	return name
}

func (s *Server) secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.Secret
}

// dingTalk is a custom robot: https://open.dingtalk.com/document/robots/custom-robot-access
var dingTalk = bot{
	kind:    "dingtalk",
	pattern: "POST /robot/send",
	address: func(base string) string { return base + "/robot/send?access_token=" + dingTalkToken },
	limits:  []limit{{20, time.Minute}},
	serve:   serveDingTalk,
}

func serveDingTalk(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(code int, text string) { reply(w, http.StatusOK, fields{"errcode": code, "errmsg": text}) }
	var request struct {
		Type string                   `json:"msgtype"`
		Text struct{ Content string } `json:"text"`
		At   struct {
			Mobiles []string `json:"atMobiles"`
			UserIDs []string `json:"atUserIds"`
			All     bool     `json:"isAtAll"`
		} `json:"at"`
	}
	err := json.Unmarshal(body, &request)
	query := r.URL.Query()
	timestamp, secret := query.Get("timestamp"), s.secret()
	milliseconds, _ := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case query.Get("access_token") != dingTalkToken || s.gone("dingtalk"):
		refuse(300001, "token is not exist")
		return
	case secret != "" && !s.current(strconv.FormatInt(milliseconds/1000, 10), time.Hour):
		refuse(310000, "description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 3600000ms 以内;")
		return
	case secret != "" && query.Get("sign") != sum(secret, timestamp+"\n"+secret):
		refuse(310000, "description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，请确认机器人的密钥加密和填写正确;")
		return
	case err != nil || request.Type != "text" || request.Text.Content == "":
		refuse(40035, "缺少参数 json")
		return
	case len(body) > 20_000:
		refuse(460101, "message too long, exceed 20000 bytes")
		return
	case s.banned10(b):
		reply(w, http.StatusOK, fields{"status": 1111, "wait": 5, "punish": "deny", "errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
		return
	}
	m := Message{Text: request.Text.Content, Notified: append(request.At.Mobiles, request.At.UserIDs...)}
	if request.At.All {
		m.Notified = append(m.Notified, Everyone)
	}
	s.record("dingtalk", r, body, m)
	reply(w, http.StatusOK, fields{"errcode": 0, "errmsg": "ok"})
}

// banned10 is tooMany with a ban of 10 minutes for exceeding the limit.
func (s *Server) banned10(b bot) bool {
	s.mu.Lock()
	until := s.banned[b.kind]
	s.mu.Unlock()
	now := s.options.Now()
	if now.Before(until) {
		return true
	}
	if !s.tooMany(b) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.banned[b.kind] = now.Add(10 * time.Minute)
	return true
}

// weCom is a bot of a group: https://developer.work.weixin.qq.com/document/path/99110
var weCom = bot{
	kind:    "wecom",
	pattern: "POST /cgi-bin/webhook/send",
	address: func(base string) string { return base + "/cgi-bin/webhook/send?key=" + weComKey },
	limits:  []limit{{20, time.Minute}},
	serve:   serveWeCom,
}

var weComAt = regexp.MustCompile(`<@([^>]*)>`)

func serveWeCom(s *Server, b bot, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(code int, text string) {
		reply(w, http.StatusOK, fields{"errcode": code, "errmsg": text + ", hint: [1733000000000000000], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=" + strconv.Itoa(code)})
	}
	var request struct {
		Type string `json:"msgtype"`
		Text struct {
			Content string
			People  []string `json:"mentioned_list"`
			Mobiles []string `json:"mentioned_mobile_list"`
		} `json:"text"`
	}
	err := json.Unmarshal(body, &request)
	switch {
	case r.URL.Query().Get("key") != weComKey || s.gone("wecom"):
		refuse(93000, "invalid webhook url")
		return
	case err != nil || request.Type != "text":
		refuse(40008, "invalid message type")
		return
	case strings.TrimSpace(request.Text.Content) == "":
		refuse(44004, "empty content")
		return
	case len(request.Text.Content) > 2048:
		refuse(40058, "text.content exceed max length 2048")
		return
	case s.tooMany(b):
		refuse(45009, "api freq out of limit")
		return
	}
	m := Message{Text: request.Text.Content, Notified: append(request.Text.People, request.Text.Mobiles...)}
	for _, at := range weComAt.FindAllStringSubmatch(request.Text.Content, -1) {
		m.Notified = append(m.Notified, everyoneIf(at[1], "all"))
	}
	s.record("wecom", r, body, m)
	reply(w, http.StatusOK, fields{"errcode": 0, "errmsg": "ok"})
}
