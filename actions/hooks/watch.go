package hooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/worker"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// A webhook is dead while GitLab sends nothing to it. The store keeps which ones are
// known to be, so that over all replicas and restarts their death is announced once, and
// their recovery once. Those of one round are one message.

// RecordKind is the kind of the queue's record that announces them.
const RecordKind = "webhooks"

const (
	// remembered is how long the store keeps which webhooks are dead; each round with one
	// renews it.
	remembered = 365 * 24 * time.Hour
	// maxNamed is how many webhooks a message names.
	maxNamed = 5
)

// sighting is what a round saw of a webhook of ours.
type sighting struct {
	Name string // of the project or group
	ID   string // of the webhook
	Dead bool   // when it was read
	Now  Report // when that was done which can be done
	Held string // why nothing was done
}

// dead are the known dead webhooks: since when, by id.
type dead map[string]time.Time

// Record is the body of the queue's record: the webhooks of one round, by their projects
// and groups.
type Record struct {
	Found     Names     `json:"found,omitzero"`     // dead
	Why       string    `json:"why,omitempty"`      // the first of them could not be enabled
	Revived   Names     `json:"revived,omitzero"`   // that were dead, and were enabled at once
	Recovered Names     `json:"recovered,omitzero"` // that were known to be dead
	Since     time.Time `json:"since"`
}

// String says what has changed, without names.
func (r Record) String() string {
	var parts []string
	for _, part := range []struct {
		names Names
		words string
	}{{r.Found, "disabled"}, {r.Revived, "enabled again"}, {r.Recovered, "working again"}} {
		if n := part.names.Count; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", english.Plural(n, "webhook", ""), part.words))
		}
	}
	return strings.Join(parts, ", ")
}

// Names are some names, the first of them by name.
type Names struct {
	Count int      `json:"count"`
	First []string `json:"first"`
}

// namesOf returns the names of the projects and groups of webhooks.
func namesOf(seen []sighting) Names {
	n := Names{Count: len(seen)}
	for _, s := range seen[:min(len(seen), maxNamed)] {
		n.First = append(n.First, s.Name)
	}
	return n
}

// announce logs and queues what has changed: which webhooks were found dead, and which
// of the dead ones work again. An error is the store's.
func (k *Keeper) announce(ctx context.Context, seen []sighting) error {
	key := keys.DeadWebhooks(k.Instance)
	value, err := k.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	known := dead{}
	_ = json.Unmarshal(value, &known) // none at first; an unreadable one is made anew
	now := maps.Clone(known)
	var found, revived, recovered []sighting
	for _, s := range seen {
		_, before := known[s.ID]
		works := s.Now.sends()
		switch {
		case s.Dead && !before && works:
			revived = append(revived, s)
		case s.Dead && !before:
			found = append(found, s)
			now[s.ID] = k.Now().UTC()
		case before && works:
			recovered = append(recovered, s)
			delete(now, s.ID)
		}
	}
	for _, s := range slices.Concat(found, revived) {
		k.Log.WarnContext(ctx, "GitLab has disabled a webhook after failed deliveries: it sends nothing", "owner", s.Name, "webhook", s.ID, "enabled", s.Now.sends(), "reason", cmp.Or(s.Now.Error, s.Held))
	}
	for _, s := range recovered {
		k.Log.InfoContext(ctx, "a webhook that GitLab had disabled works again", "owner", s.Name, "webhook", s.ID, "since", known[s.ID])
	}
	if len(found)+len(revived)+len(recovered) == 0 {
		return nil
	}
	after, err := json.Marshal(now)
	if err != nil {
		return err
	}
	rec := Record{Found: namesOf(found), Revived: namesOf(revived), Recovered: namesOf(recovered), Since: k.Now().UTC()}
	if len(found) > 0 {
		if rec.Why = found[0].Now.Error; found[0].Held != "" {
			rec.Why = "it is not enabled again now: " + found[0].Held
		}
	}
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	// The record first. Where the process dies before the state is saved, the next round
	// finds the same, and queues the same record, which the queue knows.
	id := keys.WebhooksRecord(k.Instance, fmt.Sprintf("%x", sha256.Sum256(slices.Concat(value, after, ids(revived)))))
	if _, err := k.Store.Put(ctx, store.Record{ID: id, Kind: RecordKind, Body: body}); err != nil {
		return err
	}
	return k.Store.Set(ctx, key, after, remembered)
}

// ids returns the ids of webhooks as one text.
func ids(seen []sighting) []byte {
	var all []byte
	for _, s := range seen {
		all = append(all, s.ID...)
	}
	return all
}

// Announcer sends messages to channels.
type Announcer interface {
	// Announce sends a notice, once for each key. It returns an error while a
	// later call can succeed, which ends some time after since; about are attributes for
	// the log.
	Announce(ctx context.Context, key string, notice event.Notice, since time.Time, about ...any) error
}

// Announcements handles the queue's records.
type Announcements struct {
	Announcer Announcer
	Rules     func() *rules.Rules // those in force
}

// Handle notifies the channel that the rules name.
func (a Announcements) Handle(ctx context.Context, l *worker.Lease, rec Record) error {
	storm := a.Rules().Storm()
	text, err := mrkdwn.Style.In(storm.Language).Say("webhooks", struct {
		Found, Revived, Recovered Names
		Why                       string
	}{rec.Found.escaped(), rec.Revived.escaped(), rec.Recovered.escaped(), mrkdwn.Escape(rec.Why)})
	if err != nil {
		return err
	}
	if err := a.Announcer.Announce(ctx, l.ID(), event.Notice{Address: storm.To, Text: text}, rec.Since, "record", l.ID()); err != nil {
		return err
	}
	return l.Done(ctx)
}

// escaped returns the names in mrkdwn.
func (n Names) escaped() Names {
	all := make([]string, len(n.First))
	for i, name := range n.First {
		all[i] = mrkdwn.Escape(name)
	}
	n.First = all
	return n
}
