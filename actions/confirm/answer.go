package confirm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Rights says what people may do.
type Rights interface {
	// MayAct returns why a person may not do to an event's job, or with pipeline to its whole
	// pipeline, what a button does; nil: the person may.
	MayAct(ctx context.Context, who chatops.Person, e event.Event, pipeline bool, does string) (refusal chatops.Refusal, err error)
}

// Answers takes the answers that people give with the buttons of a question.
type Answers struct {
	*Confirmer
	Rights Rights
}

// Answer takes the answer of a request with ButtonConfirm or ButtonReject, and returns what
// the person is told. Who may play the job may answer. The first answer counts, however
// many people answer at the same time; a repetition of the same request gets the same
// reply. It is in time if the request came in in time, however late that is handled, unless
// the end of the time was recorded before. An error means that the request is handled again
// later.
func (a Answers) Answer(ctx context.Context, r chatops.Request) (chatops.Reply, error) {
	entry, err := a.Journal.Entry(ctx, r.Button.Of)
	if err != nil {
		return chatops.Reply{}, err
	}
	in := mrkdwn.Style.In(r.Button.Language)
	if entry == nil {
		return say(in, "confirm_unknown", nil)
	}
	var waiting struct {
		event.Outcome
		Try int `json:"try"`
	}
	if err := json.Unmarshal(entry.Body, &waiting); err != nil {
		return chatops.Reply{}, fmt.Errorf("journal entry %s: %w", entry.ID, err)
	}
	o := waiting.Outcome
	if o.Action.Confirm == "" {
		return say(in, "confirm_unneeded", nil)
	}
	refusal, err := a.Rights.MayAct(ctx, r.By, o.Event, false, chatops.ButtonPlay)
	if err != nil {
		return chatops.Reply{}, err
	}
	if refusal != nil {
		text, err1 := refusal.Text(in)
		reason, err2 := refusal.Text(words.Plain)
		a.Log.InfoContext(ctx, "a person may not answer a question", append(event.LogAttrs(o.Event), "rule", o.Rule, "decision", o.ID, "by", r.By.UserID, "reason", reason)...)
		return chatops.Reply{Text: text}, errors.Join(err1, err2)
	}
	given, err := a.answer(ctx, o.ID)
	switch {
	case err != nil:
		return chatops.Reply{}, err
	case given.Given():
		return reply(in, o, given, r)
	case o.Result != "" && o.Result != event.ResultDeferred:
		return a.over(ctx, in, o)
	}
	asked, err := a.asked(ctx, o.ID)
	if err != nil {
		return chatops.Reply{}, err
	}
	// Without asked.At, the message is there, and its record about to end.
	if end := deadline(o.Decision, asked); !asked.At.IsZero() && r.ReceivedAt.After(end) {
		return reply(in, o, event.Answer{Expired: true, At: end}, r)
	}
	first, err := a.put(ctx, Record{Decision: o.Decision, Try: waiting.Try, Request: r.ID, Answer: event.Answer{
		Confirmed: r.Button.Does == chatops.ButtonConfirm,
		By:        r.By.Requester(),
		At:        r.ReceivedAt.UTC(),
	}})
	if err != nil {
		return chatops.Reply{}, err
	}
	if first.Request == r.ID {
		a.Log.InfoContext(ctx, "a question was answered", append(event.LogAttrs(o.Event), "rule", o.Rule, "action", o.Action.Verb, "decision", o.ID, "by", by(first.Answer), "result", result(first.Answer))...)
	}
	return reply(in, o, first.Answer, r)
}

// over replies that the decision has ended, and has the question say so, which it does not
// if a person has dropped the decision from the queue.
func (a Answers) over(ctx context.Context, in words.Style, o event.Outcome) (chatops.Reply, error) {
	edit, err := question(o, event.Answer{})
	if err != nil {
		return chatops.Reply{}, err
	}
	if _, err := a.Queue.Put(ctx, edit); err != nil {
		return chatops.Reply{}, err
	}
	return say(in, "confirm_over", replyView{Job: mrkdwn.Title(o.Job.Name), Result: o.Result, Reason: mrkdwn.Escape(o.Reason)})
}

// replyView is the data of the blocks confirm_… of package words.
type replyView struct {
	Job            string // its name
	Result, Reason string // of the decision
	At             string // when the answer that counts came, or this one
	Within         time.Duration
	By             string // who gave the answer that counts
	Confirmed      bool   // it does
}

// reply says which answer counts.
func reply(in words.Style, o event.Outcome, first event.Answer, r chatops.Request) (chatops.Reply, error) {
	v := replyView{
		Job: mrkdwn.Title(o.Job.Name), At: first.At.UTC().Format("15:04 MST"), Within: time.Duration(o.Action.ConfirmWithin),
		By: mrkdwn.Title(cmp.Or(first.By.Name, first.By.UserID)), Confirmed: first.Confirmed,
	}
	switch {
	case !first.Given():
		return say(in, "confirm_dropped", v)
	case first.Expired && !r.ReceivedAt.After(first.At):
		v.At = r.ReceivedAt.UTC().Format("15:04 MST")
		return say(in, "confirm_handled_late", v)
	case first.Expired:
		return say(in, "confirm_too_late", v)
	case first.By.UserID != r.By.UserID:
		return say(in, "confirm_other", v)
	case first.Confirmed != (r.Button.Does == chatops.ButtonConfirm):
		return say(in, "confirm_before", v)
	}
	return say(in, "confirm_done", v)
}

// result returns an answer, for the log.
func result(a event.Answer) string {
	if a.Confirmed {
		return "confirmed"
	}
	return "rejected"
}

// say returns a block of package words as a reply.
func say(in words.Style, block string, v any) (chatops.Reply, error) {
	text, err := in.Say(block, v)
	return chatops.Reply{Text: text}, err
}
