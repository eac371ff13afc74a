package slack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/mrkdwn"
	"github.com/pipesteward/pipesteward/rules/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDefaultTexts pins what each outcome looks like when its rule gives no
// text: the message's and the reply's blocks as they are sent.
func TestDefaultTexts(t *testing.T) {
	with := func(o event.Outcome, change func(*event.Outcome)) event.Outcome {
		change(&o)
		return o
	}
	tests := map[string]event.Outcome{
		"retry_done": with(outcome("unit", event.ResultDone), func(o *event.Outcome) { o.NewJobID = 901 }),
		"play_done": with(outcome("deploy-staging", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job.FailureReason, o.Pipeline.Status = event.VerbPlay, "", "success"
		}),
		"cancel_done": with(outcome("unit", event.ResultDone), func(o *event.Outcome) { o.Action.Verb, o.Job.FailureReason = event.VerbCancel, "" }),
		"erase_done":  with(outcome("unit", event.ResultDone), func(o *event.Outcome) { o.Action.Verb, o.Job.FailureReason = event.VerbErase, "" }),
		"notify_done": with(outcome("unit", event.ResultDone), func(o *event.Outcome) { o.Action.Verb = event.VerbNotify }),
		"notify_pipeline_done": with(outcome("", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job, o.Pipeline.Name = event.VerbNotify, event.Job{}, "Nightly"
		}),
		"retry_dry_run": with(outcome("unit", event.ResultDryRun), func(o *event.Outcome) { o.DryRun = true }),
		"retry_skipped": with(outcome("unit", event.ResultSkipped), func(o *event.Outcome) { o.Reason = "somebody has retried it: job 901" }),
		"retry_done_after_another_reason": with(outcome("unit", event.ResultDone), func(o *event.Outcome) {
			o.NewJobID, o.Job.Attempt = 902, 2
			o.Reason = "attempt 3 of 3; it failed with runner_system_failure, and before with script_failure"
		}),
		"retry_done_of_a_users_class": with(outcome("unit", event.ResultDone), func(o *event.Outcome) {
			o.Job.FailureReason, o.Job.FailureClass, o.NewJobID, o.Reason = "script_failure", "disk-full", 901, "attempt 2 of 3"
		}),
		"retry_done_of_a_bridge": with(outcome("deploy-downstream", event.ResultDone), func(o *event.Outcome) {
			o.Bridge, o.Job.Runner, o.Job.FailureReason, o.NewJobID = true, event.Runner{}, "downstream_pipeline_creation_failed", 901
		}),
		"retry_deferred": with(outcome("unit", event.ResultDeferred), func(o *event.Outcome) {
			o.Reason = "the budget of 100 retries in 1h for the project is used up"
		}),
		"retry_recovered": with(outcome("unit", event.ResultRecovered), func(o *event.Outcome) {
			o.Job.ID, o.Job.Status, o.Job.FailureReason, o.Job.Attempt, o.NewJobID = 901, "success", "", 2, 901
			o.Pipeline.Status, o.Reason = "success", "attempt 2 passed, after runner_system_failure"
			o.At = o.DecidedAt.Add(12*time.Minute + 5*time.Second)
		}),
		"retry_recovered_without_a_reason": with(outcome("unit", event.ResultRecovered), func(o *event.Outcome) {
			o.Job.Status, o.Job.FailureReason, o.Job.Attempt, o.DecidedAt = "success", "", 3, time.Time{}
		}),
		"retry_pipeline_done": with(outcome("", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job, o.Reason = event.VerbRetryPipeline, event.Job{}, "the pipeline is running"
		}),
		"retry_pipeline_gave_up": with(outcome("unit", event.ResultGaveUp), func(o *event.Outcome) {
			o.Action.Verb, o.Reason = event.VerbRetryPipeline, "the pipeline would have had 21 retries, more than `limits.per_pipeline` allows"
		}),
		"retry_pipeline_deferred": with(outcome("", event.ResultDeferred), func(o *event.Outcome) {
			o.Action.Verb, o.Job = event.VerbRetryPipeline, event.Job{}
			o.Reason = "a storm: too many failures of class runner since 12:00:00, and their retries wait for its end"
		}),
		"cancel_pipeline_done": with(outcome("", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job, o.Reason = event.VerbCancelPipeline, event.Job{}, "the pipeline is canceled"
		}),
		"cancel_pipeline_done_for_a_job": with(outcome("lint", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job.Status, o.Job.FailureReason = event.VerbCancelPipeline, "success", ""
		}),
		"erase_done_with_artifacts": with(outcome("unit", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Action.Artifacts, o.Job.FailureReason, o.Freed = event.VerbErase, true, "", 1_234_567_890
		}),
		"retry_failed": with(outcome("unit", event.ResultFailed), func(o *event.Outcome) { o.Reason = "403 Forbidden: Job is not retryable" }),
		"retry_gave_up": with(outcome("unit", event.ResultGaveUp), func(o *event.Outcome) {
			o.Job.Attempt, o.Pipeline.Status, o.Reason = 3, "failed", "3 attempts failed, as many as the rule allows"
		}),
		"retry_gave_up_for_another_reason": with(outcome("unit", event.ResultGaveUp), func(o *event.Outcome) {
			o.Job.Attempt, o.Job.FailureReason, o.Pipeline.Status = 2, "script_failure", "failed"
			o.Reason = "attempt 2 failed for another reason: script_failure, before it was runner_system_failure; no rule retries that"
		}),
		"retry_gave_up_without_a_reason": with(outcome("unit", event.ResultGaveUp), func(o *event.Outcome) { o.Job.Attempt = 3 }),
		"retry_another_result":           with(outcome("unit", "postponed"), func(o *event.Outcome) { o.Pipeline.Status = "waiting_for_resource" }),
		"erase_without_pipeline": with(outcome("unit", event.ResultDone), func(o *event.Outcome) {
			o.Action.Verb, o.Job.FailureReason, o.Pipeline, o.Commit = event.VerbErase, "", event.Pipeline{}, event.Commit{}
		}),
		"retry_done_for_a_merge_request": with(outcome("unit", event.ResultDone), func(o *event.Outcome) {
			o.NewJobID, o.Job.Stage, o.Job.Attempt, o.Commit.AuthorName = 901, "test", 2, "Sidney <Jones>"
			o.MergeRequest = event.MergeRequest{IID: 7, Title: "Draft: <cache> the dependencies", URL: "https://gitlab.example.com/platform/api/-/merge_requests/7"}
		}),
		"retry_deferred_by_a_pause": with(outcome("unit", event.ResultDeferred), func(o *event.Outcome) {
			o.Reason = event.Pause{By: "sidney", Reason: "maintenance"}.String()
		}),
		"sweep_done":    swept(event.ResultDone, "erased 12,000 of 1,000,000 jobs in 40 projects, freed 11 GB; platform/<gone>: there is no such project or group, or the token's user may not see it"),
		"sweep_dry_run": swept(event.ResultDryRun, "would erase 1 of 2 jobs in 1 project, 1.2 kB"),
		"nothing_known": {Result: event.ResultDone, Decision: event.Decision{ID: "x", Rule: "bare", Action: event.Action{Verb: event.VerbNotify}}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			notify(t, w, o, "")
			o.ID = "the next"
			notify(t, w, o, "")

			var got bytes.Buffer
			for i, m := range w.Posts() {
				fmt.Fprintf(&got, "// %s: %s\n", []string{"message", "reply"}[i], m.Text)
				if err := json.Indent(&got, m.Blocks, "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteString("\n")
			}
			readable := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got.String())
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(readable), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), readable); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// TestTextsOfRuleFiles: the header, the context and the details of rule files stand in
// place of the default ones; what the pipeline came to is added.
func TestTextsOfRuleFiles(t *testing.T) {
	w := newFixture(t)
	notice := to("#ci", "Gave up")
	notice.Header, notice.Context, notice.Details = "platform/api is in trouble", "see <https://example.com|the runbook>", "small print"
	for i := range 2 {
		o := outcome(strconv.Itoa(i), event.ResultGaveUp)
		if err := w.notifier.Notify(t.Context(), o, notice); err != nil {
			t.Fatal(err)
		}
	}
	wantShown(t, w, "#ci", "platform/api is in trouble · gave up\nsee the runbook (https://example.com)\n🚨 Gave up"+facts+"\n🚨 Gave up"+facts+"\n    🚨 Gave up\n    small print\n")
}

// TestMessageInChinese: all that Pipesteward writes in a message is in the notice's language.
func TestMessageInChinese(t *testing.T) {
	w := newFixture(t)
	notice := to("#ci", "")
	notice.Language = event.Chinese
	say := func(o event.Outcome) {
		if err := w.notifier.Notify(t.Context(), o, notice); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		o := outcome(strconv.Itoa(i), event.ResultGaveUp)
		o.Job.Stage, o.Job.Attempt, o.Commit.AuthorName = "test", 3, "Sidney Jones"
		say(o)
	}
	first, last := w.Messages("#ci")[0], w.Posts()[len(w.Posts())-1]
	for _, want := range []string{
		"流水线 #4711", "运行中 · 已放弃 · platform/api", "作者 Sidney Jones", "已放弃作业 11 (https://gitlab.example.com/platform/api/-/jobs/900)（runner_system_failure）：3 次尝试均失败 · 阶段 test · 已失败 · 第 3 次尝试 · Runner docker-1",
		"消息列中还有 2 条",
	} {
		if !strings.Contains(first.Plain(), want) {
			t.Errorf("the message lacks %q:\n%s", want, first.Plain())
		}
	}
	if want := "规则 `retry-infrastructure` · runner_system_failure · 阶段 test"; !strings.Contains(last.Plain(), want) {
		t.Errorf("the reply lacks %q:\n%s", want, last.Plain())
	}
	if want := "platform/api main：已放弃作业 "; !strings.HasPrefix(last.Text, want) || !strings.HasSuffix(last.Text, " · 提交作者 Sidney Jones · 流水线：已放弃") {
		t.Errorf("the notification is %q", last.Text)
	}
}

// TestFiguresAreReadable: bytes and times as people write them, through the
// texts that contain them.
func TestFiguresAreReadable(t *testing.T) {
	type figures struct {
		freed int64
		took  time.Duration
	}
	erased, recovered := "Erased the log of unit", "Recovered: unit"
	tests := map[figures]string{
		{freed: 0}:                            erased,
		{freed: 1}:                            erased + ", which freed 1 B",
		{freed: 999}:                          erased + ", which freed 999 B",
		{freed: 1_000}:                        erased + ", which freed 1.0 kB",
		{freed: 999_949}:                      erased + ", which freed 999.9 kB",
		{freed: 999_950}:                      erased + ", which freed 1.0 MB",
		{freed: 1_234_567_890}:                erased + ", which freed 1.2 GB",
		{freed: math.MaxInt64}:                erased + ", which freed 9.2 EB",
		{took: time.Millisecond}:              recovered,
		{took: -time.Hour}:                    recovered,
		{took: 45_600 * time.Millisecond}:     recovered + ", 45s after it failed",
		{took: 90 * time.Minute}:              recovered + ", 1h30m after it failed",
		{took: 26*time.Hour + 59*time.Second}: recovered + ", 1d2h after it failed",
	}
	for given, want := range tests {
		t.Run(want, func(t *testing.T) {
			w := newFixture(t)
			o := outcome("unit", event.ResultRecovered)
			if given.took == 0 {
				o.Result, o.Action.Verb, o.Freed = event.ResultDone, event.VerbErase, given.freed
			}
			o.Pipeline, o.Project, o.Commit, o.Job = event.Pipeline{}, event.Project{}, event.Commit{}, event.Job{Name: "unit"}
			o.At = o.DecidedAt.Add(given.took)
			notify(t, w, o, "")
			if got := w.Posts()[0].Text; got != want {
				t.Errorf("the message is %q, want %q", got, want)
			}
		})
	}
}

// markup finds what Slack acts on: links and mentions.
var markup = regexp.MustCompile(`<[^<>]*>`)

// TestValuesCanNeitherPingNorLink: GitLab's texts are anyone's.
func TestValuesCanNeitherPingNorLink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newFixture(t)
		value := rapid.OneOf(
			rapid.SampledFrom([]string{"<!channel>", "<!here|x>", "a|b> <!everyone>", "<@U123>", "<https://evil.example.com|ok>", "`<!channel>`", "&lt;!channel&gt;", "\n<!channel>"}),
			rapid.StringOfN(rapid.RuneFrom([]rune("<>!@|&`*_~ch\n é")), 0, 400, -1))
		o := outcome(value.Draw(t, "job"), rapid.SampledFrom([]string{
			event.ResultDone, event.ResultDryRun, event.ResultSkipped, event.ResultDeferred, event.ResultFailed, event.ResultGaveUp, event.ResultRecovered, "<!new>",
		}).Draw(t, "result"))
		o.Pipeline.Ref, o.Pipeline.SHA, o.Pipeline.Name, o.Pipeline.Status = value.Draw(t, "ref"), value.Draw(t, "sha"), value.Draw(t, "name"), value.Draw(t, "status")
		o.Commit.Title, o.Reason, o.Rule = value.Draw(t, "title"), value.Draw(t, "reason"), value.Draw(t, "rule")
		o.Project.Path, o.Job.FailureReason, o.Job.Runner.Description = value.Draw(t, "path"), value.Draw(t, "failure"), value.Draw(t, "runner")
		o.Job.URL += value.Draw(t, "url")
		o.Job.FailureClass, o.Bridge = value.Draw(t, "class"), rapid.Bool().Draw(t, "bridge")
		o.Action.Verb = rapid.SampledFrom([]string{event.VerbRetry, event.VerbErase, event.VerbRetryPipeline, event.VerbNotify, "<!verb>"}).Draw(t, "verb")
		notice := to("#ci", "")
		notice.Language = rapid.SampledFrom(event.Languages).Draw(t, "language")
		for _, id := range []string{o.ID, "the next"} {
			o.ID = id
			w.insist(t, func() error { return w.notifier.Notify(context.Background(), o, notice) })
		}
		w.insist(t, announcing(w, "storm", mrkdwn.Escape(value.Draw(t, "announcement"))+"."))

		for _, m := range append(w.Posts(), w.Updates()...) {
			for _, text := range append(texts(t, m.Blocks), m.Text) {
				for _, found := range markup.FindAllString(text, -1) {
					if !strings.HasPrefix(found, "<https://gitlab.example.com/platform/api/-/") {
						t.Fatalf("Slack would act on %q in %q", found, text)
					}
				}
				if rest := markup.ReplaceAllString(text, ""); strings.ContainsAny(rest, "<>") {
					t.Fatalf("loose markup in %q", text)
				}
			}
		}
	})
}

