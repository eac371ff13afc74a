package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// command is one of the commands after /pipesteward. What it does, for the help, is in
// command_does of package words.
type command struct {
	name  string
	words string // that follow it, for the help
	run   func(ctx context.Context, r chatops.Request, words []string) (answer, error)
}

// usage returns how the command is written.
func (c command) usage() string { return strings.TrimSpace(c.name + " " + c.words) }

// commands returns the commands, in the order of the help.
func (h *Handler) commands() []command {
	all := []command{
		{"why", "URL", h.whyCommand},
		{"retry", "URL", h.retryCommand},
		{"mute", muteWords + " [for 1h] [replace] [reason TEXT]", h.muteCommand},
		{"unmute", muteWords, h.unmuteCommand},
		{"pause", pauseWords + " [for 1h] [replace] [reason TEXT]", h.pauseCommand},
		{"resume", pauseWords, h.resumeCommand},
		{"status", "", h.statusCommand},
	}
	if h.Reports != nil {
		all = append(all, command{"report", "[since 7d]", h.reportCommand})
	}
	return append(all, command{"help", "", h.helpCommand})
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
	return sayIn(h.styleOf(r), "command_unknown", nearest{mrkdwn.Code(words[0]), mrkdwn.Code(spelling.Nearest(strings.ToLower(words[0]), known))})
}

// nearest is a word that is not known, and the known one that it may stand for; "": none.
type nearest struct{ Word, Nearest string }

func (h *Handler) helpCommand(_ context.Context, r chatops.Request, _ []string) (answer, error) {
	var lines []string
	for _, c := range h.commands() {
		does, err := h.styleOf(r).Say("command_does", c.name)
		if err != nil {
			return answer{}, err
		}
		lines = append(lines, fmt.Sprintf("• `/pipesteward %s` %s", c.usage(), does))
	}
	return say(strings.Join(lines, "\n")), nil
}

// wrong returns the answer to a command that can't be read, with how to write it.
func (h *Handler) wrong(r chatops.Request, name string, m *mistake) (answer, error) {
	in := h.styleOf(r)
	why, err := in.Say(m.block, m.data)
	if err != nil {
		return answer{}, err
	}
	var usage string
	for _, c := range h.commands() {
		if c.name == name {
			usage = c.usage()
		}
	}
	return sayIn(in, "command_wrong", struct{ Why, Usage string }{why, usage})
}

// page reads the only word of a command, which is the address of a job or a pipeline of
// the configured GitLab.
func (h *Handler) page(ctx context.Context, words []string) (gitlab.Page, *mistake, error) {
	if len(words) != 1 {
		return gitlab.Page{}, &mistake{"wrong_one_page", nil}, nil
	}
	page, err := h.GitLab.ParsePage(ctx, addressOf(words[0]))
	if wrong, is := errors.AsType[*gitlab.PageError](err); is {
		return page, h.wrongPage(wrong), nil
	}
	return page, nil, err
}

// wrongPage returns why an address is not that of a page.
func (h *Handler) wrongPage(err *gitlab.PageError) *mistake {
	m := &mistake{"wrong_page", struct{ Address, GitLab string }{quoted(err.Shown), quoted(h.GitLab.Instance())}}
	if err.Elsewhere {
		m.block = "wrong_gitlab"
	}
	return m
}

// notSeen is the answer about a page that the person or Pipesteward may not see, which is the
// same whether there is such a page.
func (h *Handler) notSeen(r chatops.Request, page gitlab.Page) (answer, error) {
	return sayIn(h.styleOf(r), "command_not_seen", escaped(page))
}

// escaped returns a page as it can stand in a reply.
func escaped(page gitlab.Page) gitlab.Page {
	page.Project = quoted(page.Project)
	return page
}

func (h *Handler) whyCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	page, wrong, err := h.page(ctx, words)
	switch {
	case err != nil:
		return answer{}, err
	case wrong != nil:
		return h.wrong(r, "why", wrong)
	}
	project, err := h.GitLab.WithBudget(maxRequests).Project(ctx, page.Project)
	switch {
	case apierror.IsHidden(err):
		return h.notSeen(r, page)
	case err != nil:
		return answer{}, err
	}
	refusal, err := h.may(ctx, r, chatops.Target{Project: project.ID}, chatops.ButtonWhy)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.notSeen(r, page)
	}
	return h.why(ctx, h.GitLab.Instance()+"/"+page.Path(), h.styleOf(r))
}

