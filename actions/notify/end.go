package notify

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/notify/digest"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A receiver that can't edit its messages, an Ender, is sent one message at the end of a
// pipeline in place of one for each outcome: a digest that waits for that end, as its events
// report it.
//
//	notice ─► gathered in the pipeline's digest ─► has the pipeline ended? ─► one message
//	                                                      │      ▲
//	                                                      └──────┘ after each interval, for an hour
//
// What a person must do something about is sent at once, and once more as a line of that
// message. Where too many pipelines end at the same time, their notices are left to the digest
// of the address: see gather.go.

const (
	// unended is how long after the last outcome a digest waits for an end that is not reported.
	unended = time.Hour
	// endKept is how long it is stored that a pipeline has ended: longer than a digest waits.
	endKept = 24 * time.Hour
)

// EndOf is what a digest at the end of a pipeline is about.
type EndOf struct {
	Event      event.Event `json:"event"`  // has only what is the same for the whole pipeline
	Number     int         `json:"number"` // of digests before, of the same pipeline
	Group      event.Group `json:"group"`
	QuietUntil time.Time   `json:"quiet_until,omitzero"` // the end of the quiet hours that it waited for
}

// pipelineEnd is how and when a pipeline ended, in the store.
type pipelineEnd struct {
	Status   string   `json:"status"`
	Position position `json:"position"`
}

// endsAfter reports whether the end is later than an outcome.
func (end pipelineEnd) endsAfter(a digest.After) bool {
	p := end.Position
	return p.Job >= a.Job && !p.At.Before(a.At) && !p.Seen.Before(a.Started)
}

// endAfterOf returns which ends of its pipeline are later than an outcome.
func endAfterOf(o event.Outcome) digest.After {
	a := digest.After{Job: o.NewJobID, At: positionOf(o.Event).At}
	if o.Bridge { // no event of a pipeline has it
		a.Job = 0
	}
	switch o.Action.Verb {
	case event.VerbRetry, event.VerbPlay, event.VerbRetryPipeline:
		if o.Result == event.ResultDone {
			a.Started = o.At
		}
	}
	return a
}

// ender reports whether a receiver is sent one message at the end of a pipeline.
func (n *Notifier) ender(to event.Address) bool {
	r, is := n.Receivers(to.Receiver).(Ender)
	return is && r.AtEnd()
}

// needsPerson reports whether people must do something about an outcome.
func needsPerson(o event.Outcome) bool {
	return o.Result == event.ResultFailed || o.Result == event.ResultGaveUp
}

// hasLine reports whether a notice has a line in the message at the end of its pipeline. A rule
// that only notifies is an alert, the pipelines of schedules ended long ago.
func (n *Notifier) hasLine(rec NoticeRecord) bool {
	return rec.Pipeline.ID != 0 && rec.Action.Verb != event.VerbNotify && rec.Meta.Kind != event.KindSchedule && rec.Notice.Group.Burst > 0 && !n.Immediate && n.ender(rec.Notice.Address)
}

// atEnd reports whether a notice waits for the message at the end of its pipeline.
func (n *Notifier) atEnd(rec NoticeRecord) bool { return n.hasLine(rec) && !needsPerson(rec.Outcome) }

// Ended returns the values which say that the event's pipeline has ended, if that matters.
func (n *Notifier) Ended(ctx context.Context, e event.Event) ([]store.Value, error) {
	if e.Meta.Kind != event.KindPipeline || !event.Ended(e.Pipeline.Status) || len(n.Rules().AtEnd()) == 0 {
		return nil, nil
	}
	end := pipelineEnd{Status: e.Pipeline.Status, Position: positionOf(e)}
	last, err := n.lastEnd(ctx, e)
	if err != nil || last != nil && end.Position.before(last.Position) {
		return nil, err
	}
	body, err := json.Marshal(end)
	return []store.Value{{Key: keys.PipelineEnded(e.Meta.Instance, e.Pipeline.ID), Value: body, TTL: endKept}}, err
}

// lastEnd returns the last end of the event's pipeline; nil: none is known.
func (n *Notifier) lastEnd(ctx context.Context, e event.Event) (*pipelineEnd, error) {
	value, err := n.Guard.Get(ctx, keys.PipelineEnded(e.Meta.Instance, e.Pipeline.ID))
	if err != nil || value == nil {
		return nil, err
	}
	end := &pipelineEnd{}
	return end, json.Unmarshal(value, end)
}

