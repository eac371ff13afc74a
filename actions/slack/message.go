package slack

import (
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/words"
)

const (
	// maxLines is how many lines a message shows.
	maxLines = 10
	// maxPosted bounds the ids that a record keeps of what was posted. One is needed until
	// the queue has done with what was posted: a worker that dies before that leaves it to
	// another one within minutes, and Slack takes about one post a second.
	maxPosted = 1000
)

// record describes one message; the state stores it as JSON.
type record struct {
	Channel string         `json:"channel,omitzero"` // Slack's id of the channel
	TS      string         `json:"ts,omitzero"`      // Slack's id of the message; "": it was not posted
	Status  string         `json:"status,omitzero"`  // the pipeline's, of the newest outcome
	At      time.Time      `json:"at,omitzero"`      // of the newest outcome
	Lines   []line         `json:"lines,omitempty"`  // those shown, in order of arrival
	Older   []words.LineID `json:"older,omitempty"`  // those no longer shown
	Posted  []string       `json:"told,omitempty"`   // ids of posted outcomes and announcements, the last maxPosted

	// Posting is the post that was about to be sent; nil once its result is
	// known.
	Posting *posting `json:"posting,omitempty"`
}

// posting is a message or reply about to be sent: a message if the record has
// no TS.
type posting struct {
	ID    string    `json:"id"`            // of the outcome or announcement
	Line  line      `json:"line,omitzero"` // of an outcome
	Since time.Time `json:"since"`
}

// line is what a message shows about one job.
type line struct {
	words.LineID
	Emoji string    `json:"emoji"`
	Text  string    `json:"text"`           // mrkdwn
	Facts string    `json:"facts,omitzero"` // of the job, mrkdwn
	At    time.Time `json:"at,omitzero"`    // of the outcome
	Refs  int       `json:"refs,omitzero"`  // of how many branches, tags and merge requests the message is, by this line; 0: of one pipeline

	Result string `json:"result,omitzero"` // of the outcome
	Paused bool   `json:"paused,omitzero"` // somebody has paused it
	Open   bool   `json:"open,omitzero"`   // a person must act

	Decision string `json:"decision,omitzero"` // its id in the journal
	JobID    int64  `json:"job_id,omitzero"`   // that the buttons act on; 0: the pipeline
	Offers   string `json:"offers,omitzero"`   // what the buttons do, separated by spaces
}

// has reports whether the outcome or announcement was posted.
func (m *record) has(id string) bool { return slices.Contains(m.Posted, id) }

// posted records that m.Posting was posted.
func (m *record) posted(channel, ts string) {
	m.Channel = channel
	if m.TS == "" {
		m.TS = ts
	}
	if m.Posting.Line != (line{}) {
		m.Lines, m.Older = m.with(m.Posting.Line)
	}
	m.Posted = append(m.Posted, m.Posting.ID)
	m.Posted = m.Posted[max(0, len(m.Posted)-maxPosted):]
	m.Posting = nil
}

// with returns the lines with l added: in place of an older state of the same
// line, else as the newest. If there are more than maxLines, the oldest move to
// older, first those on which no person must act.
func (m *record) with(l line) (lines []line, older []words.LineID) {
	lines, older = slices.Clone(m.Lines), slices.Clone(m.Older)
	if i := slices.IndexFunc(lines, func(other line) bool { return other.LineID == l.LineID }); i >= 0 {
		late := l.At.Before(lines[i].At)
		if l.Refs != lines[i].Refs {
			late = l.Refs < lines[i].Refs
		}
		if !late { // else the thread has it
			lines[i] = l
		}
		return lines, older
	}
	older = slices.DeleteFunc(older, func(id words.LineID) bool { return id == l.LineID })
	lines = append(lines, l)
	for len(lines) > maxLines {
		i := max(0, slices.IndexFunc(lines, func(l line) bool { return !l.Open }))
		older = append(older, lines[i].LineID)
		lines = slices.Delete(lines, i, i+1)
	}
	return lines, older
}
