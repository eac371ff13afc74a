package redact

import (
	"regexp"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// maxManifest is the maximum length of the manifest of a Secret, in bytes
// before and after its kind.
const maxManifest = 64 << 10

var (
	kindSecret = regexp.MustCompile(`^kind\\?["']?\s*:\s*\\?["']?Secret(?:[\\"'\s,}]|$)`)
	dataOfJSON = regexp.MustCompile(`\\?"(?:data|stringData)\\?"\s*:\s*\{`)
	nextValue  = regexp.MustCompile(`\\?"\s*:\s*()|\}`)
	dataLine   = regexp.MustCompile(`^\s*["']?[\w.-]+["']?:\s*()`)
)

// manifest hides the data of a Kubernetes Secret whose kind is at at.
func (m *masker) manifest(at int) {
	if at < m.noManifest || !kindSecret.MatchString(m.text[at:min(len(m.text), at+maxName)]) || !m.spend(0, at) {
		return
	}
	before := lineBefore(m.text, at)
	if strings.Trim(before, " -") == "" {
		m.manifestYAML(at, len(before))
	} else {
		m.manifestJSON(at)
	}
}

// manifestYAML hides the values of data and stringData in the lines around at
// that belong to the same object. The object's names begin in the given
// column.
func (m *masker) manifestYAML(at, column int) {
	t := m.text
	from := at - column
	for from > max(0, at-maxManifest) && strings.TrimSpace(t[from:from+column]) != "-" {
		above := strings.LastIndexByte(t[:from-1], '\n') + 1
		if line := t[above : from-1]; ends(line, column) {
			break
		}
		from = above
	}
	to := lineEnd(t, at)
	for to < min(len(t), at+maxManifest) {
		next := lineEnd(t, to+1)
		if ends(t[to+1:next], column) || strings.HasPrefix(strings.TrimSpace(t[to+1:next]), "- ") && indent(t[to+1:next]) < column {
			break
		}
		to = next
	}
	m.noManifest = to
	if !m.spend(to-from, at) {
		return
	}
	inData := false
	for from < to {
		end := lineEnd(t, from)
		line := t[from:end]
		switch name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- ")); {
		case strings.HasPrefix(name, "#") || name == "":
		case nameColumn(line) <= column:
			inData = strings.HasPrefix(name, "data:") || strings.HasPrefix(name, "stringData:")
		case inData:
			if loc := dataLine.FindStringSubmatchIndex(line); loc != nil {
				end = max(end, m.datum(from+loc[2], end, nameColumn(line)))
			}
		}
		from = end + 1
	}
}

// datum hides a value from at to the end of its line, or a block scalar, and
// returns its end.
func (m *masker) datum(at, end, column int) int {
	t := m.text
	if to := m.block(at, column); to > 0 {
		return lineEnd(t, to)
	}
	if at < end && ascii.IsQuote(t[at]) {
		return m.valueOnce(at, 0)
	}
	return m.hideValue(at, at+len(strings.TrimRight(t[at:end], " \t\r")))
}

// ends reports whether a line belongs to another object than the one whose
// names begin in the given column.
func ends(line string, column int) bool {
	name := strings.TrimSpace(line)
	if name == "" {
		return false
	}
	return nameColumn(line) < column || name == "---" || nameColumn(line) == column && strings.HasPrefix(name, "kind:")
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// nameColumn returns the column of the name in a line, after the dash of a
// list.
func nameColumn(line string) int {
	return len(line) - len(strings.TrimLeft(strings.TrimLeft(line, " "), "- "))
}

// manifestJSON hides the values of data and stringData in the object that
// contains at.
func (m *masker) manifestJSON(at int) {
	t := m.text
	from, depth := at, 0
	for from > max(0, at-maxManifest) && depth <= 0 {
		from--
		switch t[from] {
		case '{':
			depth++
		case '}':
			depth--
		}
	}
	to, depth := from+1, 1
	for to < min(len(t), at+maxManifest) && depth > 0 {
		switch t[to] {
		case '{':
			depth++
		case '}':
			depth--
		}
		to++
	}
	if !m.spend(to-from, at) {
		return
	}
	for {
		data := dataOfJSON.FindStringIndex(t[from:to])
		if data == nil {
			return
		}
		from += data[1]
		for from < to {
			loc := nextValue.FindStringSubmatchIndex(t[from:to])
			if loc == nil || loc[2] < 0 { // the end of the data
				break
			}
			from += loc[1]
			from = max(from, m.valueOnce(from, ','))
		}
	}
}