// endsKey is the key of the number of digests at the end of an event's pipeline, and identifies
// their messages.
func endsKey(to event.Address, e event.Event) string {
	return keys.Ends(to.Receiver, e.Meta.Instance, e.Pipeline.ID)
}

// gathersEnd returns the digest at the end of a notice's pipeline that gathers now.
func (n *Notifier) gathersEnd(ctx context.Context, rec NoticeRecord) (id string, number int, err error) {
	value, err := n.Guard.Get(ctx, endsKey(rec.Notice.Address, rec.Event))
	if err == nil && value != nil {
		number, err = strconv.Atoi(string(value))
	}
	return keys.End(rec.Notice.Receiver, rec.Meta.Instance, rec.Pipeline.ID, number), number, err
}

// gatherAtEnd adds a notice to the digest at the end of its pipeline.
func (n *Notifier) gatherAtEnd(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	id, number, err := n.gathersEnd(ctx, rec)
	if err != nil {
		return err
	}
	about := event.Event{Meta: event.Meta{Instance: rec.Meta.Instance}, Project: rec.Project, Pipeline: rec.Pipeline, MergeRequest: rec.MergeRequest}
	about.Pipeline.Jobs, about.Pipeline.Variables = nil, nil
	interval := rec.Notice.Group.Interval
	return n.gatherIn(ctx, l, rec, id, DigestRecord{
		Address: rec.Notice.Address, Language: rec.Notice.Language, Interval: interval, Began: n.Now().UTC(), Waits: event.Wait{For: event.WaitDigest, Reason: "the end of the pipeline"},
		End: &EndOf{Event: about, Number: number, Group: rec.Notice.Group},
	}, time.Duration(interval), "the message at the end of its pipeline")
}

// itemOf returns what a digest says of a notice.
func itemOf(rec NoticeRecord) digest.Item {
	i := digest.Of(rec.Outcome, rec.Notice)
	i.After = endAfterOf(rec.Outcome)
	return i
}

// addLine adds a notice that is sent at once to the message at the end of its pipeline.
func (n *Notifier) addLine(ctx context.Context, l *worker.Lease, rec NoticeRecord) error {
	if !n.hasLine(rec) || !needsPerson(rec.Outcome) {
		return nil
	}
	id, _, err := n.gathersEnd(ctx, rec)
	if err != nil {
		return err
	}
	i := itemOf(rec)
	i.AtOnce = true
	return n.addItem(ctx, id, l.ID(), i)
}

// inEnds reports whether an outcome counts in the messages at the end of its pipeline though
// no rule notifies of it: a person requested it, and the newest outcome of each job is said.
func (n *Notifier) inEnds(o event.Outcome) bool {
	return o.Requested() && o.Pipeline.ID != 0 && o.Result != event.ResultSkipped && o.Result != event.ResultDeferred && !n.Immediate && len(n.Rules().AtEnd()) > 0
}

