package ledger

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// TurnKind is the kind of the queue's record that announces that the retries of a job have
// turned out not to be worth it, or to be so again.
const TurnKind = "pass_rate"

// Turn is the body of that record. The Event is that of the try that showed it.
type Turn struct {
	event.Event
	Rule   string    `json:"rule"`
	Class  string    `json:"class"`
	Shared bool      `json:"shared,omitzero"` // of all jobs that are counted together, not of the event's alone
	Low    bool      `json:"low"`             // not worth it
	Recent string    `json:"recent"`
	At     time.Time `json:"at"`
}

// turned returns the record that announces that the leaf which counts the try has turned.
func (t Try) turned(now leaf) ([]store.Record, error) {
	body, err := json.Marshal(Turn{Event: t.Event, Rule: now.Rule, Class: now.Class, Shared: now.Job == "", Low: now.Low, Recent: now.Recent, At: now.At})
	return []store.Record{{ID: keys.PassRateTurn(t.Meta.Instance, t.Job.ID), Kind: TurnKind, Body: body}}, err
}

// HandleTurn logs a turn, and announces it to those whom the rule notifies.
func (l *Ledger) HandleTurn(ctx context.Context, lease *worker.Lease, t Turn) error {
	block, message := "pass_rate_back", "retries of a job are made again: enough of them pass"
	if t.Low {
		block, message = "pass_rate_low", "retries of a job are skipped from now on, but for one in 20: too few of them pass"
	}
	job := mrkdwn.Link(t.Job.URL, t.Job.Name)
	if t.Shared {
		job = ""
	}
	passed := strings.Count(t.Recent, string(resultPassed))
	about := append(event.LogAttrs(t.Event), "rule", t.Rule, "class", t.Class)
	to, errs := l.Rules().Addresses(ctx, t.Rule, t.Event, l.Facts())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, err := range errs {
		l.Log.ErrorContext(ctx, "a channel could not be rendered: nobody is told there that the retries of a job have turned", append(about, "error", err)...)
	}
	for _, notice := range to {
		text, err := mrkdwn.Style.In(notice.Language).Say(block, struct {
			Rule, Class, Job, Project string
			Tries, Passed             int
		}{mrkdwn.Code(t.Rule), mrkdwn.Code(t.Class), job, mrkdwn.Escape(t.Project.Path), len(t.Recent), passed})
		if err != nil {
			return err
		}
		notice.Text, notice.Rules = text, []string{t.Rule}
		if err := l.Announcer.AnnounceOf(ctx, lease.ID(), t.Project, notice, t.At, about...); err != nil {
			return err
		}
	}
	if err := lease.Done(ctx); err != nil {
		return err
	}
	l.Log.WarnContext(ctx, message, append(about, "reason", tally(t.Recent))...)
	return nil
}
