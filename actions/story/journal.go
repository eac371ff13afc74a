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
)

const (
	// maxScan is how many entries of the journal are read at most, the newest; page,
	// how many at a time.
	maxScan = 20_000
	page    = 500
)

// decision is an entry of the journal.
type decision struct {
	event.Outcome           // Result is "" while the decision waits
	Due           time.Time `json:"due"` // of one that waits

	now standing
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
