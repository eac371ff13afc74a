// Package notices makes messages to receivers of notices of outcomes and of announcements.
// A notice's text is Slack's mrkdwn; package mrkdwn makes it plain.
//
// No receiver can edit a message: people get what can wait in one at the end of a pipeline,
// and each other outcome in one of its own, as programs get all. A message has
// the id of its outcome with the result, or the state and its turn, and the receiver's
// name, so that a repetition is the same message.
package notices

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/receivers"
	"github.com/pipesteward/pipesteward/actions/receivers/message"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/receiver"
)

// Receiver sends notices and announcements to one receiver. It is safe for concurrent use.
type Receiver struct {
	client *receivers.Client
	now    func() time.Time
}

// New returns the Receiver of a client.
func New(client *receivers.Client, now func() time.Time) *Receiver { return &Receiver{client, now} }

// Notify sends the notice of an outcome. The error is a [*receivers.Error], which says
// whether to try again.
func (r *Receiver) Notify(ctx context.Context, o event.Outcome, n event.Notice) error {
	m, err := OfOutcome(o, n, r.client.Name())
	if err != nil {
		return err
	}
	return r.client.Send(ctx, m)
}

// Announce sends a text of Slack's mrkdwn under its key. There are no channels.
func (r *Receiver) Announce(ctx context.Context, key, _, text string) error {
	return r.client.Send(ctx, OfAnnouncement(key, text, r.client.Name(), r.now()))
}

// Message returns the id of the message of an outcome, which is one of its own. That to a
// program is never gathered with others, as if the program had it: it gets each outcome.
func (r *Receiver) Message(_ context.Context, o event.Outcome, n event.Notice) (id string, begun bool, err error) {
	return messageID(o, n, r.client.Name()), r.client.Kind() == receiver.Webhook, nil
}

// AtEnd reports whether one message at the end of a pipeline is sent in place of one for each
// outcome.
func (r *Receiver) AtEnd() bool { return receiver.AtEnd(r.client.Kind()) }

// messageID returns the id of the message of an outcome.
func messageID(o event.Outcome, n event.Notice, receiver string) string {
	return strings.Join([]string{o.ID, cmp.Or(n.Turn, o.Result), n.Subject, receiver}, ":")
}

// OfOutcome returns the message to a receiver about an outcome.
func OfOutcome(o event.Outcome, n event.Notice, receiver string) (message.Message, error) {
	style, text, title := words.Plain.In(n.Language), mrkdwn.Plain(n.Text), mrkdwn.Plain(n.Header)
	var err error
	if text == "" {
		if text, err = words.Outcome(o, style); err != nil {
			return message.Message{}, err
		}
	}
	if title == "" {
		if title, err = titleOf(o, style); err != nil {
			return message.Message{}, err
		}
	}
	m := message.Message{
		ID: messageID(o, n, receiver), At: o.At,
		Title: title, Text: text, Link: cmp.Or(o.Job.URL, o.Pipeline.URL, o.Project.URL),
		Fields: fields(o, n.Text != "", words.TermsIn(n.Language)), Mention: n.Mention, Level: level(o, n.Turn), Outcome: o,
	}
	if details := mrkdwn.Plain(n.Details); details != "" {
		m.Text, m.Fields = text+"\n"+details, nil
	}
	return m, nil
}

// titleOf names what the outcome is about, as in: platform/shop main, pipeline #70.
func titleOf(o event.Outcome, s words.Style) (string, error) {
	text, err := s.Say("title", struct {
		Project, Ref           string
		MergeRequest, Pipeline int64
	}{o.Project.Path, o.Pipeline.Ref, o.MergeRequest.IID, o.Pipeline.ID})
	return cmp.Or(strings.TrimLeft(text, " ,，"), "Pipesteward"), err
}

// fields are the facts under the text; empty ones are left out of the message. custom says
// that the text is the rule's, which may lack the reason.
func fields(o event.Outcome, custom bool, terms words.Terms) []message.Field {
	attempt, reason := "", ""
	if custom {
		reason = o.Reason
	}
	if o.Job.Attempt > 1 {
		attempt = strconv.Itoa(o.Job.Attempt)
	}
	return []message.Field{
		{Name: terms.Rule, Value: o.Rule},
		{Name: terms.JobName, Value: o.Job.Name},
		{Name: terms.Stage, Value: o.Job.Stage},
		{Name: terms.Failure, Value: o.Job.FailureReason},
		{Name: terms.Attempt, Value: attempt},
		{Name: terms.Runner, Value: o.Job.Runner.Description},
		{Name: terms.Reason, Value: reason},
	}
}

// level is how a message about the outcome, or about the turn of a state, is marked. A rule
// that only notifies has done nothing that could be good or bad.
func level(o event.Outcome, turn string) message.Level {
	switch turn {
	case event.StateBegan:
		return message.Warning
	case event.StateResolved:
		return message.OK
	}
	switch o.Result {
	case event.ResultFailed, event.ResultGaveUp:
		return message.Error
	case event.ResultDeferred:
		return message.Warning
	case event.ResultRecovered:
		return message.OK
	case event.ResultDone:
		if o.Action.Verb != event.VerbNotify {
			return message.OK
		}
	}
	return ""
}

// announced are the emojis that announcements begin with, as levels.
var announced = map[string]message.Level{
	":zap:": message.Warning, ":warning:": message.Warning, ":sunny:": message.OK, ":white_check_mark:": message.OK,
}

// OfAnnouncement returns the message to a receiver with a text of mrkdwn.
func OfAnnouncement(key, text, receiver string, now time.Time) message.Message {
	m := message.Message{ID: key + ":" + receiver, At: now, Title: "Pipesteward"}
	if emoji, rest, ok := strings.Cut(text, " "); ok && announced[emoji] != "" {
		m.Level, text = announced[emoji], rest
	}
	m.Text = mrkdwn.Plain(text)
	return m
}
