package rulefile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/schema"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// receiverName matches the names of receivers. It limits their length because they are
// part of store keys and metrics.
var receiverName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$`)

// reserved are the names that no receiver can have, with what they stand for.
var reserved = map[string]string{event.ReceiverSlack: "Slack", "gitlab": "GitLab"}

// readReceivers reads the receivers of one file. Those of all files are read before any
// rule, because the rules of every file may name them.
func (s *set) readReceivers(f *schema.Document, root *yaml.Node) {
	if n := schema.Value(root, "receivers"); n != nil {
		var all []receiver.Definition
		schema.List(&all, 1, s.receiver).Read(f, schema.Resolve(n), "receivers")
	}
}

// receiver reads one definition. No message has a value that may be secret.
func (s *set) receiver(d *receiver.Definition) schema.Schema {
	known := schema.Fields{
		schema.Key("name", "What the receiver is called in `notify`, in metrics and in the log. No two receivers have the same name, and none is called slack or gitlab.", schema.Required(
			schema.Matching(&d.Name, receiverName, "the name of a receiver is 1 to 60 letters, digits, _, . and -, and begins with a letter or a digit"), "a receiver needs a name")),
	}
	for _, kind := range receiver.Kinds() {
		known = append(known, schema.Key(kind, receiverDocs[kind], settingsOf(d, kind)))
	}
	keys := schema.MappingWithHints("a receiver", known, inReceiver)
	needsKind := "a receiver needs one kind, like `feishu: {url_file: /run/secrets/feishu}`: " + strings.Join(receiver.Kinds(), ", ")
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind != yaml.MappingNode {
				f.FailAt(n, "a receiver must be a mapping, like `{name: ops, feishu: {url_file: /run/secrets/feishu}}`")
				return
			}
			if key := valueAsKey(n); key != nil {
				f.FailAt(key, "this is a value without the name of its setting: write `feishu: {url_file: /run/secrets/feishu}`, and the address into that file")
				return
			}
			before := len(f.Problems)
			keys.Read(f, n, what)
			recorded := f.Problems[before:]
			complete := true
			for key := range schema.Pairs(n) {
				complete = complete && slices.Contains(known.Keys(), key.Value)
				switch {
				case !slices.Contains(receiver.Kinds(), key.Value):
				case d.Kind == "":
					d.Kind = key.Value
				case d.Kind != key.Value:
					f.FailAt(key, "this receiver is one of %s already: write another entry, with a name of its own, for %s", d.Kind, key.Value)
				}
			}
			if d.Kind == "" && complete {
				f.FailAt(n, "%s", needsKind)
			}
			if settings := schema.Value(n, d.Kind); settings != nil {
				reviewSettings(f, *d, schema.Resolve(settings), recorded)
			}
			if d.Name != "" {
				s.addReceiver(f, schema.Value(n, "name"), *d)
			}
		},
		JSON: func() schema.JSON {
			of := keys.JSON()
			var kinds []schema.JSON
			for _, kind := range receiver.Kinds() {
				kinds = append(kinds, schema.JSON{"required": []string{kind}})
			}
			of["oneOf"], of["errorMessage"] = kinds, needsKind
			name := of["properties"].(schema.JSON)["name"].(schema.JSON)
			name["not"] = schema.JSON{"enum": slices.Sorted(maps.Keys(reserved))}
			return of
		},
	}
}

// addReceiver adds a receiver unless its name is taken. n is the node of its name.
func (s *set) addReceiver(f *schema.Document, n *yaml.Node, d receiver.Definition) {
	place := "receiver " + d.Name
	if owner := reserved[strings.ToLower(d.Name)]; owner != "" {
		f.FailAt(n, "%q is %s itself: call this receiver something else", d.Name, owner)
		return
	}
	if first, taken := s.places[place]; taken {
		f.FailAt(n, "another receiver has the name %q already, in %s", d.Name, first)
		return
	}
	s.places[place] = f.Place(n)
	s.receivers = append(s.receivers, d)
}

// settingsOf reads the settings of a kind.
func settingsOf(d *receiver.Definition, kind string) schema.Schema {
	var known schema.Fields
	for _, setting := range receiver.Settings(kind) {
		known = append(known, settingOf(d, setting))
	}
	keys := schema.MappingWithHints(kind, known, inSettings)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if n.Kind != yaml.MappingNode || len(n.Content) == 0 || valueAsKey(n) != nil {
				f.FailAt(n, "%s must be a mapping of its settings, like `%s: %s`", kind, kind, settingsExample(kind))
				return
			}
			keys.Read(f, n, what)
		},
		JSON: keys.JSON,
	}
}

// settingsExample is what to write as the settings of a kind.
func settingsExample(kind string) string {
	switch kind {
	case receiver.Email:
		return "{host: smtp.example.com, from: ci@example.com, to: [team@example.com]}"
	case receiver.Webhook:
		return "{url: https://audit.example.com/ci, signing_token_file: /run/secrets/audit}"
	}
	return "{url_file: /run/secrets/" + kind + "}"
}

// valueAsKey returns the key of a mapping that is a value of its own, as in
// {https://example.com/x}; nil if there is none. It may be secret.
func valueAsKey(n *yaml.Node) *yaml.Node {
	for key := range schema.Pairs(n) {
		if isValue(key.Value) {
			return key
		}
	}
	return nil
}

// isValue reports whether a text is an address or a signing token.
func isValue(text string) bool {
	return strings.Contains(text, "://") || strings.HasPrefix(text, "whsec_")
}

// settingOf returns the key of a setting.
func settingOf(d *receiver.Definition, setting string) schema.Field {
	const inFile = ": the path of a file that has it on one line."
	docs := map[string]string{
		receiver.SettingURL:          "The address of the webhook. That of a bot has its token in it: better write `url_file`.",
		receiver.SettingSecret:       "The secret of the bot's signature (加签, 签名校验). Better write `secret_file`.",
		receiver.SettingSigningToken: "The key of the signature, as Standard Webhooks writes it: whsec_ and 24 to 64 bytes in Base64. Better write `signing_token_file`.",
		receiver.SettingPassword:     "The password of the account on the mail server. Better write `password_file`.",
	}
	secrets := map[string][2]*string{
		receiver.SettingURL:          {&d.URL, &d.URLFile},
		receiver.SettingSecret:       {&d.Secret, &d.SecretFile},
		receiver.SettingSigningToken: {&d.SigningToken, &d.SigningTokenFile},
		receiver.SettingPassword:     {&d.Password, &d.PasswordFile},
	}
	if to, is := secrets[setting]; is {
		return schema.Key(setting, docs[setting], secretText(to[0]))
	}
	if name, is := strings.CutSuffix(setting, receiver.FileSuffix); is {
		return schema.Key(setting, "As "+name+inFile, secretPath(secrets[name][1], name))
	}
	switch setting {
	case "host":
		return schema.Key(setting, "The name of the mail server.", schema.Text(&d.Host))
	case "port":
		return schema.Key(setting, "The port of the mail server. Without it: 587; with `tls: tls` 465, with `tls: none` 25.", schema.WithoutDefault(schema.AtMost(65535, &d.Port)))
	case "tls":
		return schema.Key(setting, "How the connection is encrypted: starttls (the default; required, not only if offered), tls from the first byte on, or none.", schema.OneOf(&d.TLS, receiver.TLSModes))
	case "username":
		return schema.Key(setting, "The account on the mail server. Without it, there is no authentication.", schema.Text(&d.Username))
	case "from":
		return schema.Key(setting, "The sender, like \"Pipesteward <ci@example.com>\".", schema.Text(&d.From))
	}
	return schema.Key(setting, "The recipients, like [team@example.com].", schema.List(&d.To, 1, schema.Text))
}

// secretText reads a value that no message may have.
func secretText(to *string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if !schema.IsText(n) || n.Value == "" {
				f.FailAt(n, "%s must be a text, in quotes if it begins with # or another sign that YAML uses", what)
				return
			}
			*to = n.Value
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "minLength": 1} },
	}
}

// secretPath reads the path of the file of a secret setting. A value in its place is in no
// message.
func secretPath(to *string, setting string) schema.Schema {
	text := secretText(to)
	help := fmt.Sprintf("this is no path of a file: write one, or the value itself as `%s`", setting)
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if schema.IsText(n) && (isValue(n.Value) || strings.ContainsAny(n.Value, "\n\x00")) {
				f.FailAt(n, "%s: %s", what, help)
				return
			}
			text.Read(f, n, what)
		},
		JSON: func() schema.JSON {
			return schema.JSON{"type": "string", "minLength": 1, "not": schema.JSON{"pattern": "://|^whsec_"}, "errorMessage": help}
		},
	}
}

// reviewSettings records the mistakes of a definition, each at the setting that it is
// about. Those that recorded ones explain are left out.
func reviewSettings(f *schema.Document, d receiver.Definition, n *yaml.Node, recorded []schema.FileError) {
	for _, m := range d.Mistakes() {
		at := n
		for _, key := range []string{m.Setting + receiver.FileSuffix, m.Setting} {
			if value := schema.Value(n, key); value != nil {
				at = value
			}
		}
		known := slices.ContainsFunc(recorded, func(e schema.FileError) bool { return e.Line == at.Line && e.Column == at.Column })
		if known || at == n && len(recorded) > 0 || m.Setting == "name" {
			continue
		}
		if list := schema.Resolve(at); m.Item > 0 && m.Item <= len(list.Content) {
			at = list.Content[m.Item-1]
		}
		f.FailAt(at, "%s", m.Message)
	}
}

// receiverName reads the name of a receiver where somebody is notified.
func (s *set) receiverName(to *string) schema.Schema {
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			*to = unusable
			var names []string
			for _, d := range s.receivers {
				names = append(names, d.Name)
			}
			switch {
			case n.Kind == yaml.SequenceNode:
				f.FailAt(n, "%s must be one receiver: for each further one, write another entry of notify", what)
			case !schema.IsText(n):
				f.FailAt(n, "%s must be the name of a receiver%s", what, f.TextHint(n))
			case slices.Contains(names, n.Value):
				*to = n.Value
			case n.Value == event.ReceiverSlack:
				f.FailAt(n, "Slack has channels: write `channel: \"#ci\"` in place of `receiver`")
			case strings.Contains(n.Value, "{{"):
				f.FailAt(n, "the name of a receiver has no expressions: write a rule for each, with the condition in `if`")
			case strings.Contains(n.Value, "://"):
				f.FailAt(n, "this is an address and no receiver's name: give it to a receiver in `receivers`, and write its name here")
			case len(names) == 0:
				f.FailAt(n, "there is no receiver %q: no file has `receivers`, like `receivers: [{name: %s, feishu: {url_file: /run/secrets/feishu}}]`", n.Value, n.Value)
			default:
				f.FailAt(n, "there is no receiver %q%s; there are %s", n.Value, spelling.Suggestion(n.Value, names), schema.Enumerate(names))
			}
		},
		JSON: func() schema.JSON { return schema.JSON{"type": "string", "pattern": receiverName.String()} },
	}
}

