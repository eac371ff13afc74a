package confirm

import (
	"context"
	"fmt"
	"time"

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

// Check is the result of a check of a decision: it is confirmed, waits, or ends.
type Check struct {
	Confirmed bool
	Wait      time.Duration // until the next check; 0: it does not wait
	Asked     bool          // people have been asked
	Failed    bool          // of one that ends: nobody could be asked; else it is skipped
	Reason    string        // why it waits or ends, for people
}

func waits(waited, least, most time.Duration, reason string) Check {
	return Check{Wait: min(max(least, waited/10), most), Reason: reason}
}

// Check has the question of a decision posted, and checks what came of it. waited is how
// long the decision has waited, and try how often it has failed before.
func (c *Confirmer) Check(ctx context.Context, d event.Decision, try int, waited time.Duration, p *Progress) (Check, error) {
	alone, err := c.Guard.Claim(ctx, claimOf(d), d.ID, claimFor)
	switch {
	case err != nil:
		return Check{}, err
	case !alone && !p.Questioned: // events of the same pipeline may want the same job played
		return Check{Reason: "people are asked already whether it is to be played"}, nil
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
		return Check{Failed: true, Reason: "the question in " + Place(d) + " was dropped from the queue"}, nil
	case asked.Error != "":
		return Check{Failed: true, Reason: "nobody could be asked in " + Place(d) + ": " + asked.Error}, nil
	case asked.At.IsZero():
		return waits(waited, minAskedCheck, maxAskedCheck, "people in "+Place(d)+" have not been asked yet"), nil
	}
	end := deadline(d, asked)
	if left := end.Sub(c.Now()); left > 0 {
		check := waits(waited, minAnswerCheck, maxAnswerCheck, fmt.Sprintf("a person must confirm it in %s until %s", Place(d), end.Format("2006-01-02 15:04 MST")))
		check.Wait, check.Asked = min(check.Wait, left), true
		return check, nil
	}
	first, err := c.put(ctx, Record{Decision: d, Try: try, Answer: event.Answer{Expired: true, At: c.Now().UTC()}})
	switch {
	case err != nil:
		return Check{}, err
	case first.Answer.Given() && !first.Answer.Expired: // in time: it is stored soon
		return waits(0, minAskedCheck, maxAskedCheck, "the answer of a person is being stored"), nil
	}
	p.answer = event.Answer{Expired: true}
	return answered(d, p.answer), nil
}

// answered is the check of a decision by its answer.
func answered(d event.Decision, a event.Answer) Check {
	switch {
	case a.Expired:
		return Check{Reason: fmt.Sprintf("nobody confirmed it in %s within %s", Place(d), event.Coarse(time.Duration(d.Action.ConfirmWithin)))}
	case a.Confirmed:
		return Check{Confirmed: true}
	}
	return Check{Reason: "rejected by " + by(a)}
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

// End names in the outcome of a decision who has answered, and returns the record that has
// its question say what came of it; none if nobody was asked.
func (c *Confirmer) End(ctx context.Context, o *event.Outcome, p Progress) ([]store.Record, error) {
	if !p.Questioned {
		return nil, nil
	}
	var err error
	if !p.answer.Given() { // the last attempt has not come so far as to check it
		if p.answer, err = c.answer(ctx, o.ID); err != nil {
			return nil, err
		}
	}
	if err := c.Guard.Release(ctx, claimOf(o.Decision), o.ID); err != nil {
		return nil, err
	}
	edit, err := question(*o, p.answer)
	o.By = p.answer.By
	switch {
	case !p.answer.Confirmed:
	case o.Reason == "":
		o.Reason = "confirmed by " + by(p.answer)
	default:
		o.Reason += "; confirmed by " + by(p.answer)
	}
	return []store.Record{edit}, err
}

func claimOf(d event.Decision) string { return keys.Confirm(d.Meta.Instance, d.Project.ID, d.Job.ID) }
