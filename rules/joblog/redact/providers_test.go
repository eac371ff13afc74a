package redact

import (
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// sample is a text that an expression matches, the same each time: the first of
// alternatives, as few repetitions as may be, and of a class ever another
// character.
type sample struct {
	strings.Builder
	n int
}

func (s *sample) add(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		s.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		s.WriteRune(s.one(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.WriteByte('x')
	case syntax.OpAlternate, syntax.OpCapture, syntax.OpPlus:
		s.add(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			s.add(sub)
		}
	case syntax.OpRepeat:
		for range re.Min {
			s.add(re.Sub[0])
		}
	default: // nothing, once or more often; a position
	}
}

// one gives a character of a class: a letter or digit, where it has some, but a
// blank in the class that stands between a provider's name and the value.
func (s *sample) one(class []rune) rune {
	var plain, all []rune
	for i := 0; i < len(class); i += 2 {
		for c := class[i]; c <= min(class[i+1], unicode.MaxASCII); c++ {
			if all = append(all, c); ascii.IsAlnum(byte(c)) {
				plain = append(plain, c)
			}
		}
	}
	s.n += 7
	if len(plain) > 0 && all[0] != '\t' {
		return plain[s.n%len(plain)]
	}
	return all[s.n%len(all)]
}

// Each provider's secret is hidden, wherever it may stand.
func TestEachProviderIsHidden(t *testing.T) {
	for _, p := range slices.Concat(providers, moreProviders) {
		tree, err := syntax.Parse(p.expr, syntax.Perl)
		if err != nil {
			t.Fatalf("%s: %v", p.id, err)
		}
		var s sample
		s.add(tree.Simplify())
		f := newFinder(&p, 0)
		loc := f.re().FindStringSubmatchIndex(s.String())
		if loc == nil {
			t.Errorf("%s has no sample: %q", p.id, s.String())
			continue
		}
		lead := "" // for a secret that has no keyword in it
		if low := strings.ToLower(s.String()); p.reach == 0 && !strings.Contains(low, strings.ToLower(p.keywords[0])) {
			lead = p.keywords[0] + " "
		}
		before, secret := s.String()[:loc[2*p.group]], s.String()[loc[2*p.group]:loc[2*p.group+1]]
		for _, around := range []string{"%", "a % b", "a %\nb", "'%'", "(%)", `{"a":"%"}`, "a: %", "%.", "%, b", "%\\n", strings.Repeat("x ", 5000) + "%" + strings.Repeat(" y", 5000)} {
			got := Secrets(strings.ReplaceAll(around, "%", lead+before+secret))
			if strings.Contains(got, secret) || !strings.Contains(got, masked) {
				t.Errorf("%s in %.20q is not hidden: %.200q", p.id, around, got)
			}
		}

		// By this provider's expression alone, too.
		m := masker{text: lead + s.String() + " ", patience: leastPatience, searched: make([]span, 1)}
		newAutomaton(f.keywords()).look(&m)
		f.search(&m)
		if got := replace(m.text, m.found); strings.Contains(got, secret) {
			t.Errorf("%s does not hide its own: %q", p.id, got)
		}
	}
}
