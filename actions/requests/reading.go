package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/facts"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/story"
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
func (h *Handler) why(ctx context.Context, address string, in words.Style) (answer, error) {
	s, err := h.Stories.Build(ctx, address, in.Language)
	var gone *story.MissingError
	var wrong *gitlab.PageError
	switch {
	case errors.As(err, &gone):
		return sayIn(in, "command_gone", escaped(gone.Page))
	case errors.As(err, &wrong): // the message is about another GitLab than the configured one
		m := h.wrongPage(wrong)
		return sayIn(in, m.block, m.data)
	case err != nil:
		return answer{}, err
	}
	terms := words.TermsIn(in.Language)
	subject := mrkdwn.Link(s.URL, strings.TrimSpace(fmt.Sprintf(terms.NumberedPipeline, s.Pipeline.ID)))
	if s.Job.ID != 0 {
		subject = mrkdwn.Link(s.URL, strings.TrimSpace(fmt.Sprintf(terms.Job, s.Job.ID)+" "+s.Job.Name))
	}
	first, err := in.Say("why_answer", struct{ Subject, Project, Answer string }{subject, mrkdwn.Title(s.Project), quoted(s.Answer)})
	if err != nil {
		return answer{}, err
	}
	lines := []string{first}
	for i, note := range s.Notes {
		if i == maxNotes {
			break
		}
		text, _, _ := strings.Cut(note, "\n") // the command for it follows
		lines = append(lines, "• "+quoted(text))
	}
	last, err := in.Say("why_all", mrkdwn.Code("pipesteward why "+words.Shell(s.URL)))
	return say(mrkdwn.Cut(strings.Join(append(lines, last), "\n"), maxText, maxBytes)), err
}

// status replies with the state of the servers, in short.
func (h *Handler) status(ctx context.Context, in words.Style) (answer, error) {
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
	var lines []string
	var failures []error
	add := func(bullet, block string, data any) {
		text, err := in.Say(block, data)
		lines, failures = append(lines, bullet+text), append(failures, err)
	}
	// This request itself is not counted as in work.
	add("", "status_queue", struct{ Rules, Due, Waiting, Leased, Dead int }{h.Rules().Len(), depth.Due, depth.Waiting, max(0, depth.Leased-1), depth.Dead})
	if trouble, is := h.GitLab.Trouble(); is {
		add("", "status_trouble", quoted(trouble.Reason))
	}
	for _, p := range pauses[:min(len(pauses), maxScope)] {
		add("• ", "paused", viewOfPause(p))
	}
	if more := len(pauses) - maxScope; more > 0 {
		add("", "status_more_pauses", more)
	}
	for _, m := range mutes[:min(len(mutes), maxScope)] {
		add("• ", "muted", viewOfMute(m))
	}
	if more := len(mutes) - maxScope; more > 0 {
		add("", "status_more_mutes", more)
	}
	if len(pauses)+len(mutes) == 0 {
		add("", "status_nothing", nil)
	}
	return say(mrkdwn.Cut(strings.Join(lines, "\n"), maxText, maxBytes)), errors.Join(failures...)
}
