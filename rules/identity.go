package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Identities returns an identity of each rule, in file order: 16 hex digits
// that change if the rule's content, the `defaults` of its file, the failure
// classes or its dry run setting change. Comments, layout and other rules have
// no effect. The slice is shared and must not be changed.
func (rs *Rules) Identities() []string { return rs.identities }

// Without returns a copy of the rules in which the rules with these identities
// make no decisions and are ignored by Wants. Their `stop` still applies.
func (rs *Rules) Without(identities []string) *Rules {
	if len(identities) == 0 {
		return rs
	}
	rest := *rs
	rest.without = identities
	return &rest
}

// leavesOut reports whether the rule makes no decisions.
func (rs *Rules) leavesOut(r *Rule) bool { return slices.Contains(rs.without, r.Identity) }

// Fingerprint returns 16 hex digits that differ if the rules do: if any of their
// identities or their order differs. Rules of one fingerprint explain an event alike.
func (rs *Rules) Fingerprint() string { return rs.fingerprint }

func fingerprint(identities []string) string {
	sum := sha256.Sum256([]byte(strings.Join(identities, " ")))
	return hex.EncodeToString(sum[:8])
}
