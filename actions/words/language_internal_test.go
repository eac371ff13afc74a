package words

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"text/template/parse"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pipesteward/pipesteward/rules/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// reads returns what the nodes of a template read: paths of fields, and the names of blocks
// with "template " before.
func reads(nodes ...parse.Node) map[string]bool {
	found := map[string]bool{}
	var visit func(n parse.Node)
	branch := func(b *parse.BranchNode) {
		visit(b.Pipe)
		visit(b.List)
		visit(b.ElseList)
	}
	visit = func(n parse.Node) {
		if n == nil || reflect.ValueOf(n).IsNil() {
			return
		}
		switch n := n.(type) {
		case *parse.ListNode:
			for _, child := range n.Nodes {
				visit(child)
			}
		case *parse.ActionNode:
			visit(n.Pipe)
		case *parse.PipeNode:
			for _, c := range n.Cmds {
				for _, arg := range c.Args {
					visit(arg)
				}
			}
		case *parse.IfNode:
			branch(&n.BranchNode)
		case *parse.RangeNode:
			branch(&n.BranchNode)
		case *parse.WithNode:
			branch(&n.BranchNode)
		case *parse.TemplateNode:
			found["template "+n.Name] = true
			visit(n.Pipe)
		case *parse.FieldNode:
			found[strings.Join(n.Ident, ".")] = true
		case *parse.VariableNode:
			found[strings.Join(n.Ident[1:], ".")] = true
		}
	}
	for _, n := range nodes {
		visit(n)
	}
	delete(found, "")
	return found
}

// blocks returns the blocks of a language by name, without those of the timeline, which are in
// English alone.
func blocks(t *testing.T, language string) map[string]*template.Template {
	english := template.Must(template.New("english").Funcs(languages[language].functions()).ParseFS(files, "timeline.tmpl"))
	all := map[string]*template.Template{}
	for _, b := range templates[language].Templates() {
		if english.Lookup(b.Name()) == nil && !strings.HasSuffix(b.Name(), ".tmpl") && b.Name() != language {
			all[b.Name()] = b
		}
	}
	if len(all) == 0 {
		t.Fatal("no blocks found")
	}
	return all
}

// wanted returns the fields that a block reads, itself and in the blocks that it uses.
func wanted(all map[string]*template.Template, name string) map[string]bool {
	found := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if found["template "+name] {
			return
		}
		found["template "+name] = true
		for read := range reads(all[name].Root) {
			if block, is := strings.CutPrefix(read, "template "); is {
				visit(block)
				continue
			}
			found[read] = true
		}
	}
	visit(name)
	maps.DeleteFunc(found, func(read string, _ bool) bool { return strings.HasPrefix(read, "template ") })
	return found
}

// TestLanguagesAreComplete: each language has the same blocks, each of which reads the same
// fields, and all terms.
func TestLanguagesAreComplete(t *testing.T) {
	in := blocks(t, event.English)
	for _, language := range event.Languages {
		all := blocks(t, language)
		if d := gocmp.Diff(slices.Sorted(maps.Keys(in)), slices.Sorted(maps.Keys(all))); d != "" {
			t.Fatalf("%s has other blocks (-en +%s):\n%s", language, language, d)
		}
		for name := range all {
			if d := gocmp.Diff(wanted(in, name), wanted(all, name)); d != "" {
				t.Errorf("%q reads other fields in %s (-en +%s):\n%s", name, language, language, d)
			}
		}
		terms := reflect.ValueOf(TermsIn(language))
		for i := range terms.NumField() {
			if terms.Field(i).String() == "" {
				t.Errorf("%s lacks the term %s", language, terms.Type().Field(i).Name)
			}
		}
	}
	for _, verb := range verbs {
		if languages[event.Chinese].verbs[verb] == "" {
			t.Errorf("the verb %s has no Chinese name", verb)
		}
	}
	for _, status := range event.Statuses {
		if languages[event.Chinese].statuses[status] == "" {
			t.Errorf("the status %s has no Chinese name", status)
		}
	}
	if len(languages) != len(event.Languages) {
		t.Errorf("there are %d languages, and rule files know %d", len(languages), len(event.Languages))
	}
	if TermsIn("") != TermsIn(event.English) || TermsIn("tlh") != TermsIn(event.English) {
		t.Error("a language that is not known is not English")
	}
}

