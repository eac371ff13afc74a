package receivers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

// Types of the body of a webhook.
const (
	typeOutcome      = "outcome."     // and the result, as in outcome.failed
	typeAnnouncement = "announcement" // of something else than an outcome
)

// webhookBody is the body as the specification recommends it. A repetition of a message
// has the same body.
type webhookBody struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp,omitzero"` // when it happened
	Data      any       `json:"data"`
}

// announcement is the data of a message without an outcome.
type announcement struct {
	Title  string          `json:"title"`
	Text   string          `json:"text,omitzero"`
	Link   string          `json:"link,omitzero"`
	Level  message.Level   `json:"level,omitzero"`
	Fields []message.Field `json:"fields,omitempty"`
}

func bodyOf(m message.Message) []byte {
	if m.Outcome.ID != "" {
		o := m.Outcome
		o.Notifications = []event.Notification(nil) // they are of earlier tries
		return encode(webhookBody{typeOutcome + o.Result, o.At.UTC(), o})
	}
	b := m.Bounded()
	return encode(webhookBody{typeAnnouncement, b.At.UTC(), announcement{b.Title, b.Text, b.Link, b.Level, b.Fields}})
}

func sendWebhook(ctx context.Context, s *sending, m message.Message) *Error {
	key, err := receiver.SigningKey(s.secret[receiver.SettingSigningToken])
	if err != nil { // it was checked
		return mendable(codeSettings, "signing_token: "+err.Error())
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return mendable(codeSettings, "signing_token can't be used")
	}
	body := bodyOf(m)
	id := "msg_" + digest(m.ID)
	signature, err := signer.Sign(id, s.now, body)
	if err != nil {
		return mendable(codeSettings, "signing_token can't be used")
	}
	a, e := s.post(ctx, s.secret[receiver.SettingURL], http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {strconv.FormatInt(s.now.Unix(), 10)},
		"Webhook-Signature": {signature},
	}, body)
	if e != nil {
		return e
	}
	if !a.ok() {
		return a.failure()
	}
	return nil
}
