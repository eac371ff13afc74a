package failureclass

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// literals returns texts of which every match of an expression contains one, in any
// letter case of ASCII. It returns nil if there are none such.
func literals(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return nil
		}
		return []string{text}
	case syntax.OpCapture, syntax.OpPlus:
		return literals(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literals(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if texts := literals(sub); shortest(texts) > shortest(best) {
				best = texts
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			texts := literals(sub)
			if texts == nil {
				return nil
			}
			all = append(all, texts...)
		}
		return all
	default: // a match may be empty, or any of many characters
	}
	return nil
}

// shortest returns the length of the shortest text, in bytes; 0 if there are none.
func shortest(texts []string) int {
	if len(texts) == 0 {
		return 0
	}
	return len(slices.MinFunc(texts, func(a, b string) int { return len(a) - len(b) }))
}

// inLine reports whether a match of an expression never has a line break, and whether it
// matches in a line as it does in the whole text.
func inLine(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpAnyChar:
		return false
	case syntax.OpLiteral:
		return !slices.Contains(re.Rune, '\n')
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= '\n' && '\n' <= re.Rune[i+1] {
				return false
			}
		}
	default: // what they consist of decides
	}
	return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !inLine(sub) })
}

// The characters outside ASCII that a letter of ASCII matches if the letter case is
// ignored.
const (
	longS  = "\u017f"
	kelvin = "\u212a"
)