var (
	began    = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	failedAt = event.Job{ID: 900, Name: "rspec", Stage: "test", Status: "failed", FailureReason: "runner_system_failure", Attempt: 3, Runner: event.Runner{Description: "docker-1"}}
)

func outcomeOf(verb, result, reason string, change func(*event.Outcome)) event.Outcome {
	o := event.Outcome{Result: result, Reason: reason, At: began.Add(12*time.Minute + 5*time.Second)}
	o.Rule, o.Action.Verb, o.DecidedAt, o.Job = "retry-infrastructure", verb, began, failedAt
	o.Project = event.Project{Path: "platform/shop", URL: "https://gitlab.example.com/platform/shop"}
	o.Pipeline = event.Pipeline{ID: 70, Ref: "main", Name: "Nightly"}
	change(&o)
	return o
}

func as(*event.Outcome) {}

var (
	verbs = []string{
		event.VerbRetry, event.VerbPlay, event.VerbCancel, event.VerbErase, event.VerbRetryPipeline, event.VerbCancelPipeline, event.VerbCancelOutdated,
	}
	commandNames = []string{"why", "retry", "mute", "unmute", "pause", "resume", "status", "report", "help"}
)

// outcomes are those whose texts the golden files pin.
var outcomes = []event.Outcome{
	outcomeOf(event.VerbRetry, event.ResultDone, "", func(o *event.Outcome) { o.NewJobID = 901 }),
	outcomeOf(event.VerbRetry, event.ResultDone, "attempt 3 of 3", func(o *event.Outcome) { o.Bridge, o.Job.FailureClass = true, "disk-full" }),
	outcomeOf(event.VerbPlay, event.ResultDone, "", func(o *event.Outcome) { o.Job.FailureReason = "" }),
	outcomeOf(event.VerbCancel, event.ResultDone, "", func(o *event.Outcome) { o.Job.Name = "" }),
	outcomeOf(event.VerbErase, event.ResultDone, "", func(o *event.Outcome) { o.Freed, o.Action.Artifacts = 1_200_000_000, true }),
	outcomeOf(event.VerbNotify, event.ResultDone, "", func(o *event.Outcome) { o.Job = event.Job{} }),
	outcomeOf(event.VerbCancelOutdated, event.ResultDone, "", as),
	outcomeOf(event.VerbRetryPipeline, event.ResultDone, "", func(o *event.Outcome) { o.Pipeline = event.Pipeline{} }),
	outcomeOf(event.VerbRetry, event.ResultDryRun, "", as),
	outcomeOf(event.VerbErase, event.ResultDryRun, "", as),
	outcomeOf(event.VerbCancelOutdated, event.ResultDryRun, "", as),
	outcomeOf(event.VerbCancelPipeline, event.ResultDryRun, "", func(o *event.Outcome) { o.Job = event.Job{} }),
	outcomeOf(event.VerbRetry, event.ResultSkipped, "somebody has retried it: job 901", as),
	outcomeOf(event.VerbNotify, event.ResultSkipped, "the rule does not exist any more", as),
	outcomeOf(event.VerbRetry, event.ResultDeferred, "a storm: too many failures of class runner", as),
	outcomeOf(event.VerbCancel, event.ResultFailed, "403 Forbidden", as),
	outcomeOf(event.VerbPlay, event.ResultFailed, "404 Not Found", func(o *event.Outcome) { o.Job, o.Pipeline = event.Job{}, event.Pipeline{} }),
	outcomeOf(event.VerbRetry, event.ResultGaveUp, "3 attempts failed, as many as the rule allows", as),
	outcomeOf(event.VerbRetry, event.ResultGaveUp, "", as),
	outcomeOf(event.VerbRetry, event.ResultRecovered, "attempt 2 passed, after runner_system_failure", func(o *event.Outcome) { o.Job.Status, o.Job.FailureReason = "success", "" }),
	outcomeOf(event.VerbRetry, event.ResultRecovered, "", func(o *event.Outcome) { o.At = began.Add(26*time.Hour + 90*time.Minute) }),
	outcomeOf(event.VerbErase, event.ResultDone, "erased 12,000 of 1,000,000 jobs", func(o *event.Outcome) { o.Sweep.ID = "sweep:1" }),
	outcomeOf(event.VerbErase, event.ResultDryRun, "would erase 1 of 2 jobs", func(o *event.Outcome) { o.Sweep.ID = "sweep:1" }),
	outcomeOf(event.VerbErase, event.ResultFailed, "there is no such project", func(o *event.Outcome) { o.Sweep.ID = "sweep:1" }),
	outcomeOf(event.VerbRetry, "postponed", "a result of a newer version", as),
}

