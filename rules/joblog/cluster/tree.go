package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"math"
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
	signs []uint64 // of the words
	at    leaf
}

// New returns a tree that keeps at most so many groups, 1 at least: those that were added to
// last.
func New(most int) *Tree { return &Tree{most: max(1, most), leaves: map[leaf][]*Group{}} }

// Words returns the words of a line that count, with masks. The word in which a line was cut,
// which then ends with …, does not count, unless it is the only one.
func Words(line string) []string {
	words := strings.FieldsFunc(Mask(line), func(r rune) bool { return r == ' ' || r == '\t' })
	if last := len(words) - 1; last >= 0 {
		switch whole, wasCut := strings.CutSuffix(words[last], "…"); {
		case wasCut && last > 0:
			words = words[:last]
		case wasCut:
			words[last] = whole + rest
		}
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
	line := &Group{words: slices.Clone(words), signs: make([]uint64, len(words)), at: leaf{len(words), branch(words[0])}}
	for i, w := range words {
		line.signs[i] = signOf(w)
	}
	g := mostSimilar(t.leaves[line.at], line)
	if g == nil {
		g = line
		t.leaves[g.at] = append(t.leaves[g.at], g)
	} else {
		for i, w := range words {
			if g.words[i] != w {
				g.words[i], g.signs[i] = wildcard, signOf(wildcard)
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

// mostSimilar returns the group that a line joins, which is a group of its own so far; nil if
// there is none.
func mostSimilar(groups []*Group, line *Group) (best *Group) {
	least := int(math.Ceil(similar * float64(len(line.words))))
	for _, g := range groups {
		if least > len(line.words) {
			break
		}
		if same, ok := g.similarity(line, least); ok {
			best, least = g, same+1
		}
	}
	return best
}

// similarity returns how many words of a line are as in the group. ok is not set if those are
// less than least, or if the line tells of something else: a word that says how it failed
// differs.
func (g *Group) similarity(line *Group, least int) (same int, ok bool) {
	left := len(g.words) - least // words that may differ
	for i, sign := range line.signs {
		other := g.signs[i]
		switch {
		case sign == other && line.words[i] == g.words[i]:
			same++
		case left == 0, (sign|other)&1 != 0:
			return 0, false
		default:
			left--
		}
	}
	return same, true
}

var seed = maphash.MakeSeed()

// signOf returns a number for a word, so that words that differ are found fast: the lowest bit
// is set if the word tells how something failed, the others are a hash.
func signOf(w string) uint64 {
	if tells(w) {
		return maphash.String(seed, w) | 1
	}
	return maphash.String(seed, w) &^ 1
}

// tells reports whether a word says how something failed: a code or a constant, like E404,
// ECONNRESET and 503, the name of an error, or one of the usual words.
func tells(w string) bool {
	for part := range strings.FieldsFuncSeq(w, func(r rune) bool { return !isWord(r) }) {
		switch {
		case usual[part], strings.HasSuffix(part, "Error"), strings.HasSuffix(part, "Exception"):
			return true
		case isConstant(part), errorCode.MatchString(part), len(part) == 3 && digits.MatchString(part) && (part[0] == '4' || part[0] == '5'):
			return true
		}
	}
	return false
}

func isWord(r rune) bool {
	return isUpper(r) || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_'
}

func isUpper(r rune) bool { return r >= 'A' && r <= 'Z' }

// isConstant reports whether a word is like ECONNRESET.
func isConstant(w string) bool {
	return len(w) > 3 && isUpper(rune(w[0])) && !strings.ContainsFunc(w, func(r rune) bool { return r >= 'a' && r <= 'z' })
}

// usual are words that say how something failed.
var usual = func() map[string]bool {
	all := map[string]bool{}
	for w := range strings.FieldsSeq("not no failed failure timeout timed refused denied reset expired missing killed unauthorized forbidden undefined unreachable exceeded aborted interrupted unavailable") {
		all[w] = true
	}
	return all
}()

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

// Regular expressions for parts of lines, as they are in the log.
const (
	blank  = `[\t\pZ]` // what may be around a line
	blanks = `[ \t]+`  // what is between its words
	// anyWord matches a word of a masked line: one that has a time may have a blank, as in
	// 2026-11-22 12:00:00.
	anyWord = `\S+(?: \d\d:\d\d\S*)*`
)

// maxPattern bounds a pattern, in bytes: a class of a rule file takes 1,000.
const maxPattern = 900

// mask matches a mask.
var mask = regexp.MustCompile(`<(?:[*…]|[a-z]+)>`)

// Pattern returns a regular expression that matches each line of the group in a log: a line
// that begins with its words, as many as fit.
func (g *Group) Pattern() string {
	var b strings.Builder
	b.WriteString(`(?m)^` + blank + `*`)
	end := `(?:` + blank + `|$)`
	for i, w := range g.words {
		next := wordPattern(w)
		if i > 0 {
			next = blanks + next
		}
		if b.Len()+len(next)+len(end) > maxPattern {
			if i > 0 {
				break
			}
			next = wordPattern(start(w) + rest)
		}
		b.WriteString(next)
	}
	return b.String() + end
}

// start returns as much of a word, without its masks, as fits into a pattern in any case.
func start(w string) string {
	const most = maxPattern / 3 // bytes; quoted, they are at most twice as many
	w, _, _ = strings.Cut(w, "<")
	return strings.ToValidUTF8(w[:min(len(w), most)], "")
}

// wordPattern returns a regular expression for a word with masks.
func wordPattern(w string) string {
	var b strings.Builder
	last := 0
	for _, at := range mask.FindAllStringIndex(w, -1) {
		b.WriteString(quote(w[last:at[0]]) + matches(w[at[0]:at[1]]))
		last = at[1]
	}
	return b.String() + quote(w[last:])
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
	if mask == rest {
		return `\S*`
	}
	return anyWord // a wildcard
}
