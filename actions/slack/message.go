package slack

import (
	"slices"
	"time"
)

// maxLines is how many lines a message shows.
const maxLines = 10

// record is what is known of one message; the state keeps it.
type record struct {
	Channel string    `json:"channel,omitzero"` // Slack's id of the channel
	TS      string    `json:"ts,omitzero"`      // Slack's id of the message; "" while there is none
	Status  string    `json:"status,omitzero"`  // the pipeline's, as last heard
	At      time.Time `json:"at,omitzero"`      // of the newest outcome told
	Lines   []line    `json:"lines,omitempty"`  // those shown, in the order they came
	Older   []lineID  `json:"older,omitempty"`  // those not shown any more
	Told    []string  `json:"told,omitempty"`   // ids of what was told

	// Posting is the post that was about to be sent; nil when it is known
	// what came of it.
	Posting *posting `json:"posting,omitempty"`
}

// posting is a message or reply about to be sent: a message if the record has
// no TS.
type posting struct {
	ID    string    `json:"id"`            // of what it tells
	Line  line      `json:"line,omitzero"` // of an outcome
	Since time.Time `json:"since"`
}

// line is what a message says of one job.
type line struct {
	lineID
	Emoji string    `json:"emoji"`
	Text  string    `json:"text"`          // mrkdwn
	At    time.Time `json:"at,omitzero"`   // of the outcome
	Open  bool      `json:"open,omitzero"` // someone must see to it
}

// lineID says whose line it is. Jobs count by name, so that a retried job
// keeps its line, whichever rule retries it next; "" is the pipeline. The
// rule is named only where it has no action: what it tells is no state of the
// job, and a later action must not hide it.
type lineID struct {
	Job  string `json:"job,omitzero"`
	Rule string `json:"rule,omitzero"`
}

func (m *record) told(id string) bool { return slices.Contains(m.Told, id) }

// posted notes that m.Posting is in Slack.
func (m *record) posted(channel, ts string) {
	m.Channel = channel
	if m.TS == "" {
		m.TS = ts
	}
	if m.Posting.Line != (line{}) {
		m.Lines, m.Older = m.with(m.Posting.Line)
	}
	m.Told = append(m.Told, m.Posting.ID)
	m.Posting = nil
}

// with gives the lines with l among them: in the place of the one it is a
// newer state of, else as the newest. Where they are too many, the oldest go
// to the thread, those that nobody must see to first.
func (m *record) with(l line) (lines []line, older []lineID) {
	lines, older = slices.Clone(m.Lines), slices.Clone(m.Older)
	if i := slices.IndexFunc(lines, func(other line) bool { return other.lineID == l.lineID }); i >= 0 {
		if !l.At.Before(lines[i].At) { // else it was told late, and the thread has it
			lines[i] = l
		}
		return lines, older
	}
	older = slices.DeleteFunc(older, func(id lineID) bool { return id == l.lineID })
	lines = append(lines, l)
	for len(lines) > maxLines {
		i := max(0, slices.IndexFunc(lines, func(l line) bool { return !l.Open }))
		older = append(older, lines[i].lineID)
		lines = slices.Delete(lines, i, i+1)
	}
	return lines, older
}