type word struct {
	Word  string
	Times int
}

type tally struct {
	Count  int
	First  []word
	Others int
}

type runner struct {
	Name string
	Jobs int
}

type names struct {
	Count int
	First []string
}

// of is the data of an answer about a failed job, with more.
func of(more map[string]any) map[string]any {
	data := map[string]any{
		"Not": event.VerbRetry, "Verb": event.VerbRetry, "Job": 1, "Project": "platform/shop", "Rule": "retry", "By": "", "Verdict": "…", "Reason": "…", "Act": "…", "At": "2026-12-01 12:00:00 UTC", "Code": 401,
	}
	maps.Copy(data, more)
	return data
}

// frames are blocks besides those of outcomes, with data.
var frames = []struct {
	block string
	data  any
}{
	{"header", map[string]any{"Subject": "Pipeline #70", "Status": "failed", "End": "gave_up", "Project": "platform/shop"}},
	{"header", map[string]any{"Header": "A rule file's", "End": "paused", "Project": "platform/shop"}},
	{"header", map[string]any{"Subject": "Pipeline #70", "End": "recovered"}},
	{"context", map[string]any{"Ref": "`main`", "SHA": "`1a2b3c4d`", "Commit": "Cache the dependencies", "Author": "Sidney Jones"}},
	{"context", map[string]any{"MergeRequest": "!7 Draft", "Ref": "`main`"}},
	{"context", map[string]any{"Context": "A rule file's", "Ref": "`main`"}},
	{"fallback", map[string]any{"Project": "platform/shop", "Place": "main", "Text": "…", "Facts": "stage test", "Author": "Sidney Jones", "End": "gave_up"}},
	{"links", map[string]any{"MergeRequest": "!7 Draft", "Titled": true, "Commit": "Cache the dependencies", "Job": "lint", "Pipeline": "Pipeline #70", "Author": "Sidney Jones"}},
	{"links", map[string]any{"Ref": "`main`", "Commit": "Cache the dependencies"}},
	{"together", map[string]any{"Text": "Rule `red-on-main` matched lint", "Refs": 1}},
	{"together", map[string]any{"Text": "Rule `red-on-main` matched lint", "Refs": 14}},
	{"more", 3},
	{"title", map[string]any{"Project": "platform/shop", "Ref": "main", "Pipeline": 70}},
	{"title", map[string]any{"Project": "platform/shop", "MergeRequest": 7}},
	{"note", nil},
	{"older", 3},
	{"storm_began", map[string]any{
		"Class": "runner", "Jobs": 30, "Pipelines": 1, "Within": 5 * time.Minute, "Runners": []runner{{"docker-1", 20}, {"", 8}}, "More": 2, "Line": "No space left on device", "With": 4, "Logs": 5,
	}},
	{"storm_began", map[string]any{"Class": "runner", "Jobs": 30, "Pipelines": 10, "Within": time.Hour, "Runners": []runner{{"docker-1", 30}}}},
	{"storm_over", map[string]any{"Class": "runner", "Lasted": 20*time.Minute + 3*time.Second, "Retries": 1, "Pipelines": 1, "Runners": []runner{{"docker-1", 1}}}},
	{"storm_over", map[string]any{"Class": "runner", "Lasted": 90 * time.Minute, "Retries": 0}},
	{"pass_rate_low", map[string]any{"Rule": "`retry-stuck`", "Class": "`runner`", "Job": "rspec", "Project": "platform/shop", "Tries": 13, "Passed": 0}},
	{"pass_rate_low", map[string]any{"Rule": "`retry-stuck`", "Class": "`runner`", "Job": "rspec", "Project": "platform/shop", "Tries": 20, "Passed": 1}},
	{"pass_rate_back", map[string]any{"Rule": "`retry-stuck`", "Class": "`runner`", "Job": "rspec", "Project": "platform/shop", "Tries": 14, "Passed": 1}},
	{"pass_rate_back", map[string]any{"Rule": "`retry-stuck`", "Class": "`runner`", "Job": "", "Project": "platform/shop", "Tries": 14, "Passed": 1}},
	{"gitlab_away", map[string]any{"Reason": "401 Unauthorized", "Advice": "give it a new token"}},
	{"gitlab_back", map[string]any{"Lasted": 25 * time.Hour}},
	{"gitlab_back", map[string]any{"Lasted": time.Millisecond}},
	{"webhooks", map[string]any{
		"Found": names{3, []string{"project a/b", "group c"}}, "Why": "403 Forbidden", "Revived": names{1, []string{"project d/e"}}, "Recovered": names{2, []string{"f/g", "h/i"}},
	}},
	{"request_queued", nil},
	{"request_late", map[string]any{"Reason": "paused (all) by Bob", "Page": "https://gitlab.example.com/a/b/-/jobs/1"}},
	{"request_late", map[string]any{}},
	{"request_before", map[string]any{"By": "Ada", "At": "12:00 UTC", "Outcome": "Retried rspec"}},
	{"request_before", map[string]any{"By": "Ada", "At": "12:00 UTC", "Reason": "paused (all) by Bob"}},
	{"request_before", map[string]any{"By": "Ada", "At": "12:00 UTC"}},
	{"request_muted", map[string]any{"By": "Ada", "Target": "`rule:told`", "Until": "13:00 UTC", "Reason": "noise", "Scope": "rule told"}},
	{"request_unmuted", map[string]any{"By": "Ada", "Target": "`rule:told`"}},
	{"request_paused", map[string]any{"By": "Ada", "Target": "`all`", "Until": "13:00 UTC", "Reason": "noise", "Scope": "all"}},
	{"request_paused", map[string]any{"By": "Ada", "Target": "`all`", "Scope": "all"}},
	{"request_resumed", map[string]any{"By": "Ada", "Target": "`all`"}},
	{"request_no_mute", "`rule:told`"},
	{"request_no_pause", "`all`"},
	{"request_no_rule", nil},
	{"request_is_that", "`42`"},
	{"request_no_project", "`project platform/**`"},
	{"request_no_channel", "`#cii`"},
	{"request_many", map[string]any{"Count": 1000}},
	{"request_many", map[string]any{"Count": 1000, "Mute": true}},
	{"request_outlasted", map[string]any{"Scope": "all", "By": "Bob", "Until": "13:00 UTC"}},
	{"request_outlasted", map[string]any{"Scope": "rule:told", "By": "Bob", "Mute": true}},
	{"request_log", "rspec"},
	{"request_log_hidden", "rspec"},
	{"request_log_empty", "rspec"},
	{"request_expired", nil},
	{"request_dry_run", "`told`"},
	{"request_dry_run", ""},
	{"request_needs_confirm", "#deploys"},
	{"request_needs_confirm", "author"},
	{"question", map[string]any{"Target": "deploy", "Stage": "release", "Environment": "production"}},
	{"question_pipeline", map[string]any{"Subject": "Pipeline #70", "Project": "platform/shop", "Ref": "`main`", "SHA": "`1a2b3c4d`", "Commit": "Cache the dependencies", "Author": "Sidney Jones", "Triggerer": "Ada"}},
	{"question_given", map[string]any{"Variables": "`A`", "Inputs": "`b=1`"}},
	{"question_until", map[string]any{"Rule": "`release`", "Deadline": began}},
	{"question_asks", map[string]any{"Project": "platform/shop", "Place": "main", "Name": "deploy", "Deadline": began}},
	{"question_closed", map[string]any{"Name": "deploy", "Expired": true, "Within": 24 * time.Hour}},
	{"question_answered", map[string]any{"Outcome": "…"}},
	{"question_answered", map[string]any{"By": "Ada", "At": "12:00 UTC", "Confirmed": true, "Outcome": "…"}},
	{"question_answered", map[string]any{"By": "Ada", "At": "12:00 UTC"}},
	{"confirm_unknown", nil},
	{"confirm_unneeded", nil},
	{"confirm_over", map[string]any{"Job": "deploy", "Result": "skipped", "Reason": "the job is running"}},
	{"confirm_dropped", nil},
	{"confirm_handled_late", map[string]any{"Job": "deploy", "At": "12:00 UTC"}},
	{"confirm_too_late", map[string]any{"Job": "deploy", "Within": 24 * time.Hour}},
	{"confirm_other", map[string]any{"By": "Ada", "At": "12:00 UTC", "Confirmed": true}},
	{"confirm_other", map[string]any{"By": "Ada", "At": "12:00 UTC", "Confirmed": false}},
	{"confirm_before", map[string]any{"At": "12:00 UTC", "Confirmed": true}},
	{"confirm_before", map[string]any{"At": "12:00 UTC", "Confirmed": false}},
	{"confirm_done", map[string]any{"Job": "deploy", "Confirmed": true}},
	{"confirm_done", map[string]any{"Job": "deploy", "Confirmed": false}},
	{"command_unknown", map[string]any{"Word": "`retyr`", "Nearest": "`retry`"}},
	{"command_unknown", map[string]any{"Word": "`dance`"}},
	{"command_wrong", map[string]any{"Why": "…", "Usage": "pause all"}},
	{"command_not_seen", map[string]any{"Job": 1, "Project": "platform/shop"}},
	{"command_not_seen", map[string]any{"Job": 0, "Pipeline": 70, "Project": "platform/shop"}},
	{"command_gone", map[string]any{"Job": 1, "Project": "platform/shop"}},
	{"command_failed", "502 Bad Gateway"},
	{"wrong_one_page", nil},
	{"wrong_page", map[string]any{"Address": "me", "GitLab": "https://gitlab.example.com"}},
	{"wrong_gitlab", map[string]any{"Address": "https://gitlab.example.org", "GitLab": "https://gitlab.example.com"}},
	{"wrong_word", map[string]any{"Word": "`everything`", "Allowed": "all, project"}},
	{"wrong_twice", map[string]any{"Word": "`project`"}},
	{"wrong_no_value", map[string]any{"Word": "`project`"}},
	{"wrong_all_and_more", nil},
	{"wrong_nothing", map[string]any{"Allowed": "all, project"}},
	{"wrong_duration", map[string]any{"Word": "`soon`"}},
	{"wrong_report", nil},
	{"wrong_rule", map[string]any{"Word": "`tld`", "Nearest": "`told`"}},
	{"why_answer", map[string]any{"Subject": "rspec", "Project": "platform/shop", "Answer": "…"}},
	{"why_all", "`pipesteward why https://gitlab.example.com/a/b/-/jobs/1`"},
	{"status_queue", map[string]any{"Rules": 1, "Due": 2, "Waiting": 3, "Leased": 4, "Dead": 5}},
	{"status_trouble", "401 Unauthorized"},
	{"status_more_pauses", 2},
	{"status_more_mutes", 1},
	{"status_nothing", nil},
	{"paused", map[string]any{"Scope": "all", "By": "Ada", "Reason": "an outage", "Until": "13:00 UTC"}},
	{"paused", map[string]any{"Scope": "all", "Open": true}},
	{"muted", map[string]any{"Scope": "rule:told", "By": "Ada"}},
	{"report_slow", map[string]any{"Limit": 18 * time.Second, "Instead": "`/pipesteward report since 1d`"}},
	{"report", map[string]any{"Since": "2026-12-01T12:00:00Z", "Project": "platform/shop", "Rule": "`retry`", "LastBefore": "2026-11-30T12:00:00Z"}},
	{"report", map[string]any{
		"Since": "2026-12-01T12:00:00Z", "Decisions": 15, "Outcomes": []word{{"done", 12}, {"gave_up", 3}}, "Most": []map[string]any{{"Job": "`rspec`", "Project": "platform/shop", "Times": 7}},
		"Retries": map[string]any{
			"Started": 12, "Passed": 9, "Ended": 12, "Rate": "75 %", "Open": 1, "FailedBefore": time.Hour, "PassedRuns": 30 * time.Minute, "FailedAgain": 90 * time.Second, "Unknown": 1,
			"Saved": 4*time.Hour + 30*time.Minute, "Cost": map[string]any{"Passed": "EUR 12.50", "Wasted": "EUR 1.00", "Unpriced": time.Hour},
		},
		"PersonAfter": 30 * time.Minute, "Growing": []map[string]any{{"Class": "`disk-full`", "Earlier": 2, "Later": 6}},
		"Delays": []map[string]any{{"Passed": 1, "Ended": 3, "AtLeast": time.Duration(0), "Below": time.Minute}, {"Passed": 2, "Ended": 3, "AtLeast": time.Minute, "Below": 5 * time.Minute}, {"Passed": 6, "Ended": 6, "AtLeast": 2 * time.Hour, "Below": time.Duration(0)}},
		"Erased": 3, "Freed": "1.2 GB", "Covers": "2026-12-01T13:00:00Z", "Cut": true, "Unreadable": 1,
	}},
	{"report_dry_run", map[string]any{
		"Since": "2026-12-01T12:00:00Z", "Decisions": 1, "Actions": []word{{"…", 1}}, "WouldRetry": map[string]any{"Passed": 1, "Retries": 2, "DeliveriesSince": "2026-12-01T11:00:00Z"},
		"Most": []map[string]any{{"Job": "`rspec`", "Project": "platform/shop", "Times": 1}}, "Erased": 1, "Covers": "2026-12-01T13:00:00Z", "Kept": 30 * 24 * time.Hour,
	}},
	{"report_dry_run", map[string]any{"Since": "2026-12-01T12:00:00Z", "Kept": 30 * 24 * time.Hour}},
	{"verdict_matched", map[string]any{"Reason": "…"}},
	{"verdict_not_matched", map[string]any{"Because": []map[string]any{{"Text": "job.tag", "Value": "false"}, {"Text": "log()", "Error": "…"}}, "FalseToo": 2}},
	{"verdict_not_matched", map[string]any{"Reason": "…"}},
	{"verdict_failed", map[string]any{"Reason": "…"}},
	{"verdict_not_reached", map[string]any{"StoppedBy": "leave"}},
	{"verdict_newer", nil},
	{"answer_no_event", of(map[string]any{"InStatus": "…"})},
	{"answer_forgotten", of(nil)},
	{"answer_queued", of(nil)},
	{"answer_ignored", of(nil)},
	{"answer_refused", of(nil)},
	{"answer_refused", of(map[string]any{"N": 2})},
	{"answer_dropped", of(nil)},
	{"answer_dead", of(map[string]any{"Kind": "decision"})},
	{"answer_no_rule", of(map[string]any{"Rule": "", "Kind": "job", "Failed": true})},
	{"answer_no_rule", of(map[string]any{"Rule": "", "Kind": "pipeline"})},
	{"answer_no_rule", of(map[string]any{"Rule": "", "Changed": true})},
	{"answer_no_rule", of(map[string]any{"Of": 1})},
	{"answer_no_rule", of(map[string]any{"Of": 3})},
	{"answer_stopped", of(map[string]any{"StoppedBy": "leave"})},
	{"answer_rule_failed", of(nil)},
	{"answer_rule_waits", of(nil)},
	{"answer_waiting", of(map[string]any{"Due": "2026-12-01 12:00:00 UTC", "Gone": "…"})},
	{"answer_deferred", of(map[string]any{"Due": "2026-12-01 12:00:00 UTC", "Paused": "…"})},
	{"answer_skipped", of(nil)},
	{"answer_skipped", of(map[string]any{"By": "Ada (Slack U1)"})},
	{"answer_dry_run", of(nil)},
	{"answer_dry_run", of(map[string]any{"Waits": true, "Due": "2026-12-01 12:00:00 UTC"})},
	{"answer_failed", of(nil)},
	{"answer_gave_up", of(nil)},
	{"answer_gave_up", of(map[string]any{"By": "Ada (Slack U1)"})},
	{"answer_done", of(map[string]any{"NewJob": 901, "Status": "…"})},
	{"answer_recovered", of(map[string]any{"NewJob": 901, "By": "Ada (Slack U1)"})},
	{"answer_failed_again", of(map[string]any{"NewJob": 901})},
	{"answer_decisions", map[string]any{"N": 15, "Counts": []word{{"waiting", 12}, {"gave_up", 3}}}},
	{"note_notification", of(map[string]any{"Address": "#ci", "Error": "…"})},
	{"note_untold", of(map[string]any{"Queued": true, "To": "#ci", "Next": "2026-12-01 12:00:00 UTC"})},
	{"note_untold", of(map[string]any{"NoSlack": true})},
	{"note_untold", of(map[string]any{"To": "#ci"})},
	{"note_untold", of(map[string]any{"Reason": ""})},
	{"note_standing", of(map[string]any{"Waits": true})},
	{"note_standing", of(map[string]any{"Gone": "…"})},
	{"note_standing", of(map[string]any{"Paused": "…"})},
	{"note_trouble", map[string]any{"Since": "2026-12-01 12:00:00 UTC", "Reason": "…", "Advice": "…"}},
	{"note_changed", map[string]any{"GitLab": "https://gitlab.example.com", "URL": "https://gitlab.example.com/a/b/-/jobs/1"}},
	{"note_retried_otherwise", map[string]any{"ID": 901, "Status": "…"}},
	{"note_newest", map[string]any{"ID": 901, "Status": "…"}},
	{"note_cut", map[string]any{"GitLab": "https://gitlab.example.com", "URL": "https://gitlab.example.com/a/b/-/jobs/1"}},
	{"request_stale", map[string]any{"By": "<@U1>", "Does": "retry", "At": "12:00 UTC", "Limit": 29 * time.Minute}},
	{"request_too_many", map[string]any{"PerMinute": 20, "Wait": 3 * time.Second}},
	{"refused_bot", nil},
	{"refused_deactivated", nil},
	{"refused_stranger", "Example"},
	{"refused_guest", nil},
	{"refused_workspace_unknown", map[string]any{"Error": "…"}},
	{"refused_person_unknown", map[string]any{"Error": "…"}},
	{"refused_operator_unknown", "…"},
	{"refused_user_unknown", map[string]any{"Error": "…"}},
	{"refused_role_unknown", map[string]any{"Error": "…"}},
	{"refused_role_unknown", map[string]any{"Of": "`platform`", "Error": "…"}},
	{"refused_barrier_unknown", map[string]any{"Of": map[string]any{"Kind": "tag", "Name": "`v1`"}, "Error": "…"}},
	{"refused_all_projects", map[string]any{}},
	{"refused_all_projects", map[string]any{"Operators": "@ci-ops"}},
	{"refused_no_email", map[string]any{}},
	{"refused_no_user", map[string]any{"Operators": "@ci-ops"}},
	{"refused_cancel", nil},
	{"refused_upstream", nil},
	{"refused_inactive", map[string]any{"User": "`ada`"}},
	{"refused_hidden", map[string]any{"Kind": "branch", "Name": "`main`"}},
	{"refused_groups", map[string]any{"Kind": "environment", "Name": "`production`", "Any": true}},
	{"refused_protected", map[string]any{"Kind": "tier", "Name": "`production`", "Group": "`platform`", "User": "`ada`", "Count": 101}},
	{"refused_protected", map[string]any{"Kind": "environments", "User": "`ada`"}},
	{"dropped", map[string]any{"Dropped": 1, "Since": began}},
	{"dropped", map[string]any{"Dropped": 12, "Since": began}},
	{"digest_head", map[string]any{"Count": 12, "Results": tally{2, []word{{"gave_up", 10}, {"failed", 2}}, 0}, "Rules": tally{7, []word{{"`retry`", 5}}, 6}, "Classes": tally{1, []word{{"runner", 12}}, 0}}},
	{"digest_head", map[string]any{"Count": 1, "Results": tally{1, []word{{"done", 1}}, 2}, "Rules": tally{1, []word{{"`retry`", 1}}, 0}, "Classes": tally{}}},
	{"digest_more", 6},
	{"digest_end", "2026-12-01T12:00:00Z"},
	{"pipeline_end", "success"},
	{"pipeline_end", "failed"},
	{"pipeline_end", "canceled"},
	{"pipeline_end", "skipped"},
	{"pipeline_end", ""},
}

