package receivers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/actions/receivers"
)

func TestCheck(t *testing.T) {
	const hook = "https://open.feishu.cn/open-apis/bot/v2/hook/secret-token"
	mail := receivers.Definition{Name: "ops", Kind: receivers.Email, Host: "smtp.example.com", From: "ci@example.com", To: []string{"a@example.com"}}
	with := func(d receivers.Definition, change func(*receivers.Definition)) receivers.Definition {
		change(&d)
		return d
	}
	for _, c := range []struct {
		definition receivers.Definition
		want       []string // parts of the error; none: it is right
	}{
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URLFile: "/run/secrets/feishu", SecretFile: "/run/secrets/feishu-secret"}, nil},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URL: hook}, nil},
		{receivers.Definition{Name: "audit", Kind: receivers.Webhook, URL: "https://audit.example.com/ci", SigningTokenFile: "/run/secrets/audit"}, nil},
		{receivers.Definition{Name: "audit", Kind: receivers.Webhook, URL: "http://10.1.1.1:8080", SigningToken: signingToken}, nil},
		{mail, nil},
		{with(mail, func(d *receivers.Definition) {
			d.TLS = "tls"
			d.Username = "ci"
			d.PasswordFile = "/x"
			d.From = "CI <ci@example.com>"
		}), nil},
		{receivers.Definition{}, []string{"write for example name: ops", `there is no kind ""`, "write one of dingtalk, discord, email, feishu, lark, mattermost, teams, webhook, wecom"}},
		{receivers.Definition{Name: "a\nb", Kind: receivers.Feishu, URL: hook}, []string{"on one line"}},
		{receivers.Definition{Name: "ops", Kind: "sms"}, []string{`receiver "ops": there is no kind "sms"`}},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu}, []string{"feishu needs url_file, the path of a file with the address of the webhook (or url itself)"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URL: hook, URLFile: "/x"}, []string{"url and url_file are both set: leave one out"}},
		{receivers.Definition{Name: "ops", Kind: receivers.WeCom, URLFile: "/x", SecretFile: "/y", Host: "h"}, []string{"wecom has no setting secret_file: leave it out; it has url, url_file", "wecom has no setting host"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URL: "feishu-secret-token"}, []string{"url: it is no http or https address"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URL: "ftp://open.feishu.cn/open-apis/bot/v2/hook/secret-token"}, []string{"url: it is no http or https address"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Feishu, URL: "https://open.feishu.cn/secret-token"}, []string{"url: it is not the address of a custom bot"}},
		{receivers.Definition{Name: "ops", Kind: receivers.DingTalk, URL: "https://oapi.dingtalk.com/robot/send"}, []string{"access_token=…"}},
		{receivers.Definition{Name: "ops", Kind: receivers.WeCom, URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"}, []string{"send?key=…"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Teams, URL: "https://acme.webhook.office.com/webhookb2/secret-token"}, []string{"Office 365 connectors are retired: make a workflow"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Mattermost, URL: "https://mattermost.example.com/secret-token"}, []string{"/hooks/…"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Discord, URL: "https://discord.com/secret-token"}, []string{"/api/webhooks/…"}},
		{receivers.Definition{Name: "audit", Kind: receivers.Webhook, URL: "https://audit.example.com"}, []string{"webhook needs signing_token_file"}},
		{receivers.Definition{Name: "audit", Kind: receivers.Webhook, URL: "https://audit.example.com", SigningToken: "secret-token"}, []string{"signing_token: it is no signing token: make one by: echo whsec_$(openssl rand -base64 32)"}},
		{receivers.Definition{Name: "audit", Kind: receivers.Webhook, URL: "https://audit.example.com", SigningToken: "whsec_c2hvcnQ="}, []string{"it is no signing token"}},
		{receivers.Definition{Name: "ops", Kind: receivers.Email}, []string{"host: smtp.example.com", "from is no mail address", "email needs recipients"}},
		{with(mail, func(d *receivers.Definition) { d.Host = "smtp://smtp.example.com" }), []string{"the name of the mail server alone"}},
		{with(mail, func(d *receivers.Definition) { d.Port = 70000 }), []string{"port 70000 is none"}},
		{with(mail, func(d *receivers.Definition) { d.TLS = "ssl" }), []string{`tls is "ssl": write starttls`}},
		{with(mail, func(d *receivers.Definition) { d.Username = "ci" }), []string{"username and password_file belong together"}},
		{with(mail, func(d *receivers.Definition) { d.Password = "secret-token" }), []string{"username and password_file belong together"}},
		{with(mail, func(d *receivers.Definition) { d.TLS = "none"; d.Username = "ci"; d.Password = "secret-token" }), []string{"tls: none would send the password unprotected"}},
		{with(mail, func(d *receivers.Definition) { d.From = "ci" }), []string{"from is no mail address"}},
		{with(mail, func(d *receivers.Definition) { d.From = "ci@example.com\nBcc: all@example.com" }), []string{"from is no mail address"}},
		{with(mail, func(d *receivers.Definition) { d.To = append(d.To, "team") }), []string{`to has "team"`}},
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
	for i := range reflect.TypeFor[receivers.Definition]().NumField() {
		tag, _, _ := strings.Cut(reflect.TypeFor[receivers.Definition]().Field(i).Tag.Get("json"), ",")
		if tag != "name" && tag != "kind" {
			tags = append(tags, tag)
		}
	}
	for _, kind := range receivers.Kinds() {
		settings = append(settings, receivers.Settings(kind)...)
	}
	slices.Sort(settings)
	slices.Sort(tags)
	if d := cmp.Diff(tags, slices.Compact(settings)); d != "" {
		t.Errorf("settings of the kinds and tags (-tags +settings):\n%s", d)
	}
	if receivers.Settings("sms") != nil {
		t.Error("an unknown kind has settings")
	}
}

// What is wrong with a secret's file is told at the start, by the file's name and without its
// content.
func TestNewReadsFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	d := receivers.Definition{Name: "ops", Kind: receivers.Feishu, SecretFile: write("secret", " secret-token \n")}
	for name, c := range map[string]struct{ path, want string }{
		"missing":   {filepath.Join(dir, "none"), "no such file"},
		"empty":     {write("empty", "\n"), "the file is empty"},
		"two lines": {write("lines", "secret-token\nsecret-token"), "must hold one line"},
		"another":   {write("another", "https://example.com/secret-token"), "it is not the address of a custom bot"},
		"directory": {dir, "is a directory"},
	} {
		d.URLFile = c.path
		_, err := receivers.New(d, receivers.Config{Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `receiver "ops": url_file: `) || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.URLFile = write("url", "https://open.feishu.cn/open-apis/bot/v2/hook/secret-token\n")
	client, err := receivers.New(d, receivers.Config{Now: time.Now})
	if err != nil || client.Name() != "ops" || client.Kind() != "feishu" {
		t.Errorf("%v, %v", client, err)
	}
	if _, err := receivers.New(d, receivers.Config{}); err == nil {
		t.Error("a client without a clock is made")
	}
}
