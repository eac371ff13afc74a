package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// remembered is how long the store keeps who requested something first.
	remembered = 7 * 24 * time.Hour
	// firstLook is after which time the outcome of a decision is looked for.
	firstLook = time.Second
	// maxTries is how often a request is compared with those of others that come meanwhile.
	maxTries = 5
)

// ofPipeline reports whether a button is about a whole pipeline: the decision of the message
// was.
func ofPipeline(b chatops.Button, o event.Outcome) bool {
	return b.Job == 0 && event.OfPipeline(o.Action.Verb)
}

// actionOf returns the action of a button.
func actionOf(b chatops.Button, o event.Outcome) (event.Action, error) {
	pipeline := ofPipeline(b, o)
	switch {
	case b.Does == chatops.ButtonRetry && pipeline:
		return event.Action{Verb: event.VerbRetryPipeline}, nil
	case b.Does == chatops.ButtonCancel && pipeline:
		return event.Action{Verb: event.VerbCancelPipeline}, nil
	case o.Job.ID == 0:
	case b.Does == chatops.ButtonRetry:
		return event.Action{Verb: event.VerbRetry}, nil
	case b.Does == chatops.ButtonCancel:
		return event.Action{Verb: event.VerbCancel}, nil
	case b.Does == chatops.ButtonErase: // the dialog of the button says that artifacts go, too
		return event.Action{Verb: event.VerbErase, Artifacts: true}, nil
	case b.Does == chatops.ButtonPlay:
		a := event.Action{Verb: event.VerbPlay}
		if o.Action.Verb == event.VerbPlay { // as the rule would
			a.Variables, a.Inputs = o.Action.Variables, o.Action.Inputs
		}
		return a, nil
	}
	return event.Action{}, fmt.Errorf("the button %s has no job", b.Does)
}

// request returns the decision that a request becomes. Its key is that of the request:
// who was first is compared by keys.Requested.
func (h *Handler) request(r chatops.Request, e event.Event, action event.Action, by event.Requester) (answer, error) {
	pressedOn := e.Meta.Source
	e.Meta.Source = event.SourceButton
	bridge := e.Job.Bridge && event.SupportsBridges(action.Verb)
	return answer{decision: &event.Decision{Event: e, Key: keys.RequestedDecision(r.ID), Action: action, Bridge: bridge, By: by, PressedOn: pressedOn}}, nil
}

// first is the first request of an action on a job or a pipeline in a state.
type first struct {
	Decision string    `json:"decision"` // its id in the journal
	By       string    `json:"by"`
	At       time.Time `json:"at"`
}

// queue queues a decision and ends the request, in one step; a request that follows the
// outcome comes next. If somebody has requested the same before, and that stands, it only
// answers so.
func (h *Handler) queue(ctx context.Context, l *worker.Lease, r chatops.Request, d event.Decision) (answer, error) {
	key := requestedKey(d)
	record, id, err := h.Maker.Requested(d)
	if err != nil {
		return answer{}, err
	}
	value, err := json.Marshal(first{id, d.By.Name, r.ReceivedAt.UTC()})
	if err != nil {
		return answer{}, err
	}
	body, err := json.Marshal(Record{Request: r, Decision: id, Queued: h.Now().UTC()})
	if err != nil {
		return answer{}, err
	}
	for range maxTries {
		before, err := h.Store.Get(ctx, key)
		if err != nil {
			return answer{}, err
		}
		if text, err := h.standing(ctx, before, d, h.styleOf(r)); err != nil || text != "" {
			return say(text), err
		}
		err = l.DoneWith(ctx, store.Changes{
			Next:   []store.Record{record, {ID: keys.RequestFollowed(r.ID), Kind: chatops.RecordKind, After: firstLook, Body: body}},
			Values: []store.Value{{Key: key, Value: value, TTL: remembered}},
			Expect: []store.Expected{{Key: key, Value: before}},
		})
		if !errors.Is(err, store.ErrChanged) {
			return answer{}, err
		}
	}
	return answer{}, errors.New("others request the same again and again")
}

// requestedKey is the key of who requested a decision first.
func requestedKey(d event.Decision) string {
	if event.OfPipeline(d.Action.Verb) {
		return keys.Requested(d.Meta.Instance, d.Action.Verb, "pipeline", d.Pipeline.ID)
	}
	return keys.Requested(d.Meta.Instance, d.Action.Verb, "job", d.Job.ID)
}

// standing returns who has requested the same before, and what came of it, if that stands:
// it waits, or a job is as they wanted it. "": it may be requested.
func (h *Handler) standing(ctx context.Context, value []byte, d event.Decision, in words.Style) (text string, err error) {
	if value == nil {
		return "", nil
	}
	var f first
	if err := json.Unmarshal(value, &f); err != nil {
		return "", fmt.Errorf("who requested it first: %w", err)
	}
	o, err := h.outcome(ctx, f.Decision)
	if err != nil || o == nil {
		return "", err
	}
	before := struct{ By, At, Outcome, Reason string }{By: quoted(f.By), At: clock(f.At)}
	switch {
	case o.Result == "":
	case o.Result == event.ResultDeferred:
		before.Reason = quoted(o.Reason)
	case o.Result == event.ResultDone && !event.OfPipeline(d.Action.Verb): // a pipeline may fail again
		if before.Outcome, err = words.Outcome(*o, in); err != nil {
			return "", err
		}
	default:
		return "", nil
	}
	return in.Say("request_before", before)
}

// clock writes a point in time, as Slack shows it to each person in their own time zone.
func clock(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{time}|%s>", t.Unix(), t.UTC().Format("15:04 MST"))
}
