package slack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pipesteward/pipesteward/actions/chatops"
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

	// Of a message of many pipelines, in bytes.
	maxTogether = 2500 // its text
	maxLinks    = 450  // the links of each line
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

// onJob are the buttons that a message of many pipelines lacks: nobody could tell on which job
// they act.
var onJob = []string{chatops.ButtonRetry, chatops.ButtonPlay, chatops.ButtonCancel, chatops.ButtonErase}

// notice is a rendered outcome; all of it is mrkdwn.
type notice struct {
	header   string
	context  string // "" if the commit is unknown
	line     line
	details  string
	fallback string // of the reply
	current  string // of the message
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

	MergeRequest string // !7 with its title, if that is known; a link
	Titled       bool   // it is
	Place        string // in the project, plain: the merge request, else the ref
	Job          string // its name; a link
	Pipeline     string // the same, as Subject has it; "": there is none

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
	if !custom && what.Together > 0 {
		v.Text = say(words.Together(v.Text, what.Together, style))
	}
	v.Facts = say(words.JobFacts(o, style))
	details := cmp.Or(strings.TrimSpace(what.Details), say(words.OutcomeDetails(o, custom, style)))
	execute := func(block string) string { return say(style.Say(block, v)) }
	emoji := cmp.Or(emojis[o.Result], ":information_source:")
	if o.Result == event.ResultDone {
		emoji = cmp.Or(doneEmojis[o.Action.Verb], emoji)
	}
	n := notice{
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
	if what.Together > 0 {
		n.line.Ref, n.line.Refs, n.line.Links = event.RefOf(o.Event), what.Together, execute("links")
		if len(n.line.Links) > maxLinks { // the links count
			brief := v
			brief.Commit, brief.Author = "", ""
			if v.Titled {
				brief.MergeRequest = mergeRequest(o, "")
			}
			n.line.Links = mrkdwn.Cut(say(style.Say("links", brief)), maxText, maxLinks)
		}
		does = slices.DeleteFunc(does, func(button string) bool { return slices.Contains(onJob, button) })
	}
	n.line.Decision, n.line.JobID, n.line.Offers = decisionOf(o), job, strings.Join(does, " ")
	shown := m.with(n.line)
	n.more = say(style.Say("more", shown.more()))
	header, context := v.Header, cmp.Or(v.Context, mrkdwn.Link(o.Project.URL, o.Project.Path))
	if what.Together == 0 {
		if o.Pipeline.ID != 0 {
			v.End = end(shown.Lines)
		}
		header, context = execute("header"), execute("context")
	}
	n.header, n.context = mrkdwn.Cut(header, maxText, maxTop), mrkdwn.Cut(context, maxText, maxTop)
	n.fallback = mrkdwn.Cut(execute("fallback"), maxText, maxBytes)
	if newest := shown.newest(); what.Together > 0 || newest.At.After(o.At) {
		v.Text, v.Facts = newest.Text, newest.Facts
	}
	if what.Together > 0 {
		v.Place, v.Facts, v.Author = "", "", ""
	}
	n.current = mrkdwn.Cut(execute("fallback"), maxText, maxBytes)
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
	if iid, title := event.MergeRequestIID(o.Event), o.MergeRequest.Title; iid != 0 {
		v.MergeRequest, v.Titled = mergeRequest(o, title), title != ""
		v.Place = mrkdwn.Title(fmt.Sprintf("!%d %s", iid, title))
	}
	if o.Job.ID != 0 || o.Job.Name != "" {
		v.Job = mrkdwn.Link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf(terms.Job, o.Job.ID)))
	}
	if o.Pipeline.ID != 0 {
		v.Pipeline = mrkdwn.Link(o.Pipeline.URL, fmt.Sprintf(terms.Heading, o.Pipeline.ID, o.Pipeline.Name))
	}
	switch {
	case v.Pipeline != "":
		v.Subject = v.Pipeline
	case v.Job != "":
		v.Subject = v.Job
	default:
		v.Subject = fmt.Sprintf(terms.OfRule, mrkdwn.Code(o.Rule))
	}
	return v
}

// mergeRequest returns the outcome's merge request as a link with a title.
func mergeRequest(o event.Outcome, title string) string {
	iid, address := event.MergeRequestIID(o.Event), o.MergeRequest.URL
	if address == "" && o.Project.URL != "" { // the event of a job has none
		address = fmt.Sprintf("%s/-/merge_requests/%d", o.Project.URL, iid)
	}
	return mrkdwn.Link(address, strings.TrimSpace(fmt.Sprintf("!%d %s", iid, title)))
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
func (n notice) root(shown content, buttons []slackapi.Block) body {
	if shown.Together != nil {
		return body{n.current, n.together(shown, buttons[0])}
	}
	lines, most := shown.Lines, maxBytes
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
	if shown.more() > 0 {
		blocks = append(blocks, small(n.more))
	}
	return body{n.current, blocks}
}

// together returns the content of a message of many pipelines: the text for all of them, then
// each branch, tag or merge request with its job and its pipeline. What stands above the text
// stays as it was first.
func (n notice) together(shown content, buttons slackapi.Block) []slackapi.Block {
	of := shown.Together
	var blocks []slackapi.Block
	if of.Header != "" {
		blocks = append(blocks, section(of.Header))
	}
	blocks = append(blocks, section(mrkdwn.Cut(of.Newest.Emoji+" "+of.Newest.Text, maxText, maxTogether)))
	if of.Context != "" {
		blocks = append(blocks, small(of.Context))
	}
	list := ""
	for _, l := range shown.Lines {
		item := "• " + l.Links
		if list != "" && len(list)+len(item) >= maxText {
			blocks = append(blocks, section(list))
			list = ""
		}
		list = strings.TrimPrefix(list+"\n"+item, "\n")
	}
	blocks = append(blocks, section(list))
	if shown.more() > 0 {
		blocks = append(blocks, small(n.more))
	}
	if buttons != nil {
		blocks = append(blocks, buttons)
	}
	return blocks
}

// separator returns what stands between a text and the facts of its job: a text of
// several lines may end with a fence.
func separator(text string) string {
	if strings.Contains(text, "\n") {
		return "\n"
	}
	return " · "
}

// reply returns the content of the outcome's own message in the thread: of a message of many
// pipelines, it begins with links to its own.
func (n notice) reply() body {
	text := n.line.Text
	if n.line.Links != "" {
		text = n.line.Links + "\n" + text
	}
	return body{n.fallback, []slackapi.Block{section(mrkdwn.Cut(n.line.Emoji+" "+text, maxText, maxBytes)), small(n.details)}}
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
