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

// identify gives the rules of a file their identities; classes is what all files
// say of failure classes.
func identify(all []*ParsedRule, root *yaml.Node, classes string) {
	shared := contentOf(schema.Value(root, "defaults")) + classes
	for _, r := range all {
		sum := sha256.Sum256([]byte(fmt.Sprintf("%s %s %t", r.content, shared, r.DryRun)))
		r.Identity = hex.EncodeToString(sum[:8])
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
