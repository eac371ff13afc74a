package receivers

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
)

// kind is what is particular to a kind of receiver.
type kind struct {
	settings []string // those that it has
	required []string // of the secret ones
	check    func(d Definition, wrong func(format string, arguments ...any))
	// address returns what is wrong with the address of a webhook, "" for nothing.
	address func(u *url.URL) string

	// burst and perMinute together are at most what the medium allows in a minute, so
	// that no window of a minute has more; 0: no limit is documented.
	burst     int
	perMinute float64

	send func(ctx context.Context, s *sending, m message.Message) *Error
}

var (
	botSettings    = []string{settingURL, settingURL + "_file"}
	signedSettings = append(slices.Clone(botSettings), settingSecret, settingSecret+"_file")
	urlRequired    = []string{settingURL}
)

var kinds = map[string]kind{
	// 100 a minute and 5 a second.
	Feishu: {settings: signedSettings, required: urlRequired, address: feishuAddress, burst: 3, perMinute: 90, send: sendFeishu},
	Lark:   {settings: signedSettings, required: urlRequired, address: feishuAddress, burst: 3, perMinute: 90, send: sendFeishu},
	// 20 a minute.
	DingTalk: {settings: signedSettings, required: urlRequired, address: dingTalkAddress, burst: 5, perMinute: 15, send: sendDingTalk},
	// 20 a minute.
	WeCom: {settings: botSettings, required: urlRequired, address: weComAddress, burst: 5, perMinute: 15, send: sendWeCom},
	// 4 a second, and 100 a minute by the action that posts the card.
	Teams: {settings: botSettings, required: urlRequired, address: teamsAddress, burst: 3, perMinute: 60, send: sendTeams},
	// 10 a second by default (PerSec in RateLimitSettings).
	Mattermost: {settings: botSettings, required: urlRequired, address: mattermostAddress, burst: 5, perMinute: 300, send: sendMattermost},
	// 5 in 2 seconds, and 30 a minute in a channel.
	Discord: {settings: botSettings, required: urlRequired, address: discordAddress, burst: 3, perMinute: 27, send: sendDiscord},
	Email: {
		settings: []string{"host", "port", "tls", "username", settingPassword, settingPassword + "_file", "from", "to"},
		check:    checkEmail, send: sendEmail,
	},
	Webhook: {
		settings: append(slices.Clone(botSettings), settingSigningToken, settingSigningToken+"_file"),
		required: []string{settingURL, settingSigningToken}, send: sendWebhook,
	},
}

// checkValue returns what is wrong with the value of a secret setting, nil for nothing. It
// never quotes the value.
func (k kind) checkValue(setting, value string) error {
	switch setting {
	case settingURL:
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New("it is no http or https address: copy the whole address of the webhook")
		}
		if k.address != nil {
			if wrong := k.address(u); wrong != "" {
				return errors.New(wrong)
			}
		}
	case settingSigningToken:
		if _, err := signingKey(value); err != nil {
			return err
		}
	}
	return nil
}

// signingKey decodes the key of a webhook's signature.
func signingKey(token string) ([]byte, error) {
	encoded, prefixed := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !prefixed || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("it is no signing token: make one by: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}
