package slack

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	slackapi "github.com/slack-go/slack"

	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

// Bounds on the buttons of a message.
const (
	maxRows     = 3    // of the newest lines, each of which has a row of buttons
	maxRowBytes = 5000 // of all rows together, which the lines lack then
	minOptions  = 2    // of a menu, which has 5 at most
	maxDialog   = 80   // characters of a job's name in a dialog, whose title has 100 at most
)

// buttonWords are what people read on buttons and options, and in the dialogs that some open
// first.
type buttonWords struct {
	labels   map[string]string // by what the buttons do
	pipeline string
	cancel   dialogWords
	erase    dialogWords
}

// dialogWords are the words of a dialog. The title is a format with the subject.
type dialogWords struct{ title, text, yes, no string }

var wordsOfButtons = map[string]buttonWords{
	event.English: {
		labels: map[string]string{
			chatops.ButtonRetry: "Retry", chatops.ButtonPlay: "Play", chatops.ButtonCancel: "Cancel", chatops.ButtonErase: "Erase",
			chatops.ButtonLog: "Show log excerpt", chatops.ButtonWhy: "Why?",
			chatops.ButtonMute: "Mute 1 h: this rule in this project", chatops.ButtonMuteRule: "Mute 1 h: this rule in all projects",
			chatops.ButtonMuteProject: "Mute 1 h: this project", chatops.ButtonMuteChannel: "Mute 1 h: this channel",
			chatops.ButtonConfirm: "Confirm", chatops.ButtonReject: "Reject",
		},
		pipeline: "the pipeline",
		cancel:   dialogWords{"Cancel %s?", "What it has done so far is lost, and jobs that need it do not run.", "Cancel it", "Let it run"},
		erase:    dialogWords{"Erase %s?", "GitLab erases its log and its artifacts for good.", "Erase them", "Keep them"},
	},
	event.Chinese: {
		labels: map[string]string{
			chatops.ButtonRetry: "重试", chatops.ButtonPlay: "启动", chatops.ButtonCancel: "取消", chatops.ButtonErase: "删除",
			chatops.ButtonLog: "查看日志摘录", chatops.ButtonWhy: "为什么？",
			chatops.ButtonMute: "静音 1 小时：本项目中的此规则", chatops.ButtonMuteRule: "静音 1 小时：所有项目中的此规则",
			chatops.ButtonMuteProject: "静音 1 小时：本项目", chatops.ButtonMuteChannel: "静音 1 小时：本频道",
			chatops.ButtonConfirm: "确认", chatops.ButtonReject: "拒绝",
		},
		pipeline: "该流水线",
		cancel:   dialogWords{"取消 %s？", "已完成的部分将丢失，依赖它的作业不会运行。", "取消它", "让它继续运行"},
		erase:    dialogWords{"删除 %s 的日志？", "GitLab 将永久删除其日志和产物。", "删除", "保留"},
	},
}

// offers returns what the buttons of an outcome's line do in a message to a channel, as its
// rule names that, and the job that they act on, 0 for the pipeline: what makes sense in the
// state in which the outcome left that.
func offers(o event.Outcome, channel string) (does []string, job int64) {
	if o.Sweep.ID != "" || o.Missing || o.Project.ID == 0 || o.Job.ID == 0 && o.Pipeline.ID == 0 {
		return nil, 0
	}
	if o.Job.ID != 0 && !event.OfPipeline(o.Action.Verb) {
		does, job = offersOfJob(o)
	} else {
		does = offersOfPipeline(o)
	}
	if o.DryRun || o.Result == event.ResultDryRun { // what people request is held, too
		does = slices.DeleteFunc(does, func(button string) bool { return button != chatops.ButtonLog })
	}
	does = append(does, chatops.ButtonWhy)
	if o.Rule != "" {
		does = append(does, chatops.ButtonMute, chatops.ButtonMuteRule)
	}
	does = append(does, chatops.ButtonMuteProject)
	if channel != event.ChannelAuthor { // which has the direct messages to all people
		does = append(does, chatops.ButtonMuteChannel)
	}
	return does, job
}

func offersOfPipeline(o event.Outcome) []string {
	switch o.Result {
	case event.ResultDone, event.ResultDeferred, event.ResultRecovered:
	default:
		switch o.Action.Verb {
		case event.VerbRetryPipeline:
			return []string{chatops.ButtonRetry}
		case event.VerbCancelPipeline:
			return []string{chatops.ButtonCancel}
		}
	}
	return nil
}

