package slacktest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

// TestResponseURL: what the real response_url refuses is refused.
func TestResponseURL(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	s, err := slacktest.New(slacktest.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.Command(slacktest.Command{User: s.AddUser("ada@example.com"), Channel: s.Channel("#ci"), Text: "status"})
	say := func(address, kind, body string) string {
		t.Helper()
		resp, err := http.Post(address, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct{ address, kind, body, says string }{
		{a.ResponseURL, "text/plain", `{"text":"x"}`, "invalid_payload"},
		{a.ResponseURL, "application/json", `{`, "invalid_payload"},
		{a.ResponseURL, "application/json", `{}`, "no_text"},
		{a.ResponseURL, "application/json", `{"text":"x","response_type":"loud"}`, "invalid_payload"},
		{a.ResponseURL + "x", "application/json", `{"text":"x"}`, "no_service"},
		{a.ResponseURL, "application/json", `{"text":"x","response_type":"in_channel"}`, "ok"},
		{a.ResponseURL, "application/json", `{"text":"x"}`, "ok"},
		{a.ResponseURL, "application/json", `{"text":"x"}`, "ok"},
		{a.ResponseURL, "application/json", `{"text":"x"}`, "ok"},
		{a.ResponseURL, "application/json", `{"text":"x"}`, "ok"},
		{a.ResponseURL, "application/json", `{"text":"x"}`, "used_url"},
	} {
		if text := say(c.address, c.kind, c.body); !strings.Contains(text, c.says) {
			t.Errorf("%s %s: %s, want %s", c.kind, c.body, text, c.says)
		}
	}
	if said := s.Replies(); len(said) != 5 || !said[0].Public || said[1].Public {
		t.Errorf("%+v", said)
	}
	now = now.Add(31 * time.Minute)
	if text := say(a.ResponseURL, "application/json", `{"text":"x"}`); !strings.Contains(text, "expired_url") {
		t.Errorf("after 31 minutes: %s", text)
	}
}

// TestConnections: an address of Socket Mode is for an app-level token, and for one use.
func TestConnections(t *testing.T) {
	t.Parallel()
	s, err := slacktest.New(slacktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open := func(token string) (address, code string) {
		t.Helper()
		resp, err := http.PostForm(s.URL()+"apps.connections.open", url.Values{"token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ URL, Error string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer.URL, answer.Error
	}
	for token, want := range map[string]string{"": "not_authed", "xoxb-1": "not_allowed_token_type", "x": "invalid_auth"} {
		if _, code := open(token); code != want {
			t.Errorf("the token %q: %q, want %q", token, code, want)
		}
	}
	address, _ := open("xapp-1")
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = resp.Body.Close()
	var hello struct {
		Type string
		Open int `json:"num_connections"`
	}
	if err := conn.ReadJSON(&hello); err != nil || hello.Type != "hello" || hello.Open != 1 {
		t.Errorf("%+v, %v", hello, err)
	}
	if other, resp, err := websocket.DefaultDialer.DialContext(t.Context(), address, nil); err == nil {
		_ = other.Close()
		t.Error("an address is for one connection only")
	} else if resp != nil {
		_ = resp.Body.Close()
	}
}

// TestSignature: the vector of Slack's documentation
// (docs.slack.dev/authentication/verifying-requests-from-slack).
func TestSignature(t *testing.T) {
	t.Parallel()
	const body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	if got := slacktest.Sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body); got != "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503" {
		t.Error(got)
	}
	var got bytes.Buffer
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // the test shows it
		got.WriteString(r.Header.Get("X-Slack-Signature"))
		if want := slacktest.Sign("secret", r.Header.Get("X-Slack-Request-Timestamp"), string(text)); got.String() != want {
			t.Errorf("signed %s, want %s", got.String(), want)
		}
	}))
	defer app.Close()
	s, err := slacktest.New(slacktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Post(t.Context(), s.Interaction("{}"), app.URL, "secret"); err != nil || got.Len() == 0 {
		t.Errorf("%v, signature %q", err, got.String())
	}
}
