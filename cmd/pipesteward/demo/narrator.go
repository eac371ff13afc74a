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
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
)

// indent is where the text of what happens begins, behind its time and actor.
const indent = 21

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
	width  int // how many columns a line has at most
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
	text := fmt.Sprintf(format, args...)
	lead := text[:len(text)-len(strings.TrimLeft(text, "\n"))]
	n.print(lead + wrap.Text(text, n.width, 0, 0))
}

// title prints a headline with its number.
func (n *narrator) title(number int, title string) {
	n.print(fmt.Sprintf("\n%d. %s\n", number, n.paint(text.Bold, wrap.Text(title, n.width, 3, 3))))
}

// print prints lines as they are.
func (n *narrator) print(lines string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintln(n.w, lines)
}

// happens prints who did what, and when; what is wrapped with a hanging indent.
func (n *narrator) happens(who, format string, args ...any) {
	what := wrap.Text(strings.TrimSpace(fmt.Sprintf(format, args...)), n.width, indent, indent)
	at := fmt.Sprintf("%5.1fs", time.Since(n.began).Seconds())
	n.print(fmt.Sprintf("%s  %s  %s", n.paint(text.Faint, at), n.paint(actors[who], fmt.Sprintf("%-11s", who)), what))
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