func offersOfJob(o event.Outcome) (does []string, job int64) {
	job, status := o.Job.ID, o.Job.Status
	switch {
	case o.Result == event.ResultDone && o.NewJobID != 0:
		job, status = o.NewJobID, "pending"
	case o.Result == event.ResultDone && o.Action.Verb != event.VerbNotify:
		status = "" // canceled or erased
	}
	switch {
	case status == "failed":
		does = []string{chatops.ButtonRetry, chatops.ButtonLog}
	case (status == "manual" || status == "scheduled") && o.Action.Confirm != "": // nobody plays it past the question
	case status == "manual", status == "scheduled":
		does = []string{chatops.ButtonPlay}
	case status != "" && status != "canceling" && !event.Ended(status):
		does = []string{chatops.ButtonCancel}
	}
	if o.Result == event.ResultDeferred { // it is carried out by itself
		does = slices.DeleteFunc(does, func(button string) bool { return button != chatops.ButtonLog })
	}
	if o.Action.Verb == event.VerbErase && o.Result != event.ResultDone && event.Ended(status) {
		does = append(does, chatops.ButtonErase)
	}
	if o.Bridge || o.Job.Bridge {
		does = slices.DeleteFunc(does, func(button string) bool {
			return button != chatops.ButtonRetry && button != chatops.ButtonPlay // which GitLab can apply to trigger jobs
		})
	}
	return does, job
}

// decisionOf returns the id of the outcome's decision in the journal: an outcome that is
// deferred has another one.
func decisionOf(o event.Outcome) string {
	if o.Result == event.ResultDeferred {
		if end := strings.LastIndex(o.ID, ":"+event.ResultDeferred+":"); end > 0 {
			return o.ID[:end]
		}
	}
	return o.ID
}

// rows returns for each of the lines the block of its buttons, nil if it has none: only
// the newest lines of different jobs have them, and those of a job that runs again lose them. The channel is named as its rule does.
func rows(lines []line, channel, language string) []slackapi.Block {
	all := make([]slackapi.Block, len(lines))
	newest := make([]int, len(lines))
	for i := range lines {
		newest[i] = i
	}
	slices.SortStableFunc(newest, func(a, b int) int { return lines[b].At.Compare(lines[a].At) })
	newestRun := map[string]int64{} // by the job's name
	for _, l := range lines {
		newestRun[l.Job] = max(newestRun[l.Job], l.JobID)
	}
	n, size, seen := 0, 0, map[int64]bool{}
	for _, i := range newest {
		l := lines[i]
		if l.Offers == "" || seen[l.JobID] || l.JobID != 0 && l.JobID < newestRun[l.Job] {
			continue
		}
		seen[l.JobID] = true
		row := rowOf(l, channel, language)
		text, err := json.Marshal(row)
		if size += len(text); err != nil || n == maxRows || size > maxRowBytes {
			break
		}
		n++
		all[i] = row
	}
	return all
}

// rowOf returns the block of a line's buttons. The mutes are a menu; where Slack takes none,
// the first of them is a button.
func rowOf(l line, channel, language string) slackapi.Block {
	words := wordsOfButtons[cmp.Or(language, event.English)]
	about := chatops.Button{Of: l.Decision, Job: l.JobID, In: channel, Language: language}
	var offered, mutes []string
	for does := range strings.FieldsSeq(l.Offers) {
		if slices.Contains(chatops.Mutes, does) {
			mutes = append(mutes, does)
		} else {
			offered = append(offered, does)
		}
	}
	menu, fits := about.MenuID()
	if !fits || len(mutes) < minOptions {
		offered, mutes = append(offered, mutes[:min(1, len(mutes))]...), nil
	}
	var elements []slackapi.BlockElement
	for _, does := range offered {
		b := about
		b.Does = does
		button := slackapi.NewButtonBlockElement(b.ActionID(), b.Value(), plain(words.labels[does]))
		if dialog := words.dialog(does, l); dialog != nil {
			button = button.WithStyle(slackapi.StyleDanger).WithConfirm(dialog)
		}
		elements = append(elements, button)
	}
	if mutes != nil {
		var options []*slackapi.OptionBlockObject
		for _, does := range mutes {
			options = append(options, slackapi.NewOptionBlockObject(does, plain(words.labels[does]), nil))
		}
		elements = append(elements, slackapi.NewOverflowBlockElement(menu, options...))
	}
	return slackapi.NewActionBlock("", elements...)
}

// dialog returns the dialog that a button opens before it does something that can't be
// undone; nil: it opens none.
func (w buttonWords) dialog(does string, l line) *slackapi.ConfirmationBlockObject {
	var d dialogWords
	switch does {
	case chatops.ButtonCancel:
		d = w.cancel
	case chatops.ButtonErase:
		d = w.erase
	default:
		return nil
	}
	subject := w.pipeline
	if l.JobID != 0 {
		subject = mrkdwn.Cut(cmp.Or(l.Job, strconv.FormatInt(l.JobID, 10)), maxDialog, 3*maxDialog)
	}
	return slackapi.NewConfirmationBlockObject(plain(fmt.Sprintf(d.title, subject)), plain(d.text), plain(d.yes), plain(d.no))
}

func plain(text string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.PlainTextType, text, false, false)
}
