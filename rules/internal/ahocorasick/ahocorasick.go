// Package ahocorasick finds many texts in one pass over another, in any letter case.
package ahocorasick

import "strings"

// Automaton finds the texts it was made for. Its states are the rows of a table with a
// column for each class of bytes. Upper-case and lower-case letters of ASCII are in the
// same class. It is immutable.
type Automaton struct {
	class [256]uint8
	next  []uint32 // start of a row, by row and class
	width uint32
	ends  [][]uint16 // the texts that end at a state
	sizes []int      // of the texts, in bytes
}

// New returns the automaton of the texts, at most 65,536, which are not empty.
func New(texts []string) *Automaton {
	a := &Automaton{width: 1}
	for _, t := range texts {
		a.sizes = append(a.sizes, len(t))
		for _, c := range []byte(lower(t)) {
			if a.class[c] == 0 {
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := byte('a'); c <= 'z'; c++ {
		a.class[c-'a'+'A'] = a.class[c]
	}

	// Build the trie of the texts, whose root is state 0.
	a.grow()
	for i, t := range texts {
		state := uint32(0)
		for _, c := range []byte(t) { // bytes of either case are in the same class
			at := state*a.width + uint32(a.class[c])
			if a.next[at] == 0 {
				a.next[at] = a.grow()
			}
			state = a.next[at]
		}
		a.ends[state] = append(a.ends[state], uint16(i))
	}

	// Add the transitions that are missing in the trie: those of the longest
	// suffix of the text that is a prefix of one of the texts. Breadth-first order
	// ensures that they are complete.
	fallback := make([]uint32, len(a.ends))
	queue := []uint32{0}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		for class := range a.width {
			at := state*a.width + class
			child, other := a.next[at], uint32(0)
			if state > 0 {
				other = a.next[fallback[state]*a.width+class]
			}
			if child == 0 {
				a.next[at] = other
				continue
			}
			fallback[child] = other
			a.ends[child] = append(a.ends[child], a.ends[other]...)
			queue = append(queue, child)
		}
	}
	for i := range a.next {
		a.next[i] *= a.width
	}
	return a
}

// lower returns a text with the upper-case letters of ASCII in lower case.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, text)
}

// grow adds a state and returns its number.
func (a *Automaton) grow() uint32 {
	a.next = append(a.next, make([]uint32, a.width)...)
	a.ends = append(a.ends, nil)
	return uint32(len(a.ends) - 1)
}

// Scan calls found for each place in t where one of the texts is, in the order of their
// ends: with the text's number and its index in t.
func (a *Automaton) Scan(t string, found func(text, at int)) {
	row := uint32(0)
	for i := range len(t) {
		row = a.next[row+uint32(a.class[t[i]])]
		if row == 0 {
			continue
		}
		for _, n := range a.ends[row/a.width] {
			found(int(n), i+1-a.sizes[n])
		}
	}
}
