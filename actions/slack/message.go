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
	Channel string    `json:"channel,omitzero"` // Slack's id of the channel
	TS      string    `json:"ts,omitzero"`      // Slack's id of the message; "": it was not posted
	Status  string    `json:"status,omitzero"`  // the pipeline's, of the newest outcome
	At      time.Time `json:"at,omitzero"`      // of the newest outcome
	Posted  []string  `json:"told,omitempty"`   // ids of posted outcomes and announcements, the last maxPosted
	content

	// Posting is the post that was about to be sent; nil once its result is
	// known.
	Posting *posting `json:"posting,omitempty"`
}

// content is what a message shows of outcomes.
type content struct {
	Lines    []line         `json:"lines,omitempty"`    // those shown, in order of arrival
	Older    []words.LineID `json:"older,omitempty"`    // those no longer shown
	Together *together      `json:"together,omitempty"` // of a message of many pipelines; nil: it is of one
}

// together is what a message shows of many pipelines, before a line for each branch, tag and
// merge request.
type together struct {
	Header  string `json:"header,omitzero"`  // the rule files', as it was first; "": there is none
	Context string `json:"context,omitzero"` // likewise, else the project
	Newest  line   `json:"newest,omitzero"`  // has the text
}

// posting is a message or reply about to be sent: a message if the record has
// no TS.
type posting struct {
	ID    string    `json:"id"`            // of the outcome or announcement
	Line  line      `json:"line,omitzero"` // of an outcome
	Since time.Time `json:"since"`
}

// line is what a message shows about one job, or one branch, tag or merge request.
type line struct {
	words.LineID
	Ref   string    `json:"ref,omitzero"`   // identifies the branch, tag or merge request in a message of many pipelines; "": it is of one
	Links string    `json:"links,omitzero"` // there: to that, its job and its pipeline, mrkdwn
	Emoji string    `json:"emoji"`
	Text  string    `json:"text"`           // mrkdwn
	Facts string    `json:"facts,omitzero"` // of the job, mrkdwn
	At    time.Time `json:"at,omitzero"`    // of the outcome
	Refs  int       `json:"refs,omitzero"`  // there: how many of those there were with this one

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
		m.content = m.with(m.Posting.Line)
	}
	m.Posted = append(m.Posted, m.Posting.ID)
	m.Posted = m.Posted[max(0, len(m.Posted)-maxPosted):]
	m.Posting = nil
}

// with returns the content with l added: in place of an older state of the same line, else
// as the newest. If there are more than maxLines, the oldest move to older, first those on
// which no person must act.
func (c content) with(l line) content {
	if l.Ref != "" {
		return c.withRef(l)
	}
	c.Lines, c.Older = slices.Clone(c.Lines), slices.Clone(c.Older)
	if i := slices.IndexFunc(c.Lines, func(other line) bool { return other.LineID == l.LineID }); i >= 0 {
		if !l.At.Before(c.Lines[i].At) { // else the thread has it
			c.Lines[i] = l
		}
		return c
	}
	c.Older = slices.DeleteFunc(c.Older, func(id words.LineID) bool { return id == l.LineID })
	c.Lines = append(c.Lines, l)
	for len(c.Lines) > maxLines {
		i := max(0, slices.IndexFunc(c.Lines, func(l line) bool { return !l.Open }))
		c.Older = append(c.Older, c.Lines[i].LineID)
		c.Lines = slices.Delete(c.Lines, i, i+1)
	}
	return c
}

// withRef returns the content of a message of many pipelines with l added. The first maxLines
// branches, tags and merge requests stay: the very first has no reply that links it. The text
// is that with the greatest number of them, in whatever order they come.
func (c content) withRef(l line) content {
	var of together
	if c.Together != nil {
		of = *c.Together
	}
	if l.Refs > of.Newest.Refs || l.Refs == of.Newest.Refs && !l.At.Before(of.Newest.At) {
		of.Newest = l
	}
	c.Together = &of
	l.Text = "" // the message has one for all
	c.Lines = slices.Clone(c.Lines)
	switch i := slices.IndexFunc(c.Lines, func(other line) bool { return other.Ref == l.Ref }); {
	case i < 0 && len(c.Lines) < maxLines:
		c.Lines = append(c.Lines, l)
	case i >= 0 && !l.At.Before(c.Lines[i].At):
		c.Lines[i] = l
	}
	return c
}

// more returns how many jobs, or branches, tags and merge requests, the content does not show.
func (c content) more() int {
	if c.Together != nil {
		return max(0, c.Together.Newest.Refs-len(c.Lines))
	}
	return len(c.Older)
}

// offering returns the lines that have buttons: all, but of many pipelines only one.
func (c content) offering() []line {
	if c.Together != nil {
		return []line{c.Together.Newest}
	}
	return c.Lines
}

// newest returns the line of the newest outcome that the content shows.
func (c content) newest() line {
	if c.Together != nil {
		return c.Together.Newest
	}
	return slices.MaxFunc(c.Lines, func(a, b line) int { return a.At.Compare(b.At) })
}