// texts lists the texts of blocks, and checks that Slack shows each verbatim.
func texts(t testingT, raw json.RawMessage) []string {
	type object struct {
		Type, Text string
		Verbatim   bool
	}
	var blocks []struct {
		Text     object
		Elements []object
	}
	if err := json.Unmarshal(raw, &blocks); err != nil {
		t.Fatalf("%v", err)
	}
	var all []string
	for _, b := range blocks {
		for _, o := range append(b.Elements, b.Text) {
			if o.Type != "" && !o.Verbatim {
				t.Fatalf("the text %q is not verbatim: a plain @here in it would ping", o.Text)
			}
			all = append(all, o.Text)
		}
	}
	return all
}

func TestARulesTextIsLeftAsItIs(t *testing.T) {
	w := newFixture(t)
	notify(t, w, outcome("unit", event.ResultDone), "<!here> see <https://example.com/a?b=1&amp;c=2|the runbook> for "+mrkdwn.Escape("<unit> & co"))
	wantShown(t, w, "#ci", top+"🔁 @here see the runbook (https://example.com/a?b=1&c=2) for <unit> & co"+facts+"\n")
}

// TestLongTexts: the simulated Slack refuses what is over Slack's limits.
func TestLongTexts(t *testing.T) {
	for name, text := range map[string]string{
		"letters":  strings.Repeat("long ", 2_000),
		"Chinese":  strings.Repeat("流水线失败", 1_000),
		"emoji":    strings.Repeat("🚨", 4_000),
		"links":    strings.Repeat("<https://example.com/very/long/address|link> ", 300),
		"entities": strings.Repeat("&amp;", 2_000),
		"one link": "<https://example.com/" + strings.Repeat("a", 8_000) + "|label>",
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			for i := range 12 {
				o := outcome(fmt.Sprintf("%d %.255s", i, text), event.ResultDone)
				o.ID = strconv.Itoa(i)
				o.Pipeline.Ref, o.Commit.Title, o.Reason = text, text, text
				notify(t, w, o, text)
				o.ID += " by default"
				notify(t, w, o, "")
			}
			w.insist(t, announcing(w, "storm", text))
			for _, m := range w.Messages("#ci") {
				shownTexts := append(texts(t, m.Blocks), m.Text)
				if n := len(shownTexts) - 1; n > 50 {
					t.Fatalf("%d texts in blocks, and Slack takes 50 blocks", n)
				}
				for _, shown := range shownTexts {
					if n := utf8.RuneCountInString(shown); n > 3000 {
						t.Fatalf("a text of %d characters, and Slack takes 3000", n)
					}
					if strings.Count(shown, "<") != strings.Count(shown, ">") || strings.ContainsRune(shown, '�') {
						t.Fatalf("cut in a link or a character: %q", shown[max(0, len(shown)-80):])
					}
					if rest := strings.ReplaceAll(shown, "&amp;", ""); name == "entities" && strings.Contains(rest, "&") {
						t.Fatalf("cut in an escaped character: %q", rest)
					}
				}
			}
			if reply := w.Messages("#ci")[1]; !strings.Contains(string(reply.Blocks), "…") {
				t.Error("nothing says that the text was cut")
			}
		})
	}
}

