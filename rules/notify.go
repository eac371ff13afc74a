package rules

import (
	"cmp"
	"context"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/templates"
)

// Notify is an entry of a rule's `notify`: where to send notifications of which
// outcomes.
type Notify struct {
	When     []string
	Receiver string
	Channel  Channel
	Mention  []string             // as event.Notice has it
	Text     *expression.Template // nil: that of the rule files' templates, else the default text
	Language string               // of event.Languages; "": English
	State    *State               // nil: the entry is about outcomes
	Together *Together            // nil: each notice is in the message of its pipeline
	Quiet    Quiet
	Group    event.Group
}

// Quiet are quiet hours with the outcomes that do not wait for their end.
type Quiet struct {
	Hours  event.Quiet
	Except []string
}

// of returns the quiet hours for an outcome.
func (q Quiet) of(result string) event.Quiet {
	if slices.Contains(q.Except, result) {
		return event.Quiet{}
	}
	return q.Hours
}

// templates returns the texts with expressions.
func (n Notify) templates() []*expression.Template {
	all := []*expression.Template{n.Channel.Template, n.Text}
	if n.Together != nil {
		all = append(all, n.Together.Key)
	}
	if n.State != nil {
		all = append(all, n.State.Resolved)
	}
	return slices.DeleteFunc(all, func(t *expression.Template) bool { return t == nil })
}

// selects reports whether the entry sends a notice of the outcome: to GitLab, only if the
// event is of a merge request or of a pipeline.
func (n Notify) selects(o event.Outcome) bool {
	storm := o.Result == event.ResultDeferred && o.WaitsFor == event.WaitStorm
	switch {
	case !slices.Contains(n.When, o.Result) && (!storm || !slices.Contains(n.When, event.WhenStorm)):
		return false
	case n.Receiver != event.ReceiverGitLab:
		return true
	case n.Channel.Source == event.ChannelMergeRequest:
		return event.MergeRequestIID(o.Event) != 0
	}
	return o.Pipeline.ID != 0
}

// to renders the address. The end of a state goes where its beginning went.
func (n Notify) to(ev *evaluation, state event.State) (event.Address, error) {
	if state.To != (event.Address{}) {
		return state.To, nil
	}
	channel, err := n.Channel.name(ev.Session)
	return event.Address{Receiver: n.Receiver, Channel: channel}, err
}

