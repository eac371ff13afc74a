package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/store"
)

// testModel makes random calls to the store and to a simple model of it, and
// compares the results. The model's times are since its start.
func testModel(t *testing.T, newBackend func(t *testing.T) Backend) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			fixture: &fixture{backend: newBackend(t)},
			seen:    map[string]time.Duration{},
			queue:   map[string]*modelRecord{},
			rates:   map[string]*modelRate{},
			claims:  map[string]modelValue{},
			values:  map[string]modelValue{},
			tallies: map[string]*modelTally{},
		}
		m.open(rt)
		defer func() { ok(rt, "Close", m.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"Put":      m.put,
			"Lease":    m.lease,
			"Extend":   m.extend,
			"Defer":    m.deferOne,
			"Done":     m.done,
			"DoneWith": m.doneWith,
			"Change":   m.change,
			"Bury":     m.bury,
			"Requeue":  m.requeue,
			"Hasten":   m.hasten,
			"Drop":     m.drop,
			"Note":     m.note,
			"Amend":    m.amend,
			"Take":     m.take,
			"Hold":     m.hold,
			"Claim":    m.claim,
			"Release":  m.release,
			"Set":      m.set,
			"Tally":    m.tally,
			"Advance":  m.pass,
			"Restart":  m.restart,
		})
	})
}

type model struct {
	*fixture
	now     time.Duration
	seen    map[string]time.Duration // until when
	queue   map[string]*modelRecord
	dead    modelDead // last buried first
	leases  []modelLease
	journal []modelEntry // newest first
	mark    string       // up to which amendments were read; "": of a process that has ended
	amended []string     // the ids of entries that were amended since
	rates   map[string]*modelRate
	claims  map[string]modelValue
	values  map[string]modelValue
	tallies map[string]*modelTally
}

type modelRecord struct {
	id      string
	body    []byte
	at      time.Duration // due, or the lease's end
	attempt int
	leased  bool // also if the lease expired and nobody leased the record again
	unsure  bool // its due time is unknown but past, because of a restart
}

type modelLease struct {
	store.Lease
	record *modelRecord
}

type modelEntry struct {
	id   string
	body []byte
	at   time.Duration
}

// modelRate is a bucket to which one token comes back in each interval.
type modelRate struct {
	level, at time.Duration // the time that it took to fill to its level, and when that was computed
	blocked   time.Duration // until when
}

type modelValue struct {
	value   string
	expires time.Duration
}

type modelTally struct {
	members []modelSeen
	expires time.Duration
}

type modelSeen struct {
	id, group string
	at        time.Duration
}

const longestVisibility = time.Hour

var (
	genID         = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
	genBody       = rapid.SliceOfN(rapid.Byte(), 0, 20)
	genAfter      = rapid.SampledFrom([]time.Duration{0, 0, time.Minute, 10 * time.Minute, 100 * time.Hour})
	genVisibility = rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, longestVisibility})
	genTTL        = rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 24 * time.Hour})
	genAdvance    = rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 15 * 24 * time.Hour})
	genRecords    = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) store.Record {
		r := store.Record{ID: genID.Draw(t, "id"), Body: genBody.Draw(t, "body"), After: genAfter.Draw(t, "after")}
		if rapid.Bool().Draw(t, "has a note") {
			r.Note = &store.Entry{ID: genID.Draw(t, "note"), Body: genBody.Draw(t, "note's body")}
		}
		return r
	}), 0, 3)
	genEntries = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) store.Entry {
		return store.Entry{ID: genID.Draw(t, "id"), Body: genBody.Draw(t, "body")}
	}), 0, 2)
	genValues = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) store.Value {
		return store.Value{Key: genID.Draw(t, "key"), Value: genBody.Draw(t, "value"), TTL: genTTL.Draw(t, "ttl")}
	}), 0, 2)
)

func (m *model) check(t *rapid.T) {
	var depth store.Depth
	for _, r := range m.queue {
		switch {
		case r.at <= m.now:
			depth.Due++
		case r.leased:
			depth.Leased++
		default:
			depth.Waiting++
		}
	}
	depth.Dead = len(m.dead)
	m.wantDepth(t, depth)

	m.checkDead(t)
	m.checkRecords(t)

	m.journal = slices.DeleteFunc(m.journal, func(e modelEntry) bool { return e.at+store.DefaultJournalTTL <= m.now })
	entries, _, err := m.Entries(t.Context(), "", 1000)
	ok(t, "Entries", err)
	same(t, "number of entries", len(entries), len(m.journal))
	for i := range min(len(entries), len(m.journal)) {
		same(t, "entry", entries[i].ID, m.journal[i].id)
		sameBody(t, entries[i].Body, m.journal[i].body)
	}

	if m.mark == "" {
		m.mark = m.fixture.mark(t)
	} else {
		var amended []string
		amended, m.mark = m.fixture.amended(t, m.mark, 2)
		same(t, "amended entries", amended, m.amended)
	}
	m.amended = nil

	for key, v := range m.values {
		if v.expires > m.now {
			same(t, "value", string(m.get(t, key)), v.value)
		} else if got := m.get(t, key); got != nil {
			t.Errorf("an expired value: %q", got)
		}
	}
}

