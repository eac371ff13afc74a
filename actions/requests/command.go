package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// command is one of the commands after /pipesteward.
type command struct {
	name  string
	words string // that follow it, for the help
	does  string // for the help
	run   func(ctx context.Context, r chatops.Request, words []string) (answer, error)
}

// commands returns the commands, in the order of the help.
func (h *Handler) commands() []command {
	all := []command{
		{"why", "URL", "what happened to a job or a pipeline, by its address in GitLab", h.whyCommand},
		{"retry", "URL", "retries it", h.retryCommand},
		{"mute", muteWords + " [for 1h] [replace] [reason TEXT]", "stops notifications; actions go on", h.muteCommand},
		{"unmute", muteWords, "ends a mute", h.unmuteCommand},
		{"pause", pauseWords + " [for 1h] [replace] [reason TEXT]", "stops actions; what is decided waits", h.pauseCommand},
		{"resume", pauseWords, "ends a pause", h.resumeCommand},
		{"status", "", "what is paused, muted and in the queue", h.statusCommand},
	}
	if h.Reports != nil {
		all = append(all, command{"report", "[since 7d]", "how retries have helped", h.reportCommand})
	}
	return append(all, command{"help", "", "this text", h.helpCommand})
}

const (
	muteWords  = "all | [project GLOB] [rule NAME] [channel #NAME]"
	pauseWords = "all | project GLOB | rule NAME"
)

// wantsHelp reports whether a request is the command help, or one without a word.
func wantsHelp(r chatops.Request) bool {
	words := strings.Fields(r.Command)
	return r.Button == nil && (len(words) == 0 || strings.EqualFold(words[0], "help"))
}

// command does what a command of one word at least says.
func (h *Handler) command(ctx context.Context, r chatops.Request) (answer, error) {
	words := strings.Fields(r.Command)
	var known []string
	for _, c := range h.commands() {
		if strings.EqualFold(c.name, words[0]) {
			return c.run(ctx, r, words[1:])
		}
		known = append(known, c.name)
	}
	text := "There is no command " + mrkdwn.Code(words[0])
	if nearest := spelling.Nearest(strings.ToLower(words[0]), known); nearest != "" {
		text += ": " + mrkdwn.Code(nearest) + "?"
	}
	return say(text + " `/pipesteward help` lists those that there are."), nil
}

func (h *Handler) helpCommand(context.Context, chatops.Request, []string) (answer, error) {
	var lines []string
	for _, c := range h.commands() {
		lines = append(lines, fmt.Sprintf("• `/pipesteward %s` %s", strings.TrimSpace(c.name+" "+c.words), c.does))
	}
	return say(strings.Join(lines, "\n")), nil
}

// wrong returns the answer to a command that can't be read, with how to write it.
func (h *Handler) wrong(name string, err error) answer {
	for _, c := range h.commands() {
		if c.name == name {
			return say(fmt.Sprintf("That can't be read: %s.\nWrite `/pipesteward %s`", err, strings.TrimSpace(name+" "+c.words)))
		}
	}
	return say(err.Error())
}

// page reads the only word of a command, which is the address of a job or a pipeline of
// the configured GitLab.
func (h *Handler) page(ctx context.Context, words []string) (page gitlab.Page, wrong error) {
	if len(words) != 1 {
		return page, errors.New("one address of a job or a pipeline in GitLab belongs here")
	}
	page, err := h.GitLab.ParsePage(ctx, addressOf(words[0]))
	if err != nil {
		return page, errors.New(quoted(err.Error()))
	}
	return page, nil
}

// notSeen is the answer about a page that the person or Pipesteward may not see, which is the
// same whether there is such a page.
func notSeen(page gitlab.Page) answer {
	text := "There is no " + quoted(page.String()) + " that both you and Pipesteward may see"
	if page.Job != 0 {
		text += " (GitLab shows no trigger job by its id)"
	}
	return say(text + ". You need the role Reporter in the project, and the public e-mail of your profile in GitLab must be your address in Slack; or be an operator.")
}

func (h *Handler) whyCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	page, wrong := h.page(ctx, words)
	if wrong != nil {
		return h.wrong("why", wrong), nil
	}
	project, err := h.GitLab.WithBudget(maxRequests).Project(ctx, page.Project)
	switch {
	case apierror.IsHidden(err):
		return notSeen(page), nil
	case err != nil:
		return answer{}, err
	}
	refusal, err := h.may(ctx, r, chatops.Target{Project: project.ID}, chatops.ButtonWhy)
	if err != nil || refusal != "" {
		return notSeen(page), err
	}
	return h.why(ctx, h.GitLab.Instance()+"/"+page.Path())
}

