package requests_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/chatops"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/rules/rulefile"
)

// chinese has notices in Chinese; without it, they are in English.
var chinese = strings.Replace(notices, "defaults: {", "defaults: {language: zh, ", 1)

// threeWords matches three English words in a row, which are a sentence unless they are code,
// an address or the reason of a guard.
var (
	threeWords = regexp.MustCompile(`[A-Za-z']{2,} [a-z']{2,} [a-z']{2,}`)
	asItIs     = regexp.MustCompile("`[^`]*`|<[^>]*>|https?://\\S+|```(?s:.*)```")
)

// wantChinese checks that all that was said to a request is Chinese.
func wantChinese(h *actionstest.Harness, r chatops.Request) {
	h.Helper()
	for _, said := range h.Replies(r) {
		if threeWords.MatchString(asItIs.ReplaceAllString(strings.TrimPrefix(said, "public: "), "…")) {
			h.Errorf("the reply to %q %+v has an English sentence: %s", r.Command, r.Button, said)
		}
	}
}

// TestCommandsInTheLanguageOfTheRules: all that is said to commands is in the language of the
// rule files in force. HOST, JOB and PIPELINE are as in TestCommands.
func TestCommandsInTheLanguageOfTheRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ command, says string }{
		{"help", "`/pipesteward why URL` 查看作业或流水线的经过…`/pipesteward help` 显示本帮助"},
		{"retyr", "没有命令 `retyr`：是否为 `retry`？"},
		{"why", "无法识别：此处应为 GitLab 中一个作业或流水线的地址。\n写法：`/pipesteward why URL`"},
		{"why me", "me 不是作业或流水线的页面"},
		{"why https://gitlab.example.org/a/b/-/jobs/1", "https://gitlab.example.org 不属于 HOST"},
		{"why HOST/platform/shop/-/jobs/JOB", "platform/shop 的 *<HOST/platform/shop/-/jobs/JOB|作业 JOB rspec>*：未重试：…查看全部经过："},
		{"why HOST/platform/shop/-/pipelines/PIPELINE", "|流水线 PIPELINE>"},
		{"why HOST/platform/shop/-/jobs/999", "GitLab 不向 Pipesteward 提供 platform/shop 的作业 999"},
		{"why HOST/platform/gone/-/jobs/1", "没有您和 Pipesteward 都能查看的 platform/gone 的作业 1"},
		{"retry HOST/platform/shop/-/jobs/JOB", "已重试"},
		{"retry HOST/platform/shop/-/jobs/999", "没有您和 Pipesteward 都能查看的 platform/shop 的作业 999"},
		{"pause", "请指明范围：all, project, rule"},
		{"pause all", "public: …已暂停操作（`all`）"},
		{"pause all for 1h reason x", "public: …已暂停操作（`all`），直至 …：x。"},
		{"pause all project a/b", "`all` 表示全部"},
		{"pause everything", "`everything` 不能用在此处"},
		{"pause project", "`project` 之后缺少值"},
		{"pause project a rule told", "请分为两个"},
		{"pause project a project b", "`project` 重复出现"},
		{"pause project a[", "`a[` 不是通配模式"},
		{"pause project platform", "如果是群组，请写 `project platform/**`。"},
		{"pause rule tld", "没有规则 `tld`：是否为 `told`？"},
		{"pause rule told for soon", "`soon` 不是时长"},
		{"resume all", "没有范围为 `all` 的暂停"},
		{"mute rule told for 1h", "public: …已将通知静音（`rule:told`）"},
		{"mute channel a,b", "`a,b` 不是一个频道"},
		{"unmute rule told", "没有范围为 `rule:told` 的静音"},
		{"status", "1 条规则生效。…没有暂停或静音。"},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			h := open(t, chinese, actionstest.Everybody)
			job := told(h, gitlabtest.Job{}, "failed")
			fill := strings.NewReplacer("HOST", h.GitLab.URL(), "JOB", itoa(job.ID), "PIPELINE", itoa(job.PipelineID))
			r := h.Type(actionstest.Ada, fill.Replace(c.command))
			h.WorkOff()
			h.WantReplies(r, fill.Replace(c.says))
			wantChinese(h, r)
		})
	}
}

// TestSteeringInTheLanguageOfTheRules: so is what is said of pauses and mutes that are in force
// already.
func TestSteeringInTheLanguageOfTheRules(t *testing.T) {
	t.Parallel()
	h := open(t, chinese, actionstest.Everybody)
	for _, c := range []struct {
		who           chatops.Person
		command, says string
	}{
		{actionstest.Bob, "pause all", "已暂停操作（`all`）"},
		{actionstest.Ada, "pause all for 1h", "已暂停（all），操作人 Bob …：由他人创建，而新的会更早结束。"},
		{actionstest.Bob, "mute rule told", "已将通知静音"},
		{actionstest.Ada, "mute rule told for 1h", "已静音（rule:told），操作人 Bob …请先结束它"},
		{actionstest.Ada, "status", "• 已暂停（all），操作人 Bob …• 已静音（rule:told），操作人 Bob "},
		{actionstest.Ada, "resume all", "已结束暂停 `all`。"},
		{actionstest.Ada, "unmute rule told", "已解除静音 `rule:told`。"},
	} {
		r := h.Type(c.who, c.command)
		h.Work()
		h.WantReplies(r, c.says)
		wantChinese(h, r)
	}
}

// TestButtonsInTheLanguageOfTheMessage: what is said to buttons is in the language of the
// message, also once the rule files have another one.
func TestButtonsInTheLanguageOfTheMessage(t *testing.T) {
	t.Parallel()
	for does, says := range map[string]string{
		chatops.ButtonWhy:   "|作业 JOB rspec>*：未重试：",
		chatops.ButtonMute:  "已将通知静音",
		chatops.ButtonLog:   "摘自 ",
		chatops.ButtonRetry: "已重试",
	} {
		h := open(t, chinese, actionstest.Everybody)
		job := told(h, gitlabtest.Job{Log: "boom\n"}, "failed")
		h.Load(notices, rulefile.Options{})
		r := h.Press(actionstest.Ada, does)
		h.WorkOff()
		h.WantReplies(r, strings.ReplaceAll(says, "JOB", itoa(job.ID)))
		wantChinese(h, r)
	}
	h := open(t, notices, actionstest.Everybody)
	r := h.Request(chatops.Request{By: actionstest.Ada, Button: &chatops.Button{Does: chatops.ButtonWhy, Of: "gone", Language: event.Chinese}})
	h.Work()
	h.WantReplies(r, "此消息太旧")
}
