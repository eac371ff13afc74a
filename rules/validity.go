package rules

import (
	"fmt"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Validity records whether the rules in force still request a decision that
// earlier rules made.
type Validity struct {
	Invalid string // why no rule in force requests it any more; "" if one does
	DryRun  bool   // all rules that request it are in dry run
}

// Validity checks the decision against the rules in force: its rule, and those
// that requested the same. What a person requested is held up by a dry run of the
// process only: no rule has a say in it.
func (rs *Rules) Validity(d event.Decision) Validity {
	if d.Requested() {
		return Validity{DryRun: rs.dryRun}
	}
	s := Validity{Invalid: fmt.Sprintf("rule %q is not in force any more", d.Rule)}
	for _, name := range append([]string{d.Rule}, d.AlsoWantedBy...) {
		r := rs.byName[name]
		switch {
		case r == nil || r.On != d.Meta.Kind:
		case !r.wants(d.Action.Verb):
			if name == d.Rule {
				s.Invalid = fmt.Sprintf("rule %q has no action %s any more", name, d.Action.Verb)
			}
		case !r.DryRun:
			return Validity{}
		default:
			s.DryRun = true
		}
	}
	if s.DryRun {
		s.Invalid = ""
	}
	return s
}

// wants reports whether a decision of the rule may have the verb.
func (r *Rule) wants(verb string) bool {
	if verb == event.VerbNotify {
		return len(r.Actions) == 0 && !r.OnlyStops()
	}
	return slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == verb })
}
