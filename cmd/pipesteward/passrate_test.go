package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/keys"
)

const passRateRules = `
version: 1
defaults: {channel: "#ci"}
storm: {failures: 10000}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {max_attempts: 2, allow_stale: true, min_pass_rate: 20%}]
    notify: [{when: [failed]}]
`

// A job whose retries never pass is not retried any more, as `why` says, also after a
// restart.
func TestRetriesThatNeverPassAreSkipped(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", passRateRules)
	// run runs the program with the requests of all these retries sent at once.
	run := func() *program { return env.run("--gitlab-rate", "1000000/1m") }
	p := run()
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	fail := func() (gitlabtest.Job, event.Outcome) { return p.failTwice(env, project.ID, "rspec") }
	// skipped has the job fail until a retry is skipped: one in 20 is a probe.
	skipped := func() (job gitlabtest.Job, probes int) {
		for ; ; probes++ {
			job, outcome := fail()
			if outcome.Result == event.ResultSkipped {
				return job, probes
			}
			if probes == 20 || !strings.Contains(outcome.Reason, "a probe: of the last ") {
				t.Fatalf("the retry is %s (%s), want skipped", outcome.Result, outcome.Reason)
			}
		}
	}
	var made gitlabtest.Job
	for n := range 13 {
		job, outcome := fail()
		if outcome.Result != event.ResultDone {
			t.Fatalf("retry %d is %s (%s), want done", n+1, outcome.Result, outcome.Reason)
		}
		made = job
	}
	job, probes := skipped()
	says := fmt.Sprintf("of the last %d such retries none passed: that 20%% or more pass (`min_pass_rate`) has a probability of ", 13+probes)
	wantSaid := func(job gitlabtest.Job, says string) {
		t.Helper()
		page := fmt.Sprintf("%s/platform/shop/-/jobs/%d", env.gitlab.URL(), job.ID)
		code, out, errs := p.why(page)
		if said := strings.Join(strings.Fields(out), " "); code != 0 || !strings.Contains(said, says) {
			t.Errorf("why exits with %d and does not say %q:\n%s%s", code, says, out, errs)
		}
	}
	wantSaid(job, says)
	wantSaid(made, "attempt 2 of 2; of the last 12 such retries none passed: that 20% or more pass (`min_pass_rate`) has a probability of ")
	_, metrics := p.get("/metrics")
	if line := fmt.Sprintf(`pipesteward_retries_total{class="stuck",result="failed",rule="retry-stuck"} %d`, 13+probes); !strings.Contains(metrics, line+"\n") {
		t.Errorf("/metrics lacks %s", line)
	}
	if !strings.Contains(metrics, `pipesteward_retry_minutes_total{class="stuck",result="failed",rule="retry-stuck"} `) {
		t.Error("/metrics lacks the minutes")
	}
	env.check(fmt.Sprintf("retry-stuck (min_pass_rate: 20%%): 0 of %d (0 %%) of its retries passed in the last 30d\n", 13+probes), 0, "--admin-url", p.admin)
	message := fmt.Sprintf("min_pass_rate: 20%%: 0 of %d (0 %%) of its retries passed in the last 30d", 13+probes)
	env.check(fmt.Sprintf(`"line": 6,
    "column": 5,
    "severity": "info",
    "rule": "retry-stuck",
    "check": "pass-rate",
    "message": %q
`, message), 0, "--admin-url", p.admin, "--format", "json")
	env.check(fmt.Sprintf(`"description": %q,
    "check_name": "pass-rate",`, `rule "retry-stuck": `+message), 0, "--admin-url", p.admin, "--format", "gitlab")
	env.check("min_pass_rate: 20%: the pass rate of its retries is not known: no server answers at http://127.0.0.1:1 ", 0, "--admin-url", "http://127.0.0.1:1", "--format", "json")
	env.check("", 0, "--format", "json")
	env.check("", 0)
	env.check("the pass rates of retries are not known: no server answers at http://127.0.0.1:1 ", 0, "--admin-url", "http://127.0.0.1:1")
	env.check(`--admin-url: "nope" does not begin with http`, 2, "--admin-url", "nope")
	told := 0
	for _, post := range env.slack.Posts() {
		if strings.Contains(post.Plain(), "in platform/shop are skipped from now on: of the last 13 retries") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("people were told %d times, want once", told)
	}

	p.cancel()
	p.ended <- <-p.ended
	p = run()
	job, more := skipped()
	wantSaid(job, fmt.Sprintf("of the last %d such retries none passed", min(13+probes+more, 20)))
}

