package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/schema"
)

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
func (rs *Rules) leavesOut(r *rule) bool { return slices.Contains(rs.without, r.identity) }

// identify gives the rules of a file their identities; classes is what all files
// say of failure classes.
func identify(all []*parsedRule, root *yaml.Node, classes string) {
	shared := contentOf(schema.Value(root, "defaults")) + classes
	for _, r := range all {
		sum := sha256.Sum256([]byte(fmt.Sprintf("%s %s %t", r.content, shared, r.dryRun)))
		r.identity = hex.EncodeToString(sum[:8])
	}
}

// contentOf names what a node says, whatever its comments and its layout; "" for
// none.
func contentOf(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	h := sha256.New()
	writeContent(h, schema.Resolve(n))
	return hex.EncodeToString(h.Sum(nil))
}

func writeContent(h hash.Hash, n *yaml.Node) {
	fmt.Fprintf(h, "%d %d %q %q\n", n.Kind, len(n.Content), n.ShortTag(), n.Value)
	for _, part := range n.Content {
		writeContent(h, schema.Resolve(part))
	}
}

// contentOfClasses names what the files say of failure classes.
func contentOfClasses(roots []*yaml.Node) string {
	var all strings.Builder
	for _, root := range roots {
		if root != nil {
			all.WriteString(contentOf(schema.Value(root, "classes")) + " ")
		}
	}
	return all.String()
}
