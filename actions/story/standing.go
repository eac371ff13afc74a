package story

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Pauses are the pauses in force.
type Pauses interface {
	List(ctx context.Context) ([]event.Pause, error)
}

// standing is what awaits a decision that waits, as it is now.
type standing struct {
	dryRun bool
	gone   string        // why no rule wants it any more
	pauses []event.Pause // that stop it, and will when it is due
}

// readStanding reads what awaits the decisions that wait: the gate checks that only
// when they are due.
func (b *Builder) readStanding(ctx context.Context, m *material) (err error) {
	var pauses []event.Pause
	read := false
	for i := range m.decisions {
		d := &m.decisions[i]
		if !d.waits() || d.follows() != "" || d.Action.Verb == event.VerbNotify {
			continue
		}
		if !read {
			pauses, err = b.Pauses.List(ctx)
			read = true
		}
		validity := b.Rules().Validity(d.Decision)
		d.now = standing{dryRun: validity.DryRun || d.DryRun, gone: validity.Invalid}
		for _, p := range pauses {
			if p.Stops(d.Decision) && !p.Ended(d.Due) {
				d.now.pauses = append(d.now.pauses, p)
			}
		}
	}
	return err
}

// pauseView is the data of the block paused.
type pauseView struct {
	Scope, By     string
	Reason, Until string
	Open          bool // until somebody resumes
}

// paused describes the pauses that stop a decision; those of its last deferral are
// told already.
func (t *teller) paused(d *decision) string {
	var all []string
	for _, p := range d.now.pauses {
		if n := len(d.Deferrals); n > 0 && d.Deferrals[n-1].Reason == p.String() || t.err != nil {
			continue
		}
		v := pauseView{Scope: onOneLine(p.Scope()), By: onOneLine(p.By), Reason: onOneLine(p.Reason), Open: p.Until.IsZero()}
		if !v.Open {
			v.Until = clock(p.Until)
		}
		var text string
		text, t.err = t.in.Say("paused", v)
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// onOneLine returns a text of others on one line: a line of a note is a note.
func onOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// untold is why nobody, or one address not, has been notified of an outcome.
type untold struct {
	Rule    string
	By      string // the person who requested it; "": the Rule did
	To      string // the address; "": the texts are not rendered yet
	NoSlack bool   // there is no receiver
	Queued  bool   // it is tried again
	Reason  string // the last error, or why it was buried; "": none is known
	Next    string // when it is tried again
}

// maxUntold is how many notifications are looked for in the queue.
const maxUntold = 50

// readUntold reads why notifications of outcomes have not been sent.
func (b *Builder) readUntold(ctx context.Context, m *material) error {
	for i := range m.decisions {
		d := &m.decisions[i]
		if d.waits() {
			continue
		}
		if len(d.Notifications) == 0 && b.Rules().Notifies(d.Outcome) {
			if err := b.readOneUntold(ctx, m, untold{Rule: d.Rule, By: requester(d), NoSlack: !b.Receives}, keys.Outcome(d.ID)); err != nil {
				return err
			}
		}
		for _, n := range d.Notifications {
			if n.Result != event.NotificationWaiting {
				continue
			}
			if err := b.readOneUntold(ctx, m, untold{Rule: d.Rule, By: requester(d), To: onOneLine(n.String())}, keys.Notice(d.ID, n.Receiver, n.Channel, n.Subject)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readOneUntold reads why a notification has not been sent, by the id of its record.
func (b *Builder) readOneUntold(ctx context.Context, m *material, u untold, id string) error {
	if len(m.untold) == maxUntold {
		return fmt.Errorf("only the first %d notifications were looked for", maxUntold)
	}
	if !u.NoSlack {
		record, dead, err := b.Store.Find(ctx, id)
		switch {
		case err != nil:
			return err
		case dead != nil:
			u.Reason = onOneLine(dead.Reason)
		case record != nil:
			var body struct {
				Waits   event.Wait `json:"waits"`
				Blocked struct {
					Next time.Time `json:"next"`
				} `json:"blocked"`
			}
			_ = json.Unmarshal(record.Body, &body) // else it says nothing
			next := record.Next()
			if body.Blocked.Next.After(next) { // it comes due before only to see whether another one was sent
				next = body.Blocked.Next
			}
			u.Queued, u.Reason, u.Next = true, onOneLine(body.Waits.Reason), clock(next)
		}
	}
	if !slices.Contains(m.untold, u) {
		m.untold = append(m.untold, u)
	}
	return nil
}
