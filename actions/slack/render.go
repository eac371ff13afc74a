package slack

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"

	slackapi "github.com/slack-go/slack"
)

// Slack's limits in characters, by its reference of Block Kit and of chat.postMessage: a
// text of a block has 3,000, a message 50 blocks, its text 40,000, of which chat.update
// takes 4,000. All blocks together are refused over about 13,200 bytes
// (msg_blocks_too_long), which is not documented; so what is long is bounded in bytes, too.
const (
	maxText  = 3000
	maxBytes = 9000 // of the longest text of a message, and of all lines together
	maxTop   = 1000 // of each of the two lines at the top, and of the small print; in bytes
)

// emojis are shown before an outcome, by its result.
var emojis = map[string]string{
	event.ResultDone:      ":white_check_mark:",
	event.ResultDryRun:    ":test_tube:",
	event.ResultSkipped:   ":fast_forward:",
	event.ResultDeferred:  ":hourglass_flowing_sand:",
	event.ResultFailed:    ":x:",
	event.ResultGaveUp:    ":rotating_light:",
	event.ResultRecovered: ":white_check_mark:",
}

// doneEmojis replace that of done for verbs whose effect is still to come.
var doneEmojis = map[string]string{
	event.VerbRetry:         ":repeat:",
	event.VerbRetryPipeline: ":repeat:",
	event.VerbPlay:          ":arrow_forward:",
	event.VerbNotify:        ":bell:",
}

// notice is a rendered outcome; all of it is mrkdwn.
type notice struct {
	header   string
	context  string // "" if the commit is unknown
	line     line
	details  string
	fallback string
	more     string // how many outcomes the message does not show
}

// view is the data of the frame in words/message.*.tmpl: mrkdwn, escaped.
type view struct {
	Header  string // a rule file's, in place of the default one; "": there is none
	Context string // the same

	Subject string // the pipeline, else the job; a link
	Status  string // the pipeline's
	End     string // what the pipeline came to, if it ended here: gave_up, recovered or paused
	Project string
	Ref     string // as code
	SHA     string // short, as code
	Commit  string // its title
	Author  string // of the commit

	MergeRequest string // !7 with its title; a link
	Place        string // in the project, plain: the merge request, else the ref

	Text  string // of the outcome
	Facts string // of its job
}

// render renders the outcome for the record of its message. Texts of rule files are in
// what is to be sent; "" selects the default.
func render(o event.Outcome, what event.Notice, m *record) (notice, error) {
	style := mrkdwn.Style.In(what.Language)
	v := viewOf(o, words.TermsIn(what.Language))
	v.Header, v.Context = strings.TrimSpace(what.Header), strings.TrimSpace(what.Context)
	v.Status = style.Status(m.Status)
	v.Text = strings.TrimSpace(what.Text)
	custom := v.Text != ""
	var failures []error
	say := func(text string, err error) string {
		failures = append(failures, err)
		return strings.TrimPrefix(strings.TrimSpace(text), "· ")
	}
	if !custom {
		v.Text = say(words.Outcome(o, style))
	}
	v.Facts = say(words.JobFacts(o, style))
	details := cmp.Or(strings.TrimSpace(what.Details), say(words.OutcomeDetails(o, custom, style)))
	execute := func(block string) string { return say(style.Say(block, v)) }
	emoji := cmp.Or(emojis[o.Result], ":information_source:")
	if o.Result == event.ResultDone {
		emoji = cmp.Or(doneEmojis[o.Action.Verb], emoji)
	}
	n := notice{
		context: mrkdwn.Cut(execute("context"), maxText, maxTop),
		line: line{
			LineID: words.LineOf(o),
			Emoji:  emoji,
			Text:   mrkdwn.Cut(v.Text, maxText, maxBytes),
			Facts:  v.Facts,
			At:     o.At,
			Result: o.Result,
			Paused: o.Result == event.ResultDeferred && event.IsPause(o.Reason),
			Open:   o.Result == event.ResultFailed || o.Result == event.ResultGaveUp,
		},
		details: mrkdwn.Cut(details, maxText, maxTop),
	}
	does, job := offers(o, what.Channel)
	n.line.Decision, n.line.JobID, n.line.Offers = decisionOf(o), job, strings.Join(does, " ")
	lines, older := m.with(n.line)
	n.more = say(style.Say("more", len(older)))
	if o.Pipeline.ID != 0 {
		v.End = end(lines)
	}
	n.header, n.fallback = mrkdwn.Cut(execute("header"), maxText, maxTop), mrkdwn.Cut(execute("fallback"), maxText, maxBytes)
	return n, errors.Join(failures...)
}

