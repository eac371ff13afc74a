package gitlabnotify

import (
	"context"
	"fmt"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
)

const (
	// statusName is the name of the status: GitLab shows one of each name.
	statusName = "pipesteward"
	// statusState is that of every status: it is in the last stage of the pipeline, where it
	// neither fails it nor keeps it waiting.
	statusState = "success"
	// maxStatus is how many characters a description or an address may have.
	maxStatus = 255
)

// statusAdvice says what to do if the token's user may not set the status.
const statusAdvice = "give the token's user the role Developer, and rights to push or merge where the ref is protected"

// status describes the status in one pipeline; the state stores it as JSON.
type status struct {
	ID string    `json:"id"` // of the outcome that it tells, with its result
	At time.Time `json:"at"` // of that
}

// notifyCommit tells an outcome as a commit status in its pipeline.
func (n *Notifier) notifyCommit(ctx context.Context, gl *gitlab.Client, o event.Outcome, notice event.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, claimFor+requestFor)
	defer cancel()
	if event.MergeRequestIID(o.Event) != 0 {
		switch m, ok, err := gl.MergeRequestOf(ctx, o.Event); {
		case err != nil:
			return failed("read the merge request", statusAdvice, err)
		case !ok || m.Project != o.Project.ID:
			return refused(fmt.Sprintf("pipeline %d ran in a fork, which gets no commit status", o.Pipeline.ID), "")
		}
	}
	return n.turn(ctx, gl, keys.CommitStatus(gl.Instance(), o.Project.ID, o.Pipeline.ID), func(w *turn) error { return w.setStatus(ctx, o, notice) })
}

// setStatus sets the status unless it tells a newer outcome, or this one.
func (w *turn) setStatus(ctx context.Context, o event.Outcome, notice event.Notice) error {
	var known status
	id := o.ID + ":" + o.Result
	if err := w.Load(ctx, &known); err != nil || known.ID == id || o.At.Before(known.At) {
		return err
	}
	call, cancel := context.WithTimeout(ctx, requestFor)
	defer cancel()
	// Events have another ref, and may have no commit.
	p, err := w.gl.Pipeline(call, o.Project.ID, o.Pipeline.ID)
	if err != nil {
		return failed(fmt.Sprintf("read pipeline %d", o.Pipeline.ID), statusAdvice, err)
	}
	description := slackLink.ReplaceAllString(notice.Text, "$2")
	if description == "" {
		if description, err = words.Outcome(o, words.Plain.In(notice.Language)); err != nil {
			return refused(err.Error(), "")
		}
	}
	if err := w.renew(ctx); err != nil {
		return err
	}
	err = w.gl.SetCommitStatus(call, o.Project.ID, gitlab.CommitStatus{
		Pipeline: o.Pipeline.ID, SHA: p.SHA, Ref: p.Ref, Name: statusName, State: statusState, Description: shown(description), TargetURL: target(o),
	})
	if err != nil {
		return failed(fmt.Sprintf("set the commit status in pipeline %d", o.Pipeline.ID), statusAdvice, err)
	}
	return w.save(ctx, status{id, o.At})
}

// shown returns a text on one line, of maxStatus characters at most.
func shown(text string) string {
	text = words.Plain.Text(text, len(text)+1)
	if utf8.RuneCountInString(text) <= maxStatus {
		return text
	}
	return string([]rune(text)[:maxStatus-1]) + "…"
}

// target returns the page of the outcome's job, else of its pipeline; "" if GitLab would
// not take it.
func target(o event.Outcome) string {
	page := o.Job.URL
	if page == "" || event.OfPipeline(o.Action.Verb) {
		page = o.Pipeline.URL
	}
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || utf8.RuneCountInString(page) > maxStatus {
		return ""
	}
	return page
}