// check runs `pipesteward check` on the rules, and checks the exit status, and what is said; "":
// nothing of pass rates.
func (env *environment) check(says string, code int, args ...string) {
	env.Helper()
	var out, errs bytes.Buffer
	got := run(env.Context(), append([]string{"pipesteward", "check", filepath.Join(env.dir, "rules.yaml")}, args...), &out, &errs)
	if said := out.String() + errs.String(); got != code || !strings.Contains(said, says) || says == "" && strings.Contains(said, "pass") {
		env.Errorf("check %v exits with %d, want %d and %q:\n%s", args, got, code, says, said)
	}
}

// The retries of a job for which the ledger has no room are judged together with those of other
// such jobs: people are told once that all of them are skipped, and `why` says that the job is
// one of many.
func TestRetriesOfJobsCountedTogetherAreSkipped(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", passRateRules)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	env.fillLedger(project.ID)
	p := env.run()
	var last gitlabtest.Job
	made, skipped := 0, 0
	for n := 0; skipped < 2 && n < 60; n++ { // one in 20 is a probe
		job, outcome := p.failTwice(env, project.ID, "rspec")
		switch outcome.Result {
		case event.ResultDone:
			made++
		case event.ResultSkipped:
			skipped++
			last = job
		default:
			t.Fatalf("the retry of %s is %s (%s)", job.Name, outcome.Result, outcome.Reason)
		}
		if made < 13 && skipped > 0 {
			t.Fatalf("after %d retries that failed, the next one is skipped: %s", made, outcome.Reason)
		}
	}
	if skipped < 2 {
		t.Fatal("no retries are skipped")
	}
	code, out, errs := p.why(fmt.Sprintf("%s/platform/shop/-/jobs/%d", env.gitlab.URL(), last.ID))
	if says := "counted together with other jobs, of the last "; code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), says) {
		t.Errorf("why exits with %d and does not say %q:\n%s%s", code, says, out, errs)
	}
	var told []string
	for _, post := range env.slack.Posts() {
		if strings.Contains(post.Plain(), "are skipped from now on") {
			told = append(told, post.Plain())
		}
	}
	if want := "Retries of all jobs that are counted together in platform/shop are skipped from now on: of the last 13 retries by `retry-stuck` after a `stuck` failure none passed."; len(told) != 1 || !strings.Contains(told[0], want) {
		t.Errorf("people were told %q, want once %q", told, want)
	}
}

// fillLedger has the ledger know as many jobs of a project as it has room for, whose retries
// passed. The program must not run yet.
func (env *environment) fillLedger(project int64) {
	env.Helper()
	const parts, room = 16, 200
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		env.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var leaves []map[string]any
	for n := range room {
		leaves = append(leaves, map[string]any{"rule": "retry-stuck", "class": "stuck", "job": fmt.Sprintf("known %d", n), "passed": 1, "at": time.Now(), "recent": "P"})
	}
	body, err := json.Marshal(leaves)
	if err != nil {
		env.Fatal(err)
	}
	for part := range parts {
		if err := db.Set(env.Context(), keys.ProjectTries(env.gitlab.URL(), project, part), body, time.Hour); err != nil {
			env.Fatal(err)
		}
	}
}

// failTwice has a job of a new pipeline fail, and its retry, too. It returns the job and what
// came of it.
func (p *program) failTwice(env *environment, project int64, name string) (gitlabtest.Job, event.Outcome) {
	p.Helper()
	pipeline := env.gitlab.AddPipeline(project, gitlabtest.Pipeline{}, gitlabtest.Job{Name: name})
	job := env.gitlab.Latest(pipeline.ID, name)
	env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	outcome := p.outcomeOf(job.ID)
	if again := env.gitlab.Latest(pipeline.ID, name); again.ID != job.ID {
		env.gitlab.Finish(again.ID, "failed", "stuck_or_timeout_failure")
		p.post(env.gitlab.JobHookBody(again.ID))
		p.workedOff()
	}
	return job, outcome
}

// outcomeOf returns what came of the decision on a job.
func (p *program) outcomeOf(job int64) event.Outcome {
	p.Helper()
	for _, o := range p.outcomes() {
		if o.Job.ID == job && (o.Result == event.ResultDone || o.Result == event.ResultSkipped) {
			return o
		}
	}
	p.Fatalf("nothing came of job %d", job)
	return event.Outcome{}
}
