package slack

import (
	"cmp"
	_ "embed" // default.tmpl
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode/utf8"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/rules"
)

// Slack's limits, in characters; they are kept in bytes, which are never
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

// emojis show at a glance what came of a decision; that of a rule that only
// tells is a bell.
var emojis = map[string]string{
	rules.ResultDone:     ":white_check_mark:",
	rules.ResultDryRun:   ":test_tube:",
	rules.ResultSkipped:  ":fast_forward:",
	rules.ResultDeferred: ":hourglass_flowing_sand:",
	rules.ResultFailed:   ":x:",
	rules.ResultGaveUp:   ":rotating_light:",
}

// notice is an outcome put into words; all is mrkdwn.
type notice struct {
	header   string
	context  string // "" if nothing is known of the commit
	line     line
	details  string
	fallback string
}

// view is the data of default.tmpl: mrkdwn, escaped.
type view struct {
	Subject string // what the message is about: the pipeline, else the job; a link
	Status  string // the pipeline's
	Project string
	Ref     string // as code
	Branch  string // the ref, plain
	SHA     string // short, as code
	Commit  string // its title

	Result  string
	Verb    string
	Rule    string // as code
	Job     string // a link
	NewJob  string // a link to the job that runs now
	Failure string // the job's failure_reason
	Attempt int
	Runner  string
	Reason  string

	Text   string // what is told
	Custom bool   // Text is the rule's, not ours
}

// write puts the outcome into words. The text is the rule's; "" asks for
// ours. The status is the pipeline's.
func write(o rules.Outcome, text, status string) (notice, error) {
	v := look(o)
	v.Status = escape(strings.ReplaceAll(status, "_", " "))
	v.Text, v.Custom = strings.TrimSpace(text), true
	var failures []error
	render := func(block string) string {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, block, v); err != nil {
			failures = append(failures, err)
		}
		return strings.TrimPrefix(strings.TrimSpace(b.String()), "· ")
	}
	if v.Text == "" {
		block := o.Result
		if templates.Lookup(block) == nil {
			block = "other"
		}
		v.Text, v.Custom = render(block), false
	}
	emoji := cmp.Or(emojis[o.Result], ":information_source:")
	if o.Action.Verb == rules.VerbNotify && o.Result == rules.ResultDone {
		emoji = ":bell:"
	}
	n := notice{
		header:  cut(render("header"), maxTop),
		context: cut(render("context"), maxTop),
		line: line{
			lineID: lineID{Job: o.Job.Name, Rule: o.Rule},
			Emoji:  emoji,
			Text:   cut(v.Text, maxText),
		},
		details:  cut(render("details"), maxText),
		fallback: cut(render("fallback"), maxText),
	}
	return n, errors.Join(failures...)
}

// look makes the templates' data of the outcome.
func look(o rules.Outcome) view {
	v := view{
		Project: title(o.Project.Path),
		Branch:  title(o.Pipeline.Ref),
		Ref:     code(o.Pipeline.Ref),
		SHA:     code(o.Pipeline.SHA[:min(8, len(o.Pipeline.SHA))]),
		Commit:  title(o.Commit.Title),
		Result:  escape(o.Result),
		Verb:    escape(strings.ReplaceAll(o.Action.Verb, "_", " ")),
		Rule:    code(o.Rule),
		Failure: escape(o.Job.FailureReason),
		Attempt: o.Job.Attempt,
		Runner:  title(o.Job.Runner.Description),
		Reason:  escape(o.Reason),
	}
	pipeline := link(o.Pipeline.URL, strings.TrimSpace(fmt.Sprintf("Pipeline #%d %s", o.Pipeline.ID, o.Pipeline.Name)))
	job := link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf("job %d", o.Job.ID)))
	switch {
	case o.Pipeline.ID != 0:
		v.Subject, v.Job = pipeline, pipeline
	case o.Job.ID == 0 && o.Job.Name == "":
		v.Subject, v.Job = "Rule "+v.Rule, "the project"
	default:
		v.Subject = job
	}
	if o.Job.ID != 0 || o.Job.Name != "" {
		v.Job = job
	}
	if o.NewJobID != 0 && o.NewJobID != o.Job.ID {
		address := ""
		if o.Project.URL != "" {
			address = fmt.Sprintf("%s/-/jobs/%d", o.Project.URL, o.NewJobID)
		}
		v.NewJob = link(address, fmt.Sprintf("job %d", o.NewJobID))
	}
	return v
}

// body is what a message shows.
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

// root is the pipeline's message, with these lines shown.
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

// reply is the outcome's own message in the thread.
func (n notice) reply() body {
	return body{n.fallback, []slackapi.Block{section(cut(n.line.Emoji+" "+n.line.Text, maxText)), small(n.details)}}
}

func section(text string) slackapi.Block { return slackapi.NewSectionBlock(mrkdwn(text), nil, nil) }

func small(text string) slackapi.Block { return slackapi.NewContextBlock("", mrkdwn(text)) }

// mrkdwn is a text object that is shown verbatim: a plain "@here" or "#ci" in
// it stays plain.
func mrkdwn(text string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, text, false, true)
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape makes a value safe to stand in mrkdwn: it can neither ping nor link.
func escape(value string) string { return escaper.Replace(value) }

// Escape makes a value safe to stand in the text that Tell is given.
func (*Teller) Escape(value string) string { return escape(value) }

// title is a name or first line, on one line, not too long, escaped.
func title(value string) string {
	return escape(cut(strings.Join(strings.Fields(value), " "), maxTitle))
}

// code is the value in fixed type; "" stays "".
func code(value string) string {
	if value == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(title(value), "`", "'") + "`"
}

// addressEscaper keeps an address from ending its link early.
var addressEscaper = strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C", " ", "%20", "\n", "", "&", "&amp;")

// link is the label, and leads to the address if there is one.
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
