package slack

import (
	"slices"
	"time"
)

// maxLines is how many lines a message shows.
const maxLines = 10

// record is what is known of one message; the state keeps it.
type record struct {
	Channel string   `json:"channel,omitzero"` // Slack's id of the channel
	TS      string   `json:"ts,omitzero"`      // Slack's id of the message; "" while there is none
	Status  string   `json:"status,omitzero"`  // the pipeline's, as last heard
	Lines   []line   `json:"lines,omitempty"`  // those shown, in the order they came
	Older   []lineID `json:"older,omitempty"`  // those not shown any more
	Told    []string `json:"told,omitempty"`   // ids of the outcomes told

	// Posting is the post that was about to be sent; nil when it is known
	// what came of it.
	Posting *posting `json:"posting,omitempty"`
}

// posting is a message or reply about to be sent: a message if the record has
// no TS.
type posting struct {
	ID    string    `json:"id"` // the outcome's
	Line  line      `json:"line"`
	Since time.Time `json:"since"`
}

// line is what a message says of one job and rule.
type line struct {
	lineID
	Emoji string `json:"emoji"`
	Text  string `json:"text"` // mrkdwn
}

// lineID says whose line it is. Jobs count by name, so that a retried job
// keeps its line.
type lineID struct {
	Job  string `json:"job"`
	Rule string `json:"rule"`
}

func (m *record) told(id string) bool { return slices.Contains(m.Told, id) }

// posted notes that m.Posting is in Slack.
func (m *record) posted(channel, ts string) {
	m.Channel = channel
	if m.TS == "" {
		m.TS = ts
	}
	m.Lines, m.Older = m.with(m.Posting.Line)
	m.Told = append(m.Told, m.Posting.ID)
	m.Posting = nil
}

// with gives the lines with l among them: in the place of the one of the same
// job and rule, else as the newest.
func (m *record) with(l line) (lines []line, older []lineID) {
	lines, older = slices.Clone(m.Lines), slices.Clone(m.Older)
	if i := slices.IndexFunc(lines, func(other line) bool { return other.lineID == l.lineID }); i >= 0 {
		lines[i] = l
		return lines, older
	}
	older = slices.DeleteFunc(older, func(id lineID) bool { return id == l.lineID })
	lines = append(lines, l)
	for len(lines) > maxLines {
		older = append(older, lines[0].lineID)
		lines = lines[1:]
	}
	return lines, older
}
