package receivers_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Signatures of known secrets and times.
//
// Feishu: the secret and times of the examples in its documentation; the results are those of
// its Python example, and are published in the tests of many programs. DingTalk: the secret
// of its documentation, computed as its Python example does.
func TestKnownSignatures(t *testing.T) {
	for _, c := range []struct {
		kind, secret    string
		at              time.Time
		timestamp, sign string
	}{
		{receiver.Feishu, "demo", time.Unix(100, 0), "100", "jquNHnVOwmDRfw+vqTIrY5dooJAgi5EcRtLsQE4wfXg="},
		{receiver.Lark, "demo", time.Unix(1599360473, 999), "1599360473", "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="},
		{receiver.DingTalk, "this is secret", time.UnixMilli(1700000000000), "1700000000000", "sSFWELbV2YwjdDQhWZwTcWlX5BWUx5J6TPpsZmuPii0="},
		{receiver.DingTalk, "SEC000000000000000000000", time.UnixMilli(1577836800000), "1577836800000", "+nNCK5RddMDikgXSXJcDpPb9RZqSQXlesQPy6NpNYUk="},
	} {
		var timestamp, sign string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var signed struct{ Timestamp, Sign string }
			_ = json.Unmarshal(body, &signed)
			timestamp, sign = signed.Timestamp, signed.Sign
			if c.kind == receiver.DingTalk {
				timestamp, sign = r.URL.Query().Get("timestamp"), r.URL.Query().Get("sign")
			}
			_, _ = w.Write([]byte(`{"code":0,"errcode":0}`))
		}))
		address := server.URL + "/open-apis/bot/v2/hook/x?access_token=x"
		client, err := receivers.New(receiver.Definition{Name: "x", Kind: c.kind, URL: address, Secret: c.secret}, receivers.Config{
			HTTPClient: server.Client(), Now: func() time.Time { return c.at },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Send(t.Context(), message.Message{ID: "1", Title: "x"}); err != nil {
			t.Error(err)
		}
		if timestamp != c.timestamp || sign != c.sign {
			t.Errorf("%s: timestamp %s, signature %s; want %s, %s", c.kind, timestamp, sign, c.timestamp, c.sign)
		}
		server.Close()
	}
}
