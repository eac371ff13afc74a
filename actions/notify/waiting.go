package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/notify/circuit"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A notice whose receiver refuses it until a person has mended something stays in the
// queue. The circuit breaker of its address, or of the whole receiver, lets one call at a
// time probe, after a minute first and after an hour at last; the others come due more
// often, and only look at the breaker. So all are sent soon after the probe that succeeds,
// after a restart, and after Reconnect.
//
//	refused ─► counted ─► journal: waiting ─► due again ─► sent, or dropped ─► journal, counted
//
// The store has, for all replicas, how many wait for each address. After 7 days, or when
// too many newer ones wait for its address, a notice is dropped; the first notification
// of the address after that is followed by an announcement of how many were.

const (
	// DefaultMaxWaiting is how many notices may wait for an address.
	DefaultMaxWaiting = 10_000
	// minLook and maxLook bound the time after which a notice that waits looks at the
	// circuit breaker again: lookEach for each one that waits for the address.
	minLook, lookEach, maxLook = 5 * time.Second, 500 * time.Millisecond, 30 * time.Minute
	// undeliveredFor is how long the counts are kept after the last change: longer than
	// notices are.
	undeliveredFor = patience + 24*time.Hour
	// sentWithin is the time in which all that wait are sent once the address takes
	// notifications: what is still counted then, people have dropped from the queue.
	sentWithin = 4 * time.Hour
	// maxUndelivered bounds the addresses that are counted.
	maxUndelivered = 1000
	// maxNamed bounds the addresses that the status names in its line for people.
	maxNamed = 5
	// maxUnsaved bounds the ids of notices of an address that are counted, while it is not known
	// that their records say so: each process that dies leaves what it had in progress.
	maxUnsaved = 8 * Capacity
	// countTimeout bounds the wait for the counts while other replicas change them.
	countTimeout = 5 * time.Second
)

// blockedError is the error of a notification that a person must help.
type blockedError struct {
	error
	wait time.Duration // until the next probe
}

// Unwrap returns what the receiver said.
func (e *blockedError) Unwrap() error { return e.error }

// Blocked is how a notice waits until a person has mended something.
type Blocked struct {
	// Number counts those that began to wait for the address; 0: the address is not counted.
	Number int `json:"number,omitzero"`
	// Error is why, as the journal has it.
	Error string `json:"error,omitzero"`
	// Next is when the receiver is called again at the earliest.
	Next time.Time `json:"next,omitzero"`
	// Dropped says that the notice was given up.
	Dropped bool `json:"dropped,omitzero"`
}

// Undelivered is an address that refuses notices until a person has mended something.
type Undelivered struct {
	event.Address
	Since   time.Time `json:"since"`
	Waiting int       `json:"waiting"`          // notices in the queue
	Dropped int       `json:"dropped,omitzero"` // notices that were given up since then
	Error   string    `json:"error"`            // the last one
}

// counted is an address with what the counts need.
type counted struct {
	Undelivered
	Language string    `json:"language,omitzero"` // of the last notice that began to wait
	Begun    int       `json:"begun"`             // how many began to wait
	Works    time.Time `json:"works,omitzero"`    // since when the address takes notifications again; zero: it does not
	// Unsaved are the records of notices that are counted, and may not say so, if the process
	// died in between.
	Unsaved []string `json:"unsaved,omitempty"`
}

// undelivered reads the counts.
func (n *Notifier) undelivered(ctx context.Context) ([]counted, error) {
	value, err := n.Guard.Get(ctx, keys.Undelivered)
	if err != nil || len(value) == 0 {
		return nil, err
	}
	var all []counted
	if err := json.Unmarshal(value, &all); err != nil {
		return nil, fmt.Errorf("the counts of undelivered notices can't be read: %w", err)
	}
	return all, nil
}

// encodeUndelivered returns the value with the counts.
func encodeUndelivered(all []counted) (store.Value, error) {
	body, err := json.Marshal(all)
	return store.Value{Key: keys.Undelivered, Value: body, TTL: undeliveredFor}, err
}

// find returns the count of an address; nil: there is none.
func find(all []counted, to event.Address) *counted {
	if i := slices.IndexFunc(all, func(u counted) bool { return u.Address == to }); i >= 0 {
		return &all[i]
	}
	return nil
}

// alone calls do while no other worker changes the counts.
func (n *Notifier) alone(ctx context.Context, do func() error) error {
	n.counting.Lock()
	defer n.counting.Unlock()
	wait, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	err := store.AwaitClaim(wait, n.Guard, keys.Undelivered, claimFor, do)
	if errors.Is(err, store.ErrClaimed) && ctx.Err() == nil {
		return &worker.LaterError{Err: err, After: claimRetry}
	}
	return err
}

