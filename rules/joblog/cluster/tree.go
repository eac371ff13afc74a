package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxWords is how many words of a line count.
	maxWords = 40
	// similar is which part of the words of a line must be as in a group that it joins.
	similar = 0.5
)

// Tree has the groups of the lines that were added. The groups follow from the lines and
// their order alone.
type Tree struct {
	most   int // groups
	leaves map[leaf][]*Group
	groups []*Group // the one that was added to last is at the end
}

// leaf is a place in the tree.
type leaf struct {
	words int
	first string // wildcard: a word with a mask
}

// Group is a group of lines.
type Group struct {
	words []string
	at    leaf
}

// New returns a tree that keeps at most so many groups, 1 at least: those that were added to
// last.
func New(most int) *Tree { return &Tree{most: max(1, most), leaves: map[leaf][]*Group{}} }

// Words returns the words of a line that count, with masks.
func Words(line string) []string {
	words := strings.Fields(Mask(line))
	if last := len(words) - 1; last > 0 && strings.HasSuffix(words[last], "…") { // the line was cut in this word
		words = words[:last]
	}
	return words[:min(len(words), maxWords)]
}

// ID returns the id of a group whose first line has the words: the same for lines that differ
// in masked parts only.
func ID(words []string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, " ")))
	return hex.EncodeToString(sum[:4])
}

// Add adds a line by its Words to the group that it belongs to, and returns that. It returns
// nil for a line without words.
func (t *Tree) Add(words []string) *Group {
	if len(words) == 0 {
		return nil
	}
	at := leaf{len(words), branch(words[0])}
	g := mostSimilar(t.leaves[at], words)
	if g == nil {
		g = &Group{words: slices.Clone(words), at: at}
		t.leaves[at] = append(t.leaves[at], g)
	} else {
		for i, w := range words {
			if g.words[i] != w {
				g.words[i] = wildcard
			}
		}
		t.groups = slices.DeleteFunc(t.groups, func(other *Group) bool { return other == g })
	}
	t.groups = append(t.groups, g)
	if len(t.groups) > t.most {
		t.drop(t.groups[0])
	}
	return g
}

// branch returns the branch of the tree for a word.
func branch(w string) string {
	if strings.Contains(w, "<") {
		return wildcard
	}
	return w
}

// mostSimilar returns the group that a line with these words joins; nil if there is none.
func mostSimilar(groups []*Group, words []string) (best *Group) {
	most := 0
	for _, g := range groups {
		same, ok := g.similarity(words)
		if ok && same > most && float64(same) >= similar*float64(len(words)) {
			best, most = g, same
		}
	}
	return best
}

// similarity returns how many words of a line are as in the group. ok is not set if the
// line tells of something else: a word that says how it failed differs.
func (g *Group) similarity(words []string) (same int, ok bool) {
	for i, w := range words {
		switch other := g.words[i]; {
		case w == other:
			same++
		case telling.MatchString(w) || telling.MatchString(other):
			return 0, false
		}
	}
	return same, true
}

// telling matches a word that says how something failed: a code or a constant, like E404,
// ECONNRESET and 503, the name of an error, and the usual words.
var telling = regexp.MustCompile(`\b(?:[A-Z][A-Z0-9_]{3,}|[A-Z]{1,6}\d{2,5}|[45]\d\d|\w*(?:Error|Exception)|not|no|failed|failure|timeout|timed|refused|denied|reset|expired|missing|killed|unauthorized|forbidden|undefined|unreachable|exceeded|aborted|interrupted|unavailable)\b`)

func (t *Tree) drop(g *Group) {
	is := func(other *Group) bool { return other == g }
	t.groups = slices.DeleteFunc(t.groups, is)
	if t.leaves[g.at] = slices.DeleteFunc(t.leaves[g.at], is); len(t.leaves[g.at]) == 0 {
		delete(t.leaves, g.at)
	}
}

// Groups returns the groups that the tree keeps, the one that was added to last first.
func (t *Tree) Groups() []*Group {
	groups := slices.Clone(t.groups)
	slices.Reverse(groups)
	return groups
}

// Text returns the words that the lines of the group have in common, with masks.
func (g *Group) Text() string { return strings.Join(g.words, " ") }

// mask matches a mask.
var mask = regexp.MustCompile(`<(?:\*|[a-z]+)>`)

// Pattern returns a regular expression that matches each line of the group in a log.
func (g *Group) Pattern() string {
	var b strings.Builder
	b.WriteString(`(?m)^[ \t]*`)
	for i, w := range g.words {
		if i > 0 {
			b.WriteString(`[ \t]+`)
		}
		last := 0
		for _, at := range mask.FindAllStringIndex(w, -1) {
			b.WriteString(quote(w[last:at[0]]) + matches(w[at[0]:at[1]]))
			last = at[1]
		}
		b.WriteString(quote(w[last:]))
	}
	return b.String()
}

// quote returns a regular expression for a text of a masked line.
func quote(text string) string {
	return strings.NewReplacer("‹", "[<‹]", "›", "[>›]").Replace(regexp.QuoteMeta(text))
}

// matches returns a regular expression for what a mask stands for.
func matches(mask string) string {
	for _, k := range kinds {
		if k.mask == mask {
			return k.matches
		}
	}
	return `\S+` // a wildcard
}
