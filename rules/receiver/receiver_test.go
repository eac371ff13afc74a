package receiver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/receiver"
)

const signingToken = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

func TestCheck(t *testing.T) {
	const hook = "https://open.feishu.cn/open-apis/bot/v2/hook/secret-token"
	mail := receiver.Definition{Name: "ops", Kind: receiver.Email, Host: "smtp.example.com", From: "ci@example.com", To: []string{"a@example.com"}}
	with := func(d receiver.Definition, change func(*receiver.Definition)) receiver.Definition {
		change(&d)
		return d
	}
	for _, c := range []struct {
		definition receiver.Definition
		want       []string // parts of the error; none: it is right
	}{
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URLFile: "/run/secrets/feishu", SecretFile: "/run/secrets/feishu-secret"}, nil},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: hook}, nil},
		{receiver.Definition{Name: "audit", Kind: receiver.Webhook, URL: "https://audit.example.com/ci", SigningTokenFile: "/run/secrets/audit"}, nil},
		{receiver.Definition{Name: "audit", Kind: receiver.Webhook, URL: "http://10.1.1.1:8080", SigningToken: signingToken}, nil},
		{mail, nil},
		{with(mail, func(d *receiver.Definition) {
			d.TLS = "tls"
			d.Username = "ci"
			d.PasswordFile = "/x"
			d.From = "CI <ci@example.com>"
		}), nil},
		{receiver.Definition{}, []string{"write for example name: ops", `there is no kind ""`, "write one of dingtalk, discord, email, feishu, lark, mattermost, teams, webhook, wecom"}},
		{receiver.Definition{Name: "a\nb", Kind: receiver.Feishu, URL: hook}, []string{"on one line"}},
		{receiver.Definition{Name: "ops", Kind: "sms"}, []string{`receiver "ops": there is no kind "sms"`}},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu}, []string{"feishu needs url_file, the path of a file with the address of the webhook (or url itself)"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: hook, URLFile: "/x"}, []string{"url and url_file are both set: leave one out"}},
		{receiver.Definition{Name: "ops", Kind: receiver.WeCom, URLFile: "/x", SecretFile: "/y", Host: "h"}, []string{"wecom has no setting secret_file: leave it out; it has url, url_file", "wecom has no setting host"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: "feishu-secret-token"}, []string{"url: it is no http or https address"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: "ftp://open.feishu.cn/open-apis/bot/v2/hook/secret-token"}, []string{"url: it is no http or https address"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: "https://open.feishu.cn/secret-token"}, []string{"url: it is not the address of a custom bot"}},
		{receiver.Definition{Name: "ops", Kind: receiver.DingTalk, URL: "https://oapi.dingtalk.com/robot/send"}, []string{"access_token=…"}},
		{receiver.Definition{Name: "ops", Kind: receiver.WeCom, URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"}, []string{"send?key=…"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Teams, URL: "https://acme.webhook.office.com/webhookb2/secret-token"}, []string{"Office 365 connectors are retired: make a workflow"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Mattermost, URL: "https://mattermost.example.com/secret-token"}, []string{"/hooks/…"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Discord, URL: "https://discord.com/secret-token"}, []string{"/api/webhooks/…"}},
		{receiver.Definition{Name: "audit", Kind: receiver.Webhook, URL: "https://audit.example.com"}, []string{"webhook needs signing_token_file"}},
		{receiver.Definition{Name: "audit", Kind: receiver.Webhook, URL: "https://audit.example.com", SigningToken: "secret-token"}, []string{"signing_token: it is no signing token: make one by: echo whsec_$(openssl rand -base64 32)"}},
		{receiver.Definition{Name: "audit", Kind: receiver.Webhook, URL: "https://audit.example.com", SigningToken: "whsec_c2hvcnQ="}, []string{"it is no signing token"}},
		{receiver.Definition{Name: "ops", Kind: receiver.Email}, []string{"host: smtp.example.com", "from is no mail address", "email needs recipients"}},
		{with(mail, func(d *receiver.Definition) { d.Host = "smtp://smtp.example.com" }), []string{"the name of the mail server alone"}},
		{with(mail, func(d *receiver.Definition) { d.Port = 70000 }), []string{"port 70000 is none"}},
		{with(mail, func(d *receiver.Definition) { d.TLS = "ssl" }), []string{`tls is "ssl": write starttls`}},
		{with(mail, func(d *receiver.Definition) { d.Username = "ci" }), []string{"username and password_file belong together"}},
		{with(mail, func(d *receiver.Definition) { d.Password = "secret-token" }), []string{"username and password_file belong together"}},
		{with(mail, func(d *receiver.Definition) { d.TLS = "none"; d.Username = "ci"; d.Password = "secret-token" }), []string{"tls: none would send the password unprotected"}},
		{with(mail, func(d *receiver.Definition) { d.From = "ci" }), []string{"from is no mail address"}},
		{with(mail, func(d *receiver.Definition) { d.From = "ci@example.com\nBcc: all@example.com" }), []string{"from is no mail address"}},
		{with(mail, func(d *receiver.Definition) { d.To = append(d.To, "team") }), []string{`to has "team"`}},
	} {
		err := c.definition.Check()
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%v: %v", c.definition, err)
			}
			continue
		}
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v: error %v, want %q in it", c.definition, err, part)
			}
		}
		if strings.Contains(fmt.Sprint(err), "secret-token") {
			t.Errorf("the error has the secret: %v", err)
		}
	}
}

