package rules

import (
	"context"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
	"github.com/pipesteward/pipesteward/rules/expression/limits"
)

// Notify is an entry of a rule's `notify`: where to send notifications of which
// outcomes.
type Notify struct {
	When []string
	To   event.Address
	Text *expression.Template // nil: the default text of the outcome
}

// Notices returns the messages that the rules of the outcome's decision send
// about the outcome, one for each address. Each value in a rendered text is
// passed through escape. If a text can't be rendered, the error is returned
// and the notice has the default text. A rule that no longer exists sends
// nothing.
func (rs *Rules) Notices(ctx context.Context, o event.Outcome, facts expression.Facts, escape func(string) string) ([]event.Notice, []*RuleError) {
	ev, err := rs.evaluation(ctx, o.Event, facts)
	if err != nil {
		return nil, nil
	}
	defer ev.End()
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
			notified := slices.ContainsFunc(notices, func(other event.Notice) bool { return other.Address == n.To })
			if notified || !slices.Contains(n.When, o.Result) {
				continue
			}
			text, err := n.render(ev, escape)
			if err != nil {
				errs = append(errs, &RuleError{r.Name, "text", err})
			}
			notices = append(notices, event.Notice{Address: n.To, Text: text})
		}
	}
	return notices, errs
}

// Notifies reports whether there are Notices of the outcome. It renders no text.
func (rs *Rules) Notifies(o event.Outcome) bool {
	notifies := func(name string) bool {
		r := rs.byName[name]
		return r != nil && slices.ContainsFunc(r.Notify, func(n Notify) bool { return slices.Contains(n.When, o.Result) })
	}
	return notifies(o.Rule) || slices.ContainsFunc(o.AlsoWantedBy, notifies)
}

// render returns the notice's text; "" if it has none or can't be rendered.
func (n Notify) render(ev *evaluation, escape func(string) string) (string, error) {
	if n.Text == nil {
		return "", nil
	}
	return ev.Text(*n.Text, escape)
}
