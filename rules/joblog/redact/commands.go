package redact

import (
	"regexp"
	"strings"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

const (
	maxCommand = 1 << 10 // bytes of a command that are inspected
	maxEntry   = 256     // bytes of an entry of .netrc
	maxBefore  = 128     // bytes of a line before the position that are inspected
)

// command is a command whose password follows a flag rather than a secret
// name. The flag's expression has an empty group where the password begins.
type command struct{ flag *regexp.Regexp }

// between matches the separator of a flag and its value, also in a list of
// arguments.
const between = `(?:["']?,?\s+|["'],|=)`

// flagged returns a command with a flag.
func flagged(flag string) command {
	return command{regexp.MustCompile(`[\s"',](?:` + flag + `)()`)}
}

// leading returns a command whose expression begins at its name.
func leading(expr string) command {
	return command{regexp.MustCompile(`^(?:` + expr + `)()`)}
}

var (
	login    = flagged(`-p` + between + `?`)
	attached = command{regexp.MustCompile(`[\s"',]-p()["']?[^\s"',]`)} // -p alone prompts for the password
	openssl  = command{regexp.MustCompile(`\bpass:()`)}

	// assigning matches a command with a name and a value: git config set name
	// value, or ENV name value in a Dockerfile.
	assigning = regexp.MustCompile(`^(?:set|ENV|ARG|setx)\s+(?:--?[\w-]+\s+)*["']?(?:\S*[:/.])?([\w-]{4,64})["']?\s+()[^\s=]`)

	// netrc matches the entries of .netrc, whose parts occur in two orders.
	netrc = []*regexp.Regexp{
		regexp.MustCompile(`^(?:machine\s+\S+|default)(?:\s+(?:login|account)\s+\S+)+\s+password\s+()`),
		regexp.MustCompile(`^machine\s+\S+\s+password\s+()\S+\s+login\s`),
	}

	// curlUser matches a flag for user:password, also after other letters:
	// -sSu.
	curlUser = regexp.MustCompile(`[\s"',](?:-[uU]` + between + `?|(?:-[a-zA-Z]{1,6}u|--user|--proxy-user)` + between + `)()`)

	// loggingIn matches the commands whose login has a flag -p.
	loggingIn = regexp.MustCompile(`\b(?:docker|podman|buildah|skopeo|nerdctl|helm|oras|crane|regctl|cosign|az|oc|cf|argocd|rancher|vault)\b`)

	// echoed matches a password that is piped to a login.
	echoed = regexp.MustCompile(`\b(?:echo|printf)\s+(?:-\w+\s+)*()[^|]*\|[^|]*$`)
)

// inspect hides the passwords of the command that begins at at.
func (c command) inspect(m *masker, at int) {
	for _, loc := range c.flag.FindAllStringSubmatchIndex(m.command(at), -1) {
		m.argument(at + loc[2])
	}
}

// assigning hides the value that the command at at assigns to a secret name.
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

// argument hides the word that begins at at.
func (m *masker) argument(at int) {
	if stop := openQuote(m.text, at); at < len(m.text) && (ascii.IsQuote(m.text[at]) || m.text[at] == '\\') {
		m.valueOnce(at, stop)
	} else if !m.seen(at) {
		m.lastValue = span{at, m.hideValue(at, wordEnd(m.text, at, stop))}
	}
}

// valueOnce hides the value that begins at at and returns its end. It skips a
// value that is part of the last one hidden, so that the time stays linear for
// a text that contains only beginnings of values.
func (m *masker) valueOnce(at int, stop byte) int {
	if !m.seen(at) {
		m.lastValue = span{at, m.value(at, stop, false)}
	}
	return m.lastValue.to
}

func (m *masker) seen(at int) bool { return at >= m.lastValue.from && at < m.lastValue.to }

// command returns the command that begins at at, up to the end of the line or
// the next command. A backslash continues the line. If the work is exhausted,
// the rest of the line is hidden and the command is empty.
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

// login hides the password after the flag -p of a login.
func (m *masker) login(at int) {
	if line := lineBefore(m.text, at); m.spend(len(line), at) && loggingIn.MatchString(line) {
		login.inspect(m, at)
	}
}

// netrc hides the password of an entry of .netrc, which may span several
// lines.
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

// piped hides the text that echo writes to a command that reads a password.
// The command's flag begins at at.
func (m *masker) piped(at int) {
	line := lineBefore(m.text, at)
	if !m.spend(len(line), at) {
		return
	}
	if loc := echoed.FindStringSubmatchIndex(line); loc != nil {
		m.argument(at - len(line) + loc[2])
	}
}

// lineBefore returns the part of the line before at, or the end of that part
// if it is long.
func lineBefore(t string, at int) string {
	before := t[max(0, at-maxBefore):at]
	return before[strings.LastIndexByte(before, '\n')+1:]
}

// wordEnd returns the end of the word that begins at at: a blank outside of
// quotes, or stop.
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

// openQuote returns the quote that is open at at in its line, or 0. An
// apostrophe within a word is no quote.
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
