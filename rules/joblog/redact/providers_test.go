package redact

import (
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
	"github.com/pipesteward/pipesteward/rules/joblog/redact/providers"
)

// sample builds a text that an expression matches, the same each time: it uses
// the first alternative, as few repetitions as possible, and successive
// characters of a class.
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

// one returns a character of a class: a letter or digit if there is one, but a
// blank for the class between a provider's name and the value.
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

// TestEachProviderIsHidden checks that each provider's secret is hidden in all
// surroundings.
func TestEachProviderIsHidden(t *testing.T) {
	for _, p := range slices.Concat(providers.FromGitleaks, providers.More) {
		tree, err := syntax.Parse(p.Expr, syntax.Perl)
		if err != nil {
			t.Fatalf("%s: %v", p.ID, err)
		}
		var s sample
		s.add(tree.Simplify())
		f := newFinder(&p, 0)
		loc := f.re().FindStringSubmatchIndex(s.String())
		if loc == nil {
			t.Errorf("%s has no sample: %q", p.ID, s.String())
			continue
		}
		lead := "" // of a secret that contains no keyword
		if low := strings.ToLower(s.String()); p.Reach == 0 && !strings.Contains(low, strings.ToLower(p.Keywords[0])) {
			lead = p.Keywords[0] + " "
		}
		before, secret := s.String()[:loc[2*p.Group]], s.String()[loc[2*p.Group]:loc[2*p.Group+1]]
		for _, around := range []string{"%", "a % b", "a %\nb", "'%'", "(%)", `{"a":"%"}`, "a: %", "%.", "%, b", "%\\n", strings.Repeat("x ", 5000) + "%" + strings.Repeat(" y", 5000)} {
			got := Secrets(strings.ReplaceAll(around, "%", lead+before+secret))
			if strings.Contains(got, secret) || !strings.Contains(got, masked) {
				t.Errorf("%s in %.20q is not hidden: %.200q", p.ID, around, got)
			}
		}

		// This provider's expression alone must also hide it.
		m := masker{text: lead + s.String() + " ", work: leastWork, searched: make([]span, 1)}
		recognizerOf(f.keywords()).scan(&m)
		f.search(&m)
		if got := replace(m.text, m.found, Stars); strings.Contains(got, secret) {
			t.Errorf("%s does not hide its own: %q", p.ID, got)
		}
	}
}