func (h *Handler) retryCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	page, wrong, err := h.page(ctx, words)
	switch {
	case err != nil:
		return answer{}, err
	case wrong != nil:
		return h.wrong(r, "retry", wrong)
	case h.Rules().AllDry():
		return h.inDryRun(r, event.Decision{})
	}
	gl := h.GitLab.WithBudget(maxRequests)
	project, err := gl.Project(ctx, page.Project)
	switch {
	case apierror.IsHidden(err):
		return h.notSeen(r, page)
	case err != nil:
		return answer{}, err
	}
	switch refusal, hidden, err := h.mayIfSeen(ctx, r, anyJob(project.ID), chatops.ButtonRetry); {
	case err != nil:
		return answer{}, err
	case hidden:
		return h.notSeen(r, page)
	case refusal != nil:
		return h.refused(r, refusal)
	}
	e, err := gl.PageEvent(ctx, page, event.SourceButton)
	var notShown *gitlab.NotShownError
	switch {
	case errors.As(err, &notShown):
		return h.notSeen(r, page)
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
		return h.notSeen(r, page)
	case refusal != nil:
		return h.refused(r, refusal)
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
		return h.wrong(r, "mute", wrong)
	}
	switch refusal, err := h.steers(ctx, r, chatops.ButtonMute, &s); {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	s.Until = s.until(r.ReceivedAt)
	s.unknown = s.Channel != "" && !h.Rules().MayNotify(s.Channel)
	return h.noting(r, s)(h.mute(ctx, r, s.Mute, s.replace))
}

func (h *Handler) unmuteCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := parseScope(words, "all", "project", "rule", "channel")
	if wrong != nil {
		return h.wrong(r, "unmute", wrong)
	}
	typed := s.Mute
	switch refusal, err := h.steers(ctx, r, chatops.ButtonMute, &s); {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	return h.unmute(ctx, r, typed, s.Mute)
}

func (h *Handler) pauseCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := h.scope(words, "all", "project", "rule", "for", "replace", "reason")
	if wrong != nil {
		return h.wrong(r, "pause", wrong)
	}
	switch refusal, err := h.steers(ctx, r, chatops.CommandPause, &s); {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	return h.noting(r, s)(h.pause(ctx, r, event.Pause{Project: s.Project, Rule: s.Rule, Reason: s.Reason, Until: s.until(r.ReceivedAt)}, s.replace))
}

func (h *Handler) resumeCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	s, wrong := parseScope(words, "all", "project", "rule")
	if wrong != nil {
		return h.wrong(r, "resume", wrong)
	}
	typed := event.Pause{Project: s.Project, Rule: s.Rule}
	switch refusal, err := h.steers(ctx, r, chatops.CommandResume, &s); {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	return h.resume(ctx, r, typed, event.Pause{Project: s.Project, Rule: s.Rule})
}

// noting adds to an answer what is to be said of the scope.
func (h *Handler) noting(r chatops.Request, s scope) func(answer, error) (answer, error) {
	return func(a answer, err error) (answer, error) {
		block, data := s.note()
		if err != nil || block == "" {
			return a, err
		}
		note, err := h.styleOf(r).Say(block, data)
		return a.adding(note), err
	}
}

// scope reads a scope whose rule must be in force.
func (h *Handler) scope(words []string, allowed ...string) (scope, *mistake) {
	s, wrong := parseScope(words, allowed...)
	if wrong == nil {
		wrong = h.knownRule(s.Rule)
	}
	return s, wrong
}

func (h *Handler) statusCommand(ctx context.Context, r chatops.Request, _ []string) (answer, error) {
	refusal, err := h.may(ctx, r, chatops.Target{}, chatops.CommandStatus)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	return h.status(ctx, h.styleOf(r))
}

func (h *Handler) reportCommand(ctx context.Context, r chatops.Request, words []string) (answer, error) {
	since, wrong := parseSince(words)
	if wrong != nil {
		return h.wrong(r, "report", wrong)
	}
	refusal, err := h.may(ctx, r, chatops.Target{}, chatops.CommandStatus)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	reporting, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	text, err := h.Reports.Report(reporting, since, h.styleOf(r))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return sayIn(h.styleOf(r), "report_slow", struct {
			Limit   time.Duration
			Instead string
		}{reportTimeout, mrkdwn.Code("/pipesteward report since 1d")})
	}
	return say(text), err
}
