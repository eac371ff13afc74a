package confirm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A decision that waits for its confirmation is checked again after a tenth of the time that
// it has waited, within these bounds: its job may not call for it any more. An answer makes
// it due at once.
const (
	minAskedCheck  = time.Second // while the question has not been posted
	maxAskedCheck  = time.Minute
	minAnswerCheck = time.Minute // after that
	maxAnswerCheck = 10 * time.Minute
	// claimFor is the time to live of a decision's claim on its job: longer than the time
	// between two checks.
	claimFor = time.Hour
)

// Progress is how far the question of a decision is: part of its record.
type Progress struct {
	// Questioned says that the question was queued.
	Questioned bool         `json:"questioned,omitzero"`
	answer     event.Answer // as the last check has found it
}

// Check is the result of a check of a decision: it is confirmed, or it waits or ends.
type Check struct {
	Confirmed bool
	By        event.Requester // who confirmed it; zero: nobody must
	Result    string          // deferred, skipped or failed
	Reason    string          // for people; of one that waits: "" where nobody is notified
	Wait      time.Duration   // until the next check of one that waits
	Waits     event.Wait      // what it waits for
}

func skipped(format string, args ...any) Check {
	return Check{Result: event.ResultSkipped, Reason: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) Check {
	return Check{Result: event.ResultFailed, Reason: fmt.Sprintf(format, args...)}
}

func deferred(wait time.Duration, format string, args ...any) Check {
	return Check{Result: event.ResultDeferred, Wait: wait, Waits: event.Wait{For: event.WaitConfirm, Reason: fmt.Sprintf(format, args...)}}
}

// Check has the question of a decision posted, and checks what came of it; a decision that
// nobody must confirm is confirmed. waited is how long the decision has waited, and try how
// often it has failed before.
func (c *Confirmer) Check(ctx context.Context, d event.Decision, try int, waited time.Duration, p *Progress) (Check, error) {
	switch {
	case d.Action.Confirm == "":
		return Check{Confirmed: true}, nil
	case c.Unattended:
		return skipped("a person must confirm it in %s, for which a CI job does not wait: `pipesteward serve` does", Place(d)), nil
	}
	if !p.Questioned {
		if before, err := c.rejection(ctx, d); err != nil || before.Given() {
			return answered(d, before), err
		}
	}
	alone, err := c.Guard.Claim(ctx, claimOf(d), d.ID, claimFor)
	switch {
	case err != nil:
		return Check{}, err
	case !alone && !p.Questioned: // events of the same pipeline may want the same job played
		return skipped("people are asked already whether it is to be played"), nil
	}
	if !p.Questioned {
		record, err := question(event.Outcome{Decision: d, At: c.Now().UTC()}, event.Answer{})
		if err != nil {
			return Check{}, err
		}
		if _, err := c.Queue.Put(ctx, record); err != nil {
			return Check{}, err
		}
		p.Questioned = true
	}
	if p.answer, err = c.answer(ctx, d.ID); err != nil || p.answer.Given() {
		return answered(d, p.answer), err
	}
	asked, dropped, err := c.posted(ctx, d)
	switch {
	case err != nil:
		return Check{}, err
	case dropped:
		return failed("the question in %s was dropped from the queue", Place(d)), nil
	case asked.Error != "":
		return failed("nobody could be asked in %s: %s", Place(d), asked.Error), nil
	case asked.At.IsZero():
		return deferred(min(max(minAskedCheck, waited/10), maxAskedCheck), "people in %s have not been asked yet", Place(d)), nil
	}
	end := deadline(d, asked)
	if left := end.Sub(c.Now()); left > 0 {
		check := deferred(min(max(minAnswerCheck, waited/10), maxAnswerCheck, left), "a person must confirm it in %s until %s", Place(d), end.Format("2006-01-02 15:04 MST"))
		check.Reason = check.Waits.Reason
		return check, nil
	}
	pressed, err := c.pressed(ctx, d, end)
	switch {
	case err != nil:
		return Check{}, err
	case pressed:
		return deferred(min(max(minAskedCheck, c.Now().Sub(end)/10), maxAskedCheck), "the answer of a person waits in the queue"), nil
	}
	expired := event.Answer{Expired: true, At: end}
	first, err := c.put(ctx, Record{Decision: d, Try: try, Answer: expired})
	switch {
	case err != nil:
		return Check{}, err
	case first.Answer.Given() && !first.Answer.Expired: // in time: it is stored soon
		return deferred(minAskedCheck, "the answer of a person is being stored"), nil
	}
	p.answer = expired
	return answered(d, p.answer), nil
}

// answered is the check of a decision by its answer.
func answered(d event.Decision, a event.Answer) Check {
	switch {
	case a.Expired:
		return skipped("nobody confirmed it in %s within %s", Place(d), event.Coarse(time.Duration(d.Action.ConfirmWithin)))
	case a.Confirmed:
		return Check{Confirmed: true, By: a.By}
	}
	return skipped("rejected by %s", by(a))
}

// posted returns what became of the question of a decision; zero: it is in the queue. dropped
// says that a person has dropped it from there.
func (c *Confirmer) posted(ctx context.Context, d event.Decision) (asked event.Asked, dropped bool, err error) {
	if asked, err = c.asked(ctx, d.ID); err != nil || asked != (event.Asked{}) {
		return asked, false, err
	}
	queued, err := c.Queue.Queued(ctx, recordID(d, subjectAsked))
	if err != nil || queued {
		return asked, false, err
	}
	asked, err = c.asked(ctx, d.ID) // it may have been posted meanwhile
	return asked, asked == (event.Asked{}), err
}

// Bounds of the search of the queue, which has the records in the order in which they come
// due: a request that is tried again does so within maxRequestWait. Of a queue in which more
// than maxSearched records come before it, the end of the time is recorded first.
const (
	maxRequestWait = 30 * time.Minute
	maxSearched    = 10_000
	searchPage     = 1000
)

// answers reports whether a request is that of a button of the question of a decision.
func answers(r chatops.Request, d event.Decision) bool {
	return r.Button != nil && r.Button.Of == d.ID && (r.Button.Does == chatops.ButtonConfirm || r.Button.Does == chatops.ButtonReject)
}

// pressed reports whether the queue has a press of a button of the question of a decision
// that came in before end.
func (c *Confirmer) pressed(ctx context.Context, d event.Decision, end time.Time) (bool, error) {
	for cursor, searched := "", 0; searched < maxSearched; {
		page, next, err := c.Queue.Records(ctx, cursor, searchPage)
		if err != nil {
			return false, err
		}
		for _, queued := range page {
			if queued.Next().Sub(c.Now()) > maxRequestWait {
				return false, nil
			}
			if queued.Kind != chatops.RecordKind {
				continue
			}
			var r chatops.Request
			if err := json.Unmarshal(queued.Body, &r); err != nil {
				continue // its worker says so
			}
			if answers(r, d) && !r.ReceivedAt.After(end) {
				return true, nil
			}
		}
		if searched += len(page); next == "" {
			return false, nil
		}
		cursor = next
	}
	return false, nil
}

// End names in the outcome of a decision who has answered, and adds to the changes that its
// question says what came of it.
func (c *Confirmer) End(ctx context.Context, o *event.Outcome, p Progress, changes *store.Changes) (err error) {
	if o.Action.Confirm == "" {
		return nil
	}
	o.By = event.Requester{} // a decision that is made again must be confirmed again
	if !p.Questioned {
		return nil
	}
	if !p.answer.Given() { // the last attempt has not come so far as to check it
		if p.answer, err = c.answer(ctx, o.ID); err != nil {
			return err
		}
	}
	if err := c.Guard.Release(ctx, claimOf(o.Decision), o.ID); err != nil {
		return err
	}
	edit, err := question(*o, p.answer)
	changes.Next = append(changes.Next, edit)
	o.By = p.answer.By
	switch {
	case !p.answer.Confirmed:
	case o.Reason == "":
		o.Reason = "confirmed by " + by(p.answer)
	default:
		o.Reason += "; confirmed by " + by(p.answer)
	}
	return err
}

// InDryRun says what a dry run of a decision leaves out; "" if nobody must confirm it.
func InDryRun(d event.Decision) string {
	if d.Action.Confirm == "" {
		return ""
	}
	return "after somebody has confirmed it in " + Place(d)
}

func claimOf(d event.Decision) string { return keys.Confirm(d.Meta.Instance, d.Project.ID, d.Job.ID) }
