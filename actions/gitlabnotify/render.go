package gitlabnotify

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
)

// A value that others chose stands in a code span in a note: there GitLab reads no mention,
// no reference, no link, no image and no HTML. All of a note but its first lines is a
// table, so that no value begins a line, where GitLab would read a quick action.

const (
	maxName = 200  // of a name, in bytes
	maxCell = 1500 // of a rule's text or of a default one, in bytes; no value in it is cut
)

// Between these characters, of Unicode's private use, a value stands in a rule's text until
// that is rendered: only then can it be seen whether the rule has written it between
// backticks, or as the address of a link.
const (
	opens  = "\uE000"
	closes = "\uE001"
)

// unmarked removes those characters from a value.
var unmarked = strings.NewReplacer(opens, "", closes, "")

// Escape makes a value safe to stand in the text of a notice in a channel of GitLab.
func (n *Notifier) Escape(channel, value string) string {
	value = unmarked.Replace(value)
	if channel == event.ChannelCommit { // whose description is plain text
		return value
	}
	return opens + value + closes
}

// resultOf returns the result of an outcome as the words name it.
func resultOf(o event.Outcome) string {
	if o.Result == event.ResultDeferred && o.WaitsFor == event.WaitStorm {
		return event.WhenStorm
	}
	return text(o.Result, maxName)
}

// lineOf returns the line of an outcome. The notice's text is the rule files'; "" selects
// the default.
func lineOf(o event.Outcome, notice event.Notice) line {
	in := style.In(notice.Language)
	say := func(said string, err error) string {
		if err != nil { // a mistake in the templates
			return code(err.Error())
		}
		return strings.ReplaceAll(said, "\n", " ")
	}
	l := line{LineID: words.LineOf(o), State: say(in.Say("result", resultOf(o))), Attempt: o.Job.Attempt, By: code(o.Rule), At: o.At}
	if l.LineID.Job != "" {
		l.Job = link(o.Job.URL, o.Job.Name)
	}
	if o.Pipeline.ID != 0 {
		l.Pipeline = link(o.Pipeline.URL, strconv.FormatInt(o.Pipeline.ID, 10))
	}
	if custom := strings.TrimSpace(notice.Text); custom != "" {
		l.Text = ruleText(custom)
		return l
	}
	l.Text = say(words.Outcome(o, in))
	return l
}

// render returns the body of a note, with its top in a language. The lines stay in the
// language of their notices.
func render(n note, language string) (string, error) {
	in := style.In(language)
	top, err := in.Say("note", nil)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(mark + "\n" + top + "\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, l := range n.Lines {
		attempt := ""
		if l.Attempt > 0 {
			attempt = strconv.Itoa(l.Attempt)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", l.State, l.Job, l.Pipeline, attempt, l.By, l.Text, l.At.UTC().Format(time.DateTime+" UTC"))
	}
	if n.Older > 0 {
		older, err := in.Say("older", n.Older)
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + older + "\n")
	}
	return b.String(), nil
}

// style writes names and links in GitLab's Markdown.
var style = words.Style{Text: text, Code: code, Link: link}

var (
	// plain matches the texts that GitLab shows as they are, but for what readsAs matches.
	plain = regexp.MustCompile(`^[A-Za-z0-9_ ,.()-]*$`)
	// readsAs matches what GitLab takes for a commit, for an issue of another tracker or for
	// an address.
	readsAs = regexp.MustCompile(`(?i)[0-9a-f]{7}|[a-z][a-z0-9_]*-[0-9]|www\.|__`)
)

// text returns a text of others on one line, of limit bytes at most: as it is if GitLab
// shows it so, else in a code span.
func text(value string, limit int) string {
	value = words.Plain.Text(value, limit)
	if plain.MatchString(value) && !readsAs.MatchString(value) {
		return value
	}
	return code(value)
}

// inCode replaces what ends a code span or a cell of a table.
var inCode = strings.NewReplacer("`", "'", "|", "¦")

// code returns a value on one line, in a code span; "" stays "".
func code(value string) string {
	if value = inCode.Replace(words.Plain.Text(value, max(maxName, maxCell/3))); value == "" {
		return ""
	}
	return "`" + value + "`"
}

// page matches the addresses that are made links: the pages of jobs and pipelines, which
// GitLab takes for no reference.
var page = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9._/~%-]+/(-/)?(jobs|pipelines)/[0-9]+$`)

// link returns the label in a code span, as a link if the address is a page of GitLab.
func link(address, label string) string {
	label = code(words.Plain.Text(label, maxName))
	if label == "" || !page.MatchString(address) {
		return label
	}
	return "[" + label + "](" + address + ")"
}

// literal makes what a rule has written around its values stand in one cell of the table,
// without what could end or change the code span of a value, and without HTML.
var literal = strings.NewReplacer("`", "", "\\", "&#92;", "$", "\u200b$\u200b", "|", "&#124;", "<", "&lt;", "\r", "", "\n", "<br>", opens, "", closes, "")

// slackLink matches a link as texts for Slack have it, whose address is one value or is
// written out: templates are for all receivers. It has the address and the label.
var slackLink = regexp.MustCompile(`<(` + opens + `[^` + closes + `]*` + closes + `|https?://[^\s<>|()` + opens + `]+)\|((?:` + opens + `[^` + closes + `]*` + closes + `|[^<>\n` + opens + `])*)>`)

// ruleText renders the text of a rule: each value in a code span of its own, but for the
// address of a link.
func ruleText(rendered string) string {
	rendered = slackLink.ReplaceAllString(rendered, "[$2]($1)")
	var b strings.Builder
	value := "" // the last ones, without a literal between
	flush := func() {
		b.WriteString(code(value))
		value = ""
	}
	for rest := rendered; rest != ""; {
		if b.Len()+len(value) > maxCell {
			value, rest = cmp.Or(value, " ")+"…", ""
			continue
		}
		before, after, found := strings.Cut(rest, opens)
		v, behind, _ := strings.Cut(after, closes)
		address := strings.HasSuffix(before, "](") && strings.HasPrefix(behind, ")") && page.MatchString(v)
		if before != "" {
			flush()
			before = literal.Replace(strings.ToValidUTF8(before[:min(len(before), maxCell)], ""))
			if found && !address {
				before = withoutOpenLink(before)
			}
			b.WriteString(before)
		}
		if !found {
			break
		}
		if rest = behind; address {
			b.WriteString(v)
			continue
		}
		value += v
	}
	flush()
	return b.String()
}

// withoutOpenLink makes the address of a link text that does not end where the text ends:
// within an address, a code span is none.
func withoutOpenLink(text string) string {
	for at := len(text); ; {
		if at = strings.LastIndex(text[:at], "]("); at < 0 {
			return text
		}
		if address := text[at+1:]; !closed(address) {
			text = text[:at+1] + " " + address
		}
	}
}

// closed reports whether the parenthesis that a text begins with is closed in it.
func closed(text string) bool {
	open := 0
	for _, r := range text {
		switch r {
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				return true
			}
		}
	}
	return false
}
