package requests

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/apierror"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/spelling"
)

// muteFor is how long the buttons mute.
const muteFor = time.Hour

// muteFrom mutes what a button under a message says. Who may is as with the command, see
// steers: rights in the message's project suffice for what concerns no other one.
func (h *Handler) muteFrom(ctx context.Context, r chatops.Request, b chatops.Button, o event.Outcome) (answer, error) {
	m, on := event.Mute{Until: r.ReceivedAt.Add(muteFor)}, chatops.Target{}
	if b.Does == chatops.ButtonMute || b.Does == chatops.ButtonMuteProject {
		m.Project, on.Project = o.Project.Path, o.Project.ID
	}
	switch b.Does {
	case chatops.ButtonMute, chatops.ButtonMuteRule:
		if m.Rule = o.Rule; m.Rule == "" {
			return sayIn(h.styleOf(r), "request_no_rule", nil)
		}
	case chatops.ButtonMuteChannel:
		if m.Channel = b.In; m.Channel == "" {
			return answer{}, errors.New("the button that mutes a channel names none")
		}
	}
	refusal, err := h.may(ctx, r, on, chatops.ButtonMute)
	switch {
	case err != nil:
		return answer{}, err
	case refusal != nil:
		return h.refused(r, refusal)
	}
	return h.mute(ctx, r, m, false)
}

// mute puts a mute in force.
func (h *Handler) mute(ctx context.Context, r chatops.Request, m event.Mute, replace bool) (answer, error) {
	m.By = r.By.Requester().String()
	m.Until = m.Until.UTC()
	if wrong, is := errors.AsType[*event.ScopeError](m.Check(h.Now())); is {
		return h.wrongScope(r, "mute", wrong)
	}
	return h.steer(ctx, func(ctx context.Context, s *step) (answer, error) {
		mutes := h.Mutes
		mutes.Store = s
		var state *event.StateError
		switch _, err := mutes.Mute(ctx, m, replace, origin(r)); {
		case errors.As(err, &state):
			old, failed := like(ctx, m, h.Mutes.List)
			if failed != nil || old == nil { // nil: it has ended meanwhile
				return answer{}, cmp.Or(failed, err)
			}
			return sayIn(h.styleOf(r), "request_outlasted", viewOfMute(*old))
		case errors.Is(err, event.ErrManyMutes):
			return sayIn(h.styleOf(r), "request_many", many{true, event.MaxMutes})
		case err != nil:
			return answer{}, err
		}
		return public(h.styleOf(r), "request_muted", change{name(r.By), mrkdwn.Code(m.Scope()), date(m.Until), quoted(m.Reason), mrkdwn.Escape(scopeWords(m))})
	})
}

// unmute ends the first of the mutes that is in force: the scopes are one as it was typed, and
// with the path that its project has in GitLab.
func (h *Handler) unmute(ctx context.Context, r chatops.Request, scopes ...event.Mute) (answer, error) {
	none := func() (answer, error) {
		return sayIn(h.styleOf(r), "request_no_mute", mrkdwn.Code(scopes[len(scopes)-1].Scope()))
	}
	return h.steer(ctx, func(ctx context.Context, s *step) (answer, error) {
		mutes := h.Mutes
		mutes.Store = s
		all, err := mutes.List(ctx)
		if err != nil {
			return answer{}, err
		}
		ends := toEnd(scopes, all, func(m event.Mute) bool { return meant(r, m.By, m.Since) })
		if ends == nil {
			return none()
		}
		switch ended, err := mutes.Unmute(ctx, *ends, actor(r)); {
		case err != nil:
			return answer{}, err
		case ended == nil: // it has ended meanwhile
			return none()
		}
		return public(h.styleOf(r), "request_unmuted", change{By: name(r.By), Target: mrkdwn.Code(ends.Scope())})
	})
}

// pause puts a pause in force.
func (h *Handler) pause(ctx context.Context, r chatops.Request, p event.Pause, replace bool) (answer, error) {
	p.By = r.By.Requester().String()
	if wrong, is := errors.AsType[*event.ScopeError](p.Check(h.Now())); is {
		return h.wrongScope(r, "pause", wrong)
	}
	return h.steer(ctx, func(ctx context.Context, s *step) (answer, error) {
		pauses := h.Pauses
		pauses.Store = s
		var state *event.StateError
		switch _, err := pauses.Pause(ctx, p, replace, origin(r)); {
		case errors.As(err, &state):
			old, failed := like(ctx, p, h.Pauses.List)
			if failed != nil || old == nil { // nil: it has ended meanwhile
				return answer{}, cmp.Or(failed, err)
			}
			return sayIn(h.styleOf(r), "request_outlasted", viewOfPause(*old))
		case errors.Is(err, event.ErrManyPauses):
			return sayIn(h.styleOf(r), "request_many", many{false, event.MaxPauses})
		case err != nil:
			return answer{}, err
		}
		scope := event.Mute{Project: p.Project, Rule: p.Rule}
		return public(h.styleOf(r), "request_paused", change{name(r.By), mrkdwn.Code(p.Scope()), date(p.Until), quoted(p.Reason), mrkdwn.Escape(scopeWords(scope))})
	})
}

