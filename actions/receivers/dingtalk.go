package receivers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// DingTalk: https://open.dingtalk.com/document/robots/custom-robot-access

const (
	// maxDingTalk is how many bytes a request may have.
	maxDingTalk = 20_000
	// dingTalkBan is for how long a robot that sent more than 20 messages in a minute
	// is refused.
	dingTalkBan = 10 * time.Minute
)

// dingTalkRequest is a message without markup: the markdown of robots has no documented
// escape. Only At notifies people.
type dingTalkRequest struct {
	Type string       `json:"msgtype"`
	Text dingTalkText `json:"text"`
	At   dingTalkAt   `json:"at"`
}

type dingTalkText struct {
	Content string `json:"content"`
}

type dingTalkAt struct {
	Mobiles []string `json:"atMobiles,omitempty"`
	UserIDs []string `json:"atUserIds,omitempty"`
	All     bool     `json:"isAtAll"`
}

func dingTalkMessage(m message.Message) dingTalkRequest {
	r := dingTalkRequest{Type: "text", Text: dingTalkText{m.Plain()}}
	people, everyone := m.Mentions(receiver.DingTalk)
	r.At.All = everyone
	for _, id := range people {
		if receiver.IsMobile(id) {
			r.At.Mobiles = append(r.At.Mobiles, id)
		} else {
			r.At.UserIDs = append(r.At.UserIDs, id)
		}
	}
	return r
}

// dingTalkSign returns the signature: HMAC-SHA256 of the timestamp and the secret, with
// the secret as the key.
func dingTalkSign(secret string, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "\n" + secret))
	return timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// dingTalkVerdicts are the codes of custom robots.
var dingTalkVerdicts = map[string]verdict{
	"-1":     isFailed,
	"130101": isLimited(dingTalkBan),
	"410100": isLimited(0),
	"300001": isMendable("there is no robot with this token: copy the address from the group's settings to url"),
	"400013": isMendable("the group was dissolved: add a robot to another group, and copy its address to url"),
	"400101": isMendable("there is no robot with this token: copy the address from the group's settings to url"),
	"400102": isMendable("the robot is disabled: enable it in the group's settings"),
	"400106": isMendable("there is no such robot any more: add one to the group, and copy its address to url"),
	"430101": isFinal("DingTalk refuses an address in the message"),
	"430102": isFinal("DingTalk refuses a word in the message"),
	"430104": isFinal("DingTalk refuses the message's content"),
	"460101": isFinal("the message is too long for DingTalk"),

	"310000": isMendable("the message does not pass the robot's security settings: use the additional signature alone, and copy its secret to secret"),
}

// dingTalkSecurity are the meanings of 310000, by words of its message, which is in English or
// Chinese; the first that is there says it.
var dingTalkSecurity = []struct {
	words   []string
	meaning verdict
}{
	{[]string{"keywords not", "关键词不匹配"}, isMendable("the robot takes only messages with one of its keywords: remove them from its security settings, and use the additional signature")},
	{[]string{"invalid timestamp", "签名过期"}, isMendable("the timestamp is more than an hour off: set this machine's clock")},
	{[]string{"sign not match", "签名不匹配"}, isMendable("the signature is wrong: copy the secret (SEC…) of the robot's additional signature to secret")},
	{[]string{"not in whitelist", "白名单"}, isMendable("the robot takes no requests from this address: add it to the robot's IP addresses")},
}

func sendDingTalk(ctx context.Context, s *sending, m message.Message) *Error {
	request := func(m message.Message) []byte { return encode(dingTalkMessage(m)) }
	m = m.Fit(func(m message.Message) bool { return len(request(m)) <= maxDingTalk })
	address := s.secret[receiver.SettingURL]
	if secret := s.secret[receiver.SettingSecret]; secret != "" {
		u, err := url.Parse(address)
		if err != nil { // it was checked
			return mendable(codeSettings, "url is no address: copy it again")
		}
		query := u.Query()
		timestamp, sign := dingTalkSign(secret, s.now)
		query.Set("timestamp", timestamp)
		query.Set("sign", sign)
		u.RawQuery = query.Encode()
		address = u.String()
	}
	a, e := s.post(ctx, address, nil, request(m))
	if e != nil {
		return e
	}
	code, text, e := errcode(a, "DingTalk's")
	if code == "" {
		return e
	}
	if code == "310000" {
		for _, s := range dingTalkSecurity {
			if slices.ContainsFunc(s.words, func(word string) bool { return strings.Contains(text, word) }) {
				return judge(code, text, map[string]verdict{code: s.meaning}, a)
			}
		}
	}
	return judge(code, text, dingTalkVerdicts, a)
}

// errcode returns the code and the message of a failure, as DingTalk's and WeCom's answers have
// them; without a code, the error of the answer, nil for none.
func errcode(a answer, api string) (code, text string, e *Error) {
	var result struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	switch {
	case a.json(&result) && result.Code != nil && *result.Code != 0:
		return strconv.Itoa(*result.Code), result.Text, nil
	case !a.ok():
		return "", "", a.failure()
	case result.Code == nil:
		return "", "", unexpected(api)
	}
	return "", "", nil
}
