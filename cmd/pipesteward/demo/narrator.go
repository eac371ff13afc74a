package demo

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
)

const (
	// width is how many columns a line has at most.
	width = 80
	// indent is where the text of what happens begins, behind its time and actor.
	indent = 21
)

// actors are who does something in the story, with their colours.
var actors = map[string]text.Color{
	"Ada":         text.FgMagenta,
	"GitLab":      text.FgYellow,
	"Pipesteward": text.FgGreen,
	"Slack":       text.FgCyan,
}

// narrator prints what happens, in lines that fit a terminal.
type narrator struct {
	colour bool
	began  time.Time

	lastMessage []string // the lines of the last message in Slack that is in no thread

	mu sync.Mutex
	w  io.Writer
}

// paint colours a text, if the output shows colours.
func (n *narrator) paint(c text.Color, s string) string {
	if !n.colour {
		return s
	}
	return c.EscapeSeq() + s + text.Reset.EscapeSeq()
}

// say prints a paragraph.
func (n *narrator) say(format string, args ...any) {
	n.print(wrap(fmt.Sprintf(format, args...), width))
}

// title prints a headline with its number.
func (n *narrator) title(number int, title string) {
	lines := strings.Split(wrap(title, width-3), "\n")
	for i := range lines {
		lines[i] = n.paint(text.Bold, lines[i])
	}
	n.print(fmt.Sprintf("\n%d. %s\n", number, strings.Join(lines, "\n   ")))
}

// print prints lines as they are.
func (n *narrator) print(lines string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintln(n.w, lines)
}

// happens prints who did what, and when; what is wrapped with a hanging indent.
func (n *narrator) happens(who, format string, args ...any) {
	what := wrap(strings.TrimSpace(fmt.Sprintf(format, args...)), width-indent)
	at := fmt.Sprintf("%5.1fs", time.Since(n.began).Seconds())
	n.print(fmt.Sprintf("%s  %s  %s", n.paint(text.Faint, at), n.paint(actors[who], fmt.Sprintf("%-11s", who)),
		strings.ReplaceAll(what, "\n", "\n"+strings.Repeat(" ", indent))))
}

// wrap breaks the lines of a text between words so that they have at most so many columns;
// a longer word has a line of its own.
func wrap(s string, columns int) string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		current := ""
		for word := range strings.FieldsSeq(line) {
			switch {
			case current == "":
				current = word
			case text.StringWidthWithoutEscSequences(current)+1+text.StringWidthWithoutEscSequences(word) <= columns:
				current += " " + word
			default:
				out = append(out, current)
				current = word
			}
		}
		out = append(out, current)
	}
	return strings.Join(out, "\n")
}

// linked is where the plain text of a message names the page behind a word.
var linked = regexp.MustCompile(` \(https?://[^ )]*\)`)

// slack prints a Slack message as people see it: links are words there. Of a message in a
// thread it prints what the message before does not say.
func (n *narrator) slack(m slacktest.Message) {
	lines := strings.Split(linked.ReplaceAllString(m.Plain(), ""), "\n")
	where := "in #" + m.Channel
	switch {
	case m.Edited:
		where += ", the same message, edited"
	case m.ThreadTS != "":
		where += ", in its thread"
		lines = slices.DeleteFunc(lines, func(line string) bool { return slices.Contains(n.lastMessage, line) })
	}
	if m.ThreadTS == "" {
		n.lastMessage = lines
	}
	n.happens("Slack", "%s:\n%s", where, strings.Join(lines, "\n"))
}