func (m *model) put(t *rapid.T) {
	records := genRecords.Draw(t, "records")
	added := m.fixture.put(t, records...)
	same(t, "added", added, m.enqueue(records))
}

func (m *model) enqueue(records []store.Record) []bool {
	added := make([]bool, len(records))
	for i, r := range records {
		if m.remembers(r.ID) {
			continue
		}
		added[i] = true
		m.seen[r.ID] = m.now + store.DefaultDedupeTTL
		m.queue[r.ID] = &modelRecord{id: r.ID, body: r.Body, at: m.now + r.After}
		if r.Note != nil {
			m.addEntry(r.Note.ID, r.Note.Body)
		}
	}
	return added
}

// remembers reports whether the id of a record is remembered.
func (m *model) remembers(id string) bool { return m.seen[id] > m.now || m.queue[id] != nil }

func (m *model) lease(t *rapid.T) {
	n, visibility := rapid.IntRange(1, 4).Draw(t, "n"), genVisibility.Draw(t, "visibility")
	due := map[string]*modelRecord{}
	for id, r := range m.queue {
		if r.at <= m.now {
			due[id] = r
		}
	}
	leases := m.fixture.lease(t, n, visibility)
	same(t, "how many were leased", len(leases), min(n, len(due)))
	var last time.Duration
	for _, l := range leases {
		r := due[l.ID]
		if r == nil {
			t.Fatalf("%s was leased, but is not due, or twice", l.ID)
		}
		delete(due, l.ID)
		if !r.unsure {
			if r.at < last {
				t.Errorf("%s, due at %v, was leased after one that was due at %v", r.id, r.at, last)
			}
			last = r.at
		}
		sameBody(t, l.Body, r.body)
		r.attempt++
		same(t, "attempt", l.Attempt, r.attempt)
		r.at, r.leased, r.unsure = m.now+visibility, true, false
		m.leases = append(m.leases, modelLease{l, r})
	}
	for _, r := range due {
		if r.at < last && !r.unsure {
			t.Errorf("%s, due at %v, was left behind one that was due at %v", r.id, r.at, last)
		}
	}
}

// withLease calls end with some lease, which may be an old one. It returns the
// record if the lease is not lost; else it wants ErrLeaseLost.
func (m *model) withLease(t *rapid.T, end func(*store.Lease) error) *modelRecord {
	if len(m.leases) == 0 {
		t.Skip("no lease")
	}
	l := rapid.SampledFrom(m.leases).Draw(t, "lease")
	err := end(&l.Lease)
	r := m.queue[l.ID]
	if r == nil || r != l.record || !r.leased || r.attempt != l.Attempt {
		wantErr(t, "without the lease", err, store.ErrLeaseLost)
		return nil
	}
	ok(t, "with the lease", err)
	return r
}

func (m *model) extend(t *rapid.T) {
	visibility, body := genVisibility.Draw(t, "visibility"), genBody.Draw(t, "body")
	r := m.withLease(t, func(l *store.Lease) error { l.Body = body; return m.Extend(t.Context(), l, visibility) })
	if r != nil {
		r.at, r.body = m.now+visibility, body
	}
}

func (m *model) deferOne(t *rapid.T) {
	after, body := genAfter.Draw(t, "after"), genBody.Draw(t, "body")
	r := m.withLease(t, func(l *store.Lease) error { l.Body = body; return m.Defer(t.Context(), l, after) })
	if r != nil {
		r.at, r.body, r.leased = m.now+after, body, false
	}
}

func (m *model) done(t *rapid.T) {
	next := genRecords.Draw(t, "next")
	r := m.withLease(t, func(l *store.Lease) error { return m.Done(t.Context(), l, next...) })
	if r != nil {
		m.enqueue(next) // while the id of this record is remembered
		delete(m.queue, r.id)
	}
}

func (m *model) bury(t *rapid.T) {
	r := m.withLease(t, func(l *store.Lease) error { return m.Bury(t.Context(), l, "reason") })
	if r != nil {
		delete(m.queue, r.id)
		m.dead = slices.Insert(m.dead, 0, r)
	}
	m.pass(t) // no two records have the same time
}

func (m *model) note(t *rapid.T) {
	id, body := genID.Draw(t, "id"), genBody.Draw(t, "body")
	ok(t, "Note", m.Note(t.Context(), id, body))
	m.addEntry(id, body)
}

func (m *model) addEntry(id string, body []byte) {
	if m.entry(id) == nil {
		m.journal = append([]modelEntry{{id, body, m.now}}, m.journal...)
	}
}

