package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/actions/words"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/joblog/redact"
)

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

// questionView is the data of the blocks question… of package words: mrkdwn, escaped.
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
	Deadline    time.Time

	Confirmed, Expired bool
	By                 string        // who answered; "": nobody
	At                 string        // the time of the answer
	Within             time.Duration // that the question waited
	Outcome            string        // what came of the decision; "": it has not ended
}

func viewOfQuestion(o event.Outcome, answer event.Answer, posted time.Time) (questionView, error) {
	within, style := time.Duration(o.Action.ConfirmWithin), mrkdwn.Style.In(o.Action.ConfirmLanguage)
	v := questionView{
		view:        viewOf(o, words.TermsIn(o.Action.ConfirmLanguage)),
		Name:        mrkdwn.Title(o.Job.Name),
		Target:      mrkdwn.Link(o.Job.URL, o.Job.Name),
		Stage:       mrkdwn.Title(o.Job.Stage),
		Environment: mrkdwn.Title(o.Job.Environment.Name),
		Triggerer:   mrkdwn.Title(cmp.Or(o.User.Name, o.User.Username)),
		Rule:        mrkdwn.Code(o.Rule),
		Deadline:    posted.Add(within),
		Confirmed:   answer.Confirmed,
		Expired:     answer.Expired,
		By:          mrkdwn.Title(cmp.Or(answer.By.Name, answer.By.UserID)),
		At:          answer.At.UTC().Format("15:04 MST"),
		Within:      within,
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
		v.Outcome, err = words.Outcome(o, style)
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
	style, failures := mrkdwn.Style.In(o.Action.ConfirmLanguage), []error{err}
	execute := func(block string) string {
		text, err := style.Say(block, v)
		failures = append(failures, err)
		return mrkdwn.Cut(text, maxText, maxTop)
	}
	blocks := []slackapi.Block{section(execute("question")), small(execute("question_pipeline"))}
	if given := execute("question_given"); given != "" {
		blocks = append(blocks, section(given))
	}
	text := execute("question_asks")
	if o.Result != "" || answer.Given() {
		text = execute("question_closed")
		blocks = append(blocks, section(execute("question_answered")))
	} else {
		blocks = append(blocks, slackapi.NewActionBlock("",
			questionButton(o, chatops.ButtonConfirm, slackapi.StylePrimary),
			questionButton(o, chatops.ButtonReject, slackapi.StyleDanger)))
	}
	return body{text, append(blocks, small(execute("question_until")))}, errors.Join(failures...)
}

func questionButton(o event.Outcome, does string, style slackapi.Style) slackapi.BlockElement {
	b := chatops.Button{Does: does, Of: o.ID, Language: o.Action.ConfirmLanguage}
	label := wordsOfButtons[cmp.Or(b.Language, event.English)].labels[does]
	return slackapi.NewButtonBlockElement(b.ActionID(), b.Value(), plain(label)).WithStyle(style)
}
