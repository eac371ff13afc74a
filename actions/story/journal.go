package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// maxScan is how many entries of the journal are read at most, the newest; page,
	// how many at a time.
	maxScan = 20_000
	page    = 500
	// maxQueued is how many records of decisions that wait are read.
	maxQueued = 200
)

// decision is an entry of the journal.
type decision struct {
	event.Outcome           // Result is "" while the decision waits
	Due           time.Time `json:"due"` // of one that waits
	Try           int       `json:"try"` // of one that waits: how often it has failed before

	next time.Time // when the queue has it tried again; zero: it has an outcome, or is tried now
	now  standing
}

// waits reports whether the decision has no final outcome.
func (d *decision) waits() bool { return d.Result == "" || d.Result == event.ResultDeferred }

// requester names the person who requested a decision; "": a rule did.
func requester(d *decision) string {
	if !d.Requested() {
		return ""
	}
	return onOneLine(d.By.String())
}

// readQueued reads of the decisions that wait what their records in the queue have: the
// journal gets a deferral once for each reason, the record each.
func (b *Builder) readQueued(ctx context.Context, m *material) error {
	n := 0
	for i := range m.decisions {
		d := &m.decisions[i]
		if !d.waits() || d.follows() != "" || d.Key == "" {
			continue
		}
		if n++; n > maxQueued {
			return fmt.Errorf("only the records of the newest %d of the decisions that wait were read", maxQueued)
		}
		record, _, err := b.Store.Find(ctx, keys.Decision(d.Key, d.Try))
		if err != nil {
			return err
		}
		if record != nil {
			d.learn(record)
		}
	}
	return nil
}

// learn takes over what the decision's record in the queue has.
func (d *decision) learn(record *store.QueuedRecord) {
	var is event.Decision
	if json.Unmarshal(record.Body, &is) != nil || is.ID != d.ID { // it was made again meanwhile
		return
	}
	d.Deferrals, d.Calls = is.Deferrals, is.Calls
	if record.Expires.IsZero() {
		d.next = record.Due
	}
}

// readDecisions reads the decisions about the job or the pipeline. The journal has no
// index: it is read from the newest entry on, to those from before the job or the
// pipeline was made. Entries are decoded only if they have its id.
func (b *Builder) readDecisions(ctx context.Context, m *material) error {
	id := m.pipeline.ID
	if id == 0 {
		id = m.job.ID
	}
	mark := []byte(strconv.FormatInt(id, 10))
	start := m.pipeline.CreatedAt
	if start.IsZero() {
		start = m.job.CreatedAt
	}
	var found []decision
	defer func() {
		m.decisions = m.related(found)
		for i := range m.decisions { // where no evaluation is kept
			m.learn(m.decisions[i].Event)
		}
	}()
	for cursor, scanned := "", 0; ; {
		entries, next, err := b.Store.Entries(ctx, cursor, page)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !start.IsZero() && entry.At.Before(start.Add(-clockSkew)) {
				return nil
			}
			var d decision
			if bytes.Contains(entry.Body, mark) && json.Unmarshal(entry.Body, &d) == nil {
				found = append(found, d)
			}
		}
		scanned += len(entries)
		switch cursor = next; {
		case cursor == "":
			return nil
		case scanned >= maxScan:
			return fmt.Errorf("only the last %d, since %s, were searched", scanned, entries[len(entries)-1].At.UTC().Format(time.RFC3339))
		}
	}
}

// related returns the decisions that the story is about, and what came of them: a
// retry has another outcome when the job that it made has ended.
func (m *material) related(found []decision) (all []decision) {
	ids := map[string]bool{}
	for i := range found {
		if m.about(&found[i].Outcome) {
			ids[found[i].ID] = true
		}
	}
	for _, d := range found {
		if ids[d.ID] || ids[d.follows()] {
			all = append(all, d)
		}
	}
	return all
}

// follows returns the id of the decision whose retry the outcome is the result of; "":
// it is that of its own decision.
func (d *decision) follows() string {
	for _, result := range []string{event.ResultRecovered, event.ResultGaveUp} {
		if id, ok := strings.CutSuffix(d.ID, ":"+result); ok {
			return id
		}
	}
	return ""
}

// result returns the outcome that the retry of a decision had later; nil: none yet.
func (m *material) result(of *decision) *decision {
	for i := range m.decisions {
		if m.decisions[i].follows() == of.ID {
			return &m.decisions[i]
		}
	}
	return nil
}