// Notices returns the messages that the rules of the outcome's decision send
// about the outcome, one for each address, and about the turns of its states.
// What several entries send to one address is the notice of the first, which
// mentions all whom they mention, and is not held if one of them does not hold it.
// Each value in a rendered text is passed through the function that escape
// returns for the address. If a text can't be rendered, the error is returned
// and the notice has the rule files' template in its place, else the default
// text; without its channel, the notice can't be sent. A rule that no longer
// exists sends nothing.
func (rs *Rules) Notices(ctx context.Context, o event.Outcome, facts expression.Facts, escape func(event.Address) func(string) string) ([]event.Notice, []*RuleError) {
	ev, err := rs.evaluation(ctx, o.Event, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
	ev.About(o)
	var notices []event.Notice
	var errs []*RuleError
	names := append([]string{o.Rule}, o.AlsoWantedBy...)
	for _, name := range names {
		r := rs.byName[name]
		if r == nil {
			continue
		}
		ev.Allot(r.Name, min(limits.RuleWork, limits.EventWork/len(names)))
		for _, n := range r.Notify {
			state, ok := n.wants(o)
			if !ok {
				continue
			}
			to, err := n.to(ev, state)
			if err != nil {
				errs = append(errs, &RuleError{r.Name, "channel", err})
			}
			together := n.togetherOf(o)
			subject := cmp.Or(state.Subject, together.Subject)
			if i := slices.IndexFunc(notices, func(other event.Notice) bool { return other.Address == to && other.Subject == subject }); i >= 0 {
				n.join(&notices[i], r.Name, o.Result)
				continue
			}
			notice := event.Notice{Address: to, Rules: []string{r.Name}, Mention: n.Mention, Language: n.Language, Turn: state.Turn, Subject: subject, Together: together.Refs, Quiet: n.Quiet.of(o.Result), Group: n.Group}
			if together.Refs > 1 {
				notice.Mention = nil // the message has mentioned them when it began
			}
			ev.Together(together.Refs)
			errs = append(errs, rs.write(ev, o, r.Name, n.own(&notice), &notice, escape(to))...)
			notices = append(notices, notice)
		}
	}
	return notices, errs
}

// join has a notice to the entry's address also be that of the entry, which is of a rule.
func (n Notify) join(to *event.Notice, rule, result string) {
	if !slices.Contains(to.Rules, rule) {
		to.Rules = append(to.Rules, rule)
	}
	for _, who := range n.Mention {
		if !slices.Contains(to.Mention, who) {
			to.Mention = append(slices.Clip(to.Mention), who) // it may be that of a rule
		}
	}
	if n.Quiet.of(result).From == "" {
		to.Quiet = event.Quiet{}
	}
}

// Addresses returns whom a rule notifies of outcomes, each with its address and its language,
// as the event of a job renders them: but for GitLab and the author of a commit, who have no
// part in what the rule learns.
func (rs *Rules) Addresses(ctx context.Context, rule string, e event.Event, facts expression.Facts) (all []event.Notice, errs []*RuleError) {
	r := rs.byName[rule]
	if r == nil {
		return nil, nil
	}
	ev, err := rs.evaluation(ctx, e, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
	ev.Allot(r.Name, limits.RuleWork)
	for _, n := range r.Notify {
		if n.State != nil || n.Receiver == event.ReceiverGitLab || n.Channel.Source == event.ChannelAuthor {
			continue
		}
		to, err := n.to(ev, event.State{})
		switch {
		case err != nil:
			errs = append(errs, &RuleError{r.Name, "channel", err})
		case !slices.ContainsFunc(all, func(other event.Notice) bool { return other.Address == to }):
			all = append(all, event.Notice{Address: to, Language: n.Language})
		}
	}
	return all, errs
}

// Notifies reports whether there are Notices of the outcome, or may be: whether its states
// turn is not known yet. It renders no text.
func (rs *Rules) Notifies(o event.Outcome) bool {
	notifies := func(name string) bool {
		r := rs.byName[name]
		return r != nil && slices.ContainsFunc(r.Notify, func(n Notify) bool { return n.selects(o) })
	}
	mayTurn := slices.ContainsFunc(rs.States(o), func(s event.State) bool { return s.Turn != "" || s.Since.IsZero() })
	return mayTurn || notifies(o.Rule) || slices.ContainsFunc(o.AlsoWantedBy, notifies)
}

// FromTemplates returns a notice that no rule sends with the texts of the rule files'
// templates: of an outcome that a person requested, or of none, at the end of a pipeline.
// Values are escaped and errors returned as by Notices, but the errors name no rule.
func (rs *Rules) FromTemplates(ctx context.Context, o event.Outcome, n event.Notice, facts expression.Facts, escape func(string) string) (event.Notice, []*RuleError) {
	if len(rs.templates) == 0 {
		return n, nil
	}
	ev, err := rs.evaluation(ctx, o.Event, facts)
	if err != nil {
		return n, nil
	}
	defer ev.End()
	ev.About(o)
	errs := rs.write(ev, o, "", templates.Part{}, &n, escape)
	return n, errs
}

// own returns the text of the entry for a notice.
func (n Notify) own(to *event.Notice) templates.Part {
	if to.Turn == event.StateResolved {
		return templates.Part{Name: "resolved", Text: &to.Text, Template: n.State.Resolved}
	}
	return templates.Part{Name: "text", Text: &to.Text, Template: n.Text}
}

// write renders the texts of a notice: its own, and those of the rule files' templates. What
// can't be rendered stays "".
func (rs *Rules) write(ev *evaluation, o event.Outcome, rule string, own templates.Part, to *event.Notice, escape func(string) string) (errs []*RuleError) {
	for _, part := range append([]templates.Part{own}, rs.templates.Parts(o, to)...) {
		if part.Template == nil || *part.Text != "" {
			continue
		}
		text, err := ev.Text(*part.Template, escape)
		if err != nil {
			errs = append(errs, &RuleError{rule, part.Name, err})
		}
		*part.Text = text
	}
	return errs
}
