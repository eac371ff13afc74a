package confirm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Rights says what people may do.
type Rights interface {
	// MayOn returns why a person may not do to a target what a button does; "": the person
	// may.
	MayOn(ctx context.Context, who chatops.Person, to chatops.Target, does string) (refusal string, err error)
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
	if entry == nil {
		return say("This question is not known any more."), nil
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
		return say("Nobody needs to confirm this."), nil
	}
	refusal, err := a.Rights.MayOn(ctx, r.By, chatops.TargetOf(o.Event), chatops.ButtonPlay)
	if err != nil {
		return chatops.Reply{}, err
	}
	if refusal != "" {
		a.Log.Info("a person may not answer a question", append(event.LogAttrs(o.Event), "rule", o.Rule, "decision", o.ID, "by", r.By.UserID, "reason", refusal)...)
		return chatops.Reply{Text: refusal}, nil
	}
	given, err := a.answer(ctx, o.ID)
	switch {
	case err != nil:
		return chatops.Reply{}, err
	case given.Given():
		return reply(o, given, r), nil
	case o.Result != "" && o.Result != event.ResultDeferred:
		return a.over(ctx, o)
	}
	asked, err := a.asked(ctx, o.ID)
	if err != nil {
		return chatops.Reply{}, err
	}
	// Without asked.At, the message is there, and its record about to end.
	if end := deadline(o.Decision, asked); !asked.At.IsZero() && r.ReceivedAt.After(end) {
		return reply(o, event.Answer{Expired: true, At: end}, r), nil
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
		a.Log.Info("a question was answered", append(event.LogAttrs(o.Event), "rule", o.Rule, "action", o.Action.Verb, "decision", o.ID, "by", by(first.Answer), "result", result(first.Answer))...)
	}
	return reply(o, first.Answer, r), nil
}

// over replies that the decision has ended, and has the question say so, which it does not
// if a person has dropped the decision from the queue.
func (a Answers) over(ctx context.Context, o event.Outcome) (chatops.Reply, error) {
	edit, err := question(o, event.Answer{})
	if err != nil {
		return chatops.Reply{}, err
	}
	if _, err := a.Queue.Put(ctx, edit); err != nil {
		return chatops.Reply{}, err
	}
	return say("This is no longer needed: the play of %s is %s. %s", mrkdwn.Title(o.Job.Name), mrkdwn.Title(o.Result), mrkdwn.Escape(o.Reason)), nil
}

// reply says which answer counts.
func reply(o event.Outcome, first event.Answer, r chatops.Request) chatops.Reply {
	job := mrkdwn.Title(o.Job.Name)
	switch {
	case !first.Given():
		return say("Somebody has dropped the first answer from the queue: this question can't be answered any more.")
	case first.Expired && !r.ReceivedAt.After(first.At):
		return say("You pressed the button in time, at %s, but it was handled only after the time to answer had ended: %s is not played.", r.ReceivedAt.UTC().Format("15:04 MST"), job)
	case first.Expired:
		return say("You are too late: nobody confirmed it within %s, and %s is not played.", event.Coarse(time.Duration(o.Action.ConfirmWithin)), job)
	case first.By.UserID != r.By.UserID:
		return say("%s was faster, and has %s it at %s.", mrkdwn.Title(cmp.Or(first.By.Name, first.By.UserID)), result(first), first.At.UTC().Format("15:04 MST"))
	case first.Confirmed != (r.Button.Does == chatops.ButtonConfirm):
		return say("You have %s it before, at %s: that counts.", result(first), first.At.UTC().Format("15:04 MST"))
	case first.Confirmed:
		return say("You have confirmed it: %s is played unless something else keeps it, which the question says then.", job)
	}
	return say("You have rejected it: %s is not played.", job)
}

func result(a event.Answer) string {
	if a.Confirmed {
		return "confirmed"
	}
	return "rejected"
}

func say(format string, args ...any) chatops.Reply {
	return chatops.Reply{Text: fmt.Sprintf(format, args...)}
}