// TestTexts pins each block in each language.
func TestTexts(t *testing.T) {
	for _, language := range event.Languages {
		var b strings.Builder
		s, all := Plain.In(language), blocks(t, language)
		pinned := map[string]bool{}
		var pin func(block string)
		pin = func(block string) {
			if pinned[block] {
				return
			}
			pinned[block] = true
			for read := range reads(all[block].Root) {
				if name, is := strings.CutPrefix(read, "template "); is {
					pin(name)
				}
			}
		}
		say := func(block, title string, text string, err error) {
			if err != nil {
				t.Fatal(err)
			}
			pin(block)
			fmt.Fprintf(&b, "%s\n    %s\n", cmp.Or(title, block), strings.ReplaceAll(text, "\n", "\n    "))
		}
		for _, o := range outcomes {
			block := o.Result
			if o.Sweep.ID != "" {
				block = "sweep"
			} else if !slices.Contains(event.Results, o.Result) {
				block = "other"
			}
			text, err := Outcome(o, s)
			say(block, block+" "+o.Action.Verb, text, err)
		}
		for _, custom := range []bool{false, true} {
			text, err := OutcomeDetails(outcomes[17], custom, s)
			say("details", "", text, err)
		}
		text, err := JobFacts(outcomes[17], s)
		say("facts", "", text, err)
		for _, st := range []event.State{{Turn: event.StateBegan, Since: began}, {Turn: event.StateResolved, Since: began, Before: began.Add(-30 * time.Minute)}} {
			text, err := Turn(outcomes[5], st, s)
			say(st.Turn, "", text, err)
		}
		for _, f := range frames {
			text, err := s.Say(f.block, f.data)
			say(f.block, "", text, err)
		}
		for _, result := range slices.Concat(event.Whens, []string{"postponed"}) {
			text, err := s.Say("result", result)
			say("result", "result "+result, text, err)
		}
		for _, verb := range slices.Concat(verbs, []string{""}) {
			for _, block := range []string{"not", "done_is"} {
				text, err := s.Say(block, verb)
				say(block, block+" "+verb, text, err)
			}
			fmt.Fprintf(&b, "action %s\n    %s\n", verb, s.Action(&event.Decision{Event: event.Event{Job: failedAt}, Action: event.Action{Verb: verb}}))
		}
		for _, command := range commandNames {
			text, err := s.Say("command_does", command)
			say("command_does", "command "+command, text, err)
		}
		for _, does := range []string{"log", "why", "retry", "play", "cancel", "erase", "mute", "pause", "resume", "status"} {
			text, err := s.Say("refused_role", map[string]any{"Does": does, "User": "`ada`", "Needs": "Maintainer", "Has": "Developer"})
			say("refused_role", "refused_role "+does, text, err)
		}
		for _, problem := range event.ScopeProblems {
			text, err := s.Say("scope_wrong", map[string]any{"Problem": problem, "Value": "…"})
			say("scope_wrong", "scope_wrong "+problem, text, err)
		}
		for _, status := range slices.Concat(event.Statuses, []string{"waiting_for_godot"}) {
			fmt.Fprintf(&b, "status %s\n    %s\n", status, s.Status(status))
		}
		for name := range all {
			if !pinned[name] {
				t.Errorf("no text pins the block %q", name)
			}
		}
		if language == event.Chinese {
			for line := range strings.Lines(b.String()) {
				if text, is := strings.CutPrefix(line, "    "); is && isEnglish(text) {
					t.Errorf("a Chinese text has an English sentence: %s", text)
				}
			}
		}
		golden := "testdata/texts." + language + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got); where the test is right, run it with -update:\n%s", golden, d)
		}
	}
}

