package redact

import (
	"slices"
	"strings"
	"sync"

	"github.com/pipesteward/pipesteward/rules/joblog/internal/ascii"
)

// keyword is a text near which a secret may stand.
type keyword struct {
	text string // in lower case, where fold is set
	fold bool   // in upper or lower case
	word bool   // at the beginning of a word
	look func(m *masker, at int)
}

// byHand are the keywords of what no provider's shape and no name tells.
var byHand = []keyword{
	{text: "login", word: true, look: (*masker).login},
	{text: "sshpass", word: true, look: leading(`sshpass["']?,?\s*["']?(?:-[^p\s]\S*\s+)*-p` + between + `?`).look},
	{text: "mysql", word: true, look: attached.look},
	{text: "mariadb", word: true, look: attached.look},
	{text: "7z", word: true, look: attached.look},
	{text: "zip", word: true, look: flagged(`-P` + between + `?`).look},
	{text: "unzip", word: true, look: flagged(`-P` + between + `?`).look},
	{text: "sqlcmd", word: true, look: flagged(`-P` + between + `?`).look},
	{text: "sqlplus", word: true, look: leading(`sqlplus\s+(?:-\S+\s+)*[\w.]+/`).look},
	{text: "redis-cli", word: true, look: flagged(`(?:-a|--pass)` + between).look},
	{text: "mongo", word: true, look: flagged(`-p` + between).look},
	{text: "twine", word: true, look: flagged(`-p` + between).look},
	{text: "ldap", word: true, look: flagged(`-w` + between + `?`).look},
	{text: "lftp", word: true, look: flagged(`-u` + between).look},
	{text: "smbclient", word: true, look: flagged(`-U` + between + `?`).look},
	{text: "ssh-keygen", word: true, look: flagged(`-N` + between).look},
	{text: "nuget push", word: true, look: flagged(`-k` + between).look},
	{text: "htpasswd", word: true, look: leading(`htpasswd\s+-\w*b\w*\s+(?:-\w+\s+)*\S+\s+\S+\s+`).look},
	{text: "htpasswd", word: true, look: leading(`htpasswd\s+-(?:\w*n\w*b|\w*b\w*n)\w*\s+(?:-\w+\s+)*\S+\s+`).look},
	{text: "--from-literal", look: leading(`--from-literal(?:=|\s+)["']?[\w.-]+=`).look},
	{text: "ConvertTo-SecureString", look: leading(`ConvertTo-SecureString\s+(?:-String\s+)?`).look},
	{text: "openssl", word: true, look: openssl.look},

	{text: "--password-stdin", look: (*masker).piped},
	{text: "--with-token", look: (*masker).piped},
	{text: "--passphrase-fd", look: (*masker).piped},
	{text: "chpasswd", look: (*masker).piped},
	{text: "sudo -S", look: (*masker).piped},

	{text: "set", word: true, look: (*masker).assigning},
	{text: "setx", word: true, look: (*masker).assigning},
	{text: "ENV", word: true, look: (*masker).assigning},
	{text: "ARG", word: true, look: (*masker).assigning},

	{text: "curl", word: true, look: (*masker).curl},
	{text: "curl", word: true, look: flagged(`(?:-b|--cookie)` + between + `["']?[\w.-]+=`).look},
	{text: "machine", word: true, look: (*masker).netrc},
	{text: "default", word: true, look: (*masker).netrc},

	{text: "cookie", fold: true, look: (*masker).cookie},
	{text: "value", fold: true, look: (*masker).pair},
	{text: "kind", word: true, look: (*masker).manifest},

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
	{text: "sig=", fold: true, word: true, look: (*masker).signature},
	{text: "signature=", fold: true, look: (*masker).signature},
}

// automaton finds all keywords in one pass over a text (Aho and Corasick). Its
// states are the rows of a table with a column for each class of bytes; the
// letters of both cases are one class.
type automaton struct {
	class    [256]uint8
	next     []uint32 // where a row begins, by row and class
	width    uint32
	keywords []keyword
	ends     [][]uint16 // the keywords that end at a state
}

// recognizer knows all keywords.
type recognizer struct {
	*automaton
	searching []*finder // in windows
}

var newRecognizer = sync.OnceValue(func() recognizer {
	var r recognizer
	keywords := slices.Clone(byHand)
	for i, p := range slices.Concat(providers, moreProviders) {
		f := newFinder(&p, i)
		if p.reach == 0 {
			r.searching = append(r.searching, f)
		}
		keywords = append(keywords, f.keywords()...)
	}
	r.automaton = newAutomaton(keywords)
	return r
})

// known hides what stands near keywords.
func (m *masker) known() {
	r := newRecognizer()
	m.searched = make([]span, len(providers)+len(moreProviders))
	r.look(m)
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

	// The tree of the keywords, whose root is state 0.
	a.grow()
	for i, k := range keywords {
		state := uint32(0)
		for _, c := range []byte(k.text) { // in either case
			at := state*a.width + uint32(a.class[c])
			if a.next[at] == 0 {
				a.next[at] = a.grow()
			}
			state = a.next[at]
		}
		a.ends[state] = append(a.ends[state], uint16(i))
	}

	// Where the tree does not go on, the longest end of what was read does that
	// begins a keyword. Breadth first, so that it is complete already.
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

// grow adds a state and gives its number.
func (a *automaton) grow() uint32 {
	a.next = append(a.next, make([]uint32, a.width)...)
	a.ends = append(a.ends, nil)
	return uint32(len(a.ends) - 1)
}

// look lets each keyword's function have a look where the keyword begins.
func (a *automaton) look(m *masker) {
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
				k.look(m, at)
			}
		}
	}
}

func isWordByte(c byte) bool { return ascii.IsAlnum(c) || c == '_' }
