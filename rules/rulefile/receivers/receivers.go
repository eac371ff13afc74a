// Package receivers reads the receivers of rule files. No message has a value that may be
// secret, also where it stands in the place of something else.
package receivers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
	"github.com/pipesteward/pipesteward/rules/schema"
)

// Name matches the names of receivers. It limits their length because they are
// part of store keys and metrics.
var Name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$`)

// Reserved are the names that no receiver can have, with what they stand for.
var Reserved = map[string]string{event.ReceiverSlack: "Slack", "gitlab": "GitLab"}

// Definition reads one definition. add is called with one that has a name, and the node of
// that.
func Definition(d *receiver.Definition, add func(f *schema.Document, name *yaml.Node)) schema.Schema {
	known := schema.Fields{
		schema.Key("name", "What the receiver is called in `notify`, in metrics and in the log. No two receivers have the same name, and none is called slack or gitlab.", schema.Required(
			schema.Matching(&d.Name, Name, "the name of a receiver is 1 to 60 letters, digits, _, . and -, and begins with a letter or a digit"), "a receiver needs a name")),
	}
	known = append(known, schema.Key("language", "The language of what Pipesteward writes to it: en (English) or zh (Chinese). Without it: the one in `defaults`.", schema.Language(&d.Language)))
	for _, kind := range receiver.Kinds() {
		known = append(known, schema.Key(kind, docs[kind], settingsOf(d, kind)))
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
				add(f, schema.Value(n, "name"))
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
			name["not"] = schema.JSON{"enum": slices.Sorted(maps.Keys(Reserved))}
			return of
		},
	}
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
	meanings := map[string]string{
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
		return schema.Key(setting, meanings[setting], secretText(to[0]))
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
	return schema.Key(setting, "The recipients, like [team@example.com].", schema.Distinct(schema.List(&d.To, 1, schema.Text)))
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