// given is what the texts of the tests have from elsewhere: what follows is no word of a
// template. Names in `code`, addresses and commands are the same in each language.
var given = regexp.MustCompile("`[^`]*`|https?://\\S+|\\$ pipesteward .*|--[a-z-]+|" + strings.Join([]string{
	"pipesteward why URL", "gitlab\\.example\\.com/group/project", "somebody has retried it: job 901", "the rule does not exist any more", "a storm: too many failures of class runner",
	"403 Forbidden", "404 Not Found", "401 Unauthorized", "502 Bad Gateway", "3 attempts failed, as many as the rule allows", "attempt 3 of 3", "attempt 2 passed, after runner_system_failure",
	"erased 12,000 of 1,000,000 jobs", "would erase 1 of 2 jobs", "there is no such project", "a result of a newer version", "give it a new token", "paused \\(all\\) by Bob", "Retried rspec",
	"Cache the dependencies", "Sidney Jones", "A rule file's", "No space left on device", "the job is running", "an outage", "rule told", "waiting for godot",
}, "|"))

// threeWords matches three English words in a row.
var threeWords = regexp.MustCompile(`[A-Za-z']{2,} [a-z']{2,} [a-z']{2,}`)

// isEnglish reports whether a text has an English sentence beside what was given to it.
func isEnglish(text string) bool { return threeWords.MatchString(given.ReplaceAllString(text, "…")) }