// end returns what a pipeline came to, by the lines of its message; "" if it goes on.
func end(lines []line) string {
	recovered := len(lines) > 0
	paused := false
	for _, l := range lines {
		if l.Result == event.ResultGaveUp {
			return event.ResultGaveUp
		}
		paused = paused || l.Paused
		recovered = recovered && l.Result == event.ResultRecovered
	}
	switch {
	case paused:
		return "paused"
	case recovered:
		return event.ResultRecovered
	}
	return ""
}

// viewOf returns the templates' data of the outcome.
func viewOf(o event.Outcome, terms words.Terms) view {
	v := view{
		Project: mrkdwn.Title(o.Project.Path),
		Place:   mrkdwn.Title(o.Pipeline.Ref),
		Author:  mrkdwn.Title(o.Commit.AuthorName),
		Ref:     mrkdwn.Code(o.Pipeline.Ref),
		SHA:     mrkdwn.Code(o.Pipeline.SHA[:min(8, len(o.Pipeline.SHA))]),
		Commit:  mrkdwn.Title(o.Commit.Title),
	}
	if mr := o.MergeRequest; mr.IID != 0 {
		v.MergeRequest = mrkdwn.Link(mr.URL, strings.TrimSpace(fmt.Sprintf("!%d %s", mr.IID, mr.Title)))
		v.Place = mrkdwn.Title(fmt.Sprintf("!%d %s", mr.IID, mr.Title))
	}
	switch {
	case o.Pipeline.ID != 0:
		v.Subject = mrkdwn.Link(o.Pipeline.URL, fmt.Sprintf(terms.Heading, o.Pipeline.ID, o.Pipeline.Name))
	case o.Job.ID != 0 || o.Job.Name != "":
		v.Subject = mrkdwn.Link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf(terms.Job, o.Job.ID)))
	default:
		v.Subject = fmt.Sprintf(terms.OfRule, mrkdwn.Code(o.Rule))
	}
	return v
}

// body is the content of a message.
type body struct {
	text   string // in notifications
	blocks []slackapi.Block
}

// mention adds mentions to the content; "": nobody's.
func (b *body) mention(mentions string) {
	if mentions != "" {
		b.text += " " + mentions
		b.blocks = append(b.blocks, section(mentions))
	}
}

func (b body) options() []slackapi.MsgOption {
	return []slackapi.MsgOption{
		slackapi.MsgOptionText(b.text, false), // escaped already
		slackapi.MsgOptionBlocks(b.blocks...),
		slackapi.MsgOptionParse(false), // chat.update would make mentions of names by default
	}
}

// root returns the content of the pipeline's message with the given lines, and for each
// the block of its buttons, nil for none.
func (n notice) root(lines []line, older []words.LineID, buttons []slackapi.Block) body {
	most := maxBytes
	for _, row := range buttons {
		if row != nil {
			most = maxBytes - maxRowBytes
		}
	}
	most /= max(len(lines), 1)
	blocks := []slackapi.Block{section(n.header)}
	if n.context != "" {
		blocks = append(blocks, small(n.context))
	}
	for i, l := range lines {
		text := mrkdwn.Cut(l.Emoji+" "+l.Text, maxText, most)
		if l.Facts != "" && len(text)+len(l.Facts) < most {
			text = mrkdwn.Cut(text+separator(text)+l.Facts, maxText, most)
		}
		blocks = append(blocks, section(text))
		if buttons[i] != nil {
			blocks = append(blocks, buttons[i])
		}
	}
	if len(older) > 0 {
		blocks = append(blocks, small(n.more))
	}
	return body{n.fallback, blocks}
}

// separator returns what stands between a text and the facts of its job: a text of
// several lines may end with a fence.
func separator(text string) string {
	if strings.Contains(text, "\n") {
		return "\n"
	}
	return " · "
}

// reply returns the content of the outcome's own message in the thread.
func (n notice) reply() body {
	return body{n.fallback, []slackapi.Block{section(mrkdwn.Cut(n.line.Emoji+" "+n.line.Text, maxText, maxBytes)), small(n.details)}}
}

// announcement returns the content of an announcement.
func announcement(text string) body {
	text = mrkdwn.Cut(strings.TrimSpace(text), maxText, maxBytes)
	return body{text, []slackapi.Block{section(text)}}
}

func section(text string) slackapi.Block { return slackapi.NewSectionBlock(verbatim(text), nil, nil) }

func small(text string) slackapi.Block { return slackapi.NewContextBlock("", verbatim(text)) }

// verbatim returns a text object that Slack shows verbatim: a plain "@here" or "#ci"
// in it stays plain.
func verbatim(text string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, text, false, true)
}
