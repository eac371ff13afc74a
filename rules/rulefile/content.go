package rulefile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/rules/schema"
)

// identify sets the identities of the rules of a file. classes identifies the
// failure classes of all files.
func identify(all []*ParsedRule, root *yaml.Node, classes string) {
	shared := contentOf(schema.Value(root, "defaults")) + classes
	for _, r := range all {
		sum := sha256.Sum256([]byte(fmt.Sprintf("%s %s %t", r.content, shared, r.DryRun)))
		r.Identity = hex.EncodeToString(sum[:8])
	}
}

// contentOf returns a hash of a node that is independent of comments and
// layout; "" for nil.
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

// contentOfClasses identifies the failure classes of the files.
func contentOfClasses(roots []*yaml.Node) string {
	var all strings.Builder
	for _, root := range roots {
		if root != nil {
			all.WriteString(contentOf(schema.Value(root, "classes")) + " ")
		}
	}
	return all.String()
}
