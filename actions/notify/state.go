package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// The states in the rules' `notify`. The value of each is in the store, by project and
// ref, with the position of the event that set it last:
//
//	event says:       false   true    true   false     false   true …
//	people hear:         –   began       –   resolved      –   began …
//
// An outcome's states are read, its notices rendered, and then, in one step, the states
// saved and the notices queued. That step fails if a state has changed since it was read,
// on whichever replica; then all of it is repeated. So a turn is neither lost nor
// notified of twice. Within a process, the outcomes of one state take turns, so that the
// job logs in their texts are read once: one whose turn it is not is due again soon, and
// keeps no capacity meanwhile.

// stateTTL is how long the store keeps a state after the last event that set it.
const stateTTL = 30 * 24 * time.Hour

// stateRecord is a state in the store.
type stateRecord struct {
	Value    bool          `json:"value"`
	Since    time.Time     `json:"since"`
	Position position      `json:"position"`          // of the event that set it last
	To       event.Address `json:"to,omitzero"`       // where the notice of its last beginning went
	Notice   string        `json:"notice,omitempty"`  // the record of the notice of its last turn
	Subject  string        `json:"subject,omitempty"` // of the messages about its last turn to true
}

// position orders the events of a ref by what they are about, however late they come: by
// the pipeline, then by the time in it.
type position struct {
	Pipeline int64     `json:"pipeline"`
	At       time.Time `json:"at"`           // the last time that GitLab gives in the event, in whole seconds
	Job      int64     `json:"job,omitzero"` // the newest run
	Ended    bool      `json:"ended,omitzero"`
	Seen     time.Time `json:"seen"` // by the clock of the replica that received the event
}

// positionOf returns the position of an event. A child pipeline has that of its parent: it
// is not newer than that is.
func positionOf(e event.Event) position {
	p := position{Pipeline: e.Pipeline.ID, Job: e.Job.ID, Seen: event.AsOf(e).UTC()}
	if up := e.Pipeline.Upstream; up.PipelineID != 0 && up.ProjectID == e.Project.ID {
		p.Pipeline = up.PipelineID
	}
	jobs, status := []event.Job{e.Job}, e.Job.Status
	if e.Meta.Kind == event.KindPipeline {
		jobs, status = e.Pipeline.Jobs, e.Pipeline.Status
		p.reached(e.Pipeline.CreatedAt, e.Pipeline.FinishedAt)
	}
	for _, j := range jobs {
		p.Job = max(p.Job, j.ID)
		p.reached(j.CreatedAt, j.StartedAt, j.FinishedAt)
	}
	p.Ended = event.Ended(status)
	return p
}

// reached notes times of an event. The API has fractions of a second, hooks have none.
func (p *position) reached(times ...time.Time) {
	for _, t := range times {
		if t = t.UTC().Truncate(time.Second); t.After(p.At) {
			p.At = t
		}
	}
}

