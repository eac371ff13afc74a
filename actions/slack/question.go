package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	_ "embed" // question.tmpl

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

//go:embed question.tmpl
var questionTemplate string

var questionTemplates = template.Must(template.New("question.tmpl").Parse(questionTemplate))

// Ask posts the question whether the decision of o is to be carried out, with buttons to
// answer it, as a message of its own in the channel that the decision names. It does so
// while o has no result and there is no answer; else it edits that message: it says what
// became of the question, and has no buttons any more. A question that was not posted, or
// that somebody has deleted, is not edited. The decision's ID identifies the question: a
// repetition changes nothing. Ask returns when the question was posted.
//
// The error is an [*Error], which says whether to try again.
func (n *Notifier) Ask(ctx context.Context, o event.Outcome, answer event.Answer) (posted time.Time, err error) {
	if o.ID == "" {
		return time.Time{}, &Error{Method: "notify", Code: "invalid_outcome", advice: "the decision has no id"}
	}
	channel := o.Action.Confirm
	if channel == event.ChannelAuthor {
		if channel, err = n.direct(ctx, o); err != nil {
			return time.Time{}, err
		}
	}
	id := "question:" + o.ID
	err = n.turn(ctx, channel, id, func(w *turn) error {
		posted, err = w.ask(ctx, id, o, answer)
		return err
	})
	return posted, err
}

// ask takes the steps that the package's comment draws.
func (w *turn) ask(ctx context.Context, id string, o event.Outcome, answer event.Answer) (posted time.Time, err error) {
	m, err := w.begin(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	if o.Result != "" || answer.Given() {
		return m.At, w.closeQuestion(ctx, id, m, o, answer)
	}
	if m.has(id) {
		return m.At, nil
	}
	if err := w.await(ctx); err != nil {
		return time.Time{}, err
	}
	m.At = w.now().UTC()
	b, err := questionBody(o, answer, m.At)
	if err != nil {
		return time.Time{}, &Error{Method: "notify", Code: "invalid_outcome", advice: err.Error()}
	}
	m.Posting = &posting{ID: id, Since: m.At}
	return m.At, w.post(ctx, m, b)
}

// closeQuestion edits the question. What came of the decision is not replaced by the answer
// alone, whose edit may come late.
func (w *turn) closeQuestion(ctx context.Context, id string, m *record, o event.Outcome, answer event.Answer) error {
	if !m.has(id) || m.Status != "" && o.Result == "" {
		return nil
	}
	b, err := questionBody(o, answer, m.At)
	if err != nil {
		return &Error{Method: "notify", Code: "invalid_outcome", advice: err.Error()}
	}
	err = w.edit(ctx, m, b)
	if e, failed := errors.AsType[*Error](err); failed && (e.gone() || e.Code == "edit_window_closed") {
		err = nil
	}
	if err != nil || o.Result == "" {
		return err
	}
	if err := w.Renew(ctx); err != nil {
		return err
	}
	m.Status = o.Result
	return w.Save(ctx, m)
}

// questionView is the data of question.tmpl: mrkdwn, escaped.
type questionView struct {
	view
	Name        string // of the job
	Target      string // the job; a link
	Stage       string
	Environment string
	Triggerer   string
	Variables   string // names
	Inputs      string // with values; what looks like a secret is masked
	Rule        string // as code
	Deadline    string

	Confirmed, Expired bool
	By                 string // who answered; "": nobody
	At                 string // the time of the answer
	Within             string // of the time that the question waited
	Outcome            string // what came of the decision; "": it has not ended
}

func viewOfQuestion(o event.Outcome, answer event.Answer, posted time.Time) (questionView, error) {
	within := time.Duration(o.Action.ConfirmWithin)
	v := questionView{
		view:        viewOf(o, words.TermsIn(event.English)),
		Name:        mrkdwn.Title(o.Job.Name),
		Target:      mrkdwn.Link(o.Job.URL, o.Job.Name),
		Stage:       mrkdwn.Title(o.Job.Stage),
		Environment: mrkdwn.Title(o.Job.Environment.Name),
		Triggerer:   mrkdwn.Title(cmp.Or(o.User.Name, o.User.Username)),
		Rule:        mrkdwn.Code(o.Rule),
		Deadline:    posted.Add(within).UTC().Format("2006-01-02 15:04 MST"),
		Confirmed:   answer.Confirmed,
		Expired:     answer.Expired,
		By:          mrkdwn.Title(cmp.Or(answer.By.Name, answer.By.UserID)),
		At:          answer.At.UTC().Format("15:04 MST"),
		Within:      event.Coarse(within).String(),
	}
	if v.Triggerer == v.Author {
		v.Triggerer = "" // the person is named once
	}
	var variables, inputs []string
	for _, name := range slices.Sorted(maps.Keys(o.Action.Variables)) {
		variables = append(variables, mrkdwn.Code(name))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Action.Inputs)) {
		inputs = append(inputs, mrkdwn.Code(redact.Secrets(name+"="+inputText(o.Action.Inputs[name]))))
	}
	v.Variables, v.Inputs = strings.Join(variables, ", "), strings.Join(inputs, ", ")
	var err error
	if o.Result != "" {
		v.Outcome, err = words.Outcome(o, mrkdwn.Style)
	}
	return v, err
}

// inputText returns an input as people write it: texts without quotes.
func inputText(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return string(value)
	}
	return text
}

// questionBody returns the content of the question: with buttons while there is neither an
// answer nor a result.
func questionBody(o event.Outcome, answer event.Answer, posted time.Time) (body, error) {
	v, err := viewOfQuestion(o, answer, posted)
	failures := []error{err}
	execute := func(block string) string {
		var b strings.Builder
		failures = append(failures, questionTemplates.ExecuteTemplate(&b, block, v))
		return mrkdwn.Cut(strings.TrimSpace(b.String()), maxText, maxTop)
	}
	blocks := []slackapi.Block{section(execute("question")), small(execute("where"))}
	if given := execute("given"); given != "" {
		blocks = append(blocks, section(given))
	}
	text := execute("asks")
	if o.Result != "" || answer.Given() {
		text = execute("closed")
		blocks = append(blocks, section(execute("answered")))
	} else {
		blocks = append(blocks, slackapi.NewActionBlock("",
			questionButton(o, chatops.ButtonConfirm, "Confirm", slackapi.StylePrimary),
			questionButton(o, chatops.ButtonReject, "Reject", slackapi.StyleDanger)))
	}
	return body{text, append(blocks, small(execute("until")))}, errors.Join(failures...)
}

func questionButton(o event.Outcome, does, label string, style slackapi.Style) slackapi.BlockElement {
	b := chatops.Button{Does: does, Of: o.ID}
	return slackapi.NewButtonBlockElement(b.ActionID(), b.Value(), slackapi.NewTextBlockObject(slackapi.PlainTextType, label, false, false)).WithStyle(style)
}
