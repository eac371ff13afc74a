package storetest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/store"
)

// modelDead are the model's dead records, the one that was buried last first.
type modelDead []*modelRecord

func (d modelDead) ids() []string {
	var ids []string
	for _, r := range d {
		ids = append(ids, r.id)
	}
	return ids
}

// take removes the record with the id that was buried last, and returns it; nil if there
// is none.
func (d *modelDead) take(id string) *modelRecord {
	i := slices.IndexFunc(*d, func(r *modelRecord) bool { return r.id == id })
	if i < 0 {
		return nil
	}
	r := (*d)[i]
	*d = slices.Delete(slices.Clone(*d), i, i+1)
	return r
}

// checkDead compares the list of dead records with the model's.
func (m *model) checkDead(t *rapid.T) {
	var ids []string
	for _, d := range m.fixture.dead(t) {
		ids = append(ids, d.ID)
	}
	same(t, "dead records", ids, m.dead.ids())
}

// checkRecords compares the list of the queue's records with the model's.
func (m *model) checkRecords(t *rapid.T) {
	records := m.records(t)
	same(t, "number of records", len(records), len(m.queue))
	var last time.Duration
	for _, got := range records {
		r := m.queue[got.ID]
		if r == nil {
			t.Fatalf("%s is listed, but is not in the queue", got.ID)
		}
		sameBody(t, got.Body, r.body)
		if r.unsure {
			continue
		}
		same(t, "attempt", got.Attempt, r.attempt)
		same(t, "leased", !got.Expires.IsZero(), r.leased)
		if r.at < last {
			t.Errorf("%s, of %v, is listed after one of %v", got.ID, r.at, last)
		}
		last = r.at
	}
}

func (m *model) requeue(t *rapid.T) {
	id := genID.Draw(t, "id")
	c, asExpected := m.drawChanges(t)
	err := m.Requeue(t.Context(), id, c)
	if m.queue[id] != nil {
		wantErr(t, "Requeue", err, store.ErrQueued)
		return
	}
	switch {
	case !slices.Contains(m.dead.ids(), id):
		wantErr(t, "Requeue", err, store.ErrNotFound)
		return
	case !asExpected:
		wantErr(t, "Requeue", err, store.ErrChanged)
		return
	}
	ok(t, "Requeue", err)
	r := m.dead.take(id)
	m.queue[id] = &modelRecord{id: id, body: r.body, at: m.now}
	m.seen[id] = m.now + store.DefaultDedupeTTL
	m.make(c)
}

func (m *model) hasten(t *rapid.T) {
	id := genID.Draw(t, "id")
	err := m.Hasten(t.Context(), id)
	switch r := m.queue[id]; {
	case r == nil:
		wantErr(t, "Hasten", err, store.ErrNotFound)
	case r.leased && r.at > m.now:
		wantErr(t, "Hasten", err, store.ErrLeased)
	default:
		ok(t, "Hasten", err)
		r.at = min(r.at, m.now)
	}
}

func (m *model) drop(t *rapid.T) {
	id := genID.Draw(t, "id")
	c, asExpected := m.drawChanges(t)
	err := m.Drop(t.Context(), id, c)
	switch r := m.queue[id]; {
	case r != nil && r.leased && r.at > m.now:
		wantErr(t, "Drop", err, store.ErrLeased)
		return
	case r == nil && !slices.Contains(m.dead.ids(), id):
		wantErr(t, "Drop", err, store.ErrNotFound)
		return
	case !asExpected:
		wantErr(t, "Drop", err, store.ErrChanged)
		return
	case r != nil:
		delete(m.queue, id)
	default:
		m.dead.take(id)
	}
	ok(t, "Drop", err)
	m.make(c)
}
