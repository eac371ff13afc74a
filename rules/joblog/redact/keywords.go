package redact

import (
	"slices"
	"sync"

	"github.com/pipesteward/pipesteward/rules/internal/ahocorasick"
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

// recognizer finds the keywords of all secrets.
type recognizer struct {
	automaton *ahocorasick.Automaton
	known     []keyword
	searching []*finder // finders that search windows
}

var newRecognizer = sync.OnceValue(func() *recognizer {
	var searching []*finder
	keywords := slices.Clone(contextKeywords)
	for i, p := range slices.Concat(providers.FromGitleaks, providers.More) {
		f := newFinder(&p, i)
		if p.Reach == 0 {
			searching = append(searching, f)
		}
		keywords = append(keywords, f.keywords()...)
	}
	r := recognizerOf(keywords)
	r.searching = searching
	return r
})

func recognizerOf(keywords []keyword) *recognizer {
	texts := make([]string, len(keywords))
	for i, k := range keywords {
		texts[i] = k.text
	}
	return &recognizer{automaton: ahocorasick.New(texts), known: keywords}
}

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

// scan calls the function of each keyword at each position where the keyword
// begins.
func (r *recognizer) scan(m *masker) {
	t := m.text
	r.automaton.Scan(t, func(n, at int) {
		k := &r.known[n]
		if (k.fold || t[at:at+len(k.text)] == k.text) && (!k.word || at == 0 || !isWordByte(t[at-1])) {
			k.inspect(m, at)
		}
	})
}

func isWordByte(c byte) bool { return ascii.IsAlnum(c) || c == '_' }