// Every setting of a definition belongs to a kind, by the name that its tag gives.
func TestSettings(t *testing.T) {
	var tags, settings []string
	for i := range reflect.TypeFor[receiver.Definition]().NumField() {
		tag, _, _ := strings.Cut(reflect.TypeFor[receiver.Definition]().Field(i).Tag.Get("setting"), ",")
		if tag != "name" && tag != "kind" && tag != "language" {
			tags = append(tags, tag)
		}
	}
	for _, kind := range receiver.Kinds() {
		settings = append(settings, receiver.Settings(kind)...)
	}
	slices.Sort(settings)
	slices.Sort(tags)
	if d := cmp.Diff(tags, slices.Compact(settings)); d != "" {
		t.Errorf("settings of the kinds and tags (-tags +settings):\n%s", d)
	}
	if receiver.Settings("sms") != nil {
		t.Error("an unknown kind has settings")
	}
}

// No format that a log, an error or an API may use has a secret.
func TestDefinitionHidesSecrets(t *testing.T) {
	d := receiver.Definition{Name: "ops", Kind: receiver.Feishu, URL: "https://x/secret-token", Secret: "secret-token"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "d", d)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "d", d)
	encoded, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v", d), fmt.Sprintf("%+v", d), fmt.Sprintf("%#v", d), fmt.Sprintf("%+v", []receiver.Definition{d}), string(encoded), log.String()} {
		if strings.Contains(text, "secret-token") || !strings.Contains(text, "ops (feishu)") {
			t.Errorf("%s", text)
		}
	}
}

func TestCheckMention(t *testing.T) {
	for _, c := range []struct{ kind, id, want string }{
		{receiver.Feishu, "ou_1", ""},
		{receiver.Lark, receiver.Everyone, ""},
		{receiver.Feishu, "author", `feishu names people by open ids (ou_…), or @all, not as "author"`},
		{receiver.DingTalk, "13800000000", ""},
		{receiver.DingTalk, "@oncall", "mobile numbers and user ids"},
		{receiver.WeCom, "zhang", ""},
		{receiver.Teams, "a@example.com", ""},
		{receiver.Teams, receiver.Everyone, "can't notify everyone"},
		{receiver.Teams, "a b", `by e-mail addresses and object ids, not as "a b"`},
		{receiver.Mattermost, "anna", ""},
		{receiver.Mattermost, "channel", "user names, without @"},
		{receiver.Discord, "&123", ""},
		{receiver.Discord, "anna", "the numbers of users"},
		{receiver.Email, "a@example.com", "email mentions nobody: leave mention out"},
		{receiver.Webhook, receiver.Everyone, "webhook mentions nobody"},
	} {
		err := receiver.CheckMention(c.kind, c.id)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, %s: %v, want %q", c.kind, c.id, err, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name                    string
		word, account, isMobile bool
	}{
		{"alice", true, true, false},
		{"a.b-c_d", true, true, false},
		{"a+b@example.com", false, true, false},
		{"13800000000", true, true, true},
		{"+86-13800000000", false, true, true},
		{"123", true, true, false},
		{"", false, false, false},
		{"@all", false, false, false},
		{"a b", false, false, false},
		{"a@b@c", false, false, false},
		{"<at>", false, false, false},
		{"a]", false, false, false},
		{"字", false, false, false},
		{strings.Repeat("a", 200), false, false, false},
	} {
		if receiver.CanMention(receiver.Mattermost, c.name) != c.word || receiver.CanMention(receiver.Teams, c.name) != c.account || receiver.IsMobile(c.name) != c.isMobile {
			t.Errorf("%q: word %v, account %v, mobile %v", c.name, receiver.CanMention(receiver.Mattermost, c.name), receiver.CanMention(receiver.Teams, c.name), receiver.IsMobile(c.name))
		}
	}
}
