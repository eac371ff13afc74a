// Package confirm has a person confirm a decision in Slack before it is carried out.
//
//	decision ─► question queued ─► posted: the time begins ─► waits ─► carried out, or skipped
//	                                                           ▲
//	           button ─► the first answer is queued ─► stored ─┘ the decision is due
//
// The question is a notice (package notify), which is posted once. The first answer is a
// record with an id of its own, which no second one can have; so is the end of the time.
// Its handler stores the answer and makes the decision due; then all guards check the
// decision again. What became of the question is edited into its message: when somebody
// has answered, and when the decision ends. A rejection holds for the job, by its name, in that
// pipeline: nobody is asked again for the rule.
package confirm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// RecordKind names the queue records of answers.
const RecordKind = "answer"

// keepFor is how long answers are kept: as long as decisions are in the journal.
const keepFor = store.DefaultJournalTTL

// leasedRetry is how long an answer waits while a worker has the decision leased.
const leasedRetry = time.Second

// Queue is the part of the store's queue that a Confirmer uses.
type Queue interface {
	notify.Queue
	Hasten(ctx context.Context, id string) error
	Find(ctx context.Context, id string) (*store.QueuedRecord, *store.DeadRecord, error)
	Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error)
}

// Guard is the state that replicas share.
type Guard interface {
	store.Claimer
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Journal is the list of decisions and their outcomes.
type Journal interface {
	Entry(ctx context.Context, id string) (*store.Entry, error)
}

// Confirmer asks questions, and takes their answers. All fields but Unattended are required.
// It is safe for concurrent use.
type Confirmer struct {
	Queue   Queue
	Guard   Guard
	Journal Journal
	// Unattended says that the process ends before people answer: nobody is asked.
	Unattended bool
	Now        func() time.Time
	Log        *slog.Logger
}

// Record is the body of the record of an answer.
type Record struct {
	event.Decision
	// Try is how often the decision has failed before: its id has that.
	Try     int          `json:"try,omitzero"`
	Answer  event.Answer `json:"answer"`
	Request string       `json:"request,omitzero"` // the id of the request that gave the answer
}

func deadline(d event.Decision, asked event.Asked) time.Time {
	return asked.At.Add(time.Duration(d.Action.ConfirmWithin)).UTC()
}

func (c *Confirmer) asked(ctx context.Context, decision string) (asked event.Asked, err error) {
	return asked, c.read(ctx, keys.Asked(decision), &asked)
}

// rejectionOf returns the key of the rejection that holds for a decision. Another job of its
// pipeline may pass later and have the same decided again: its key has the newest job.
func rejectionOf(d event.Decision) string {
	return keys.Rejected(d.Meta.Instance, d.Project.ID, d.Pipeline.ID, d.Rule, d.Job.Name)
}

// rejection returns the answer that rejected the same play before; zero: nobody did.
func (c *Confirmer) rejection(ctx context.Context, d event.Decision) (answer event.Answer, err error) {
	return answer, c.read(ctx, rejectionOf(d), &answer)
}

// answer returns the answer to the question of a decision; zero while there is none.
func (c *Confirmer) answer(ctx context.Context, decision string) (answer event.Answer, err error) {
	return answer, c.read(ctx, keys.Answer(decision), &answer)
}

// read reads a value, if there is one.
func (c *Confirmer) read(ctx context.Context, key string, to any) error {
	value, err := c.Guard.Get(ctx, key)
	if err != nil || value == nil {
		return err
	}
	if err := json.Unmarshal(value, to); err != nil {
		return fmt.Errorf("%s can't be read: %w", key, err)
	}
	return nil
}

// put queues an answer unless there is one, and returns the first one; a zero one if a
// person has dropped that from the queue.
func (c *Confirmer) put(ctx context.Context, rec Record) (first Record, err error) {
	body, err := json.Marshal(rec)
	if err != nil {
		return first, err
	}
	id := keys.Answer(rec.ID)
	added, err := c.Queue.Put(ctx, store.Record{ID: id, Kind: RecordKind, Body: body})
	if err != nil || added[0] {
		return rec, err
	}
	queued, dead, err := c.Queue.Find(ctx, id)
	switch {
	case err != nil:
		return first, err
	case queued != nil:
		return first, json.Unmarshal(queued.Body, &first)
	case dead != nil:
		return first, json.Unmarshal(dead.Body, &first)
	}
	return first, c.read(ctx, keys.Answer(rec.ID), &first.Answer)
}

// Handle stores an answer and makes its decision due. It returns an error while a later
// call can succeed.
func (c *Confirmer) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	value, err := json.Marshal(rec.Answer)
	if err != nil {
		return err
	}
	if !rec.Answer.Confirmed && !rec.Answer.Expired { // first: whoever sees the answer asks nobody again
		if err := c.Guard.Set(ctx, rejectionOf(rec.Decision), value, keepFor); err != nil {
			return err
		}
	}
	if err := c.Guard.Set(ctx, keys.Answer(rec.ID), value, keepFor); err != nil {
		return err
	}
	if rec.Answer.Expired {
		return l.Done(ctx)
	}
	err = c.Queue.Hasten(ctx, keys.Decision(rec.Key, rec.Try))
	switch {
	case errors.Is(err, store.ErrLeased): // its worker may not have seen the answer
		return &worker.LaterError{Err: err, After: leasedRetry}
	case err != nil && !errors.Is(err, store.ErrNotFound): // it has ended
		return err
	}
	edit, err := question(event.Outcome{Decision: rec.Decision, At: rec.Answer.At}, rec.Answer)
	if err != nil {
		return err
	}
	return l.Done(ctx, edit)
}

// Place names the channel of a decision's question, for people.
func Place(d event.Decision) string {
	if d.Action.Confirm == event.ChannelAuthor {
		return "a direct message to the author of the commit"
	}
	return d.Action.Confirm
}

// by names the person who has answered, as in: Ada in Slack.
func by(a event.Answer) string { return cmp.Or(a.By.Name, a.By.UserID) + " in Slack" }
