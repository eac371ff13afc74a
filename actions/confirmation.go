package actions

import (
	"context"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/confirm"
	"github.com/pipesteward/pipesteward/actions/notify"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

// A decision that waits for its confirmation is checked again after a tenth of the time that
// it has waited, within these bounds: its job may not call for it any more. An answer makes
// it due at once.
const (
	minAskedCheck  = time.Second // while the question has not been posted
	maxAskedCheck  = time.Minute
	minAnswerCheck = time.Minute // after that
	maxAnswerCheck = 10 * time.Minute
)

// confirmed defers a play that a person must confirm until somebody has done so, and ends it
// if somebody rejects it or nobody answers in time. The question is posted once.
func (r *Runner) confirmed(ctx context.Context, a *attempt) (*verdict, error) {
	place := confirm.Place(a.Decision)
	switch {
	case a.Action.Confirm == "" || a.Called:
		return nil, nil
	case r.Own != Own{}:
		return skipped("a person must confirm it in %s, for which a CI job does not wait: `pipesteward serve` does", place), nil
	}
	switch claimed, err := r.Confirms.Claim(ctx, a.Decision); {
	case err != nil:
		return nil, err
	case !claimed && !a.Asked:
		return skipped("people are asked already whether it is to be played"), nil
	}
	if !a.Asked {
		if err := r.Confirms.Ask(ctx, a.Decision); err != nil {
			return nil, err
		}
		a.Asked = true
	}
	s, err := r.Confirms.State(ctx, a.Decision)
	a.answer = s.Answer
	switch {
	case err != nil:
		return nil, err
	case s.Answer.Confirmed:
		return nil, nil
	case s.Answer.Given():
		return a.notConfirmed(), nil
	case s.Dropped:
		return failed("the question in %s was dropped from the queue", place), nil
	case s.Asked.Error != "":
		return failed("nobody could be asked in %s: %s", place, s.Asked.Error), nil
	case s.Deadline.IsZero():
		return deferred(min(max(minAskedCheck, time.Duration(a.Waited)/10), maxAskedCheck), event.WaitConfirm, "people in "+place+" have not been asked yet"), nil
	}
	left := s.Deadline.Sub(r.Now())
	if left > 0 {
		check := min(max(minAnswerCheck, time.Duration(a.Waited)/10), maxAnswerCheck)
		return deferredBecause(min(left, check), event.WaitConfirm, fmt.Sprintf("a person must confirm it in %s until %s", place, s.Deadline.Format("2006-01-02 15:04 MST"))), nil
	}
	expired, ok, err := r.Confirms.Expire(ctx, a.Decision, a.Try)
	if err != nil {
		return nil, err
	}
	if !ok {
		return deferred(minAskedCheck, event.WaitConfirm, "the answer of a person is being stored"), nil
	}
	a.answer = expired
	return a.notConfirmed(), nil
}

// notConfirmed is the verdict on a decision that was rejected, or that nobody confirmed.
func (a *attempt) notConfirmed() *verdict {
	if a.answer.Expired {
		return skipped("nobody confirmed it in %s within %s", confirm.Place(a.Decision), event.Coarse(time.Duration(a.Action.ConfirmWithin)))
	}
	return skipped("rejected by %s", confirm.By(a.answer))
}

// closeQuestion names who has answered in the outcome of a decision that people were asked
// about, and has the question say what came of the decision.
func (r *Runner) closeQuestion(ctx context.Context, a *attempt, o *event.Outcome, c *store.Changes) (err error) {
	if !a.Asked {
		return nil
	}
	if !a.answer.Given() { // the attempt has not come that far
		if a.answer, err = r.Confirms.Answer(ctx, a.ID); err != nil {
			return err
		}
	}
	if err := r.Confirms.Release(ctx, a.Decision); err != nil {
		return err
	}
	edit, err := notify.QuestionRecord(*o, a.answer)
	if err != nil {
		return err
	}
	c.Next = append(c.Next, edit)
	o.By = a.answer.By
	switch {
	case !a.answer.Confirmed:
	case o.Reason == "":
		o.Reason = "confirmed by " + confirm.By(a.answer)
	default:
		o.Reason += "; confirmed by " + confirm.By(a.answer)
	}
	return nil
}
