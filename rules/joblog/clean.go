package joblog

import (
	"strings"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// stampLen is the length of the prefix of each line if the runner writes
// timestamps (FF_TIMESTAMPS): "2024-05-22T12:43:46.962646Z 00O ". After the
// time follow the number of the stream (2 hex digits), O or E for stdout or
// stderr, and a space, or a + if the line continues the one before. GitLab
// parses it in lib/gitlab/ci/trace/stream.rb.
const stampLen = 32

// maxOSC limits the search for the end of an 8-bit OSC, in bytes.
const maxOSC = 2048

// plain contains the bytes that are copied without further inspection.
var plain = func() (set [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		set[c] = true
	}
	set['\t'] = true
	return set
}()

// Clean returns a job's log as a terminal shows it: without escape sequences,
// GitLab's section markers, the runner's timestamps and other control
// characters, and with the final text of lines that were overwritten. Bytes
// that are not UTF-8 become U+FFFD. Lines end with \n. Clean is idempotent.
func Clean(text string) string {
	c := cleaner{out: make([]byte, 0, len(text))}
	for text != "" {
		var line string
		var ended bool
		line, text, ended = strings.Cut(text, "\n")
		stamp := len(stampOf(line))
		line = line[stamp:]
		if stamp > 0 && ended && continues(text) {
			line, text, ended = c.join(line, text)
		}
		c.line(line, ended)
	}
	return string(c.out)
}

// stampOf returns the runner's timestamp at the start of the line; "" if there
// is none. The space may be missing if the line is otherwise empty.
func stampOf(line string) string {
	if len(line) < stampLen-1 || line[26] != 'Z' || line[10] != 'T' || line[27] != ' ' ||
		line[30] != 'O' && line[30] != 'E' || !isHex(line[28]) || !isHex(line[29]) {
		return ""
	}
	for i, want := range []byte("0000-00-00T00:00:00.000000") {
		if c := line[i]; want == '0' && !ascii.IsDigit(c) || want != '0' && c != want {
			return ""
		}
	}
	if len(line) == stampLen-1 {
		return line
	}
	if c := line[stampLen-1]; c != ' ' && c != '+' {
		return ""
	}
	return line[:stampLen]
}

// continues reports whether the line at the start of text continues the one
// before. The newline between them was then inserted by the runner.
func continues(text string) bool {
	return len(text) >= stampLen && text[stampLen-1] == '+' && stampOf(text[:stampLen]) != ""
}

// join joins the pieces of a line that the runner wrote separately.
func (c *cleaner) join(line, text string) (whole, rest string, ended bool) {
	c.pieces = append(c.pieces[:0], strings.TrimSuffix(line, "\r")...)
	for ended = true; ended && continues(text); {
		line, text, ended = strings.Cut(text[stampLen:], "\n")
		c.pieces = append(c.pieces, line...)
	}
	return string(c.pieces), text, ended
}

// cleaner is a terminal with one line. Text is appended to out until the
// cursor moves back. From then on to the end of the line it is written to
// cells.
type cleaner struct {
	out    []byte
	start  int    // start of the line in out
	cells  []rune // the line while it is being overwritten
	cursor int    // the column in cells
	over   bool   // the line is being overwritten

	invalid bool // the last rune written replaces bytes that are not UTF-8
	marked  bool // the line had a section marker
	pieces  []byte
}

// line writes a line, and its newline if it has one. A line that contains only
// section markers is omitted.
func (c *cleaner) line(line string, ended bool) {
	c.begin()
	c.marked = false
	for i := 0; i < len(line); {
		n := 0
		for i+n < len(line) && plain[line[i+n]] {
			n++
		}
		if n == 0 {
			i += c.special(line[i:])
			continue
		}
		run := line[i : i+n]
		if at := markerBefore(run, line[i+n:]); at >= 0 {
			c.text(run[:at])
			c.endSection()
			i += n + len("\r")
			if strings.HasPrefix(line[i:], "\x1b[0K") {
				i += len("\x1b[0K")
			}
			i += len(stampOf(line[i:]))
			continue
		}
		c.text(run)
		i += n
	}
	c.finish()
	if ended && (len(c.out) > c.start || !c.marked) {
		c.out = append(c.out, '\n')
	}
}

func (c *cleaner) begin() {
	c.start, c.over, c.invalid = len(c.out), false, false
}

// finish writes the overwritten line to out. The result may begin like a
// stamped line if control characters preceded the stamp.
func (c *cleaner) finish() {
	if c.over {
		c.out = c.out[:c.start]
		for _, r := range c.cells {
			c.out = utf8.AppendRune(c.out, r)
		}
		for len(c.out) > c.start && c.out[len(c.out)-1] == ' ' { // a shorter text is padded with blanks to overwrite a longer one
			c.out = c.out[:len(c.out)-1]
		}
	}
	from := c.start
	for len(c.out)-from >= stampLen-1 {
		head := c.out[from:min(len(c.out), from+stampLen)]
		if head[10] != 'T' || head[27] != ' ' { // avoids the copy for most lines
			break
		}
		n := len(stampOf(string(head)))
		if n == 0 {
			break
		}
		from += n
	}
	if from > c.start {
		c.out = append(c.out[:c.start], c.out[from:]...)
	}
}

// endSection begins a new line at a section marker, as GitLab does.
func (c *cleaner) endSection() {
	c.finish()
	if len(c.out) > c.start {
		c.out = append(c.out, '\n')
	}
	c.begin()
	c.marked = true
}

// markerBefore returns the index of a section marker at the end of run, before
// the \r that begins rest: section_start:1560896352:name[collapsed=true]. It
// is -1 if there is none.
func markerBefore(run, rest string) int {
	if !strings.HasPrefix(rest, "\r") {
		return -1
	}
	at := strings.LastIndex(run, "section_")
	if at < 0 {
		return -1
	}
	s := run[at+len("section_"):]
	if after, ok := strings.CutPrefix(s, "start:"); ok {
		s = after
	} else if s, ok = strings.CutPrefix(s, "end:"); !ok {
		return -1
	}
	time, name, ok := strings.Cut(s, ":")
	if !ok || time == "" || strings.Trim(time, "0123456789") != "" {
		return -1
	}
	if open := strings.IndexByte(name, '['); open > 0 && name[len(name)-1] == ']' {
		name = name[:open]
	}
	for i := range len(name) {
		if c := name[i]; !ascii.IsAlnum(c) && c != '_' && c != '.' && c != '-' {
			return -1
		}
	}
	if name == "" {
		return -1
	}
	return at
}

// text writes plain text.
func (c *cleaner) text(s string) {
	if s == "" {
		return
	}
	c.invalid = false
	if !c.over {
		c.out = append(c.out, s...)
		return
	}
	for i := range len(s) {
		c.put(rune(s[i]))
	}
}

func (c *cleaner) put(r rune) {
	switch {
	case !c.over:
		c.out = utf8.AppendRune(c.out, r)
	case c.cursor < len(c.cells):
		c.cells[c.cursor] = r
		c.cursor++
	default:
		c.cells = append(c.cells, r)
		c.cursor++
	}
}

// special handles the control character or non-ASCII text at the start of s,
// and returns its length.
func (c *cleaner) special(s string) int {
	switch b := s[0]; {
	case b == '\x1b':
		return c.escape(s)
	case b == '\r' && len(s) == 1: // of \r\n
		return 1
	case b == '\r':
		c.moveTo(0)
		return 1 + len(stampOf(s[1:]))
	case b == '\b':
		c.overwrite()
		c.moveTo(c.cursor - 1)
		return 1
	case b < utf8.RuneSelf: // the other control characters
		return 1
	}
	switch r, n := utf8.DecodeRuneInString(s); {
	case r == utf8.RuneError && n == 1:
		return c.raw(s)
	case r == '\u009b':
		return n + c.csi(s[n:])
	case r == '\u0090' || r == '\u0098' || r >= '\u009d' && r <= '\u009f':
		return n + stringLen(s[n:])
	case r >= '\u0080' && r < '\u00a0':
		return n
	default:
		c.invalid = false
		c.put(r)
		return n
	}
}

// raw handles a byte that is not UTF-8: an 8-bit control character that begins
// a complete sequence, or a byte of another encoding. It returns the length.
func (c *cleaner) raw(s string) int {
	switch s[0] {
	case 0x9b:
		if n := csiLen(s[1:]); n > 0 && isFinal(s[n]) {
			return 1 + c.csi(s[1:])
		}
	case 0x9d:
		ahead := s[1:min(len(s), maxOSC)]
		if n := stringLen(ahead); n > 1 && ascii.IsDigit(ahead[0]) && isStringEnd(ahead[n-1]) {
			return 1 + n
		}
	}
	if !c.invalid {
		c.put(utf8.RuneError)
		c.invalid = true
	}
	return 1
}

// escape handles a 7-bit escape sequence, which may be incomplete, and returns
// its length.
func (c *cleaner) escape(s string) int {
	if len(s) == 1 {
		return 1
	}
	switch b := s[1]; {
	case b == '[':
		return 2 + c.csi(s[2:])
	case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
		return 2 + stringLen(s[2:])
	case b >= ' ' && b < '0': // ESC ( B and the like
		n := 2
		for n < len(s) && s[n] >= ' ' && s[n] < '0' {
			n++
		}
		if n < len(s) && s[n] >= '0' && s[n] < 0x7f {
			n++
		}
		return n
	case b >= '0' && b < 0x7f:
		return 2
	default:
		return 1
	}
}

// csi handles a control sequence after its introducer, and returns its length.
// It executes those that erase the line or move the cursor within it.
func (c *cleaner) csi(s string) int {
	n := csiLen(s)
	if n == 0 || !isFinal(s[n-1]) {
		return n
	}
	switch params := s[:n-1]; s[n-1] {
	case 'K':
		switch {
		case params == "2":
			c.overwrite()
			c.cells, c.cursor = c.cells[:0], 0
		case (params == "" || params == "0") && c.over:
			c.cells = c.cells[:c.cursor]
		}
	case 'G':
		if params == "" || params == "0" || params == "1" {
			c.moveTo(0)
		}
	}
	return n
}

// csiLen returns the length of a control sequence's parameters and of its
// final byte, which is missing in an incomplete sequence.
func csiLen(s string) int {
	n := 0
	for n < len(s) && s[n] >= ' ' && s[n] < '@' {
		n++
	}
	if n < len(s) && isFinal(s[n]) {
		n++
	}
	return n
}

func isFinal(c byte) bool { return c >= '@' && c < 0x7f }

// stringLen returns the length of the content of an OSC, DCS or similar
// sequence: up to BEL or ST, or to the end of the line if both are missing.
func stringLen(s string) int {
	for i := range len(s) {
		switch {
		case s[i] == '\a' || s[i] == 0x9c && (i == 0 || s[i-1] < utf8.RuneSelf || s[i-1] == 0xc2):
			return i + 1
		case s[i] == '\x1b' && i+1 < len(s) && s[i+1] == '\\':
			return i + 2
		}
	}
	return len(s)
}

func isStringEnd(c byte) bool { return c == '\a' || c == 0x9c || c == '\\' }

func (c *cleaner) moveTo(column int) {
	c.overwrite()
	c.cursor = max(0, column)
}

// overwrite copies the line written so far to cells.
func (c *cleaner) overwrite() {
	if c.over {
		return
	}
	c.cells = c.cells[:0]
	for line := c.out[c.start:]; len(line) > 0; {
		r, n := utf8.DecodeRune(line)
		c.cells = append(c.cells, r)
		line = line[n:]
	}
	c.over, c.cursor = true, len(c.cells)
}

func isHex(c byte) bool { return ascii.IsDigit(c) || c >= 'a' && c <= 'f' }