// oneAddress records that a mapping names both a channel and a receiver.
func oneAddress(f *schema.Document, n *yaml.Node, name string) {
	if schema.Has(n, "channel") && schema.Has(n, "receiver") {
		f.FailAt(schema.Value(n, "receiver"), "%s has a channel of Slack or a receiver, and not both: leave one out", name)
	}
}

// exclusive returns a mapping that has a channel or a receiver.
func exclusive(of schema.Schema, name string) schema.Schema {
	read, toJSON := of.Read, of.JSON
	of.Read = func(f *schema.Document, n *yaml.Node, what string) {
		read(f, n, what)
		oneAddress(f, n, name)
	}
	of.JSON = func() schema.JSON {
		j := toJSON()
		j["not"] = schema.JSON{"required": []string{"channel", "receiver"}}
		return j
	}
	return of
}

// mentionsByAddress adds to the JSON Schema of an entry of notify what its mention has if
// it names a channel.
func mentionsByAddress(entry func() schema.JSON) func() schema.JSON {
	return func() schema.JSON {
		j := entry()
		j["if"] = schema.JSON{"required": []string{"channel"}}
		j["then"] = schema.JSON{"properties": schema.JSON{"mention": schema.List(new([]string), 1, mention).JSON()}}
		return j
	}
}

