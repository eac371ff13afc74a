package rules

import (
	"fmt"
	"slices"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Standing says whether the rules in force still want a decision that earlier
// ones made.
type Standing struct {
	Gone   string // why none of its rules wants it any more; "" if one does
	DryRun bool   // those that want it are in dry run
}

// Standing looks for the decision's rule, and for those that wanted the same,
// among the rules in force.
func (rs *Rules) Standing(d event.Decision) Standing {
	s := Standing{Gone: fmt.Sprintf("rule %q is not in force any more", d.Rule)}
	for _, name := range append([]string{d.Rule}, d.AlsoWantedBy...) {
		r := rs.byName[name]
		switch {
		case r == nil || r.On != d.Meta.Kind:
		case !r.wants(d.Action.Verb):
			if name == d.Rule {
				s.Gone = fmt.Sprintf("rule %q has no action %s any more", name, d.Action.Verb)
			}
		case !r.DryRun:
			return Standing{}
		default:
			s.DryRun = true
		}
	}
	if s.DryRun {
		s.Gone = ""
	}
	return s
}

// wants reports whether a decision of the rule may have the verb.
func (r *Rule) wants(verb string) bool {
	if verb == event.VerbNotify {
		return len(r.Actions) == 0
	}
	return slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == verb })
}
