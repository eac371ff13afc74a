package cluster

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind is a kind of part that varies from job to job.
type kind struct {
	mask    string // what Mask writes in its place
	matches string // a regular expression for a part that was masked so; see Group.Pattern
	needs   string // each part has one of these bytes; "": it need not
	parts   []string
}

// kinds are the kinds of parts that are masked. The first that matches at a place wins.
var kinds = []kind{
	{"<url>", `\S+`, "/", []string{`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'‹›)\],]+`}},
	{"<time>", `[\d:., TZ+-]+`, "-:", []string{
		`\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?`,
		`\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b`,
	}},
	{"<id>", `[\w:-]+`, "-:", []string{
		`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`,
		`\b(?:sha256|sha1|sha512|md5):[0-9a-fA-F]+\b`,
	}},
	{"<host>", `\S+`, ".:", []string{
		`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b`,
		`\[[0-9a-fA-F]*:[0-9a-fA-F:.]*\](?::\d+)?`,
	}},
	{"<path>", `\S+`, `/\`, []string{
		`[A-Za-z]:\\[^\s"'‹›|]+`,
		`(?:\.{1,2}|~|\$\w+)?(?:/[\w.@%+~=-]+){2,}/?(?::\d+)*`,
		`\b[\w.@-]+(?:/[\w.@%+~=-]+)+\.\w+(?::\d+)*`,
	}},
	{"<path>", `\S+`, ".", []string{
		`\b[\w-]+\.(?:c|cc|cpp|cs|go|h|hpp|java|jsx?|kt|php|pl|py|rb|rs|scala|sh|swift|tsx?|vue|ya?ml|json|toml|tar|t?gz|zip|log|txt|tmp)\b(?::\d+)*`,
	}},
	{"<host>", `\S+`, ".:", []string{
		`\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}:\d+\b`,
		`\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.){2,}[a-z]{2,}\b`,
	}},
	{"<duration>", `[\w.]+`, "", []string{`\b(?:\d+(?:\.\d+)?(?:ns|us|ms|s|sec|min|m|h))+\b`}},
	{number, `v?[\d.,%]+`, ".,", []string{`\bv?\d+(?:[.,]\d+)+%?`}},
	{word, `\w+`, "", []string{`\w+`}},
}

const (
	number   = "<n>"
	word     = "<id>" // a word that varies; see maskOf
	wildcard = "<*>"  // a whole word that differs between the lines of a group
	rest     = "<…>"  // the end of a word in which the line was cut
)

// finder finds the parts of a text that may be masked.
type finder struct {
	parts *regexp.Regexp // the group that matches is that of its kind
	kinds []kind
}

