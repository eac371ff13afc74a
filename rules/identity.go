package rules

import "slices"

// Identities names the rules by what they do, in file order: each by 16 hex
// digits, which change when the rule's text does, the `defaults` of its file or
// the failure classes, or when it begins or ends to be in dry run. Comments and
// layout, and the other rules, change nothing.
// The slice is shared, and not to be changed.
func (rs *Rules) Identities() []string { return rs.identities }

// Without returns the rules but for those with these identities: Evaluate gives
// no decisions of them, and Wants passes over them. A `stop` of them still stops.
func (rs *Rules) Without(identities []string) *Rules {
	if len(identities) == 0 {
		return rs
	}
	rest := *rs
	rest.without = identities
	return &rest
}

// leavesOut reports whether Evaluate gives no decisions of the rule.
func (rs *Rules) leavesOut(r *Rule) bool { return slices.Contains(rs.without, r.Identity) }