func (h *Handler) retryCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	page, wrong := h.page(ctx, words)
	if wrong != nil {
		return h.wrong("retry", wrong), nil
	}
	e, err := h.GitLab.WithBudget(maxRequests).PageEvent(ctx, page, event.SourceButton)
	var notShown *gitlab.NotShownError
	switch {
	case errors.As(err, &notShown):
		return notSeen(page), nil
	case err != nil:
		return answer{}, err
	}
	on, err := h.targetOf(ctx, e, page.Job == 0, chatops.ButtonRetry)
	if err != nil {
		return answer{}, err
	}
	refusal, hidden, err := h.mayIfSeen(ctx, r, on, chatops.ButtonRetry)
	switch {
	case err != nil:
		return answer{}, err
	case hidden:
		return notSeen(page), nil
	case refusal != "":
		return say(refusal), nil
	}
	action := event.Action{Verb: event.VerbRetry}
	if page.Job == 0 {
		action.Verb = event.VerbRetryPipeline
	}
	return h.request(r, e, action, r.By.Requester())
}

func (h *Handler) muteCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := h.scope(words, "all", "project", "rule", "channel", "for", "replace", "reason")
	if wrong != nil {
		return h.wrong("mute", wrong), nil
	}
	if refusal, err := h.steers(ctx, r, chatops.ButtonMute, &s); err != nil || refusal != "" {
		return say(refusal), err
	}
	s.Until = s.until(r.ReceivedAt)
	a, err := h.mute(ctx, r, s.Mute, s.replace)
	return a.adding(s.note()), err
}

func (h *Handler) unmuteCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := parseScope(words, "all", "project", "rule", "channel")
	if wrong != nil {
		return h.wrong("unmute", wrong), nil
	}
	typed := s.Mute
	if refusal, err := h.steers(ctx, r, chatops.ButtonMute, &s); err != nil || refusal != "" {
		return say(refusal), err
	}
	return h.unmute(ctx, r, typed, s.Mute)
}

func (h *Handler) pauseCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := h.scope(words, "all", "project", "rule", "for", "replace", "reason")
	if wrong != nil {
		return h.wrong("pause", wrong), nil
	}
	if refusal, err := h.steers(ctx, r, chatops.CommandPause, &s); err != nil || refusal != "" {
		return say(refusal), err
	}
	a, err := h.pause(ctx, r, event.Pause{Project: s.Project, Rule: s.Rule, Reason: s.Reason, Until: s.until(r.ReceivedAt)}, s.replace)
	return a.adding(s.note()), err
}

func (h *Handler) resumeCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := parseScope(words, "all", "project", "rule")
	if wrong != nil {
		return h.wrong("resume", wrong), nil
	}
	typed := event.Pause{Project: s.Project, Rule: s.Rule}
	if refusal, err := h.steers(ctx, r, chatops.CommandResume, &s); err != nil || refusal != "" {
		return say(refusal), err
	}
	return h.resume(ctx, r, typed, event.Pause{Project: s.Project, Rule: s.Rule})
}

// scope reads a scope whose rule must be in force.
func (h *Handler) scope(words []string, allowed ...string) (scope, error) {
	s, err := parseScope(words, allowed...)
	if err == nil {
		err = h.knownRule(s.Rule)
	}
	return s, err
}

func (h *Handler) statusCommand(ctx context.Context, r chatops.Request, _ []string) (answer, error) {
	refusal, err := h.may(ctx, r, chatops.Target{}, chatops.CommandStatus)
	if err != nil || refusal != "" {
		return say(refusal), err
	}
	return h.status(ctx)
}

func (h *Handler) reportCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	since, wrong := parseSince(words)
	if wrong != nil {
		return h.wrong("report", wrong), nil
	}
	refusal, err := h.may(ctx, r, chatops.Target{}, chatops.CommandStatus)
	if err != nil || refusal != "" {
		return say(refusal), err
	}
	reporting, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	text, err := h.Reports.Report(reporting, since)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return say(fmt.Sprintf("The report takes longer than %s: ask for less, such as %s", reportTimeout, mrkdwn.Code("/pipesteward report since 1d"))), nil
	}
	return say(text), err
}
