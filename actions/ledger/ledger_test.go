package ledger_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pipesteward/pipesteward/actions/actionstest"
	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/ledger"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/keys"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// leaf is a leaf of the statistics, as the store has it.
type leaf struct {
	Rule   string    `json:"rule,omitzero"`
	Class  string    `json:"class"`
	Job    string    `json:"job,omitzero"`
	Passed float64   `json:"passed,omitzero"`
	Failed float64   `json:"failed,omitzero"`
	At     time.Time `json:"at"`
	Recent string    `json:"recent,omitzero"`
	Low    bool      `json:"low,omitzero"`
}

// rules is a rule file; %s is for more settings.
const rules = `
version: 1
storm: {failures: 10000}
limits: {per_project: 100000/1h, total: 100000/1h}
%s
rules:
  - name: r
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {max_attempts: 2, allow_stale: true, min_pass_rate: 20%%}]
    notify: [{when: [failed], channel: "ci-{{ project.name }}"}]
`

// scene is one project, in whose pipelines a job fails again and again.
type scene struct {
	*actionstest.Harness
	project gitlabtest.Project
}

func newScene(t *testing.T, more string) *scene {
	t.Helper()
	h := actionstest.New(t, fmt.Sprintf(rules, more))
	return &scene{h, h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})}
}

// fail has the job fail in another pipeline, and works until that is decided on.
func (s *scene) fail(reason string) gitlabtest.Job {
	s.Helper()
	s.Pipeline = s.GitLab.AddPipeline(s.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	job := s.End("rspec", "failed", reason)
	s.Deliver(s.GitLab.JobHookBody(job))
	s.WorkOff()
	return s.GitLab.Job(job)
}

// end ends the newest run, and works until all is done.
func (s *scene) end(status string) {
	s.Helper()
	s.Clock.Advance(time.Second)
	s.Deliver(s.GitLab.JobHookBody(s.End("rspec", status, actionstest.Stuck)))
	s.WorkOff()
}

// try has the job fail and, if Pipesteward retries it, the new run end in the status. It
// returns the outcome of the decision.
func (s *scene) try(status string) event.Outcome {
	s.Helper()
	job := s.fail(actionstest.Stuck)
	o := s.decided(job.ID)
	if o.Result == event.ResultDone {
		s.end(status)
	}
	return o
}

// decided returns the outcome of the decision on a job.
func (s *scene) decided(job int64) event.Outcome {
	s.Helper()
	for _, o := range s.Outcomes() {
		if o.Job.ID == job && (o.Result == event.ResultDone || o.Result == event.ResultSkipped) {
			return o
		}
	}
	s.Fatalf("nothing came of job %d", job)
	return event.Outcome{}
}

// leaves returns the statistics of the project, or of a class.
func (s *scene) leaves(key string) (all []leaf) {
	s.Helper()
	return leavesOf(s.Harness, key)
}

func leavesOf(h *actionstest.Harness, key string) (all []leaf) {
	h.Helper()
	value, err := h.DB.Get(h.Context(), key)
	if err != nil {
		h.Fatal(err)
	}
	if value == nil {
		return nil
	}
	if err := json.Unmarshal(value, &all); err != nil {
		h.Fatal(err)
	}
	return all
}

func (s *scene) projectKey() string { return s.projectKeyOf("stuck") }

// projectKeyOf returns the key of the part of the project's statistics that has the job and a
// class.
func (s *scene) projectKeyOf(class string) string {
	return keys.ProjectTries(s.GitLab.URL(), s.project.ID, ledger.PartOf(class, "rspec"))
}

// counted checks that the statistics have one leaf, of a label, with tries of these results.
func counted(h *actionstest.Harness, when, key string, want leaf) {
	h.Helper()
	all := leavesOf(h, key)
	if len(all) != 1 || all[0].Rule != want.Rule || all[0].Class != want.Class || all[0].Job != want.Job || all[0].Recent != want.Recent || all[0].Low != want.Low {
		h.Errorf("%s: %s has %+v, want %+v", when, key, all, want)
		return
	}
	passed, failed := float64(strings.Count(want.Recent, "P")), float64(strings.Count(want.Recent, "F"))
	if math.Abs(all[0].Passed-passed) > 0.1 || math.Abs(all[0].Failed-failed) > 0.1 {
		h.Errorf("%s: %s has %+v, want %v passed and %v failed, but for their age", when, key, all, passed, failed)
	}
}

// Retries of a job that never pass are skipped, which people are told once; probes go on, and
// when they pass the retries are made again, which people are told once, too.
func TestRetriesThatNeverPass(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	for n := range 13 {
		if o := s.try("failed"); o.Result != event.ResultDone || strings.Contains(o.Reason, "probe") {
			t.Fatalf("retry %d is %s (%s), want done", n+1, o.Result, o.Reason)
		}
	}
	counted(s.Harness, "after 13 tries", s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: strings.Repeat("F", 13), Low: true})
	counted(s.Harness, "after 13 tries", keys.ClassTries("stuck"), leaf{Rule: "r", Class: "stuck", Recent: strings.Repeat("F", 13)})
	posted := func(n int, parts ...string) {
		t.Helper()
		posts := s.Slack.Posts()
		if len(posts) != n || posts[n-1].Channel != "ci-shop" {
			t.Fatalf("%d posts, want %d: %q", len(posts), n, s.Posts())
		}
		actionstest.Has(t, posts[n-1].Plain(), parts...)
	}
	posted(1, "Retries of rspec", "in platform/shop are skipped from now on: of the last 13 retries by `r` after a `stuck` failure none passed.")

	// known describes what is known before a retry is decided on.
	known := func() string {
		own := s.leaves(s.projectKey())[0]
		passed := "none"
		if n := strings.Count(own.Recent, "P"); n > 0 {
			passed = strconv.Itoa(n)
		}
		return fmt.Sprintf("of the last %d such retries %s passed", len(own.Recent), passed)
	}
	skipped, probes := 0, 0
	const failing = 30 // decisions before the retries pass
	for n := 0; n < failing || s.leaves(s.projectKey())[0].Low; n++ {
		if n == 1000 || n == failing && skipped < failing/2 {
			t.Fatalf("%d skipped and %d probes, want one in 20 to be a probe, and all to be made again in the end", skipped, probes)
		}
		says := known()
		status := "failed"
		if n >= failing {
			status = "success"
		}
		switch o := s.try(status); o.Result {
		case event.ResultSkipped:
			skipped++
			actionstest.Has(t, o.Reason, says+": that 20% or more pass (`min_pass_rate`) has a probability of ")
		default:
			probes++
			actionstest.Has(t, o.Reason, "attempt 2 of 2, a probe: "+says)
		}
	}
	says := known()
	if o := s.try("success"); o.Result != event.ResultDone || strings.Contains(o.Reason, "probe") {
		t.Errorf("afterwards a retry is %s (%s), want done", o.Result, o.Reason)
	}
	posted(2, "Retries of rspec", "in platform/shop are made again: "+strings.Replace(says, "such retries", "retries by `r` after a `stuck` failure", 1)+".")
}