// finders find the parts of texts: the first one of any text, the others of those that have
// none of some bytes, which is faster.
var finders = []struct {
	without string
	finder
}{{"", newFinder("")}, {`/\-:.,`, newFinder(`/\-:.,`)}, {`/\`, newFinder(`/\`)}}

// newFinder returns the finder for texts that have none of the bytes.
func newFinder(without string) finder {
	var f finder
	var all []string
	for _, k := range kinds {
		if k.needs == "" || strings.Trim(k.needs, without) != "" {
			f.kinds, all = append(f.kinds, k), append(all, "("+strings.Join(k.parts, "|")+")")
		}
	}
	f.parts = regexp.MustCompile(strings.Join(all, "|"))
	return f
}

// plain replaces the signs that only masks have.
var plain = strings.NewReplacer("<", "‹", ">", "›")

// Mask returns a line with the parts masked that vary from job to job. The words of a
// failure stay, and so do HTTP status codes, exit codes, and codes of errors, like E0308.
func Mask(line string) string { return maskIn(line, suspicious, finderFor) }

// finderFor returns the finder for a text.
func finderFor(text string) finder {
	for _, f := range finders[1:] {
		if !strings.ContainsAny(text, f.without) {
			return f.finder
		}
	}
	return finders[0].finder
}

// maskIn masks the ranges of a line that next returns, each from the end of the last one on,
// with the finder for each.
func maskIn(line string, next func(line string, at int) (from, to int), finderFor func(text string) finder) string {
	line = plain.Replace(line)
	var b strings.Builder
	last := 0
	for from, to := next(line, 0); from < len(line); from, to = next(line, to) {
		f := finderFor(line[from:to])
		for _, at := range f.parts.FindAllStringSubmatchIndex(line[from:to], -1) {
			i := 0
			for at[2+2*i] < 0 {
				i++
			}
			start, end := from+at[0], from+at[1]
			mask := f.kinds[i].mask
			if i == len(f.kinds)-1 {
				mask = maskOf(line[start:end], line[:start], line[end:])
			}
			if mask != "" {
				b.WriteString(line[last:start] + mask)
				last = end
			}
		}
	}
	b.WriteString(line[last:])
	return b.String()
}

// suspicious returns where the next words of a line are, from a place on, that may have
// anything to mask: matching the others with regular expressions would take most of the time.
// No part that is masked reaches beyond such words. Without such words, from is len(line).
func suspicious(line string, at int) (from, to int) {
	from = len(line)
	for at < len(line) {
		end := len(line)
		if n := strings.IndexByte(line[at:], ' '); n >= 0 {
			end = at + n
		}
		switch {
		case mayVary(line[at:end]):
			from, to = min(from, at), end
		case from < len(line) && end > at:
			return from, to
		}
		at = end + 1
	}
	return from, to
}

// leastHex is how many digits a hexadecimal number without 0 to 9 has at least.
const leastHex = 20

// mayVary reports whether a word may have anything to mask: a digit, a slash, a dot or a colon
// within it, or a long hexadecimal number.
func mayVary(w string) bool {
	for i := range len(w) {
		switch c := w[i]; {
		case c >= '0' && c <= '9', c == '/', c == '\\', (c == '.' || c == ':') && i+1 < len(w):
			return true
		}
	}
	return len(w) >= leastHex
}

var (
	digits    = regexp.MustCompile(`^\d+$`)
	hexWord   = regexp.MustCompile(`^[0-9a-f]{7,}$|^[0-9A-F]{7,}$`)
	errorCode = regexp.MustCompile(`^[A-Z]{1,6}\d{2,5}$`)
	mixture   = regexp.MustCompile(`\d\D`) // digits that do not end the word

	beforeStatus = regexp.MustCompile(`(?i)(?:error|code|status|http|http/[\d.]+|got|returned|received|response|answered)(?:\W{1,3}|: ?")$`)
	afterStatus  = regexp.MustCompile(`^ (?:Bad|Service|Gateway|Not|Forbidden|Unauthorized|Internal|Too|Request|Conflict|Payload|Client|Server)\b`)
	beforeCode   = regexp.MustCompile(`(?i)(?:exit(?:ed)?(?: with)?(?: code| status)?:? |errno |curl: \(|signal |signal: )$`)
)

// knownNames are words with digits that are the names of things.
var knownNames = []string{"x509", "k8s", "i18n", "s3cmd", "e2e", "p12", "h2o", "win32", "http2", "oauth2", "2fa", "x86_64", "aarch64", "utf8mb4"}

// maskOf returns what a word is masked with, between the texts before and after it; "" if
// it stays.
func maskOf(text, before, after string) string {
	first := strings.IndexAny(text, "0123456789")
	switch {
	case first < 0 && (len(text) < leastHex || !hexWord.MatchString(text)):
		return ""
	case digits.MatchString(text):
		code, err := strconv.Atoi(text)
		isStatus := err == nil && len(text) == 3 && code >= 400 && code < 600
		if isStatus && (beforeStatus.MatchString(before) || afterStatus.MatchString(after)) ||
			err == nil && code < 256 && beforeCode.MatchString(before) {
			return ""
		}
		return number
	case hexWord.MatchString(text):
		return word
	case errorCode.MatchString(text), slices.Contains(knownNames, strings.ToLower(text)):
		return ""
	case first == 0, len(text) >= 5 && mixture.MatchString(text[first:]):
		return word
	}
	return ""
}