// block has a notice wait, which is an error, or drops it.
func (n *Notifier) block(ctx context.Context, l *worker.Lease, rec *NoticeRecord, blocked *blockedError) (*event.Notification, error) {
	reason, begins := blocked.Error(), rec.Blocked == nil
	count, refuses, err := n.count(ctx, l.ID(), rec, reason)
	if err != nil {
		return nil, err
	}
	// Else call has said it of the receiver, or the command says how many were not sent.
	if refuses && circuit.OfAddress(blocked.error) == circuit.Refuses && !n.Immediate {
		n.Log.ErrorContext(ctx, "an address refuses notifications: they wait in the queue until that is mended", "receiver", rec.Notice.Receiver, "channel", rec.Notice.Channel, "error", blocked.error)
	}
	if begins {
		if err := errors.Join(l.Keep(*rec), l.Extend(ctx)); err != nil {
			return nil, err
		}
		n.noteSaved(l.ID())
	}
	why := ""
	switch {
	case n.Now().Sub(rec.At) >= patience:
		why = fmt.Sprintf("dropped: it could not be sent for %d days", patience/(24*time.Hour))
	case rec.Blocked.Number > 0 && count.Begun-rec.Blocked.Number >= n.MaxWaiting:
		why = fmt.Sprintf("dropped: %s wait for the address", english.Plural(n.MaxWaiting, "newer notification", ""))
	}
	if why != "" {
		rec.Blocked.Dropped = true
		n.Log.WarnContext(ctx, "a notification was dropped", append(event.LogAttrs(rec.Event), "rule", rec.Rule, "receiver", rec.Notice.Receiver, "channel", rec.Notice.Channel, "reason", why, "error", blocked.error)...)
		n.Metrics.Notification(rec.Notice.Receiver, "failed")
		return n.endedAs(*rec, event.NotificationFailed, why+": "+reason), nil
	}
	if rec.Blocked.Error != reason && rec.journalled() {
		waiting := n.endedAs(*rec, event.NotificationWaiting, reason)
		err := n.inJournal(ctx, l.ID(), *rec, *waiting, func(amend []store.Entry) error {
			for _, e := range amend {
				return n.Journal.Amend(ctx, e.ID, e.Body)
			}
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, l.Keep(*rec))
		}
	}
	rec.Blocked.Error, rec.Blocked.Next = reason, n.Now().Add(blocked.wait).UTC()
	look := min(max(minLook, time.Duration(count.Waiting)*lookEach), maxLook)
	return nil, errors.Join(&worker.LaterError{Err: blocked.error, After: look}, l.Keep(*rec))
}

// count counts a notice that begins to wait, notes why, and returns the count of its
// address. refuses is set if the address took notifications before, on all replicas.
func (n *Notifier) count(ctx context.Context, id string, rec *NoticeRecord, reason string) (u counted, refuses bool, err error) {
	if rec.Blocked != nil {
		all, err := n.undelivered(ctx)
		if known := find(all, rec.Notice.Address); err != nil || known != nil && known.Error == reason {
			if known != nil {
				u = *known
			}
			return u, false, err
		}
	}
	err = n.alone(ctx, func() error {
		all, err := n.undelivered(ctx)
		if err != nil {
			return err
		}
		known := find(all, rec.Notice.Address)
		if known == nil {
			if len(all) == maxUndelivered {
				rec.Blocked = &Blocked{}
				return nil
			}
			all = append(all, counted{Undelivered: Undelivered{Address: rec.Notice.Address, Since: n.Now().UTC()}})
			known = &all[len(all)-1]
		}
		refuses = known.Begun == 0 || !known.Works.IsZero()
		known.Error, known.Works = reason, time.Time{}
		if rec.Blocked == nil {
			if !slices.Contains(known.Unsaved, id) { // else the process died before the record was saved
				known.Begun++
				known.Waiting++
				known.Language = rec.Notice.Language
				known.Unsaved = append(known.Unsaved, id)
				known.Unsaved = known.Unsaved[max(0, len(known.Unsaved)-maxUnsaved):]
				n.Metrics.Notification(rec.Notice.Receiver, event.NotificationWaiting)
			}
			rec.Blocked = &Blocked{Number: known.Begun}
		}
		u = *known
		n.forgetSaved(all)
		value, err := encodeUndelivered(all)
		if err != nil {
			return err
		}
		return n.Guard.Set(ctx, value.Key, value.Value, value.TTL)
	})
	return u, refuses, err
}

// noteSaved notes that the record of a notice says that it is counted.
func (n *Notifier) noteSaved(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.saved = append(n.saved, id)
}

// forgetSaved removes from the counts the records that say themselves that they are counted.
func (n *Notifier) forgetSaved(all []counted) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range all {
		all[i].Unsaved = slices.DeleteFunc(all[i].Unsaved, func(id string) bool { return slices.Contains(n.saved, id) })
	}
	n.saved = nil
}

