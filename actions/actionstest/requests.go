package actionstest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions"
	"github.com/pipesteward/pipesteward/actions/audit"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/pause"
	"github.com/pipesteward/pipesteward/actions/requests"
	"github.com/pipesteward/pipesteward/actions/rights"
	"github.com/pipesteward/pipesteward/actions/slack"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Rights are those of people in Slack, by what they do: a function returns the refusal,
// "" for none.
type Rights func(p chatops.Person, to chatops.Target, does string) (refusal string, err error)

// MayOn implements requests.Rights.
func (r Rights) MayOn(_ context.Context, p chatops.Person, to chatops.Target, does string) (chatops.Refusal, error) {
	text, err := r(p, to, does)
	return Refused(text), err
}

// refused is the text of a refusal, in each language.
type refused string

// Text implements chatops.Refusal.
func (r refused) Text(words.Style) (string, error) { return string(r), nil }

// Refused returns a refusal with a text; nil for "".
func Refused(text string) chatops.Refusal {
	if text == "" {
		return nil
	}
	return refused(text)
}

// Outsider implements requests.Rights: Eve is one.
func (r Rights) Outsider(_ context.Context, p chatops.Person) (chatops.Refusal, error) {
	if p == Eve {
		return Refused("Guests may not do this."), nil
	}
	return nil, nil
}

// Everybody may do everything.
func Everybody(chatops.Person, chatops.Target, string) (refusal string, err error) { return "", nil }

// Lost implements actions.Rights where there is no Slack app: nobody loses any.
func (Rights) Lost(context.Context, event.Requester, event.Decision) (refusal string, err error) {
	return "", nil
}

// handleRequests has a runner handle what people request from Slack.
func (h *Harness) handleRequests(runner *actions.Runner, guard fusedStore, replies *slack.Notifier) {
	config := runner.Config
	pauses := pause.Pauses{Store: guard, Now: h.Now, Log: config.Log}
	handler := &requests.Handler{
		Store: guard, GitLab: config.GitLab, Rights: h.Rights, Confirmations: confirm.Answers{Confirmer: runner.Confirms, Rights: rights.Acting{Rights: h.Rights, GitLab: config.GitLab}}, Replies: replies, Maker: runner,
		Stories: &story.Builder{
			GitLab: config.GitLab, Store: guard, Evaluations: nothingRecent{}, Deliveries: noDeliveries{}, Pauses: pauses, Rules: config.Rules, Facts: runner.Facts, Receives: true, Now: h.Now,
		},
		Pauses: pauses, Mutes: pause.Mutes{Store: guard, Now: h.Now, Log: config.Log}, Rules: config.Rules, Now: h.Now, Log: config.Log,
	}
	runner.Handle(chatops.RecordKind, worker.JSON(handler.Handle))
}

// Audit is the list of changes that people made.
func (h *Harness) Audit() audit.Log { return audit.Log{Store: h.DB, Now: h.Now} }

type nothingRecent struct{}

func (nothingRecent) Each(context.Context, func(string, []byte) bool) error { return nil }

type noDeliveries struct{}

func (noDeliveries) Deliveries(context.Context, func(*event.Delivery) bool, time.Time, string, int) ([]event.Delivery, string, error) {
	return nil, "", nil
}

// Ada, Bob and Eve use Slack; Eve is a guest there.
var (
	Ada = chatops.Person{UserID: "U0000000011", TeamID: slacktest.TeamID, Name: "Ada"}
	Bob = chatops.Person{UserID: "U0000000012", TeamID: slacktest.TeamID, Name: "Bob"}
	Eve = chatops.Person{UserID: "U0000000013", TeamID: slacktest.TeamID, Name: "Eve"}
)

// Press has a person press the button that does something in the last message that has
// one, and returns the request that is stored.
func (h *Harness) Press(who chatops.Person, does string) chatops.Request {
	h.Helper()
	for _, m := range slices.Backward(h.Slack.Messages("ci")) {
		for _, button := range m.Buttons() {
			b, err := chatops.ParseButton(button.ActionID, button.Value)
			if err == nil && b.Does == does {
				return h.Request(chatops.Request{By: who, Button: &b, At: chatops.Place{Channel: m.ID, Message: m.TS}})
			}
		}
	}
	h.Fatalf("no message has a button %s: %+v", does, h.Slack.Messages("ci"))
	return chatops.Request{}
}

// Type has a person type a command, and returns the request that is stored.
func (h *Harness) Type(who chatops.Person, command string) chatops.Request {
	h.Helper()
	return h.Request(chatops.Request{By: who, Command: command, At: chatops.Place{Channel: "C0000000001"}})
}

// Request puts what a person requests into the queue, as the way in from Slack does.
func (h *Harness) Request(r chatops.Request) chatops.Request {
	h.Helper()
	h.events++
	r.ReceivedAt = h.Now()
	if r.ID == "" {
		r.ID, r.ReplyURL = fmt.Sprintf("request-%d", h.events), h.Slack.Command(slacktest.Command{User: r.By.UserID, Channel: r.At.Channel}).ResponseURL
	}
	body, err := json.Marshal(r)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.DB.Put(h.Context(), store.Record{ID: keys.Request(r.ID), Kind: chatops.RecordKind, Body: body}); err != nil {
		h.Fatal(err)
	}
	return r
}

// Replies lists what was said to a request, in order; what all in the channel read begins
// with "public: ".
func (h *Harness) Replies(to chatops.Request) (all []string) {
	for _, r := range h.Slack.Replies() {
		if r.To.ResponseURL != to.ReplyURL {
			continue
		}
		text := r.Text
		if r.Public {
			text = "public: " + text
		}
		all = append(all, text)
	}
	return all
}

// WantReplies checks what was said to a request: as many replies as there are texts, each
// of which has the parts that "…" separates.
func (h *Harness) WantReplies(to chatops.Request, want ...string) {
	h.Helper()
	got := h.Replies(to)
	if len(got) != len(want) {
		h.Errorf("%d replies to the request of %s, want %d: %q\n%s", len(got), to.By.Name, len(want), got, h.Logs)
		return
	}
	for i := range want {
		Has(h.T, got[i], strings.Split(want[i], "…")...)
	}
}