func (m *model) amend(t *rapid.T) {
	id, body := genID.Draw(t, "id"), genBody.Draw(t, "body")
	ok(t, "Amend", m.Amend(t.Context(), id, body))
	m.amendEntry(id, body)
}

func (m *model) amendEntry(id string, body []byte) {
	if e := m.entry(id); e != nil {
		e.body = body
		m.amended = append(m.amended, id)
		return
	}
	m.journal = append([]modelEntry{{id, body, m.now}}, m.journal...)
}

func (m *model) entry(id string) *modelEntry {
	for i := range m.journal {
		if m.journal[i].id == id {
			return &m.journal[i]
		}
	}
	return nil
}

// modelInterval is the interval of the model's buckets.
const modelInterval = 7 * time.Minute

// bucket draws one of the buckets, with its level as of now.
func (m *model) bucket(t *rapid.T) (b *modelRate, key string, rate store.Rate) {
	burst := rapid.IntRange(1, 3).Draw(t, "burst")
	key, rate = fmt.Sprint("burst of ", burst), store.Rate{Limit: 2, Per: 2 * modelInterval, Burst: burst}
	full := time.Duration(burst) * modelInterval
	if b = m.rates[key]; b == nil {
		b = &modelRate{level: full}
		m.rates[key] = b
	}
	b.level, b.at = min(full, b.level+m.now-b.at), m.now
	return b, key, rate
}

func (m *model) take(t *rapid.T) {
	b, key, rate := m.bucket(t)
	wait := m.fixture.take(t, key, rate)
	want := max(modelInterval-b.level, b.blocked-m.now)
	if want <= 0 {
		same(t, "wait", wait, 0)
		b.level -= modelInterval
		return
	}
	if wait > want || wait < want-30*time.Second {
		t.Errorf("wait %v, want %v", wait, want)
	}
}

func (m *model) hold(t *rapid.T) {
	b, key, _ := m.bucket(t)
	span := genTTL.Draw(t, "span")
	ok(t, "Hold", m.Hold(t.Context(), key, span))
	b.blocked = max(b.blocked, m.now+span)
}

func (m *model) claim(t *rapid.T) {
	key, owner, ttl := genID.Draw(t, "key"), genID.Draw(t, "owner"), genTTL.Draw(t, "ttl")
	c := m.claims[key]
	want := c.expires <= m.now || c.value == owner
	same(t, "claimed", m.fixture.claim(t, key, owner, ttl), want)
	if want {
		m.claims[key] = modelValue{owner, m.now + ttl}
	}
}

func (m *model) release(t *rapid.T) {
	key, owner := genID.Draw(t, "key"), genID.Draw(t, "owner")
	ok(t, "Release", m.Release(t.Context(), key, owner))
	if m.claims[key].value == owner {
		delete(m.claims, key)
	}
}

func (m *model) set(t *rapid.T) {
	key, value, ttl := genID.Draw(t, "key"), genBody.Draw(t, "value"), genTTL.Draw(t, "ttl")
	ok(t, "Set", m.Set(t.Context(), key, value, ttl))
	m.values[key] = modelValue{string(value), m.now + ttl}
}

func (m *model) tally(t *rapid.T) {
	key, id, group, within := genID.Draw(t, "key"), genID.Draw(t, "id"), genID.Draw(t, "group"), genTTL.Draw(t, "within")
	y := m.tallies[key]
	if y == nil || y.expires <= m.now {
		y = &modelTally{}
		m.tallies[key] = y
	}
	y.members = slices.DeleteFunc(y.members, func(s modelSeen) bool { return s.at+within <= m.now })
	place := slices.IndexFunc(y.members, func(s modelSeen) bool { return s.id == id })
	if place < 0 {
		place = len(y.members)
		y.members = append(y.members, modelSeen{id, group, m.now})
		y.expires = m.now + within
	}
	groups := map[string]bool{}
	var ids []string
	for _, s := range y.members {
		groups[s.group] = true
		ids = append(ids, s.id+" of "+s.group)
	}
	same(t, "count", m.fixture.tally(t, key, id, group, within), store.Count{Members: len(y.members), Groups: len(groups), Position: place + 1})
	var got []string
	for _, s := range m.tallied(t, key, within) {
		got = append(got, s.ID+" of "+s.Group)
	}
	same(t, "members", got, ids)
}

func (m *model) pass(t *rapid.T) { m.move(genAdvance.Draw(t, "time")) }

func (m *model) move(d time.Duration) {
	m.advance(d)
	m.now += d
}

// restart lets all leases expire: whether a lease outlives its process is up to
// the backend.
func (m *model) restart(t *rapid.T) {
	m.reopen(t)
	m.mark = ""
	m.move(longestVisibility)
	m.leases = nil
	for _, r := range m.queue {
		r.unsure = r.unsure || r.leased
	}
}

func sameBody(t failer, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("body %q, want %q", got, want)
	}
}
