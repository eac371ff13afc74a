package redact

import (
	"slices"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
	"github.com/pipesteward/pipesteward/rules/joblog/redact/providers"
)

// keyword is a text near which a secret may occur.
type keyword struct {
	text    string // in lower case if fold is set
	fold    bool   // the case is ignored
	word    bool   // only at the start of a word
	inspect func(m *masker, at int)
}

// contextKeywords are the keywords of secrets that are recognized neither by a
// provider's format nor by a name before = or :.
var contextKeywords = []keyword{
	{text: "login", word: true, inspect: (*masker).login},
	{text: "sshpass", word: true, inspect: leading(`sshpass["']?,?\s*["']?(?:-[^p\s]\S*\s+)*-p` + between + `?`).inspect},
	{text: "mysql", word: true, inspect: attached.inspect},
	{text: "mariadb", word: true, inspect: attached.inspect},
	{text: "7z", word: true, inspect: attached.inspect},
	{text: "zip", word: true, inspect: flagged(`-P` + between + `?`).inspect},
	{text: "unzip", word: true, inspect: flagged(`-P` + between + `?`).inspect},
	{text: "sqlcmd", word: true, inspect: flagged(`-P` + between + `?`).inspect},
	{text: "sqlplus", word: true, inspect: leading(`sqlplus\s+(?:-\S+\s+)*[\w.]+/`).inspect},
	{text: "redis-cli", word: true, inspect: flagged(`(?:-a|--pass)` + between).inspect},
	{text: "mongo", word: true, inspect: flagged(`-p` + between).inspect},
	{text: "twine", word: true, inspect: flagged(`-p` + between).inspect},
	{text: "ldap", word: true, inspect: flagged(`-w` + between + `?`).inspect},
	{text: "lftp", word: true, inspect: flagged(`-u` + between).inspect},
	{text: "smbclient", word: true, inspect: flagged(`-U` + between + `?`).inspect},
	{text: "ssh-keygen", word: true, inspect: flagged(`-N` + between).inspect},
	{text: "nuget push", word: true, inspect: flagged(`-k` + between).inspect},
	{text: "htpasswd", word: true, inspect: leading(`htpasswd\s+-\w*b\w*\s+(?:-\w+\s+)*\S+\s+\S+\s+`).inspect},
	{text: "htpasswd", word: true, inspect: leading(`htpasswd\s+-(?:\w*n\w*b|\w*b\w*n)\w*\s+(?:-\w+\s+)*\S+\s+`).inspect},
	{text: "--from-literal", inspect: leading(`--from-literal(?:=|\s+)["']?[\w.-]+=`).inspect},
	{text: "ConvertTo-SecureString", inspect: leading(`ConvertTo-SecureString\s+(?:-String\s+)?`).inspect},
	{text: "openssl", word: true, inspect: openssl.inspect},

	{text: "--password-stdin", inspect: (*masker).piped},
	{text: "--with-token", inspect: (*masker).piped},
	{text: "--passphrase-fd", inspect: (*masker).piped},
	{text: "chpasswd", inspect: (*masker).piped},
	{text: "sudo -S", inspect: (*masker).piped},

	{text: "set", word: true, inspect: (*masker).assigning},
	{text: "setx", word: true, inspect: (*masker).assigning},
	{text: "ENV", word: true, inspect: (*masker).assigning},
	{text: "ARG", word: true, inspect: (*masker).assigning},

	{text: "curl", word: true, inspect: (*masker).curl},
	{text: "curl", word: true, inspect: flagged(`(?:-b|--cookie)` + between + `["']?[\w.-]+=`).inspect},
	{text: "machine", word: true, inspect: (*masker).netrc},
	{text: "default", word: true, inspect: (*masker).netrc},

	{text: "cookie", fold: true, inspect: (*masker).cookie},
	{text: "value", fold: true, inspect: (*masker).pair},
	{text: "kind", word: true, inspect: (*masker).manifest},

	webhook("hooks.slack.com/"),
	webhook("hooks.slack-gov.com/"),
	webhook("discord.com/api/webhooks/"),
	webhook("discord.com/api/v9/webhooks/"),
	webhook("discord.com/api/v10/webhooks/"),
	webhook("discordapp.com/api/webhooks/"),
	webhook(".webhook.office.com/"),
	webhook("outlook.office.com/webhook/"),
	webhook("open.feishu.cn/open-apis/bot/v2/hook/"),
	webhook("open.larksuite.com/open-apis/bot/v2/hook/"),
	webhook("qyapi.weixin.qq.com/cgi-bin/webhook/send?key="),
	webhook("oapi.dingtalk.com/robot/send?access_token="),
	webhook("hooks.zapier.com/hooks/catch/"),
	webhook("api.telegram.org/bot"),
	{text: "sig=", fold: true, word: true, inspect: (*masker).signature},
	{text: "signature=", fold: true, inspect: (*masker).signature},
}