// Each try counts once, whenever the program is killed.
func TestTryKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	scene := func(h *actionstest.Harness) {
		job := h.FailedJob(actionstest.Stuck)
		h.Deliver(h.GitLab.JobHookBody(job.ID))
		ended := false
		h.Meanwhile = func() {
			if again := h.GitLab.Latest(job.PipelineID, "rspec"); again.ID != job.ID && !ended {
				ended = true
				h.GitLab.Run(again.ID)
				h.GitLab.Finish(again.ID, "failed", actionstest.Stuck)
				for range 2 { // of a group's hook, too
					h.Deliver(h.GitLab.JobHookBody(again.ID))
				}
			}
		}
	}
	for name, before := range map[string]string{"the first try": "", "the last before the retries are skipped": strings.Repeat("F", 12)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var project, class string
			actionstest.KilledTwice(t, func(h *actionstest.Harness) {
				scene(h)
				project, class = keys.ProjectTries(h.GitLab.URL(), h.Pipeline.ProjectID, ledger.PartOf("stuck", "rspec")), keys.ClassTries("stuck")
				if before != "" {
					set(h, project, leaf{Rule: "r", Class: "stuck", Job: "rspec", Failed: 12, Recent: before, At: h.Now()})
					set(h, class, leaf{Rule: "r", Class: "stuck", Failed: 12, Recent: before, At: h.Now()})
				}
			}, fmt.Sprintf(rules, ""), func(h *actionstest.Harness, when string) {
				turned := before != ""
				counted(h, when, project, leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: before + "F", Low: turned})
				counted(h, when, class, leaf{Rule: "r", Class: "stuck", Recent: before + "F"})
				posts := 0
				for _, p := range h.Posts() {
					if strings.Contains(p, "are skipped from now on") {
						posts++
					}
				}
				if turned && posts != 1 || !turned && posts != 0 {
					h.Errorf("%s: %d announcements", when, posts)
				}
				if n := h.GitLab.Count("POST", "/retry"); n != 1 {
					h.Errorf("%s: %d retries, want 1", when, n)
				}
			})
		})
	}
}

