package slack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/pipesteward/pipesteward/rules/event"

	_ "embed"

	// default.tmpl

	slackapi "github.com/slack-go/slack"
)

// Slack's limits, in characters; they are applied to bytes, which are never
// fewer. The first is documented; the second, of all blocks together, is not:
// messages over about 13,000 are refused with msg_blocks_too_long.
const (
	maxText   = 3000
	maxTop    = 1000 // of each of the two lines at the top
	maxLined  = 8000 // of all other lines together
	maxTitle  = 200  // of a commit's title, a branch's or a job's name
	maxReason = 500  // of an outcome's reason; the journal has all of it
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

	Result    string
	Verb      string // without its suffix _pipeline
	Rule      string // as code
	Target    string // of the action: the job, the trigger job or the pipeline; a link
	NewJob    string // a link to the job that runs now
	Failure   string // the job's failure_reason, and its class if that is a user's
	Why       string // the parts of Failure that the Reason lacks; for a pipeline also the job
	Attempt   int
	Runner    string
	Reason    string
	Artifacts bool   // an erase takes them too
	Freed     string // by an erase, such as 1.2 GB
	Took      string // from the decision to retry until the job was seen to have passed

	Text   string // of the outcome
	Custom bool   // Text is the rule's, not the default
}

// render renders the outcome. The text is the rule's; "" selects the default. The
// status is the pipeline's.
func render(o event.Outcome, text, status string) (notice, error) {
	v := viewOf(o)
	v.Status = escape(strings.ReplaceAll(status, "_", " "))
	v.Text, v.Custom = strings.TrimSpace(text), true
	var failures []error
	execute := func(block string) string {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, block, v); err != nil {
			failures = append(failures, err)
		}
		return strings.TrimPrefix(strings.TrimSpace(b.String()), "· ")
	}
	if v.Text == "" {
		block := o.Result
		if o.Sweep.ID != "" {
			block = "sweep"
		}
		if templates.Lookup(block) == nil {
			block = "other"
		}
		v.Text, v.Custom = execute(block), false
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
		details:  cut(execute("details"), maxText),
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

// viewOf returns the templates' data of the outcome.
func viewOf(o event.Outcome) view {
	failure := failureOf(o.Job)
	v := view{
		Project: title(o.Project.Path),
		Branch:  title(o.Pipeline.Ref),
		Ref:     code(o.Pipeline.Ref),
		SHA:     code(o.Pipeline.SHA[:min(8, len(o.Pipeline.SHA))]),
		Commit:  title(o.Commit.Title),
		Result:  escape(o.Result),
		Verb:    escape(strings.TrimSuffix(o.Action.Verb, "_pipeline")),
		Rule:    code(o.Rule),
		Failure: strings.Join(failure, ", "),
		Attempt: o.Job.Attempt,
		Runner:  title(o.Job.Runner.Description),
		Reason:  brief(o.Reason, maxReason),

		Artifacts: o.Action.Artifacts,
		Freed:     size(o.Freed),
	}
	if !o.DecidedAt.IsZero() {
		v.Took = span(o.At.Sub(o.DecidedAt))
	}
	v.Why = strings.Join(slices.DeleteFunc(failure, func(part string) bool { return strings.Contains(v.Reason, part) }), ", ")
	pipeline := fmt.Sprintf("ipeline #%d %s", o.Pipeline.ID, o.Pipeline.Name)
	job, ofJob := link(o.Job.URL, cmp.Or(o.Job.Name, fmt.Sprintf("job %d", o.Job.ID))), o.Job.ID != 0 || o.Job.Name != ""
	switch {
	case o.Pipeline.ID != 0:
		v.Subject, v.Target = link(o.Pipeline.URL, "P"+pipeline), link(o.Pipeline.URL, "p"+pipeline)
	case ofJob:
		v.Subject = job
	default:
		v.Subject, v.Target = "Rule "+v.Rule, "the project"
	}
	switch {
	case ofJob && event.OfPipeline(o.Action.Verb):
		v.Why = strings.TrimSuffix(job+": "+v.Why, ": ")
	case ofJob && o.Bridge:
		v.Target = "trigger job " + job
	case ofJob:
		v.Target = job
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

// failureOf lists why the job failed: GitLab's reason, and the failure class if a
// user defined it.
func failureOf(j event.Job) []string {
	var parts []string
	if j.FailureReason != "" {
		parts = append(parts, title(j.FailureReason))
	}
	if j.FailureClass != "" && j.FailureClass != event.ClassOf(j.FailureReason) {
		parts = append(parts, title(j.FailureClass))
	}
	return parts
}

// span formats a duration, like 45s or 2h30m; "" for less than a second.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return ""
	case d > time.Hour:
		d = d.Truncate(time.Minute)
	}
	return event.Duration(d.Truncate(time.Second)).String()
}

// size formats a number of bytes, like 1.2 GB; "" for none.
func size(bytes int64) string {
	switch {
	case bytes <= 0:
		return ""
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	}
	n, units := float64(bytes)/1000, []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	for n >= 999.95 { // which would show as 1000.0
		n, units = n/1000, units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
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

// escape makes a value safe for use in mrkdwn: it can neither ping nor link.
func escape(value string) string { return escaper.Replace(value) }

// Escape makes a value safe for use in the text of Notify or Announce.
func (*Notifier) Escape(value string) string { return escape(value) }

// title returns a name or first line on one line, shortened and escaped.
func title(value string) string { return brief(value, maxTitle) }

// brief returns the value on one line, shortened to limit bytes and then escaped.
func brief(value string, limit int) string {
	return escape(cut(strings.Join(strings.Fields(value), " "), limit))
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
