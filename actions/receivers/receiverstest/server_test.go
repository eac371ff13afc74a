package receiverstest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pipesteward/pipesteward/actions/receivers/receiverstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Unix(1599360473, 0)

const signingToken = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func start(t *testing.T, secret string) *receiverstest.Server {
	t.Helper()
	s, err := receiverstest.New(receiverstest.Options{Now: func() time.Time { return now }, Secret: secret, SigningToken: signingToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// post sends a body, and returns the status and the answer.
func post(t *testing.T, url, body string, header ...string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, text)
}

const (
	feishuCard    = `"msg_type":"interactive","card":{"header":{"title":{"tag":"plain_text","content":"x"}},"elements":[]}}`
	dingTalkText  = `{"msgtype":"text","text":{"content":"x"}}`
	weComText     = `{"msgtype":"text","text":{"content":"x"}}`
	teamsCard     = `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"%s"}]}}]}`
	discordEmbeds = `{"content":"%s"}`
)

// The simulated receivers refuse what the real ones do.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 30_000)
	for _, c := range []struct {
		kind, secret, more, body string
		header                   []string
		want                     string
	}{
		{kind: "feishu", secret: "demo", body: `{"timestamp":"1599360473","sign":"l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",` + feishuCard, want: `"code":0`},
		{kind: "feishu", secret: "demo", body: `{` + feishuCard, want: `"code":19021`},
		{kind: "feishu", secret: "demo", body: `{"timestamp":"100","sign":"jquNHnVOwmDRfw+vqTIrY5dooJAgi5EcRtLsQE4wfXg=",` + feishuCard, want: `"code":19021`},
		{kind: "lark", body: `{` + feishuCard, want: `"code":0`},
		{kind: "lark", more: "x", body: `{` + feishuCard, want: `"code":19001`},
		{kind: "feishu", body: `{"x":"` + long + `",` + feishuCard, want: `400 {"code":9499`},
		{kind: "feishu", body: `{"msg_type":"text"}`, want: `400 {"code":9499`},
		{kind: "dingtalk", secret: "this is secret", more: "&timestamp=1599360473000&sign=hXZTWifRGHclNuZSKxoXc%2F%2Fsh51SWfVfRIhcdeKs63I%3D", body: dingTalkText, want: `"errcode":0`},
		{kind: "dingtalk", secret: "this is secret", body: dingTalkText, want: "签名过期"},
		{kind: "dingtalk", secret: "this is secret", more: "&timestamp=1700000000000&sign=sSFWELbV2YwjdDQhWZwTcWlX5BWUx5J6TPpsZmuPii0%3D", body: dingTalkText, want: "签名过期"},
		{kind: "dingtalk", secret: "this is secret", more: "&timestamp=1599360473000&sign=x", body: dingTalkText, want: "签名不匹配"},
		{kind: "dingtalk", more: "x", body: dingTalkText, want: `"errcode":300001`},
		{kind: "dingtalk", body: `{"msgtype":"text","text":{"content":"` + long + `"}}`, want: `"errcode":460101`},
		{kind: "wecom", body: weComText, want: `"errcode":0`},
		{kind: "wecom", more: "x", body: weComText, want: `"errcode":93000`},
		{kind: "wecom", body: `{"msgtype":"text","text":{"content":"` + long + `"}}`, want: `"errcode":40058`},
		{kind: "teams", body: fmt.Sprintf(teamsCard, "x"), want: "202 "},
		{kind: "teams", more: "x", body: fmt.Sprintf(teamsCard, "x"), want: "401 "},
		{kind: "teams", body: fmt.Sprintf(teamsCard, long), want: "413 "},
		{kind: "teams", body: `{"text":"x"}`, want: "TriggerInputSchemaMismatch"},
		{kind: "mattermost", body: `{"text":"x"}`, want: "200 ok"},
		{kind: "mattermost", more: "x", body: `{"text":"x"}`, want: "web.incoming_webhook.invalid.app_error"},
		{kind: "mattermost", body: `{"text":"` + long + `"}`, want: "400 "},
		{kind: "mattermost", body: `{}`, want: "web.incoming_webhook.text.app_error"},
		{kind: "discord", body: fmt.Sprintf(discordEmbeds, "x"), want: "204 "},
		{kind: "discord", more: "?wait=true", body: fmt.Sprintf(discordEmbeds, "x"), want: "200 "},
		{kind: "discord", more: "x", body: fmt.Sprintf(discordEmbeds, "x"), want: `"code":50027`},
		{kind: "discord", body: fmt.Sprintf(discordEmbeds, long), want: `"code":50035`},
		{kind: "discord", body: `{}`, want: `"code":50006`},
		{kind: "webhook", body: "{}", want: "401 "},
		{kind: "webhook", body: `{"a":1}`, header: []string{"webhook-id", "1", "webhook-timestamp", "1599360473", "webhook-signature", "v1,AAAA"}, want: "401 "},
	} {
		t.Run(c.kind+"/"+c.want, func(t *testing.T) {
			s := start(t, c.secret)
			if got := post(t, s.URL(c.kind)+c.more, c.body, c.header...); !strings.Contains(got, c.want) {
				t.Errorf("answer %s, want %s", got, c.want)
			}
		})
	}
}

// The specification's example of a signature.
func TestStandardWebhooksVector(t *testing.T) {
	s, err := receiverstest.New(receiverstest.Options{Now: func() time.Time { return time.Unix(1614265330, 0) }, SigningToken: signingToken})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	got := post(t, s.URL("webhook"), `{"test": 2432232314}`, "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if !strings.HasPrefix(got, "204 ") || len(s.Messages("webhook")) != 1 {
		t.Errorf("answer %s", got)
	}
}

// The rates that the receivers allow.
func TestRates(t *testing.T) {
	for kind, c := range map[string]struct {
		body  string
		taken int // at one time
		want  string
	}{
		"feishu":     {`{` + feishuCard, 5, `"code":11232`},
		"dingtalk":   {dingTalkText, 20, `"errcode":130101`},
		"wecom":      {weComText, 20, `"errcode":45009`},
		"teams":      {fmt.Sprintf(teamsCard, "x"), 4, "429 "},
		"mattermost": {`{"text":"x"}`, 10, "429 "},
		"discord":    {fmt.Sprintf(discordEmbeds, "x"), 5, `"retry_after":1.337`},
	} {
		s := start(t, "")
		for range c.taken {
			post(t, s.URL(kind), c.body)
		}
		if n := len(s.Messages(kind)); n != c.taken {
			t.Errorf("%s: %d messages were taken, want %d", kind, n, c.taken)
		}
		if got := post(t, s.URL(kind), c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: answer %s, want %s", kind, got, c.want)
		}
	}
}

// What notifies people or hides where a link leads is seen as such.
func TestMarkupIsSeen(t *testing.T) {
	s := start(t, "")
	post(t, s.URL("mattermost"), `{"text":"@all **[GitLab](https://evil.example)**"}`)
	post(t, s.URL("discord"), `{"content":"@everyone <@1> <@&2>","embeds":[{"title":"[GitLab](https://evil.example)","description":"_x_"}]}`)
	post(t, s.URL("wecom"), `{"msgtype":"text","text":{"content":"<@all> <@x>"}}`)
	post(t, s.URL("teams"), fmt.Sprintf(teamsCard, "[GitLab](https://evil.example)"))
	post(t, s.URL("feishu"), `{"msg_type":"interactive","card":{"elements":[{"tag":"div","text":{"tag":"lark_md","content":"<at id=all></at>"}}]}}`)
	for kind, want := range map[string]string{
		"mattermost": "[@all] [{GitLab https://evil.example}]", "discord": "[1 &2 @all] [{GitLab https://evil.example}]",
		"wecom": "[@all x] []", "teams": "[] [{GitLab https://evil.example}]", "feishu": "[@all] []",
	} {
		all := s.Messages(kind)
		if len(all) != 1 {
			t.Errorf("%s: %d messages", kind, len(all))
			continue
		}
		if got := fmt.Sprint(all[0].Notified, all[0].Links); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	if text := s.Messages("discord")[0].Text; !strings.Contains(text, "‹x›") {
		t.Errorf("text %q", text)
	}
}
