package receivers

import "github.com/pipesteward/pipesteward/rules/receiver"

// docs documents the kinds.
var docs = map[string]string{
	receiver.Feishu:     "A custom bot in a group of Feishu.",
	receiver.Lark:       "A custom bot in a group of Lark.",
	receiver.DingTalk:   "A custom robot in a group of DingTalk.",
	receiver.WeCom:      "A bot in a group of WeCom.",
	receiver.Teams:      "A workflow of Microsoft Teams that posts to a channel when a webhook request is received.",
	receiver.Mattermost: "An incoming webhook of Mattermost.",
	receiver.Discord:    "A webhook of a channel of Discord.",
	receiver.Email:      "Mails by SMTP.",
	receiver.Webhook:    "A program of yours: it gets each outcome as JSON, signed as Standard Webhooks.",
}

const (
	isKind       = "the kind is a key with the settings behind it, like `feishu: {url_file: /run/secrets/feishu}`"
	isOfKind     = "it is a setting of the kind, like `feishu: {url_file: /run/secrets/feishu}`"
	needsNoSlack = "Slack needs no receiver: give --slack-token, and write `channel: \"#ci\"` in notify"
	isURL        = "write `url_file`, the path of a file with the address, or `url`"
	isSecret     = "write `secret_file`, the path of a file with the secret, or `secret`"
	isMailTo     = "write `to`, a list of addresses"
)

// inReceiver has what to write in place of unknown keys of a receiver.
var inReceiver = map[string]string{
	"type": isKind, "kind": isKind, "config": isKind, "settings": isKind,
	"url": isOfKind, "url_file": isOfKind, "webhook_url": isOfKind, "secret": isOfKind, "secret_file": isOfKind, "token": isOfKind, "host": isOfKind, "to": isOfKind, "from": isOfKind, "signing_token": isOfKind, "signing_token_file": isOfKind,
	"slack": needsNoSlack, "slack_configs": needsNoSlack, "channel": needsNoSlack,
	"dingding": "write `dingtalk`", "ding": "write `dingtalk`", "wechat": "write `wecom`", "wechat_work": "write `wecom`", "wework": "write `wecom`", "qywx": "write `wecom`",
	"msteams": "write `teams`", "microsoft_teams": "write `teams`", "mail": "write `email`", "smtp": "write `email`", "http": "write `webhook`",
	"email_configs": "write `email`, with its settings behind it", "webhook_configs": "write `webhook`, with its settings behind it",
	"wechat_configs": "write `wecom`, with its settings behind it", "msteams_configs": "write `teams`, with its settings behind it", "discord_configs": "write `discord`, with its settings behind it",
	"mention": "it stands in an entry of notify, like `notify: [{receiver: ops, mention: [ou_1a2b]}]`", "mentions": "it stands in an entry of notify, like `notify: [{receiver: ops, mention: [ou_1a2b]}]`",
}

// inSettings has what to write in place of unknown settings of a receiver.
var inSettings = map[string]string{
	"webhook": isURL, "webhook_url": isURL, "address": isURL, "endpoint": isURL, "hook": isURL, "token": "it is part of the address: " + isURL, "access_token": "it is part of the address: " + isURL, "key": "it is part of the address: " + isURL,
	"sign": isSecret, "sign_key": isSecret, "signature": isSecret, "signing_secret": isSecret,
	"server": "write `host`, and the port as `port`", "smarthost": "write `host`, and the port as `port`", "smtp_host": "write `host`", "smtp_port": "write `port`", "user": "write `username`", "login": "write `username`",
	"recipients": isMailTo, "cc": isMailTo, "bcc": isMailTo, "sender": "write `from`", "ssl": "write `tls: tls`", "starttls": "write `tls: starttls`, which is the default",
	"subject": "a mail's subject is made of the project and the pipeline", "name": "it stands beside the kind: `{name: ops, feishu: {…}}`",
	"mention": "it stands in an entry of notify", "at": "write `mention` in an entry of notify", "channel": "the address is that of one channel",
}
