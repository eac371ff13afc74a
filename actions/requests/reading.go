package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// Bounds on replies: maxText is Slack's, in characters; maxBytes is that of messages.
const (
	maxText  = 3000
	maxBytes = 9000
	maxNotes = 3 // of a story
	maxScope = 5 // pauses or mutes that the status lists
)

// log replies with the lines of the job log that matter, with secrets masked, between
// fences that the log can't close.
func (h *Handler) log(ctx context.Context, e event.Event, in words.Style) (answer, error) {
	job := mrkdwn.Link(e.Job.URL, e.Job.Name)
	text, err := facts.Reader{GitLab: h.GitLab.WithBudget(maxRequests)}.Log(ctx, e)
	switch {
	case apierror.IsHidden(err):
		return sayIn(in, "request_log_hidden", job)
	case err != nil:
		return answer{}, err
	}
	excerpt := strings.TrimSpace(expression.Excerpt(text, e))
	if excerpt == "" {
		return sayIn(in, "request_log_empty", job)
	}
	top, err := in.Say("request_log", job)
	return say(mrkdwn.Cut(top+"\n```\n"+mrkdwn.Escape(excerpt)+"\n```", maxText, maxBytes)), err
}

// why replies with the story of a job or a pipeline, in short.
func (h *Handler) why(ctx context.Context, address string) (answer, error) {
	s, err := h.Stories.Build(ctx, address)
	var requested interface{ Missing() bool }
	switch {
	case errors.As(err, &requested):
		return say(quoted(err.Error())), nil
	case err != nil:
		return answer{}, err
	}
	subject := mrkdwn.Link(s.URL, fmt.Sprintf("pipeline %d", s.Pipeline.ID))
	if s.Job.ID != 0 {
		subject = mrkdwn.Link(s.URL, fmt.Sprintf("job %d %s", s.Job.ID, s.Job.Name))
	}
	lines := []string{"*" + subject + "* in " + mrkdwn.Title(s.Project) + ": " + quoted(s.Answer)}
	for i, note := range s.Notes {
		if i == maxNotes {
			break
		}
		text, _, _ := strings.Cut(note, "\n") // the command for it follows
		lines = append(lines, "• "+quoted(text))
	}
	lines = append(lines, "All of it: "+mrkdwn.Code("pipesteward why "+words.Shell(s.URL)))
	return say(mrkdwn.Cut(strings.Join(lines, "\n"), maxText, maxBytes)), nil
}

// status replies with the state of the servers, in short.
func (h *Handler) status(ctx context.Context) (answer, error) {
	depth, err := h.Store.Depth(ctx)
	if err != nil {
		return answer{}, err
	}
	pauses, err := h.Pauses.List(ctx)
	if err != nil {
		return answer{}, err
	}
	mutes, err := h.Mutes.List(ctx)
	if err != nil {
		return answer{}, err
	}
	lines := []string{fmt.Sprintf("%s in force. In the queue: %d due, %d waiting, %d in work, %d dead.", english.Plural(h.Rules().Len(), "rule", ""), depth.Due, depth.Waiting, depth.Leased, depth.Dead)}
	if trouble, is := h.GitLab.Trouble(); is {
		lines = append(lines, ":warning: GitLab can't be used: "+quoted(trouble.Reason))
	}
	for i, p := range pauses {
		if i == maxScope {
			lines = append(lines, fmt.Sprintf("… and %s more", english.Plural(len(pauses)-i, "pause", "")))
			break
		}
		lines = append(lines, "• "+quoted(p.String()))
	}
	for i, m := range mutes {
		if i == maxScope {
			lines = append(lines, fmt.Sprintf("… and %s more", english.Plural(len(mutes)-i, "mute", "")))
			break
		}
		lines = append(lines, "• "+quoted(m.String()))
	}
	if len(pauses)+len(mutes) == 0 {
		lines = append(lines, "Nothing is paused or muted.")
	}
	return say(mrkdwn.Cut(strings.Join(lines, "\n"), maxText, maxBytes)), nil
}