// A log excerpt can't end its fence, and a fence that is cut is closed.
func TestFences(t *testing.T) {
	for name, log := range map[string]string{
		"ends the fence":  "make\n```\n<!channel>\n````` x",
		"long":            strings.Repeat("a line of the log\n", 1000),
		"long, of emojis": strings.Repeat("🚨", 5000),
		"long, of ticks":  strings.Repeat("`", 5000),
	} {
		w := newFixture(t)
		for _, before := range []string{"", strings.Repeat("x", 2985), strings.Repeat("x", 2990), strings.Repeat("x", 2995)} { // the cut is in the fence, and within its ticks
			o := outcome("unit", event.ResultDone)
			o.ID = name + before
			notify(t, w, o, before+"```"+mrkdwn.Escape(log)+"```")
		}
		for _, m := range append(w.Posts(), w.Updates()...) {
			for _, text := range append(texts(t, m.Blocks), m.Text) {
				if strings.Count(text, "```")%2 != 0 || strings.Contains(text, "````") || strings.Contains(text, "<!") {
					t.Errorf("%s: the fence is broken in …%s", name, text[max(0, len(text)-60):])
				}
			}
		}
	}
}

// The message of a pipeline says how that ended, if it did.
func TestEnds(t *testing.T) {
	paused := event.Pause{}.String()
	for name, c := range map[string]struct {
		results []string // of one job each
		reason  string
		want    string
	}{
		"one goes on":          {[]string{event.ResultRecovered, event.ResultDone}, "", "running · platform/api"},
		"all have recovered":   {[]string{event.ResultRecovered, event.ResultRecovered}, "", "running · recovered · platform/api"},
		"one was given up":     {[]string{event.ResultGaveUp, event.ResultRecovered}, "", "running · gave up · platform/api"},
		"paused":               {[]string{event.ResultRecovered, event.ResultDeferred}, paused, "running · paused · platform/api"},
		"deferred for a while": {[]string{event.ResultDeferred}, "a budget is used up", "running · platform/api"},
	} {
		w := newFixture(t)
		for i, result := range c.results {
			o := outcome(strconv.Itoa(i), result)
			o.Reason = c.reason
			notify(t, w, o, "")
		}
		if top, _, _ := strings.Cut(w.Messages("#ci")[0].Plain(), "\n"); !strings.HasSuffix(top, ") "+c.want) {
			t.Errorf("%s: the message begins with %q, want %q", name, top, c.want)
		}
	}
}

// TestALongReason is cut by itself: what else there is to say stays.
func TestALongReason(t *testing.T) {
	w := newFixture(t)
	o := outcome("unit", event.ResultDeferred)
	o.Reason = "GitLab refused:\n<html> " + strings.Repeat("busy ", 1_000)
	notify(t, w, o, "")
	shown := w.Messages("#ci")[0].Plain()
	if !strings.Contains(shown, "and goes on by itself: GitLab refused: <html> busy busy") || !strings.HasSuffix(shown, "…"+facts) || len(shown) > 1_000 {
		t.Errorf("a reason of %d characters is shown as:\n%s", len(o.Reason), shown)
	}
}

// swept is the outcome of a run of a schedule rule.
func swept(result, reason string) event.Outcome {
	o := event.Outcome{Result: result, Reason: reason, Sweep: event.Sweep{ID: "sweep:erase-old-logs:1"}}
	o.ID, o.Rule, o.Action.Verb = "sweep:erase-old-logs:1", "erase-old-logs", event.VerbErase
	return o
}