// before reports whether an event at p is older than one at q.
func (p position) before(q position) bool {
	ended := func(p position) int {
		if p.Ended {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(p.Pipeline, q.Pipeline), p.At.Compare(q.At), cmp.Compare(p.Job, q.Job), cmp.Compare(ended(p), ended(q)), p.Seen.Compare(q.Seen),
	) < 0
}

// time returns the time at which the event's pipeline or job was as it says.
func (p position) time() time.Time {
	if p.At.IsZero() {
		return p.Seen
	}
	return p.At
}

// stateRef names what a state is of in its project: a branch, a tag or a merge request,
// and in a rule for jobs the job's name.
func stateRef(e event.Event) string {
	ref := event.RefOf(e)
	if e.Meta.Kind == event.KindJob {
		ref += "\x00" + e.Job.Name
	}
	return hash(ref)
}

// stateKey returns the key of a state that an outcome sets.
func stateKey(o event.Outcome, s event.State) string {
	return keys.State(o.Rule, s.Entry, o.Meta.Instance, o.Project.ID, stateRef(o.Event))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// states are the states of an outcome, as they are to be saved.
type states []*savedState

type savedState struct {
	key    string
	read   []byte      // nil: there was none
	before stateRecord // as it was read
	record stateRecord
	turned bool
}

// lockStates has the outcomes of a rule for a ref, which set the same states, take turns;
// unlock is nil while it is the turn of another one. Replicas don't take turns: one of them
// finds the state changed.
func (n *Notifier) lockStates(o event.Outcome) (unlock func()) {
	if len(o.States) == 0 {
		return func() {}
	}
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s %s %d %s", o.Rule, o.Meta.Instance, o.Project.ID, stateRef(o.Event)) // never fails
	lock := &n.stateLocks[h.Sum32()%uint32(len(n.stateLocks))]
	if !lock.TryLock() {
		return nil
	}
	return lock.Unlock
}

// readStates reads the states of an outcome from the store, and adds what comes of them
// to the outcome.
func (n *Notifier) readStates(ctx context.Context, o *event.Outcome) (all states, err error) {
	can := n.Rules().States(*o)
	o.States = slices.Clone(o.States)
	for i := range o.States {
		s := &o.States[i]
		if !slices.ContainsFunc(can, func(other event.State) bool { return other.Entry == s.Entry }) {
			continue
		}
		saved := &savedState{key: stateKey(*o, *s)}
		if saved.read, err = n.Guard.Get(ctx, saved.key); err != nil {
			return nil, err
		}
		if saved.read != nil {
			if err := json.Unmarshal(saved.read, &saved.before); err != nil {
				return nil, fmt.Errorf("state %s: %w", saved.key, err)
			}
		}
		saved.record = saved.before
		if saved.set(s, positionOf(o.Event), o.ID) {
			all = append(all, saved)
		}
	}
	return all, nil
}

// set sets a state to its value in an event, and returns false if the event is too old for
// that. by identifies the event's outcome.
func (saved *savedState) set(s *event.State, p position, by string) bool {
	r := &saved.record
	if saved.read != nil && p.before(r.Position) {
		s.Late, s.Since = true, r.Since
		return false
	}
	known, was := saved.read != nil, r.Value
	r.Position = p
	if !known || was != s.Value {
		s.Before, r.Since = r.Since, p.time()
	}
	r.Value, s.Since = s.Value, r.Since
	switch {
	case s.Value && !was:
		r.Subject, r.To = "state:"+hash(saved.key+"\x00"+by), event.Address{}
		s.Turn, s.Subject = event.StateBegan, r.Subject
	case was && !s.Value:
		s.Turn, s.Subject, s.To = event.StateResolved, r.Subject, r.To
	}
	saved.turned = s.Turn != ""
	if s.Turn != event.StateResolved {
		s.Before = time.Time{}
	}
	return true
}

// before returns the record of the notice that is to be sent before this one: that of the
// state's turn before, if it goes to the same address. "": there is none.
func (all states) before(notice event.Notice) string {
	for _, s := range all {
		if s.turned && notice.Subject == s.record.Subject && (notice.Turn == event.StateResolved || notice.Address == s.before.To) {
			return s.before.Notice
		}
	}
	return ""
}

// save adds the states to the changes that queue the notices of their turns.
func (all states) save(c *store.Changes, o event.Outcome, notices []event.Notice) error {
	for _, s := range all {
		for _, notice := range notices {
			if s.turned && notice.Subject == s.record.Subject {
				s.record.Notice = noticeID(o, notice)
				if notice.Turn == event.StateBegan && notice.Channel != "" {
					s.record.To = notice.Address
				}
			}
		}
		value, err := json.Marshal(s.record)
		if err != nil {
			return err
		}
		c.Values = append(c.Values, store.Value{Key: s.key, Value: value, TTL: stateTTL})
		c.Expect = append(c.Expect, store.Expected{Key: s.key, Value: s.read})
	}
	return nil
}

// turnText returns the text of a notice about the turn of a state for which the rule files
// give none.
func (n *Notifier) turnText(o event.Outcome, notice event.Notice) (string, error) {
	i := slices.IndexFunc(o.States, func(s event.State) bool { return s.Subject == notice.Subject })
	if i < 0 {
		return "", nil
	}
	plain := words.Plain
	return words.Turn(o, o.States[i], words.Style{
		Language: notice.Language,
		Text:     func(text string, limit int) string { return mrkdwn.Escape(plain.Text(text, limit)) },
		Code: func(name string) string {
			return "`" + mrkdwn.Escape(strings.ReplaceAll(plain.Code(name), "`", "'")) + "`"
		},
		Link: func(_, label string) string { return mrkdwn.Escape(plain.Link("", label)) },
	})
}