// unblock calls write with the changed counts, if a notice that ended changes them; id is that
// of its record. The first notification of an address after some were dropped is followed by an
// announcement, which is queued in the same step.
func (n *Notifier) unblock(ctx context.Context, id string, rec NoticeRecord, write func(store.Changes) error) error {
	sent := rec.Ended.Result == event.NotificationSent
	// waited reports whether the notice is counted. If the process died before the record was
	// saved, only the count has it.
	waited := func(c *counted) bool {
		return rec.Blocked != nil && rec.Blocked.Number > 0 || rec.Blocked == nil && slices.Contains(c.Unsaved, id)
	}
	all, err := n.undelivered(ctx)
	if err != nil {
		return err
	}
	now := n.Now()
	late := func(c *counted) bool { return !c.Works.IsZero() && now.Sub(c.Works) > sentWithin }
	if known := find(all, rec.Notice.Address); known == nil || !waited(known) && (!sent || known.Dropped == 0 && !known.Works.IsZero() && !late(known)) {
		return write(store.Changes{})
	}
	works := false
	err = n.alone(ctx, func() error {
		all, err := n.undelivered(ctx)
		if err != nil {
			return err
		}
		known := find(all, rec.Notice.Address)
		if known == nil {
			return write(store.Changes{})
		}
		works = sent && known.Works.IsZero()
		if waited(known) {
			known.Unsaved = slices.DeleteFunc(known.Unsaved, func(counted string) bool { return counted == id })
			known.Waiting = max(0, known.Waiting-1)
			if rec.Blocked != nil && rec.Blocked.Dropped {
				known.Dropped++
			}
		}
		var c store.Changes
		if sent && known.Dropped > 0 {
			record, err := n.dropped(known.Undelivered, known.Language)
			if err != nil {
				return err
			}
			c.Next, known.Dropped = []store.Record{record}, 0
		}
		switch {
		case !sent:
		case known.Works.IsZero():
			known.Works = now.UTC()
		case late(known):
			known.Waiting = 0
		}
		if known.Waiting == 0 && known.Dropped == 0 {
			all = slices.DeleteFunc(all, func(u counted) bool { return u.Address == rec.Notice.Address })
		}
		value, err := encodeUndelivered(all)
		if err != nil {
			return err
		}
		c.Values = []store.Value{value}
		return write(c)
	})
	if works && err == nil {
		n.Log.InfoContext(ctx, "an address takes notifications again: those that waited are sent", "receiver", rec.Notice.Receiver, "channel", rec.Notice.Channel)
	}
	return err
}

// dropped returns the record of the announcement that says to an address how many notices
// were dropped.
func (n *Notifier) dropped(u Undelivered, language string) (store.Record, error) {
	text, err := mrkdwn.Style.In(language).Say("dropped", u)
	if err != nil {
		return store.Record{}, err
	}
	key := fmt.Sprintf("dropped:%s:%d:%d", u.Channel, u.Since.UnixNano(), u.Dropped)
	return n.announcement(key, event.Project{}, event.Notice{Address: u.Address, Text: text}).queued()
}

// announcementRecord is the id of the record of an announcement.
func announcementRecord(key string, to event.Address) string {
	return keys.Notice("announcement:"+key, to.Receiver, to.Channel, "")
}

// announcement returns an announcement, which can wait as notices do.
func (n *Notifier) announcement(key string, of event.Project, notice event.Notice) NoticeRecord {
	rec := NoticeRecord{Announcement: key, Notice: event.Notice{
		Address: notice.Address, Text: notice.Text, Rules: notice.Rules, Turn: notice.Turn, Subject: notice.Subject,
	}}
	rec.Project, rec.At = of, n.Now().UTC()
	return rec
}

// queueAnnouncement queues an announcement.
func (n *Notifier) queueAnnouncement(ctx context.Context, rec NoticeRecord) error {
	record, err := rec.queued()
	if err != nil {
		return err
	}
	_, err = n.Queue.Put(ctx, record)
	return err
}

// Status tells for which addresses notices wait, as GET /api/v1/status shows it.
type Status struct {
	Summary   string        `json:"summary,omitzero"` // one line for people; "": none waits
	Waiting   int           `json:"waiting"`
	Addresses []Undelivered `json:"addresses"`
}

// Status returns for which addresses notices wait.
func (n *Notifier) Status(ctx context.Context) (s Status, err error) {
	all, err := n.undelivered(ctx)
	s.Addresses = make([]Undelivered, len(all))
	for i, u := range all {
		s.Addresses[i] = u.Undelivered
		s.Waiting += u.Waiting
	}
	if s.Waiting > 0 {
		var why []string // an error names the address, or that the whole receiver refuses
		more := 0
		for _, u := range s.Addresses {
			switch {
			case slices.Contains(why, u.Error):
			case len(why) == maxNamed:
				more++
			default:
				why = append(why, u.Error)
			}
		}
		s.Summary = fmt.Sprintf("%s: %s", english.Plural(s.Waiting, "notification waits", "notifications wait"), strings.Join(why, "; "))
		if more > 0 {
			s.Summary += fmt.Sprintf("; and %s more", english.Plural(more, "address", ""))
		}
	}
	return s, err
}
