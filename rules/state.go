package rules

import (
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/expression"
)

// State is the state in an entry of `notify`: people are notified when it turns true, and
// when it turns false again. The rule's condition selects the events that say something of
// it.
type State struct {
	Source    string
	Condition *vm.Program
	Resolved  *expression.Template // nil: the default text
}

// stateID identifies the entry of a state in its rule, whatever its texts are and wherever
// it stands; "" if the entry has no state.
func (n Notify) stateID() string {
	if n.State == nil {
		return ""
	}
	return hash(n.Receiver, n.Channel.Source, n.State.Source)
}

// states evaluates the states of a rule that matched.
func (ev *evaluation) states(r *Rule) ([]event.State, *RuleError) {
	var all []event.State
	for _, n := range r.Notify {
		if n.State == nil {
			continue
		}
		value, err := ev.Run(n.State.Condition)
		if err != nil {
			return nil, &RuleError{r.Name, "state", err}
		}
		all = append(all, event.State{Entry: n.stateID(), If: n.State.Source, Value: value == true})
	}
	return all, nil
}

// States returns the states of the outcome's decision that can turn: the rule has matched,
// and still has their entries.
func (rs *Rules) States(o event.Outcome) []event.State {
	r := rs.byName[o.Rule]
	if r == nil || o.Result != event.ResultDone && o.Result != event.ResultDryRun {
		return nil
	}
	var all []event.State
	for _, s := range o.States {
		if slices.ContainsFunc(r.Notify, func(n Notify) bool { return n.stateID() == s.Entry }) {
			all = append(all, s)
		}
	}
	return all
}

// wants reports whether the entry sends a notice of the outcome, and of the turn of which
// state.
func (n Notify) wants(o event.Outcome) (about event.State, ok bool) {
	if n.State == nil {
		return about, n.selects(o)
	}
	id := n.stateID()
	i := slices.IndexFunc(o.States, func(s event.State) bool { return s.Entry == id })
	if i < 0 {
		return about, false
	}
	return o.States[i], o.States[i].Turn != ""
}
