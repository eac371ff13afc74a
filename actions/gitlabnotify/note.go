package gitlabnotify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

// mark is how a note begins, by which it is found again. GitLab does not show it.
const mark = "<!-- pipesteward: the note of this merge request -->"

// noteAdvice says what to do if the token's user may not write the note.
const noteAdvice = "give the token's user the role Reporter or more in the project of the merge request, and check whether that is archived or the discussion is locked"

// note describes the note on one merge request; the state stores it as JSON.
type note struct {
	ID    int64  `json:"id,omitzero"`    // 0: it is not known whether there is one
	Lines []line `json:"lines,omitzero"` // newest first
	Older int    `json:"older,omitzero"` // how many are no longer shown
}

// notifyMergeRequest adds an outcome to the note on its merge request.
func (n *Notifier) notifyMergeRequest(ctx context.Context, gl *gitlab.Client, o event.Outcome, notice event.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, claimFor+requestFor)
	defer cancel()
	m, ok, err := gl.MergeRequestOf(ctx, o.Event)
	switch {
	case err != nil:
		return failed("read the merge request", noteAdvice, err)
	case !ok:
		return &Error{reason: fmt.Sprintf("no merge request !%d has pipeline %d", event.MergeRequestIID(o.Event), o.Pipeline.ID), advice: "let the token's user see the project that it belongs to", mend: true}
	}
	return n.turn(ctx, gl, keys.Note(gl.Instance(), m.Project, m.IID), func(w *turn) error { return w.write(ctx, m, lineOf(o, notice), notice.Language) })
}

// write takes the steps that the package's comment draws.
func (w *turn) write(ctx context.Context, m gitlab.MergeRequest, l line, language string) error {
	var known note
	if err := w.Load(ctx, &known); err != nil {
		return err
	}
	known.add(l)
	body, err := render(known, language)
	if err != nil {
		return refused(err.Error(), "")
	}
	if known.ID != 0 {
		err := w.edit(ctx, m, known.ID, body)
		if !apierror.IsNotFound(err) {
			return w.written(ctx, m, known, err)
		}
		known.ID = 0 // somebody deleted it
	}
	id, err := w.find(ctx, m)
	if err != nil {
		return failed("read the notes of "+m.String(), noteAdvice, err)
	}
	if known.ID = id; id != 0 {
		return w.written(ctx, m, known, w.edit(ctx, m, id, body))
	}
	if m.State != "opened" {
		return refused(fmt.Sprintf("%s is %s, and has no note yet", m, m.State), "")
	}
	if err := w.renew(ctx); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	known.ID, err = w.gl.CreateNote(call, m, body)
	return w.written(ctx, m, known, err)
}

// edit replaces the body of the note.
func (w *turn) edit(ctx context.Context, m gitlab.MergeRequest, id int64, body string) error {
	if err := w.renew(ctx); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	return w.gl.EditNote(call, m, id, body)
}

// written records what was written, or classifies the error of that.
func (w *turn) written(ctx context.Context, m gitlab.MergeRequest, known note, err error) error {
	if err != nil {
		return failed("write the note on "+m.String(), noteAdvice, err)
	}
	return w.save(ctx, known)
}

// find returns the id of the note by the token's user that begins with the mark; 0: there
// is none.
func (w *turn) find(ctx context.Context, m gitlab.MergeRequest) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	bot, err := w.gl.TokenUser(ctx)
	if err != nil {
		return 0, err
	}
	for n, err := range w.gl.Notes(ctx, m) {
		switch {
		case err != nil:
			return 0, err
		case n.Author == bot.ID && strings.HasPrefix(n.Body, mark):
			return n.ID, nil
		}
	}
	return 0, nil
}

// maxLines is how many lines a note shows.
const maxLines = 15

// line is what a note shows of one job, in Markdown.
type line struct {
	words.LineID
	State    string    `json:"state"`
	Job      string    `json:"shown,omitzero"`
	Pipeline string    `json:"pipeline,omitzero"`
	Attempt  int       `json:"attempt,omitzero"`
	By       string    `json:"by,omitzero"` // the rule
	Text     string    `json:"text,omitzero"`
	At       time.Time `json:"at,omitzero"` // of the outcome
}

// add adds a line, in place of an older one of the same job; a newer one stays.
func (n *note) add(l line) {
	for i, other := range n.Lines {
		if other.LineID != l.LineID {
			continue
		}
		if l.At.Before(other.At) {
			return
		}
		n.Lines = append(n.Lines[:i:i], n.Lines[i+1:]...)
		break
	}
	at := 0
	for at < len(n.Lines) && n.Lines[at].At.After(l.At) {
		at++
	}
	n.Lines = append(n.Lines[:at:at], append([]line{l}, n.Lines[at:]...)...)
	if len(n.Lines) > maxLines {
		n.Older += len(n.Lines) - maxLines
		n.Lines = n.Lines[:maxLines]
	}
}
