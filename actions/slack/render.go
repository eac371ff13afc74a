package slack

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"

	_ "embed"

	// default.tmpl

	slackapi "github.com/slack-go/slack"
)

// Slack's limits, in characters; they are applied to bytes, which are never
// fewer. The first is documented; the second, of all blocks together, is not:
// messages over about 13,000 are refused with msg_blocks_too_long.
const (
	maxText  = 3000
	maxTop   = 1000 // of each of the two lines at the top
	maxLined = 8000 // of all other lines together
	maxTitle = 200  // of a commit's title, a branch's or a job's name
)

//go:embed default.tmpl
var defaultTemplate string

var templates = template.Must(template.New("default.tmpl").Parse(defaultTemplate))

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
}

// view is the data of default.tmpl: mrkdwn, escaped.
type view struct {
	Subject string // the pipeline, else the job; a link
	Status  string // the pipeline's
	Project string
	Ref     string // as code
	Branch  string // the ref, plain
	SHA     string // short, as code
	Commit  string // its title

	Text string // of the outcome
}

// render renders the outcome. The text is the rule's; "" selects the default. The
// status is the pipeline's.
func render(o event.Outcome, text, status string) (notice, error) {
	v := viewOf(o)
	v.Status = Escape(strings.ReplaceAll(status, "_", " "))
	v.Text = strings.TrimSpace(text)
	custom := v.Text != ""
	var failures []error
	if !custom {
		var err error
		v.Text, err = words.Outcome(o, style)
		failures = append(failures, err)
	}
	details, err := words.OutcomeDetails(o, custom, style)
	failures = append(failures, err)
	execute := func(block string) string {
		var b strings.Builder
		failures = append(failures, templates.ExecuteTemplate(&b, block, v))
		return strings.TrimPrefix(strings.TrimSpace(b.String()), "· ")
	}
	emoji := cmp.Or(emojis[o.Result], ":information_source:")
	if o.Result == event.ResultDone {
		emoji = cmp.Or(doneEmojis[o.Action.Verb], emoji)
	}
	n := notice{
		header:  cut(execute("header"), maxTop),
		context: cut(execute("context"), maxTop),
		line: line{
			lineID: idOf(o),
			Emoji:  emoji,
			Text:   cut(v.Text, maxText),
			At:     o.At,
			Open:   o.Result == event.ResultFailed || o.Result == event.ResultGaveUp,
		},
		details:  cut(details, maxText),
		fallback: cut(execute("fallback"), maxText),
	}
	return n, errors.Join(failures...)
}

// idOf returns the id of the outcome's line.
func idOf(o event.Outcome) lineID {
	switch {
	case o.Action.Verb == event.VerbNotify:
		return lineID{Job: o.Job.Name, Rule: o.Rule}
	case event.OfPipeline(o.Action.Verb): // the job is that of the event, if any
		return lineID{}
	}
	return lineID{Job: o.Job.Name}
}

// style writes names and links in mrkdwn.
var style = words.Style{Text: brief, Code: code, Link: link}

// viewOf returns the templates' data of the outcome.
func viewOf(o event.Outcome) view {
	v := view{
		Project: title(o.Project.Path),
		Branch:  title(o.Pipeline.Ref),
		Ref:     code(o.Pipeline.Ref),
		SHA:     code(o.Pipeline.SHA[:min(8, len(o.Pipeline.SHA))]),
		Commit:  title(o.Commit.Title),
	}
	switch {
	case o.Pipeline.ID != 0:
		v.Subject = link(o.Pipeline.URL, fmt.Sprintf("Pipeline #%d %s", o.Pipeline.ID, o.Pipeline.Name))
	case o.Job.ID != 0 || o.Job.Name != "":
		v.Subject = link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf("job %d", o.Job.ID)))
	default:
		v.Subject = "Rule " + code(o.Rule)
	}
	return v
}

// body is the content of a message.
type body struct {
	text   string // in notifications
	blocks []slackapi.Block
}

func (b body) options() []slackapi.MsgOption {
	return []slackapi.MsgOption{
		slackapi.MsgOptionText(b.text, false), // escaped already
		slackapi.MsgOptionBlocks(b.blocks...),
		slackapi.MsgOptionParse(false), // chat.update would make mentions of names by default
	}
}

// root returns the content of the pipeline's message with the given lines.
func (n notice) root(lines []line, older []lineID) body {
	blocks := []slackapi.Block{section(n.header)}
	if n.context != "" {
		blocks = append(blocks, small(n.context))
	}
	for _, l := range lines {
		blocks = append(blocks, section(cut(l.Emoji+" "+l.Text, min(maxText, maxLined/len(lines)))))
	}
	if len(older) > 0 {
		blocks = append(blocks, small(fmt.Sprintf("+%d more in the thread", len(older))))
	}
	return body{n.fallback, blocks}
}

// reply returns the content of the outcome's own message in the thread.
func (n notice) reply() body {
	return body{n.fallback, []slackapi.Block{section(cut(n.line.Emoji+" "+n.line.Text, maxText)), small(n.details)}}
}

// announcement returns the content of an announcement.
func announcement(text string) body {
	text = cut(strings.TrimSpace(text), maxText)
	return body{text, []slackapi.Block{section(text)}}
}

func section(text string) slackapi.Block { return slackapi.NewSectionBlock(mrkdwn(text), nil, nil) }

func small(text string) slackapi.Block { return slackapi.NewContextBlock("", mrkdwn(text)) }

// mrkdwn returns a text object that Slack shows verbatim: a plain "@here" or "#ci"
// in it stays plain.
func mrkdwn(text string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, text, false, true)
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Escape makes a value safe to stand in a text, which is mrkdwn: it can neither ping nor
// link.
func Escape(value string) string { return escaper.Replace(value) }

// title returns a name or first line on one line, shortened and escaped.
func title(value string) string { return brief(value, maxTitle) }

// brief returns the value on one line, shortened to limit bytes and then escaped.
func brief(value string, limit int) string {
	return Escape(cut(strings.Join(strings.Fields(value), " "), limit))
}

// code returns the value in fixed type; "" stays "".
func code(value string) string {
	if value == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(title(value), "`", "'") + "`"
}

// addressEscaper prevents that an address ends its link early.
var addressEscaper = strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C", " ", "%20", "\n", "", "&", "&amp;")

// link returns the label, as a link if there is an address.
func link(address, label string) string {
	if address == "" {
		return title(label)
	}
	return "<" + addressEscaper.Replace(address) + "|" + title(label) + ">"
}

// cut shortens mrkdwn to at most limit bytes, the last … if any is missing.
// It never ends within a link or an escaped character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	short := text[:end]
	if open := strings.LastIndexByte(short, '<'); open > strings.LastIndexByte(short, '>') {
		short = short[:open]
	}
	if open := strings.LastIndexByte(short, '&'); open > max(strings.LastIndexByte(short, ';'), len(short)-len("&amp;")) {
		short = short[:open]
	}
	return strings.TrimSpace(short) + "…"
}
