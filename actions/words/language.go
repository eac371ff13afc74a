package words

import (
	"cmp"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/pipesteward/pipesteward/rules/event"
)

// Terms are words that stand by themselves: in the labels of links, before values and at the
// top of columns.
type Terms struct {
	Pipeline         string // a format with the id and the name
	ThePipeline      string // of which no id is known
	Job              string // a format with the id
	NumberedPipeline string // the same
	NamedJob         string // a format with the link
	TriggerJob       string // the same
	TheProject       string
	Heading          string // a format with the id and the name of a pipeline
	OfRule           string // a format with the rule

	// Formats of what a decision wants done, with the verb, the id and the name of the job.
	Act, ActNamed, ActBridge, ActPipeline, ActIt string

	Rule, JobName, Stage, Failure, Attempt, Runner, Reason string
}

// language has what the templates of a language need besides their text.
type language struct {
	terms    Terms
	statuses map[string]string // GitLab's, in its own translation; one that is missing is shown as GitLab sends it
	verbs    map[string]string // one that is missing is shown as rule files have it
	plural   func(n int, one string) string
	list     func(first []string, count int) string // the first of so many names
	span     func(time.Duration) string             // in whole seconds, and in whole minutes over an hour
	clock    string                                 // the layout of a point in time
}

var languages = map[string]language{
	event.English: {
		terms: Terms{
			Pipeline: "pipeline #%d %s", ThePipeline: "the pipeline", NumberedPipeline: "pipeline %d", Job: "job %d", NamedJob: "%s", TriggerJob: "trigger job %s", TheProject: "the project", Heading: "Pipeline #%d %s", OfRule: "Rule %s",
			Rule: "Rule", JobName: "Job", Stage: "Stage", Failure: "Failure", Attempt: "Attempt", Runner: "Runner", Reason: "Reason",
			Act: "%s job %d %s", ActNamed: "%s job %s", ActBridge: "%s trigger job %d %s", ActPipeline: "%s %d", ActIt: "%s it",
		},
		plural: func(n int, one string) string { return english.Plural(n, one, "") },
		list: func(first []string, count int) string {
			if more := count - len(first); more > 0 {
				first = append(first[:len(first):len(first)], fmt.Sprintf("%d more", more))
			}
			return english.OxfordWordSeries(first, "and")
		},
		span:  func(d time.Duration) string { return event.Coarse(d).String() },
		clock: "2006-01-02 15:04 MST",
	},
	event.Chinese: {
		terms: Terms{
			Pipeline: "流水线 #%d %s", ThePipeline: "该流水线", NumberedPipeline: "流水线 %d", Job: "作业 %d", NamedJob: "作业 %s", TriggerJob: "触发作业 %s", TheProject: "该项目", Heading: "流水线 #%d %s", OfRule: "规则 %s",
			Rule: "规则", JobName: "作业", Stage: "阶段", Failure: "失败原因", Attempt: "尝试次数", Runner: "Runner", Reason: "原因",
			Act: "%s作业 %d %s", ActNamed: "%s作业 %s", ActBridge: "%s触发作业 %d %s", ActPipeline: "%s %d", ActIt: "%s该作业",
		},
		statuses: map[string]string{
			"created": "已创建", "waiting_for_resource": "等待资源", "preparing": "准备中", "waiting_for_callback": "等待回调", "pending": "等待中", "running": "运行中",
			"success": "已通过", "failed": "已失败", "canceling": "取消中", "canceled": "已取消", "skipped": "已跳过", "manual": "手动操作", "scheduled": "已计划",
		},
		verbs: map[string]string{
			event.VerbRetry: "重试", event.VerbPlay: "启动", event.VerbCancel: "取消", event.VerbErase: "删除", event.VerbNotify: "通知",
			event.VerbRetryPipeline: "重试流水线", event.VerbCancelPipeline: "取消流水线", event.VerbCancelOutdated: "取消过时的流水线，依据流水线",
		},
		plural: func(n int, one string) string { return fmt.Sprintf("%d %s", n, one) },
		list: func(first []string, count int) string {
			text := strings.Join(first, "、")
			if count > len(first) {
				text += fmt.Sprintf(" 等 %d 个", count)
			}
			return text
		},
		span:  chineseSpan,
		clock: "2006年1月2日 15:04 MST",
	},
}

// chineseSpan writes a duration, like 1 小时 30 分钟.
func chineseSpan(d time.Duration) string {
	left := time.Duration(event.Coarse(d))
	var parts []string
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "天"}, {time.Hour, "小时"}, {time.Minute, "分钟"}, {time.Second, "秒"}} {
		if n := int(left / unit.is); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			left %= unit.is
		}
	}
	return cmp.Or(strings.Join(parts, " "), "0 秒")
}

// functions returns the functions of the language's templates.
func (l language) functions() template.FuncMap {
	return template.FuncMap{
		"shell": Shell, "plural": l.plural, "list": l.list, "span": l.span,
		"word":  english.PluralWord,
		"clock": func(t time.Time) string { return t.UTC().Format(l.clock) },
	}
}

// known returns the language; English if it has no texts here.
func known(language string) string {
	if _, ok := languages[language]; ok {
		return language
	}
	return event.English
}

// TermsIn returns the terms of a language.
func TermsIn(language string) Terms { return languages[known(language)].terms }

// Verb returns what an action does, by its verb.
func (s Style) Verb(verb string) string {
	return cmp.Or(languages[known(s.Language)].verbs[verb], strings.ReplaceAll(verb, "_", " "))
}

// Status returns a status of GitLab as GitLab calls it in the style's language.
func (s Style) Status(status string) string {
	translated := languages[known(s.Language)].statuses[status]
	return s.Text(cmp.Or(translated, strings.ReplaceAll(status, "_", " ")), maxName)
}
