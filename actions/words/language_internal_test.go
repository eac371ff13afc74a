package words

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
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

// blocks returns the blocks of a language by name, without those of the story and of reports,
// which are in English alone.
func blocks(t *testing.T, language string) map[string]*template.Template {
	english := template.Must(template.New("english").Funcs(languages[language].functions()).ParseFS(files, "story.tmpl", "report.tmpl"))
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
	{"request_log", "rspec"},
	{"request_log_hidden", "rspec"},
	{"request_log_empty", "rspec"},
	{"request_expired", nil},
	{"request_too_many", map[string]any{"PerMinute": 20, "Wait": "3s"}},
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
		for _, status := range slices.Concat(event.Statuses, []string{"waiting_for_godot"}) {
			fmt.Fprintf(&b, "status %s\n    %s\n", status, s.Status(status))
		}
		for name := range all {
			if !pinned[name] {
				t.Errorf("no text pins the block %q", name)
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
