package confirm

import (
	"encoding/json"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Subjects of the notices about a question.
const (
	subjectAsked    = "question"
	subjectAnswered = "question:answered"
	subjectOver     = "question:over"
)

// question returns the record of the notice that posts the question of the decision of o.
// If there is an answer, or if o has a result, the notice edits the question.
func question(o event.Outcome, answer event.Answer) (store.Record, error) {
	to := event.Address{Receiver: event.ReceiverSlack, Channel: o.Action.Confirm}
	rec := notify.NoticeRecord{Outcome: o, Notice: event.Notice{Address: to, Subject: subjectAsked}, Question: &notify.Question{Answer: answer}}
	switch {
	case o.Result != "":
		rec.Notice.Subject = subjectOver
	case answer.Given():
		rec.Notice.Subject = subjectAnswered
	}
	if rec.Notice.Subject != subjectAsked {
		rec.After = recordID(o.Decision, subjectAsked)
	}
	body, err := json.Marshal(rec)
	return store.Record{ID: recordID(o.Decision, rec.Notice.Subject), Kind: event.RecordNotice, Body: body}, err
}

// recordID is the id of the record of a notice about the question of a decision.
func recordID(d event.Decision, subject string) string {
	return keys.Notice(d.ID, event.ReceiverSlack, d.Action.Confirm, subject)
}
