package failureclass

import "regexp"

// Cheap returns the length of the shortest literal of which each match of a pattern has one,
// and whether it is enough to match the pattern with lines.
func Cheap(re *regexp.Regexp) (literal int, inLine bool) {
	p := newPattern(re, 0)
	return shortest(p.literals), p.inLine
}
