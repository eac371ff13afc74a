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
	parts   []string
}

// kinds are the kinds of parts that are masked. The first that matches at a place wins.
var kinds = []kind{
	{"<url>", `\S+`, []string{`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'‹›)\],]+`}},
	{"<time>", `[\d:., TZ+-]+`, []string{
		`\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?`,
		`\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b`,
	}},
	{"<id>", `[\w:-]+`, []string{
		`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`,
		`\b(?:sha256|sha1|sha512|md5):[0-9a-fA-F]+\b`,
	}},
	{"<host>", `\S+`, []string{
		`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b`,
		`\[[0-9a-fA-F]*:[0-9a-fA-F:.]*\](?::\d+)?`,
	}},
	{"<path>", `\S+`, []string{
		`[A-Za-z]:\\[^\s"'‹›|]+`,
		`(?:\.{1,2}|~|\$\w+)?(?:/[\w.@%+~=-]+){2,}/?(?::\d+)*`,
		`\b[\w.@-]+(?:/[\w.@%+~=-]+)+\.\w+(?::\d+)*`,
		`\b[\w-]+\.(?:c|cc|cpp|cs|go|h|hpp|java|jsx?|kt|php|pl|py|rb|rs|scala|sh|swift|tsx?|vue|ya?ml|json|toml|tar|t?gz|zip|log|txt|tmp)\b(?::\d+)*`,
	}},
	{"<host>", `\S+`, []string{
		`\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}:\d+\b`,
		`\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.){2,}[a-z]{2,}\b`,
	}},
	{"<duration>", `[\w.]+`, []string{`\b(?:\d+(?:\.\d+)?(?:ns|us|ms|s|sec|min|m|h))+\b`}},
	{number, `v?[\d.,%]+`, []string{`\bv?\d+(?:[.,]\d+)+%?`}},
	{word, `\w+`, []string{`\w+`}},
}

const (
	number   = "<n>"
	word     = "<id>" // a word that varies; see maskOf
	wildcard = "<*>"  // a whole word that differs between the lines of a group
	rest     = "<…>"  // the end of a word in which the line was cut
)

// anyPart matches a part that may be masked; the group that matches is that of its kind.
var anyPart = func() *regexp.Regexp {
	var all []string
	for _, k := range kinds {
		all = append(all, "("+strings.Join(k.parts, "|")+")")
	}
	return regexp.MustCompile(strings.Join(all, "|"))
}()

// plain replaces the signs that only masks have.
var plain = strings.NewReplacer("<", "‹", ">", "›")

// Mask returns a line with the parts masked that vary from job to job. The words of a
// failure stay, and so do HTTP status codes, exit codes, and codes of errors, like E0308.
func Mask(line string) string {
	line = plain.Replace(line)
	var b strings.Builder
	last := 0
	for _, at := range anyPart.FindAllStringSubmatchIndex(line, -1) {
		i := 0
		for at[2+2*i] < 0 {
			i++
		}
		mask := kinds[i].mask
		if i == len(kinds)-1 {
			mask = maskOf(line[at[0]:at[1]], line[:at[0]], line[at[1]:])
		}
		if mask != "" {
			b.WriteString(line[last:at[0]] + mask)
			last = at[1]
		}
	}
	b.WriteString(line[last:])
	return b.String()
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
	case first < 0 && (len(text) < 20 || !hexWord.MatchString(text)):
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