// addRequested adds an outcome that a person requested to the messages at the end of its
// pipeline, for the lines that these have of its job.
func (n *Notifier) addRequested(ctx context.Context, l *worker.Lease, o event.Outcome) error {
	if !n.inEnds(o) {
		return nil
	}
	for _, notice := range n.Rules().AtEnd() {
		if !n.ender(notice.Address) {
			continue
		}
		rec := NoticeRecord{Outcome: o, Notice: n.fromTemplates(ctx, o, notice)}
		id, _, err := n.gathersEnd(ctx, rec)
		if err != nil {
			return err
		}
		i := itemOf(rec)
		i.AtOnce, i.Requested = true, true
		if err := n.addItem(ctx, id, l.ID(), i); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// handleEnd has a digest sent when its pipeline has ended. If the address has too many
// messages, its notices are left to be gathered anew.
func (n *Notifier) handleEnd(ctx context.Context, l *worker.Lease, rec DigestRecord) error {
	items, all, err := n.items(ctx, l.ID())
	if err != nil {
		return err
	}
	ids, quiet := waiting(items, all)
	end, waits, err := n.endOf(ctx, rec, items)
	switch {
	case err != nil:
		return err
	case len(ids) > 0 && waits:
		return n.digestWaits(ctx, l, rec, event.WaitDigest, "the end of the pipeline", time.Duration(rec.Interval))
	}
	key := endsKey(rec.Address, rec.End.Event)
	if until := n.quietUntil(quiet); len(ids) > 0 && !until.IsZero() {
		if err := n.countQuiet(ctx, rec.Address, until, key); err != nil {
			return err
		}
		rec.End.QuietUntil = until.UTC()
		return n.digestWaits(ctx, l, rec, event.WaitQuiet, "the end of the quiet hours", until.Sub(n.Now()))
	}
	if items, all, err = n.unmuted(ctx, rec.Address, items, all); err != nil {
		return err
	}
	ids, _ = waiting(items, all)
	c := store.Changes{Values: []store.Value{{Key: key, Value: []byte(strconv.Itoa(rec.End.Number + 1)), TTL: gatheredFor}}}
	if len(ids) > 0 {
		many, err := n.many(ctx, rec.Address, rec.End.Group, key, rec.End.QuietUntil, false)
		if err != nil {
			return err
		}
		if !many {
			message, err := n.endMessage(ctx, l.ID(), rec, end, items, ids)
			if err != nil {
				return err
			}
			next, err := message.queued()
			if err != nil {
				return err
			}
			c.Next = []store.Record{next}
		}
	}
	return l.DoneWith(ctx, c)
}

// digestWaits has a digest wait for a time.
func (*Notifier) digestWaits(ctx context.Context, l *worker.Lease, rec DigestRecord, what, reason string, after time.Duration) error {
	rec.Waits = event.Wait{For: what, Reason: reason}
	if err := l.Keep(rec); err != nil {
		return err
	}
	return l.Defer(ctx, after)
}

// waiting returns the ids of the notices that the digest is sent for, not those that were sent
// by themselves, and its quiet hours: none if it has a notice without.
func waiting(items []digest.Item, ids []string) (left []string, quiet event.Quiet) {
	for i, id := range ids {
		if items[i].AtOnce {
			continue
		}
		if len(left) == 0 || items[i].Quiet.From == "" {
			quiet = items[i].Quiet
		}
		left = append(left, id)
	}
	return left, quiet
}

// endOf returns the end of a digest's pipeline, nil while none is known that is later than all
// outcomes, and whether the digest waits for it.
func (n *Notifier) endOf(ctx context.Context, rec DigestRecord, items []digest.Item) (end *pipelineEnd, waits bool, err error) {
	if end, err = n.lastEnd(ctx, rec.End.Event); err != nil {
		return nil, false, err
	}
	newest := rec.Began
	for _, i := range items {
		if end != nil && !end.endsAfter(i.After) {
			end = nil
		}
		if i.At.After(newest) {
			newest = i.At
		}
	}
	return end, end == nil && n.Now().Sub(newest) < unended, nil
}

// endMessage returns the message at the end of a pipeline.
func (n *Notifier) endMessage(ctx context.Context, id string, rec DigestRecord, end *pipelineEnd, items []digest.Item, ids []string) (NoticeRecord, error) {
	message := NoticeRecord{Announcement: id, Notice: event.Notice{Address: rec.Address, Language: rec.Language}, Of: ids}
	message.Event, message.ID, message.At, message.Result = rec.End.Event, id, n.Now().UTC(), event.ResultSkipped
	status := ""
	if end != nil {
		status = end.Status
		message.Pipeline.Status = status
	}
	switch status { // for the mark of the message
	case "failed":
		message.Result = event.ResultFailed
	case "success":
		message.Result = event.ResultRecovered
	}
	for _, i := range items {
		if i.AtOnce {
			continue // they were mentioned
		}
		for _, m := range i.Mention {
			if !slices.Contains(message.Notice.Mention, m) {
				message.Notice.Mention = append(message.Notice.Mention, m)
			}
		}
	}
	text, err := digest.EndText(status, items, mrkdwn.Style.In(rec.Language))
	message.Notice.Text = text
	about := message.Outcome
	about.Result = "" // the message is of no single outcome
	message.Notice = n.fromTemplates(ctx, about, message.Notice)
	return message, errors.Join(err, ctx.Err())
}