// automaton finds all keywords in one pass over a text (Aho-Corasick). Its
// states are the rows of a table with a column for each class of bytes.
// Upper-case and lower-case letters are in the same class.
type automaton struct {
	class    [256]uint8
	next     []uint32 // start of a row, by row and class
	width    uint32
	keywords []keyword
	ends     [][]uint16 // the keywords that end at a state
}

// recognizer finds the keywords of all secrets.
type recognizer struct {
	*automaton
	searching []*finder // finders that search windows
}

var newRecognizer = sync.OnceValue(func() recognizer {
	var r recognizer
	keywords := slices.Clone(contextKeywords)
	for i, p := range slices.Concat(providers.FromGitleaks, providers.More) {
		f := newFinder(&p, i)
		if p.Reach == 0 {
			r.searching = append(r.searching, f)
		}
		keywords = append(keywords, f.keywords()...)
	}
	r.automaton = newAutomaton(keywords)
	return r
})

// keywords hides the secrets near keywords.
func (m *masker) keywords() {
	r := newRecognizer()
	r.scan(m)
	if m.searched == nil {
		return
	}
	for _, f := range r.searching {
		f.search(m)
	}
}

func newAutomaton(keywords []keyword) *automaton {
	a := &automaton{keywords: keywords, width: 1}
	for _, k := range keywords {
		for _, c := range []byte(strings.ToLower(k.text)) {
			if a.class[c] == 0 {
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := byte('a'); c <= 'z'; c++ {
		a.class[c-'a'+'A'] = a.class[c]
	}

	// Build the trie of the keywords, whose root is state 0.
	a.grow()
	for i, k := range keywords {
		state := uint32(0)
		for _, c := range []byte(k.text) { // bytes of either case are in the same class
			at := state*a.width + uint32(a.class[c])
			if a.next[at] == 0 {
				a.next[at] = a.grow()
			}
			state = a.next[at]
		}
		a.ends[state] = append(a.ends[state], uint16(i))
	}

	// Add the transitions that are missing in the trie: those of the longest
	// suffix of the text that is a prefix of a keyword. Breadth-first order
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

// grow adds a state and returns its number.
func (a *automaton) grow() uint32 {
	a.next = append(a.next, make([]uint32, a.width)...)
	a.ends = append(a.ends, nil)
	return uint32(len(a.ends) - 1)
}

// scan calls the function of each keyword at each position where the keyword
// begins.
func (a *automaton) scan(m *masker) {
	t, row := m.text, uint32(0)
	for i := range len(t) {
		row = a.next[row+uint32(a.class[t[i]])]
		if row == 0 {
			continue
		}
		for _, n := range a.ends[row/a.width] {
			k := &a.keywords[n]
			at := i + 1 - len(k.text)
			if (k.fold || t[at:i+1] == k.text) && (!k.word || at == 0 || !isWordByte(t[at-1])) {
				k.inspect(m, at)
			}
		}
	}
}

func isWordByte(c byte) bool { return ascii.IsAlnum(c) || c == '_' }
