package gitlabnotify_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
)

// hostile are pieces of values that GitLab could read as something else than text.
var hostile = []string{
	"@all", "@ada", "#1", "!2", "&3", "%4", "~bug", "$5", "group/project#6", "0a1b2c3d4e", "SHOP-7", "/close", "/assign @ada", "\n", "\r\n", "`", "``", "```", "|", "\\", "\\`", "\\|",
	"<img src=x onerror=y>", "<!-- ", " -->", "![x](https://example.com/x.png)", "[x](https://example.com)", "](", ")", "https://example.com", "www.example.com", ":tada:", "**", "__", "*", "_",
	"[[_TOC_]]", "{+ x +}", "\u202e", "\x00", "\uE000", "\uE001", "é", "x", " ", "<br>",
}

// skeleton returns a text with • in place of each code span, as CommonMark has them, and the
// contents of these.
func skeleton(text string) (rest string, spans []string) {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '\\' && i+1 < len(text) && strings.ContainsRune("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", rune(text[i+1])) {
			b.WriteString(text[i : i+2])
			i += 2
			continue
		}
		run := len(text[i:]) - len(strings.TrimLeft(text[i:], "`"))
		if run == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := i + run
		for end < len(text) {
			next := strings.IndexByte(text[end:], '`')
			if next < 0 {
				break
			}
			at := end + next
			closing := len(text[at:]) - len(strings.TrimLeft(text[at:], "`"))
			if end = at + closing; closing == run {
				b.WriteString("•")
				spans = append(spans, text[i+run:at])
				i = end
				run = 0
				break
			}
		}
		if run > 0 { // no end: it is text
			b.WriteString(text[i : i+run])
			i += run
		}
	}
	return b.String(), spans
}

// inAddress matches a code span in the address or the title of a link.
var inAddress = regexp.MustCompile(`\]\([^)]*•`)

// Whatever stands in the values, the note is the same but for what stands in its code spans,
// of which none reaches over a cell or a line. There, GitLab reads text only.
func TestValuesStayText(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	next := int64(100)
	write := func(value func(string) string, custom bool) string {
		next++
		f.add(f.shop.ID, &gitlabtest.MergeRequest{IID: next, SourceBranch: "more", TargetBranch: "main"})
		o := f.outcome(value("job"), event.ResultGaveUp)
		o.Rule, o.Reason, o.Job.FailureReason = value("rule"), value("reason"), value("failure")
		o.Pipeline.ID, o.Pipeline.Name = f.pipeline.ID, value("name")
		o.Job.URL, o.Pipeline.URL = "", value("address")
		notice := onMergeRequest
		if custom {
			v := func(name string) string { return n.Escape(event.ChannelMergeRequest, value(name)) }
			notice.Text = "see `" + v("a") + "` and [" + v("b") + "](" + v("c") + ") <" + v("d") + "|" + v("e") + "> " + v("f") + v("g") + "\\" + v("h") + "$" + v("i") + "$\n/close " + v("j") + "\n" + v("k") + "[x](https://example.com/(" + v("l") + ")) [x](y \"" + v("m") + "\")"
		}
		f.notify(n, o, notice)
		notes := f.gitlab.Notes(f.shop.ID, next)
		if len(notes) != 1 {
			t.Fatalf("there are %d notes", len(notes))
		}
		return strings.ReplaceAll(notes[0].Body, f.clock.Now().UTC().Format("2006-01-02 15:04:05"), "time")
	}
	for _, custom := range []bool{false, true} {
		want, _ := skeleton(write(func(name string) string { return "@" + name }, custom))
		if inAddress.MatchString(want) {
			t.Errorf("a value is part of the address of a link, where a code span is none:\n%s", want)
		}
		rapid.Check(t, func(rt *rapid.T) {
			value := func(name string) string {
				return "@" + name + strings.Join(rapid.SliceOfN(rapid.SampledFrom(hostile), 0, 6).Draw(rt, name), "")
			}
			body := write(value, custom)
			got, spans := skeleton(body)
			if got != want {
				rt.Fatalf("the note is\n%s\nwhich has the form\n%s\nwant\n%s", body, got, want)
			}
			for _, s := range spans {
				if strings.ContainsAny(s, "|\n\r`") || strings.ContainsFunc(s, event.IsControl) {
					rt.Fatalf("the code span %q reaches out", s)
				}
			}
		})
	}
}

// A value that GitLab shows as it is stands without a code span; one that looks like a
// commit, an issue or an address does not.
func TestPlainTexts(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	for reason, want := range map[string]string{
		"3 attempts failed (script_failure)": ": 3 attempts failed (script_failure) |",
		"see SHOP-7":                         ": `see SHOP-7` |",
		"0a1b2c3d":                           ": `0a1b2c3d` |",
		"www.example.com":                    ": `www.example.com` |",
		"@all":                               ": `@all` |",
	} {
		o := f.outcome("rspec", event.ResultGaveUp)
		o.Reason = reason
		f.notify(n, o, onMergeRequest)
		if body := f.note().Body; !strings.Contains(body, want) {
			t.Errorf("the note lacks %q:\n%s", want, body)
		}
	}
}

// The address of a job's page is that of a link in the text of a rule; no other value is.
func TestLinksOfRules(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	n := f.replica(nil)
	v := func(value string) string { return n.Escape(event.ChannelMergeRequest, value) }
	notice := onMergeRequest
	notice.Text = "[log](" + v(f.job.WebURL) + "), [issue](" + v(f.shop.WebURL+"/-/issues/1") + ")"
	f.notify(n, f.outcome("rspec", event.ResultGaveUp), notice)
	if body, want := f.note().Body, "[log]("+f.job.WebURL+"), [issue] (`"+f.shop.WebURL+"/-/issues/1`)"; !strings.Contains(body, want) {
		t.Errorf("the note lacks %q:\n%s", want, body)
	}
	notice.Text = "<" + v(f.job.WebURL) + "|" + v("rspec") + " failed>, see <https://wiki.example.com/ci|the runbook>, <" + v(f.shop.WebURL) + "|shop> and <b|c>"
	f.notify(n, f.outcome("lint", event.ResultGaveUp), notice)
	if body, want := f.note().Body, "| [`rspec` failed]("+f.job.WebURL+"), see [the runbook](https://wiki.example.com/ci), [shop] (`"+f.shop.WebURL+"`) and &lt;b&#124;c> |"; !strings.Contains(body, want) {
		t.Errorf("links as in Slack: the note lacks %q:\n%s", want, body)
	}
	status := onCommit
	status.Text = "<" + f.job.WebURL + "|rspec failed> & more"
	f.notify(n, f.outcome("rspec", event.ResultGaveUp), status)
	if got := f.gitlab.CommitStatuses(f.pipeline.ID)[0].Description; got != "rspec failed & more" {
		t.Errorf("links as in Slack: the status is %q", got)
	}
}