func set(h *actionstest.Harness, key string, all ...leaf) {
	h.Helper()
	value, err := json.Marshal(all)
	if err != nil {
		h.Fatal(err)
	}
	if err := h.DB.Set(h.Context(), key, value, time.Hour); err != nil {
		h.Fatal(err)
	}
}

// A replica that adds a try between another one's read and write loses nothing, nor does the
// other one.
func TestReplicasAddAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	fuse := actionstest.NewFuse(-1)
	other := s.Replica(fuse)
	var ends [][]byte
	for range 2 {
		s.fail(actionstest.Stuck)
		s.Clock.Advance(time.Second)
		ends = append(ends, s.GitLab.JobHookBody(s.End("rspec", "success", "")))
	}
	s.Deliver(ends[0])
	dones := 0
	s.Fuse.Before = func(step string) {
		if step != "done" {
			return
		}
		if dones++; dones == 3 { // after those of the event and of its outcome, that of the try
			s.Deliver(ends[1])
			if _, err := s.Drain(other); err != nil {
				t.Error(err)
			}
		}
	}
	s.WorkOff()
	counted(s.Harness, "with two replicas", s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: "PP"})
	counted(s.Harness, "with two replicas", keys.ClassTries("stuck"), leaf{Rule: "r", Class: "stuck", Recent: "PP"})
	if dones != 4 {
		t.Errorf("%d ends of records, want 4: the try was to be added twice", dones)
	}
}

// The new run may have ended before the decision that made it has: while its replica hangs,
// another one works on the run's event. The try is that of the rule.
func TestRunEndsBeforeItsDecision(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	other := s.Replica(actionstest.NewFuse(-1))
	ended := false
	s.Fuse.Before = func(step string) {
		if step != "done" || ended || s.GitLab.Count("POST", "/retry") == 0 {
			return
		}
		ended = true
		s.Deliver(s.GitLab.JobHookBody(s.End("rspec", "success", "")))
		if _, err := s.Drain(other); err != nil {
			t.Error(err)
		}
	}
	s.fail(actionstest.Stuck)
	counted(s.Harness, "in the end", s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: "P"})
	if !ended {
		t.Error("the run did not end before its decision")
	}
}

// A run whose end no event reports is counted when its retry is found after a crash.
func TestRunEndsWithoutAnEvent(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	steps := 0
	for s.GitLab.Count("POST", "/retry") == 0 { // killed right after the request
		steps++
		s = newScene(t, "")
		s.Start(actionstest.NewFuse(steps))
		s.Pipeline = s.GitLab.AddPipeline(s.project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
		s.Deliver(s.GitLab.JobHookBody(s.End("rspec", "failed", actionstest.Stuck)))
		s.PassTime()
	}
	s.End("rspec", "success", "")
	s.Start(actionstest.NewFuse(-1))
	s.WorkOff()
	counted(s.Harness, "after the crash", s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: "P"})
}

// A run whose end is seen again after the store has forgotten the id of its try counts once.
func TestRunEndsAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	s.fail(actionstest.Stuck)
	s.end("success")
	s.Clock.Advance(5 * 24 * time.Hour)
	s.Deliver(s.GitLab.JobHookBody(s.GitLab.Latest(s.Pipeline.ID, "rspec").ID))
	s.WorkOff()
	counted(s.Harness, "days later", keys.ClassTries("stuck"), leaf{Rule: "r", Class: "stuck", Recent: "P"})
	want := "# HELP pipesteward_retries_total Retries whose new run has ended, by the failure class of the run before and by whether the new run passed or failed. No rule: GitLab or a person made the retry. None with `learning: off`.\n# TYPE pipesteward_retries_total counter\npipesteward_retries_total{class=\"stuck\",result=\"passed\",rule=\"r\"} 1\n"
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(want), "pipesteward_retries_total"); err != nil {
		t.Error(err)
	}
}