// resume ends the first of the pauses that is in force; see unmute.
func (h *Handler) resume(ctx context.Context, r chatops.Request, scopes ...event.Pause) (answer, error) {
	none := func() (answer, error) {
		return sayIn(h.styleOf(r), "request_no_pause", mrkdwn.Code(scopes[len(scopes)-1].Scope()))
	}
	return h.steer(ctx, func(ctx context.Context, s *step) (answer, error) {
		pauses := h.Pauses
		pauses.Store = s
		all, err := pauses.List(ctx)
		if err != nil {
			return answer{}, err
		}
		ends := toEnd(scopes, all, func(p event.Pause) bool { return meant(r, p.By, p.Since) })
		if ends == nil {
			return none()
		}
		switch ended, err := pauses.Resume(ctx, *ends, actor(r)); {
		case err != nil:
			return answer{}, err
		case ended == nil: // it has ended meanwhile
			return none()
		}
		return public(h.styleOf(r), "request_resumed", change{By: name(r.By), Target: mrkdwn.Code(ends.Scope())})
	})
}

// change is what a person did to a pause or a mute: the data of the blocks that say so.
type change struct {
	By, Target    string
	Until, Reason string
	Scope         string // the words of the command that ends it
}

// many is how many pauses or mutes there are, as many as can be.
type many struct {
	Mute  bool
	Count int
}

// inForce is a pause or a mute as people read it.
type inForce struct {
	Mute          bool
	Scope         string
	By            string
	Until, Reason string
	Open          bool // until somebody ends it, if that is worth saying
}

func viewOfPause(p event.Pause) inForce {
	return inForce{Scope: quoted(p.Scope()), By: quoted(p.By), Until: date(p.Until), Reason: quoted(p.Reason)}
}

func viewOfMute(m event.Mute) inForce {
	return inForce{Mute: true, Scope: quoted(m.Scope()), By: quoted(m.By), Until: date(m.Until), Reason: quoted(m.Reason)}
}

// like returns the item in force with the identity of another one; nil: none has it.
func like[S interface{ Identity() string }](ctx context.Context, other S, list func(context.Context) ([]S, error)) (*S, error) {
	all, err := list(ctx)
	if i := slices.IndexFunc(all, func(s S) bool { return s.Identity() == other.Identity() }); i >= 0 {
		return &all[i], nil
	}
	return nil, err
}

// wrongScope answers that a pause or a mute can't be put in force as it is.
func (h *Handler) wrongScope(r chatops.Request, command string, err *event.ScopeError) (answer, error) {
	value := quoted(err.Value)
	if err.Problem == event.ScopeGlob || err.Problem == event.ScopeChannel {
		value = mrkdwn.Code(err.Value)
	}
	return h.wrong(r, command, &mistake{"scope_wrong", struct{ Problem, Value string }{err.Problem, value}})
}

// toEnd returns the first of the scopes that has an item in force which the request means; nil:
// none has.
func toEnd[S interface{ Identity() string }](scopes, inForce []S, means func(S) bool) *S {
	for _, scope := range scopes {
		if slices.ContainsFunc(inForce, func(s S) bool { return s.Identity() == scope.Identity() && means(s) }) {
			return &scope
		}
	}
	return nil
}

// meant reports whether a request to end a pause or a mute can mean one that somebody put in
// force then: not one that another person put in force later. inTurn keeps the order of those
// of the same person.
func meant(r chatops.Request, by string, since time.Time) bool {
	return by == r.By.Requester().String() || !since.After(r.ReceivedAt)
}

// origin is what the list of changes has as the sender's address of a request: no two
// requests have the same.
func origin(r chatops.Request) string { return "Slack request " + r.ID }

// actor is who makes a request, for the list of changes.
func actor(r chatops.Request) event.Actor {
	return event.Actor{By: r.By.Requester().String(), From: origin(r)}
}

// steers returns the refusal for a person who may not steer that scope, whose project gets
// the path that it has in GitLab. Rights in a project suffice for that project alone: a
// glob, a rule or a channel concerns others as well.
func (h *Handler) steers(ctx context.Context, r chatops.Request, what string, s *scope) (refusal chatops.Refusal, err error) {
	if s.Project != "" && !isGlob(s.Project) {
		found, err := h.GitLab.WithBudget(maxRequests).Project(ctx, s.Project)
		switch {
		case apierror.IsHidden(err): // it may be a group
		case err != nil:
			return nil, err
		default:
			s.project, s.named, s.Project = found.ID, s.Project, found.Path
		}
	}
	refusal, hidden, err := h.mayIfSeen(ctx, r, chatops.Target{Project: s.project}, what)
	if hidden && s.project != 0 && err == nil { // as if there were no such project
		return h.Rights.MayOn(ctx, r.By, chatops.Target{}, what)
	}
	return refusal, err
}

// knownRule returns the mistake if there is no rule of the name; "" names none.
func (h *Handler) knownRule(rule string) *mistake {
	if rule == "" || h.Rules().Rule(rule) != nil {
		return nil
	}
	var known []string
	for _, r := range h.Rules().All() {
		known = append(known, r.Name)
	}
	return &mistake{"wrong_rule", nearest{mrkdwn.Code(rule), mrkdwn.Code(spelling.Nearest(rule, known))}}
}

// name names the person in a reply.
func name(p chatops.Person) string { return "<@" + mrkdwn.Escape(p.Requester().UserID) + ">" }

// date writes a point in time, as Slack shows it to each person in their own time zone; "" for
// none.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 MST"))
}
