package failureclass

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/rules/expression/limits"
	"github.com/pipesteward/pipesteward/rules/internal/ahocorasick"
)

// scanned is how many bytes of a log one unit of work finds the literals in.
const scanned = 8

// tail is how many lines at the end of a log are looked at for the last telling one.
const tail = 500

// Matcher finds the class of a log. It is immutable and safe for concurrent use.
type Matcher struct {
	classes List
	groups  []group
}

// group is a number of classes in a row that are matched with the same part of a log.
type group struct {
	ending   bool
	patterns []pattern
	literals *ahocorasick.Automaton
	of       []int // the pattern of each literal
}

// pattern is one pattern of a class.
type pattern struct {
	*regexp.Regexp
	class    int      // in Matcher.classes
	units    int      // of work for each byte; see limits.MatchUnits
	literals []string // every match contains one; nil: there are none such
	inLine   bool     // it is enough to match it with lines
}

// NewMatcher returns the matcher of the classes.
func NewMatcher(classes List) *Matcher {
	m := &Matcher{classes: classes}
	for i, c := range classes {
		if i == 0 || c.Ending != classes[i-1].Ending {
			m.groups = append(m.groups, group{ending: c.Ending})
		}
		g := &m.groups[len(m.groups)-1]
		g.add(c.Log, i)
	}
	for i := range m.groups {
		g := &m.groups[i]
		if g.ending {
			passed, over := readEndings()
			g.add(passed, m.passed())
			g.add(over, m.over())
		}
		g.findLiterals()
	}
	return m
}

// Numbers beyond those of the classes: a line that says that all went well, a line that says
// nothing new, and any other line.
func (m *Matcher) passed() int { return len(m.classes) }
func (m *Matcher) over() int   { return len(m.classes) + 1 }
func (m *Matcher) other() int  { return len(m.classes) + 2 }

// add adds the patterns of a class.
func (g *group) add(patterns []*regexp.Regexp, class int) {
	for _, re := range patterns {
		g.patterns = append(g.patterns, newPattern(re, class))
	}
}

func newPattern(re *regexp.Regexp, class int) pattern {
	p := pattern{Regexp: re, class: class, units: limits.MatchUnits(re.String())}
	if tree, err := syntax.Parse(re.String(), syntax.Perl); err == nil {
		p.literals, p.inLine = literals(tree), inLine(tree)
	}
	return p
}

func (g *group) findLiterals() {
	var texts []string
	for i, p := range g.patterns {
		for _, text := range p.literals {
			texts, g.of = append(texts, text), append(g.of, i)
		}
	}
	g.literals = ahocorasick.New(texts)
}

// Len returns the number of the classes; 0 if m is nil.
func (m *Matcher) Len() int {
	if m == nil {
		return 0
	}
	return len(m.classes)
}

// Match returns the name of the first class that matches the log; "" if none does. charge is
// called with units of work before they are done, and its error ends the match. The log must
// have been cleaned.
func (m *Matcher) Match(log string, charge func(units int) error) (string, error) {
	for _, g := range m.groups {
		s := search{group: &g, classes: m.classes, log: log, best: m.other(), charge: charge}
		if g.ending {
			s.lastTelling(m)
		} else {
			s.part(log)
		}
		if s.err != nil {
			return "", s.err
		}
		if s.best < len(m.classes) {
			return m.classes[s.best].Name, nil
		}
	}
	return "", nil
}

// search is a search for the first class of a group.
type search struct {
	*group
	classes List
	log     string
	best    int // the first class that was found to match
	behind  int // how many lines that tell nothing are behind the text
	charge  func(units int) error
	err     error
}

// lastTelling searches the lines from the last one on until one tells why the job failed, or
// that all went well, or is too far from the end for any class.
func (s *search) lastTelling(m *Matcher) {
	if s.err = s.charge(len(s.log)/scanned + 1); s.err != nil {
		return
	}
	within := 0
	for _, c := range m.classes {
		within = max(within, c.Within)
	}
	lines := reasons(s.log)
	for n, line := range slices.Backward(lines) {
		if s.behind > within || len(lines)-n > tail {
			return
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		s.best = m.other()
		s.part(line)
		switch {
		case s.err != nil || s.best < m.over():
			return
		case s.best == m.other():
			s.behind++
		}
	}
	s.best = m.other()
}

// part searches one part of the log.
func (s *search) part(text string) {
	if s.err = s.charge(len(text)/scanned + 1); s.err != nil {
		return
	}
	whole := make([]bool, len(s.patterns)) // to be matched with the whole text
	for i, p := range s.patterns {
		whole[i] = p.literals == nil
	}
	if strings.Contains(text, longS) || strings.Contains(text, kelvin) {
		for i := range whole {
			whole[i] = true
		}
	} else {
		seen := make([]int, len(s.patterns)) // the end of the last line that each was matched with
		s.literals.Scan(text, func(n, at int) {
			i := s.of[n]
			switch p := &s.patterns[i]; {
			case p.class >= s.best || s.err != nil:
			case !p.inLine:
				whole[i] = true
			case at >= seen[i]:
				from, to := lineAt(text, at)
				seen[i] = to
				s.try(p, text[from:to])
			}
		})
	}
	for i, wanted := range whole {
		if p := &s.patterns[i]; wanted && p.class < s.best && s.err == nil {
			s.try(p, text)
		}
	}
}

// try matches a text with a pattern.
func (s *search) try(p *pattern, text string) {
	if s.ending && !s.mayBe(p.class) {
		return
	}
	if s.err = s.charge(p.units * len(text)); s.err == nil && p.MatchString(text) {
		s.best = p.class
	}
}

// mayBe reports whether a line may be of a class, by where it is and what else the log says.
func (s *search) mayBe(class int) bool {
	if class >= len(s.classes) {
		return true
	}
	c := s.classes[class]
	return s.behind <= c.Within && !slices.ContainsFunc(c.Unless, func(text string) bool { return strings.Contains(s.log, text) })
}

// lineAt returns where the line begins and ends that has the byte at an index.
func lineAt(text string, at int) (from, to int) {
	from = strings.LastIndexByte(text[:at], '\n') + 1
	if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
		return from, at + n
	}
	return from, len(text)
}

// Names returns the names of the classes, in their order.
func (m *Matcher) Names() []string { return m.classes.Names() }