// Runs that GitLab or people retried are evidence of their own; those that began much later
// than the failure are none.
func TestTriesOfOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	byOthers := func(after time.Duration, status string) {
		job := s.fail("runner_system_failure") // which the rule does not retry
		s.Clock.Advance(after)
		s.MustRetry(job.ID)
		s.end(status)
	}
	byOthers(time.Minute, "success")
	byOthers(3*time.Hour, "success")
	byOthers(time.Minute, "failed")
	counted(s.Harness, "others", s.projectKeyOf("runner"), leaf{Class: "runner", Job: "rspec", Recent: "PF"})
	counted(s.Harness, "others", keys.ClassTries("runner"), leaf{Class: "runner", Recent: "PF"})
	want := `# HELP pipesteward_retries_total Retries whose new run has ended, by the failure class of the run before and by whether the new run passed or failed. No rule: GitLab or a person made the retry. None with ` + "`learning: off`" + `.
# TYPE pipesteward_retries_total counter
pipesteward_retries_total{class="runner",result="failed",rule=""} 1
pipesteward_retries_total{class="runner",result="passed",rule=""} 2
`
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(want), "pipesteward_retries_total"); err != nil {
		t.Error(err)
	}
}

// Tries that a backtest has found are tries of others, each counted once, also long after, with
// the weight that they have left. Those of Pipesteward, and those that happened here, are not
// counted again.
func TestSeed(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	o := s.try("success")
	failed := s.fail("runner_system_failure") // which the rule does not retry
	s.Clock.Advance(time.Minute)
	byPerson := s.MustRetry(failed.ID)
	s.end("failed")
	past := func(job int64, after time.Duration, passed bool) event.PastTry {
		return event.PastTry{
			Project: s.project.Path, ProjectID: s.project.ID, PipelineID: 9, Job: "rspec", NewID: job, Class: "runner",
			Delay: after.Seconds(), Seconds: 60, Passed: passed, At: s.Now().Add(-14 * 24 * time.Hour),
		}
	}
	found := []event.PastTry{
		past(9001, time.Minute, true), past(9002, 0, false), past(o.NewJobID, 0, true), past(byPerson.ID, 0, false), past(9003, time.Hour, true),
	}
	for n := range 3 {
		got, err := s.Runner.Seed(t.Context(), found)
		want := event.Seeded{Known: 4, LeftOut: 1}
		if n == 0 {
			want = event.Seeded{Added: 2, Known: 2, LeftOut: 1}
		}
		if err != nil || got != want {
			t.Errorf("seeded for the %d. time: %+v %v, want %+v", n+1, got, err, want)
		}
		s.WorkOff()
		s.Clock.Advance(5 * 24 * time.Hour) // the ids of records are forgotten
	}
	all := s.leaves(s.projectKey())
	if len(all) != 2 || all[0].Rule != "r" || all[0].Recent != "P" || all[1].Rule != "" || all[1].Recent != "FPF" {
		t.Fatalf("the leaves are %+v", all)
	}
	if l := all[1]; math.Abs(l.Passed-0.5) > 0.01 || math.Abs(l.Failed-1.5) > 0.01 {
		t.Errorf("the weights are %+v, want 0.5 and 1.5: the seeded tries are two weeks old", l)
	}
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(""), "pipesteward_retries_total"); err == nil || strings.Contains(err.Error(), `result="passed",rule=""`) {
		t.Errorf("seeded tries are counted as of now: %v", err)
	}
	s = newScene(t, "learning: off")
	if _, err := s.Runner.Seed(t.Context(), found[:1]); err == nil || !strings.Contains(err.Error(), "learning: off") {
		t.Errorf("with learning off: %v", err)
	}
}

// Each try that a backtest has found counts once, whenever the program is killed: who seeds
// repeats what was not answered, and all of it later.
func TestSeedKilledTwice(t *testing.T) {
	await.Long(t, "it kills the program at many steps")
	t.Parallel()
	var found []event.PastTry
	seed := func(h *actionstest.Harness) (event.Seeded, error) { return h.Runner.Seed(h.Context(), found) }
	actionstest.KilledTwice(t, func(h *actionstest.Harness) {
		project := h.GitLab.AddProject(gitlabtest.Project{Path: "platform/shop"})
		found = nil
		for id := range int64(3) {
			found = append(found, event.PastTry{
				Project: project.Path, ProjectID: project.ID, PipelineID: 9, Job: "rspec", NewID: 9001 + id, Class: "runner", Delay: 30, Seconds: 60, Passed: true, At: h.Now().Add(-time.Minute),
			})
		}
		answered := false
		h.Meanwhile = func() {
			if !answered {
				_, err := seed(h)
				answered = err == nil
			}
		}
	}, fmt.Sprintf(rules, ""), func(h *actionstest.Harness, when string) {
		if got, err := seed(h); err != nil || got != (event.Seeded{Known: len(found)}) {
			h.Errorf("%s: seeded again: %+v %v, want all of it known", when, got, err)
		}
		h.WorkOff()
		counted(h, when, keys.ProjectTries(h.GitLab.URL(), found[0].ProjectID, ledger.PartOf("runner", "rspec")), leaf{Class: "runner", Job: "rspec", Recent: "PPP"})
		counted(h, when, keys.ClassTries("runner"), leaf{Class: "runner", Recent: "PPP"})
	})
}

