package receiver

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// kind is what is particular to the definitions of a kind.
type kind struct {
	settings []string // those that it has
	required []string // of the secret ones
	check    func(Definition) []Mistake
	// address returns what is wrong with the address of a webhook, "" for nothing.
	address func(u *url.URL) string
	// names reports whether an entry of mention names somebody there; nil: nobody can be
	// mentioned.
	names func(id string) bool
	// people says how the medium names people.
	people string
}

var (
	botSettings    = []string{SettingURL, SettingURL + FileSuffix}
	signedSettings = append(slices.Clone(botSettings), SettingSecret, SettingSecret+FileSuffix)
	urlRequired    = []string{SettingURL}
)

var kinds = map[string]kind{
	Feishu:     {settings: signedSettings, required: urlRequired, address: feishuAddress, names: isOpenID, people: "open ids (ou_…)"},
	Lark:       {settings: signedSettings, required: urlRequired, address: feishuAddress, names: isOpenID, people: "open ids (ou_…)"},
	DingTalk:   {settings: signedSettings, required: urlRequired, address: dingTalkAddress, names: func(id string) bool { return IsMobile(id) || isWord(id) }, people: "mobile numbers and user ids"},
	WeCom:      {settings: botSettings, required: urlRequired, address: weComAddress, names: func(id string) bool { return IsMobile(id) || isAccount(id) }, people: "mobile numbers and user ids"},
	Teams:      {settings: botSettings, required: urlRequired, address: teamsAddress, names: isAccount, people: "e-mail addresses and object ids"},
	Mattermost: {settings: botSettings, required: urlRequired, address: mattermostAddress, names: isUserName, people: "user names, without @"},
	Discord:    {settings: botSettings, required: urlRequired, address: discordAddress, names: func(id string) bool { return isNumber(strings.TrimPrefix(id, "&")) }, people: "the numbers of users, and & and that of a role"},
	Email: {
		settings: []string{"host", "port", "tls", "username", SettingPassword, SettingPassword + FileSuffix, "from", "to"},
		check:    checkEmail,
	},
	Webhook: {
		settings: append(slices.Clone(botSettings), SettingSigningToken, SettingSigningToken+FileSuffix),
		required: []string{SettingURL, SettingSigningToken},
	},
}

// CheckValue returns what is wrong with the value of a secret setting of a kind, nil for
// nothing. It never quotes the value.
func CheckValue(kind, setting, value string) error {
	switch setting {
	case SettingURL:
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New("it is no http or https address: copy the whole address of the webhook")
		}
		if address := kinds[kind].address; address != nil {
			if wrong := address(u); wrong != "" {
				return errors.New(wrong)
			}
		}
	case SettingSigningToken:
		if _, err := SigningKey(value); err != nil {
			return err
		}
	}
	return nil
}

// SigningKey decodes the key of a webhook's signature.
func SigningKey(token string) ([]byte, error) {
	encoded, prefixed := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !prefixed || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("it is no signing token: make one by: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}

func feishuAddress(u *url.URL) string {
	if !strings.Contains(u.Path, "/open-apis/bot/v2/hook/") {
		return "it is not the address of a custom bot: copy it from the group's settings; it is like https://open.feishu.cn/open-apis/bot/v2/hook/…"
	}
	return ""
}

func dingTalkAddress(u *url.URL) string {
	if u.Query().Get("access_token") == "" {
		return "it is not the address of a custom robot: copy it from the group's settings; it is like https://oapi.dingtalk.com/robot/send?access_token=…"
	}
	return ""
}

func weComAddress(u *url.URL) string {
	if u.Query().Get("key") == "" {
		return "it is not the address of a group's bot: copy it from the bot's page; it is like https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…"
	}
	return ""
}

func teamsAddress(u *url.URL) string {
	if host := u.Hostname(); host == "outlook.office.com" || strings.HasSuffix(host, ".webhook.office.com") {
		return "Office 365 connectors are retired: make a workflow in Teams (Workflows, Post to a channel when a webhook request is received), and copy its address"
	}
	return ""
}

func mattermostAddress(u *url.URL) string {
	if !strings.Contains(u.Path, "/hooks/") {
		return "it is not the address of an incoming webhook: copy it from Integrations; it is like https://mattermost.example.com/hooks/…"
	}
	return ""
}

func discordAddress(u *url.URL) string {
	if !strings.Contains(u.Path, "/api/") || !strings.Contains(u.Path, "/webhooks/") {
		return "it is not the address of a webhook: copy it from the channel's settings (Integrations); it is like https://discord.com/api/webhooks/…"
	}
	return ""
}
