package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Asker is a Receiver that asks people whether a decision is to be carried out.
type Asker interface {
	// Ask posts the question of the decision of o while o has no result and there is no
	// answer; else it edits the question, which then says so, if it was posted. It returns
	// when that was. A repetition changes nothing.
	Ask(ctx context.Context, o event.Outcome, answer event.Answer) (posted time.Time, err error)
}

// Question is what a notice has that asks whether its decision is to be carried out, or
// that says what became of that question.
type Question struct {
	Answer event.Answer `json:"answer,omitzero"`
	Posted time.Time    `json:"posted,omitzero"`
}

// askedFor is how long it is kept when a question was posted: as long as decisions are in
// the journal.
const askedFor = store.DefaultJournalTTL

// posts reports whether the notice posts its question, and does not edit it.
func (rec NoticeRecord) posts() bool { return rec.Result == "" && !rec.Question.Answer.Given() }

// attemptQuestion takes the steps of a notice of a question. It waits as others do, but
// neither for the end of quiet hours nor in digests, and nobody can mute it: people wait for
// the answer. One that has not been posted when its decision ends is not posted any more.
func (n *Notifier) attemptQuestion(ctx context.Context, l *worker.Lease, rec *NoticeRecord) (*event.Notification, error) {
	if !l.EnterSlowLane() {
		return nil, errBusy
	}
	if err := n.inTurn(ctx, l, *rec); err != nil {
		return nil, err
	}
	if rec.posts() {
		over, err := n.isOver(ctx, rec.Decision)
		if err != nil {
			return nil, err
		}
		if over {
			return n.endedAs(*rec, event.NotificationFailed, "the decision has ended"), nil
		}
	}
	return n.sendOrWait(ctx, l, rec)
}

// isOver reports whether the journal has the result of a decision.
func (n *Notifier) isOver(ctx context.Context, d event.Decision) (bool, error) {
	entry, err := n.Journal.Entry(ctx, d.ID)
	if err != nil || entry == nil {
		return false, err
	}
	var o event.Outcome
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	return o.Result != "" && o.Result != event.ResultDeferred, nil
}

// ask has a receiver post or edit the question.
func (rec NoticeRecord) ask(ctx context.Context, receiver Receiver) (err error) {
	asker, can := receiver.(Asker)
	if !can {
		return &noReceiverError{"nobody can be asked there"}
	}
	rec.Question.Posted, err = asker.Ask(ctx, rec.Outcome, rec.Question.Answer)
	return err
}

// ofQuestion returns the value that says when the question was posted.
func (rec NoticeRecord) ofQuestion() ([]store.Value, error) {
	if !rec.posts() {
		return nil, nil
	}
	body, err := json.Marshal(event.Asked{At: rec.Question.Posted, Error: rec.Ended.Error})
	return []store.Value{{Key: keys.Asked(rec.ID), Value: body, TTL: askedFor}}, err
}