// With `learning: off`, nothing is read or written, and retries are made as the rules say.
func TestLearningOff(t *testing.T) {
	t.Parallel()
	s := newScene(t, "learning: off")
	set(s.Harness, s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Failed: 20, Recent: strings.Repeat("F", 20), At: s.Now(), Low: true})
	before := s.leaves(s.projectKey())
	for range 15 {
		if o := s.try("failed"); o.Result != event.ResultDone || o.Reason != "attempt 2 of 2" || o.PassRate != "" {
			t.Fatalf("it is %s (%s), want done", o.Result, o.Reason)
		}
	}
	if now := s.leaves(s.projectKey()); fmt.Sprint(now) != fmt.Sprint(before) || s.leaves(keys.ClassTries("stuck")) != nil {
		t.Errorf("the statistics have changed to %+v", now)
	}
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(""), "pipesteward_retries_total"); err != nil {
		t.Error(err)
	}
}

// Statistics that can't be read are logged once and counted, count as none, and are replaced
// by the next try.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	if err := s.DB.Set(t.Context(), s.projectKey(), []byte(`[{"rule":"r","class":"stuck","job":"rspec","fai`), time.Hour); err != nil {
		t.Fatal(err)
	}
	if o := s.try("success"); o.Result != event.ResultDone {
		t.Errorf("it is %s (%s), want done", o.Result, o.Reason)
	}
	counted(s.Harness, "replaced", s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Recent: "P"})
	if n := strings.Count(s.Logs.String(), "what was learned of retries can't be read"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, s.Logs)
	}
	want := "# HELP pipesteward_ledger_unreadable_total Reads of what was learned of retries that could not be decoded: nothing was known then.\n# TYPE pipesteward_ledger_unreadable_total counter\npipesteward_ledger_unreadable_total 2\n"
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(want), "pipesteward_ledger_unreadable_total"); err != nil {
		t.Error(err)
	}
}

// Mutes of a rule, of a project and of a channel hold for what people are told of a job's
// retries; those of others do not.
func TestMutedTurns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mute  event.Mute
		posts int
	}{
		{event.Mute{Rule: "r"}, 0},
		{event.Mute{Project: "platform/*"}, 0},
		{event.Mute{Channel: "ci-shop"}, 0},
		{event.Mute{Rule: "other"}, 1},
		{event.Mute{Project: "web/*"}, 1},
	} {
		s := newScene(t, "")
		set(s.Harness, s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Failed: 12, Recent: strings.Repeat("F", 12), At: s.Now()})
		if _, err := s.Mutes().Mute(t.Context(), test.mute, false, ""); err != nil {
			t.Fatal(err)
		}
		s.try("failed")
		if posts := s.Posts(); len(posts) != test.posts {
			t.Errorf("with the mute %s: posts %q, want %d", test.mute.Scope(), posts, test.posts)
		}
	}
}

// What a person requests is not held to `min_pass_rate`.
func TestRequestedRetriesAreMade(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	set(s.Harness, s.projectKey(), leaf{Rule: "r", Class: "stuck", Job: "rspec", Failed: 60, Recent: strings.Repeat("F", 20), At: s.Now(), Low: true})
	o := s.decided(s.fail(actionstest.Stuck).ID)
	for o.Result != event.ResultSkipped { // a probe
		o = s.decided(s.fail(actionstest.Stuck).ID)
	}
	before := s.GitLab.Count("POST", "/retry")
	d := o.Decision
	d.Rule, d.Key, d.Meta.Source, d.By = "", "requested:"+d.Key, event.SourceButton, event.Requester{Name: "Ada", UserID: "U1"}
	record, _, err := s.Runner.Requested(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Put(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	s.WorkOff()
	if n := s.GitLab.Count("POST", "/retry") - before; n != 1 {
		t.Errorf("%d retries, want the one that Ada requested", n)
	}
	s.end("success")
	if rule := s.leaves(s.projectKey()); len(rule) != 2 || rule[1].Rule != "" || rule[1].Recent != "P" {
		t.Errorf("counted as %+v, want as one of others", rule)
	}
}
