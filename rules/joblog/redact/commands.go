package redact

import (
	"regexp"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

const (
	maxCommand = 1 << 10 // bytes of a command that are looked at
	maxEntry   = 256     // bytes of an entry of .netrc
	maxBefore  = 128     // bytes of a line before what is looked at
)

// command is one that takes a password where no name tells it. Its flag's
// expression has an empty group where the password begins.
type command struct{ flag *regexp.Regexp }

// between stands between a flag and its value, also in a list of arguments.
const between = `(?:["']?,?\s+|["'],|=)`

// flagged is a command with a flag.
func flagged(flag string) command {
	return command{regexp.MustCompile(`[\s"',](?:` + flag + `)()`)}
}

// leading is a command with what begins at its own name.
func leading(expr string) command {
	return command{regexp.MustCompile(`^(?:` + expr + `)()`)}
}

var (
	login    = flagged(`-p` + between + `?`)
	attached = command{regexp.MustCompile(`[\s"',]-p()["']?[^\s"',]`)} // -p alone asks for it
	openssl  = command{regexp.MustCompile(`\bpass:()`)}

	// assigning is a command with a name and a value: git config set name value,
	// ENV name value in a Dockerfile.
	assigning = regexp.MustCompile(`^(?:set|ENV|ARG|setx)\s+(?:--?[\w-]+\s+)*["']?(?:\S*[:/.])?([\w-]{4,64})["']?\s+()[^\s=]`)

	// netrc has the entries of .netrc, whose parts come in two orders.
	netrc = []*regexp.Regexp{
		regexp.MustCompile(`^(?:machine\s+\S+|default)(?:\s+(?:login|account)\s+\S+)+\s+password\s+()`),
		regexp.MustCompile(`^machine\s+\S+\s+password\s+()\S+\s+login\s`),
	}

	// curlUser is a flag for user:password, also after other letters: -sSu.
	curlUser = regexp.MustCompile(`[\s"',](?:-[uU]` + between + `?|(?:-[a-zA-Z]{1,6}u|--user|--proxy-user)` + between + `)()`)

	// loggingIn are the commands with a login that takes -p.
	loggingIn = regexp.MustCompile(`\b(?:docker|podman|buildah|skopeo|nerdctl|helm|oras|crane|regctl|cosign|az|oc|cf|argocd|rancher|vault)\b`)

	// echoed is a password that is written to a login.
	echoed = regexp.MustCompile(`\b(?:echo|printf)\s+(?:-\w+\s+)*()[^|]*\|[^|]*$`)
)

// look hides the passwords of the command that begins at at.
func (c command) look(m *masker, at int) {
	for _, loc := range c.flag.FindAllStringSubmatchIndex(m.command(at), -1) {
		m.argument(at + loc[2])
	}
}

// assigning hides the value of a command that gives it to a name.
func (m *masker) assigning(at int) {
	line := m.text[at:min(len(m.text), at+maxEntry)]
	line = line[:lineEnd(line, 0)]
	if !m.spend(maxName, at) {
		return
	}
	loc := assigning.FindStringSubmatchIndex(line)
	if loc == nil || !secretName(line[loc[2]:loc[3]]) || m.seen(at+loc[4]) {
		return
	}
	from := at + loc[4]
	if keyLike(strings.Trim(m.text[from:wordEnd(m.text, from, 0)], `"'`)) {
		m.argument(from)
	}
}

// argument hides the word at at.
func (m *masker) argument(at int) {
	if stop := openQuote(m.text, at); at < len(m.text) && (ascii.IsQuote(m.text[at]) || m.text[at] == '\\') {
		m.valueOnce(at, stop)
	} else if !m.seen(at) {
		m.lastValue = span{at, m.hideValue(at, wordEnd(m.text, at, stop))}
	}
}

// valueOnce hides the value at at, unless it is in the last that was hidden so:
// a text of nothing but beginnings takes no longer than its length tells. It
// gives the end.
func (m *masker) valueOnce(at int, stop byte) int {
	if !m.seen(at) {
		m.lastValue = span{at, m.value(at, stop, false)}
	}
	return m.lastValue.to
}

func (m *masker) seen(at int) bool { return at >= m.lastValue.from && at < m.lastValue.to }

// command gives the command at at, to the end of the line or to the next
// command. Lines go on after a backslash. When too much was looked at, the rest
// of the line is hidden and the command is empty.
func (m *masker) command(at int) string {
	t := m.text[at:min(len(m.text), at+maxCommand)]
	end := 0
	for end < len(t) && t[end] != '\n' && t[end] != ';' && t[end] != '|' && (t[end] != '&' || !strings.HasPrefix(t[end:], "&&")) {
		if t[end] == '\\' {
			end++
		}
		end++
	}
	t = t[:min(end, len(t))]
	if !m.spend(len(t), at) {
		return ""
	}
	return t
}

// login hides the password of a login's flag -p.
func (m *masker) login(at int) {
	if line := lineBefore(m.text, at); m.spend(len(line), at) && loggingIn.MatchString(line) {
		login.look(m, at)
	}
}

// netrc hides the password of an entry of .netrc, which may have several lines.
func (m *masker) netrc(at int) {
	t := m.text[at:min(len(m.text), at+maxEntry)]
	if !strings.Contains(t, "password") || !m.spend(maxName, at) {
		return
	}
	for _, entry := range netrc {
		if loc := entry.FindStringSubmatchIndex(t); loc != nil {
			m.argument(at + loc[2])
		}
	}
}

// curl hides user:password.
func (m *masker) curl(at int) {
	for _, loc := range curlUser.FindAllStringSubmatchIndex(m.command(at), -1) {
		from := at + loc[2]
		if m.seen(from) {
			continue
		}
		word := m.text[from:wordEnd(m.text, from, openQuote(m.text, from))]
		_, password, _ := strings.Cut(strings.Trim(word, `"'`), ":")
		if !done(password) && !strings.HasPrefix(password, "//") {
			m.argument(from)
		}
	}
}

// piped hides what echo writes to a command that reads a password, whose flag
// is at at.
func (m *masker) piped(at int) {
	line := lineBefore(m.text, at)
	if !m.spend(len(line), at) {
		return
	}
	if loc := echoed.FindStringSubmatchIndex(line); loc != nil {
		m.argument(at - len(line) + loc[2])
	}
}

// lineBefore gives what stands before at in its line, or the end of that.
func lineBefore(t string, at int) string {
	before := t[max(0, at-maxBefore):at]
	return before[strings.LastIndexByte(before, '\n')+1:]
}

// wordEnd gives the end of the word at at: to a blank outside of quotes, or to
// stop.
func wordEnd(t string, at int, stop byte) int {
	quote := byte(0)
	for ; at < len(t) && t[at] != '\n' && (t[at] != stop || stop == 0); at++ {
		switch c := t[at]; {
		case c == quote:
			quote = 0
		case ascii.IsQuote(c) && quote == 0:
			quote = c
		case ascii.IsBlank(c) && quote == 0:
			return at
		}
	}
	return at
}

// openQuote gives the quote that is open at at in its line, or 0. An apostrophe
// within a word is none.
func openQuote(t string, at int) byte {
	line := lineBefore(t, at)
	open := byte(0)
	for i := range len(line) {
		switch c := line[i]; {
		case !ascii.IsQuote(c):
		case c == open:
			open = 0
		case open == 0 && (c != '\'' || i == 0 || !ascii.IsAlnum(line[i-1])):
			open = c
		}
	}
	return open
}