// mentions reads the list `mention` of an entry of notify, whose receiver is known.
func (s *set) mentions(v *rules.Notify) schema.Schema {
	inSlack := schema.List(&v.Mention, 1, mention)
	elsewhere := schema.List(&v.Mention, 1, func(to *string) schema.Schema {
		text := schema.Text(to)
		return schema.Schema{
			Read: func(f *schema.Document, n *yaml.Node, what string) {
				text.Read(f, n, what)
				s.checkMention(f, n, v.Receiver, *to)
			},
			JSON: text.JSON,
		}
	})
	return schema.Schema{
		Read: func(f *schema.Document, n *yaml.Node, what string) {
			if v.Receiver == event.ReceiverSlack {
				inSlack.Read(f, n, what)
				return
			}
			elsewhere.Read(f, n, what)
		},
		JSON: elsewhere.JSON,
	}
}

// checkMention records what is wrong with an entry of mention for a receiver.
func (s *set) checkMention(f *schema.Document, n *yaml.Node, name, entry string) {
	at := slices.IndexFunc(s.receivers, func(d receiver.Definition) bool { return d.Name == name })
	if at < 0 || s.receivers[at].Kind == "" || entry == "" { // that has been recorded
		return
	}
	if err := receiver.CheckMention(s.receivers[at].Kind, entry); err != nil {
		only := ""
		if entry == event.MentionAuthor || entry == event.MentionTriggerer {
			only = "only Slack finds the " + entry + " by their e-mail address: "
		}
		f.FailAt(n, "%s%v", only, err)
	}
}

// receiverDocs documents the kinds.
var receiverDocs = map[string]string{
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
