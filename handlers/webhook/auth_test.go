package webhook_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/handlers/webhook"
)

func TestWebhookCredentials(t *testing.T) {
	job := fixture(t, "job-failed.json")
	signed := func(token, id string, at int64) []string {
		return []string{"webhook-id", id, "webhook-timestamp", strconv.FormatInt(at, 10), "webhook-signature", sign(token, id, at, job)}
	}
	with := func(header []string, more ...string) []string {
		return append(header[:len(header):len(header)], more...)
	}
	tokens := webhook.Credentials{Tokens: []string{otherSecretToken, secretToken}}
	keys := webhook.Credentials{SigningTokens: []string{otherSigningToken, signingToken}}
	both := webhook.Credentials{Tokens: tokens.Tokens, SigningTokens: keys.SigningTokens}
	const ok, no = 202, 401
	cases := []struct {
		name   string
		given  webhook.Credentials
		header []string
		code   int
	}{
		{"token", tokens, []string{"X-Gitlab-Token", secretToken}, ok},
		{"older token", tokens, []string{"X-Gitlab-Token", otherSecretToken}, ok},
		{"no token", tokens, nil, no},
		{"empty token", tokens, []string{"X-Gitlab-Token", ""}, no},
		{"wrong token", tokens, []string{"X-Gitlab-Token", "guess"}, no},
		{"token's beginning", tokens, []string{"X-Gitlab-Token", secretToken[:4]}, no},
		{"token and more", tokens, []string{"X-Gitlab-Token", secretToken + "x"}, no},
		{"token, and a signature that nobody requests for", tokens, []string{"X-Gitlab-Token", secretToken, "webhook-signature", "v1,x"}, ok},
		{"signature instead of token", tokens, signed(signingToken, vectorID, vectorTime), no},

		{"signature", keys, signed(signingToken, vectorID, vectorTime), ok},
		{"signature by the older key", keys, signed(otherSigningToken, vectorID, vectorTime), ok},
		{"signature by another key", keys, signed("whsec_"+strings.Repeat("A", 44), vectorID, vectorTime), no},
		{"not signed", keys, nil, no},
		{"token instead of signature", keys, []string{"X-Gitlab-Token", secretToken}, no},
		{"5 minutes late", keys, signed(signingToken, vectorID, vectorTime-300), ok},
		{"5 minutes early", keys, signed(signingToken, vectorID, vectorTime+300), ok},
		{"later", keys, signed(signingToken, vectorID, vectorTime-301), no},
		{"earlier", keys, signed(signingToken, vectorID, vectorTime+301), no},
		{"at the end of time", keys, signed(signingToken, vectorID, 1<<63-1), no},
		{"timestamp changed", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-timestamp", "1744578124"), no},
		{"timestamp in words", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-timestamp", "now"), no},
		{"no timestamp", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-timestamp", ""), no},
		{"id changed", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-id", "another"), no},
		{"no id", keys, signed(signingToken, "", vectorTime), no},
		{
			"several signatures", keys,
			with(signed(signingToken, vectorID, vectorTime), "webhook-signature", "v1a,AAAA v1,AAAA v1,%% "+sign(signingToken, vectorID, vectorTime, job)), ok,
		},
		{
			"signature of an unknown version", keys,
			with(signed(signingToken, vectorID, vectorTime), "webhook-signature", "v2"+sign(signingToken, vectorID, vectorTime, job)[2:]), no,
		},
		{"signature without version", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-signature", sign(signingToken, vectorID, vectorTime, job)[3:]), no},
		{"empty signature", keys, with(signed(signingToken, vectorID, vectorTime), "webhook-signature", "v1,"), no},

		{"both, only token given", both, []string{"X-Gitlab-Token", secretToken}, ok},
		{"both, only signature given", both, signed(signingToken, vectorID, vectorTime), ok},
		{"both, right signature with wrong token", both, with(signed(signingToken, vectorID, vectorTime), "X-Gitlab-Token", "guess"), ok},
		{"both, wrong signature with right token", both, with(signed(signingToken, vectorID, vectorTime-301), "X-Gitlab-Token", secretToken), no},
		{"both, nothing given", both, nil, no},

		{"insecure", webhook.Credentials{Insecure: true}, nil, ok},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(cfg *webhook.Config) { cfg.Credentials = c.given })
			code, answer := r.post(t, job, c.header...)
			if code != c.code {
				t.Errorf("answer is %d %s, want %d", code, answer, c.code)
			}
			if c.code == no && len(r.queue.ids()) > 0 {
				t.Error("the event was stored")
			}
			for _, secret := range []string{secretToken, otherSecretToken, signingToken[10:], otherSigningToken[10:], "guess", "linux-amd64-3"} {
				if strings.Contains(answer, secret) || strings.Contains(r.log.String(), secret) {
					t.Errorf("%q is in the answer or the log:\n%s\n%s", secret, answer, r.log)
				}
			}
		})
	}
}

// TestWebhookSignatureVector pins the scheme with GitLab's published vector:
// its body is no whole hook, so that the answer to the right signature is 400.
func TestWebhookSignatureVector(t *testing.T) {
	r := newRig(t, func(cfg *webhook.Config) {
		cfg.Credentials = webhook.Credentials{SigningTokens: []string{signingToken}}
	})
	header := []string{"webhook-id", vectorID, "webhook-timestamp", "1744578123", "webhook-signature", vectorMAC}
	if code, answer := r.post(t, []byte(vectorBody), header...); code != 400 {
		t.Errorf("answer to the vector is %d %s, want 400", code, answer)
	}
	if code, answer := r.post(t, []byte(vectorBody+" "), header...); code != 401 {
		t.Errorf("answer to a changed body is %d %s, want 401", code, answer)
	}
}

func TestNewWebhookRefuses(t *testing.T) {
	cases := []struct {
		name  string
		given webhook.Credentials
		text  string
	}{
		{"nothing", webhook.Credentials{}, "no webhook token and no signing token is set: anyone could send events; set one as in the webhook's settings in GitLab"},
		{"empty token", webhook.Credentials{Tokens: []string{secretToken, ""}}, "secret token 2 is empty"},
		{
			"signing token without prefix",
			webhook.Credentials{SigningTokens: []string{signingToken[6:]}},
			`signing token 1 is malformed: it must be "whsec_" and 32 bytes in base64, as GitLab shows it`,
		},
		{
			"signing token not in base64",
			webhook.Credentials{SigningTokens: []string{signingToken, "whsec_%" + signingToken[7:]}},
			`signing token 2 is malformed: it must be "whsec_" and 32 bytes in base64, as GitLab shows it`,
		},
		{
			"signing token too long",
			webhook.Credentials{SigningTokens: []string{"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 33))}},
			`signing token 1 is malformed: it must be "whsec_" and 32 bytes in base64, as GitLab shows it`,
		},
		{"token of two lines", webhook.Credentials{Tokens: []string{secretToken, "a\nb"}}, "secret token 2 has a line break or another control character in it"},
		{
			"signing token too short",
			webhook.Credentials{SigningTokens: []string{"whsec_AAEC"}},
			`signing token 1 is malformed: it must be "whsec_" and 32 bytes in base64, as GitLab shows it`,
		},
		{
			"token and insecure",
			webhook.Credentials{Tokens: []string{secretToken}, Insecure: true},
			"webhook tokens are set, and yet every delivery is to be accepted: choose one",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := webhook.New(webhook.Config{Credentials: c.given, Now: clock, Metrics: prometheus.NewRegistry()})
			if err == nil || err.Error() != c.text {
				t.Errorf("error is %v, want %s", err, c.text)
			}
		})
	}
}

// TestWebhookRefusesBeforeReading: who has no right makes no work.
func TestWebhookRefusesBeforeReading(t *testing.T) {
	cases := []struct {
		name   string
		header []string
	}{
		{"wrong token", []string{"X-Gitlab-Token", "guess"}},
		{"old signature", []string{"webhook-id", vectorID, "webhook-timestamp", "1", "webhook-signature", vectorMAC}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(cfg *webhook.Config) { cfg.SigningTokens = []string{signingToken} })
			req := httptest.NewRequest(http.MethodPost, webhook.Path, unreadable{t})
			for i := 0; i < len(c.header); i += 2 {
				req.Header.Set(c.header[i], c.header[i+1])
			}
			rec := httptest.NewRecorder()
			r.handler.ServeHTTP(rec, req)
			if rec.Code != 401 {
				t.Errorf("answer is %d %s, want 401", rec.Code, rec.Body)
			}
		})
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
