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
// that requested the same. What a person requested is held up by dry runs only, see Dry.
func (rs *Rules) Validity(d event.Decision) Validity {
	if d.Requested() {
		return Validity{DryRun: rs.dry(d.By.Rule)}
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

// Dry reports whether a dry run holds what a person requests under the message of a decision,
// and which rule that depends on: one that requested the decision and is not in dry run, if
// there is one. A rule was in dry run when it matched, or is now.
func (rs *Rules) Dry(d event.Decision) (rule string, dry bool) {
	if d.Requested() {
		return d.By.Rule, rs.dry(d.By.Rule)
	}
	for _, name := range append([]string{d.Rule}, d.AlsoWantedBy...) {
		if r := rs.byName[name]; r != nil && !r.DryRun && !d.DryRun {
			return name, rs.dry(name)
		}
	}
	return d.Rule, d.DryRun || rs.dry(d.Rule)
}

// AllDry reports whether all rules are in dry run: then nothing that people request changes
// anything.
func (rs *Rules) AllDry() bool {
	return rs.dryRun || len(rs.rules) > 0 && !slices.ContainsFunc(rs.rules, func(r *Rule) bool { return !r.DryRun })
}

// dry reports whether a dry run holds what people request under the messages of a rule; ""
// names none. Of a rule that is not in force any more, all others say it.
func (rs *Rules) dry(rule string) bool {
	if r := rs.byName[rule]; r != nil {
		return r.DryRun || rs.dryRun
	}
	return rs.AllDry()
}
