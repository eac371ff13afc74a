package receivers

import (
	"context"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// medium is how messages are sent to receivers of a kind.
type medium struct {
	// burst and perMinute together are at most what the medium allows in a minute, so
	// that no window of a minute has more; 0: no limit is documented.
	burst     int
	perMinute float64

	send func(ctx context.Context, s *sending, m message.Message) *Error
}

var media = map[string]medium{
	// 100 a minute and 5 a second.
	receiver.Feishu: {burst: 3, perMinute: 90, send: sendFeishu},
	receiver.Lark:   {burst: 3, perMinute: 90, send: sendFeishu},
	// 20 a minute.
	receiver.DingTalk: {burst: 5, perMinute: 15, send: sendDingTalk},
	// 20 a minute.
	receiver.WeCom: {burst: 5, perMinute: 15, send: sendWeCom},
	// 4 a second, and 100 a minute by the action that posts the card.
	receiver.Teams: {burst: 3, perMinute: 60, send: sendTeams},
	// 10 a second by default (PerSec in RateLimitSettings).
	receiver.Mattermost: {burst: 5, perMinute: 300, send: sendMattermost},
	// 5 in 2 seconds, and 30 a minute in a channel.
	receiver.Discord: {burst: 3, perMinute: 27, send: sendDiscord},
	receiver.Email:   {send: sendEmail},
	receiver.Webhook: {send: sendWebhook},
}
