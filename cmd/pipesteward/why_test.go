package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/actions/story"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/wrap"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/bolt"
	"github.com/pipesteward/pipesteward/store/redistest"
)

// page returns the address of a job's page.
func (env *environment) page(job gitlabtest.Job) string {
	return fmt.Sprintf("%s/platform/shop/-/jobs/%d", env.gitlab.URL(), job.ID)
}

// why runs `pipesteward why` with more arguments, and returns what it prints.
func (p *program) why(args ...string) (code int, stdout, stderr string) {
	p.Helper()
	var out, errs bytes.Buffer
	code = run(p.Context(), append([]string{"pipesteward", "why", "--admin-url", p.admin}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// story returns the story of a page.
func (p *program) story(page string) (s story.Story) {
	p.Helper()
	code, out, errs := p.why("--json", page)
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil {
		p.Fatalf("why exits with %d: %s %v", code, errs, err)
	}
	return s
}

// A rule file for the stories: `if` is that of the rule that retries.
func retryRules(condition, more string) string {
	return fmt.Sprintf("version: 1\ndefaults: {channel: \"#ci\"}\nrules:\n  - name: retry-stuck\n    on: job\n    if: %s\n    actions: [retry: {max_attempts: 3}]\n%s", condition, more)
}

const stuckOrSystem = `failed_with("stuck_or_timeout_failure", "runner_system_failure")`

// TestWhyNotRetried: "why was this job not retried?" has an answer in each case.
func TestWhyNotRetried(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		rules   string                                                 // "": retryRules of stuckOrSystem
		before  func(env *environment, job gitlabtest.Job)             // serve starts
		arrange func(env *environment, p *program, job gitlabtest.Job) // nil: its event is delivered and worked off
		verdict story.Answer
		says    string   // the answer has this
		has     []string // and all that is printed has these
	}{
		{
			name:    "no delivery came",
			arrange: func(*environment, *program, gitlabtest.Job) {},
			verdict: story.NoEvent, says: "not retried: Pipesteward knows of no event of job",
			has: []string{"Settings → Webhooks", "hooks list", "catch-up", "ended: failed (stuck_or_timeout_failure)"},
		},
		{
			name: "its delivery was refused",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.postWith("a wrong token", env.gitlab.JobHookBody(job.ID))
				p.postWith("a wrong token", env.gitlab.JobHookBody(job.ID))
			},
			verdict: story.Refused, says: "and has refused 2 deliveries since it ended, the last one at ",
			has: []string{"with 401: ", "`pipesteward deliveries` lists what came", "catch-up"},
		},
		{
			name: "its delivery was of another GitLab",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				foreign := func(job gitlabtest.Job) []byte {
					return bytes.ReplaceAll(env.gitlab.JobHookBody(job.ID), []byte(env.gitlab.URL()), []byte("https://staging.example.com"))
				}
				other := foreign(env.stuckJobOf("platform/other"))
				p.eventually("GitLab has said its own address", func() bool { return p.post(other) == http.StatusForbidden })
				p.post(foreign(job))
			},
			verdict: story.Refused, says: "not retried: the delivery of its event was refused at ",
			has: []string{"with 403: this delivery is from the GitLab at https://staging.example.com", "refused with 403 (foreign)"},
		},
		{
			name: "no rule can want it", rules: retryRules(`job.status == "canceled"`, ""),
			verdict: story.Ignored, says: ", and no rule can match a job that is failed",
			has: []string{"GitLab sent job", "failed: ignored, because no rule can match a job that is failed", "pipesteward explain --gitlab-url http"},
		},
		{
			name: "only an earlier status came", rules: retryRules(`job.status in ["running", "failed"] and job.name == "x"`, ""),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(bytes.Replace(env.gitlab.JobHookBody(job.ID), []byte(`"build_status":"failed"`), []byte(`"build_status":"running"`), 1))
				p.workedOff()
			},
			verdict: story.NoEvent, says: "not retried: Pipesteward knows of no event of job", has: []string{"in status failed", "2 events that led to nothing"},
		},
		{
			name: "a duplicate", rules: retryRules(`failed_with("script_failure") or job.name == "x"`, ""),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				for range 2 {
					p.post(env.gitlab.JobHookBody(job.ID))
				}
				p.workedOff()
			},
			verdict: story.NoRule, says: `rule "retry-stuck" did not match, because job.failure_reason is`,
			has: []string{"failed: accepted", "failed, once more: a duplicate"},
		},
		{
			name: "no rule matched", rules: retryRules(`job.status == "failed" and job.failure_reason == "runner_system_failure"`, ""),
			verdict: story.NoRule, says: `not retried: rule "retry-stuck" did not match, because job.failure_reason is "stuck_or_timeout_failure"`,
			has: []string{"✗ retry-stuck did not match", "rules.yaml:4", "the rules were evaluated on job", "pipesteward explain --gitlab-url http"},
		},
		{
			name:    "none of several matched",
			rules:   retryRules(`failed_with("script_failure")`, "  - {name: retry-lint, on: job, if: 'job.status == \"failed\" and job.name == \"lint\"', actions: [retry]}\n  - {name: tell, on: job, if: 'job.name == \"x\"', notify: [{channel: ci}]}\n"),
			verdict: story.NoRule, says: `none of 2 rules matched; rule "retry-lint" did not match, because job.name is "rspec"`,
		},
		{
			name: "no rule retries", rules: "version: 1\nrules:\n  - {name: tell, on: job, if: 'job.status == \"failed\"', notify: [{channel: ci}]}\n",
			verdict: story.NoRule, says: "not retried: no rule for job events retries", has: []string{"notified ci in Slack"},
		},
		{
			name:    "a rule with stop",
			rules:   "version: 1\nrules:\n  - {name: sandbox, on: job, if: 'glob(project.path, \"platform/*\")', notify: [{when: [skipped], channel: ci}], stop: true}\n" + strings.SplitN(retryRules(stuckOrSystem, ""), "rules:\n", 2)[1],
			verdict: story.Stopped, says: `not retried: rule "sandbox" matched, and its ` + "`stop: true`" + ` ends the evaluation before rule "retry-stuck"`,
		},
		{
			name:    "a rule that only stops",
			rules:   "version: 1\nrules:\n  - {name: sandbox, on: job, if: 'glob(project.path, \"platform/*\")', stop: true}\n" + strings.SplitN(retryRules(stuckOrSystem, ""), "rules:\n", 2)[1],
			verdict: story.Stopped, says: `not retried: rule "sandbox" matched, and its ` + "`stop: true`" + ` ends the evaluation before rule "retry-stuck"`,
			has: []string{"sandbox matched"},
		},
		{
			name: "a rule failed", rules: retryRules(`job.status == "failed" and int(job.name) > 3`, ""),
			verdict: story.RuleFailed, says: `not retried: rule "retry-stuck" failed, and so did not match`,
			has: []string{"! retry-stuck failed"},
		},
		{
			name: "a rule waits for GitLab", rules: retryRules(`job.status == "failed" and log() contains "no space"`, ""),
			before: func(env *environment, _ gitlabtest.Job) {
				env.gitlab.Fail(gitlabtest.Fault{Path: "/trace", Status: 503, Times: 1000})
			},
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the event waits", func() bool { d, ok := p.depth(); return ok && d.Waiting == 1 })
			},
			verdict: story.RuleWaits, says: "not retried yet: the event is evaluated again later, because GitLab could not say what a rule asks: 503",
			has: []string{"1 failed; it is evaluated again later"},
		},
		{
			name: "a pause",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				if code, text := p.request(http.MethodPost, "/api/v1/pause", "", "Content-Type", "application/json"); code != http.StatusBadRequest {
					p.Fatalf("a pause without a body: %d %s", code, text)
				}
				var out, errs bytes.Buffer
				if code := run(p.Context(), []string{"pipesteward", "pause", "--admin-url", p.admin, "--by", "ann", "--reason", "the cluster moves"}, &out, &errs); code != 0 {
					p.Fatal(errs.String())
				}
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry is deferred", func() bool { all := p.outcomes(); return len(all) == 1 && all[0].Result == event.ResultDeferred })
			},
			verdict: story.Deferred, says: `not retried yet: rule "retry-stuck" decided to retry it, which waits: paused`,
			has: []string{"the cluster moves", "deferred", "checked again at"},
		},
		{
			name:  "a budget",
			rules: strings.Replace(retryRules(stuckOrSystem, ""), "rules:", "limits: {total: 1/1h}\nrules:", 1),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(env.stuckJobOf("platform/other").ID))
				p.eventually("the first is retried", func() bool { return env.gitlab.Count("POST", "/retry") == 1 })
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry is deferred", func() bool { all := p.outcomes(); return len(all) == 2 && all[0].Result == event.ResultDeferred })
			},
			verdict: story.Deferred, says: "which waits: the budget of 1 retry in 1h for all projects is used up",
		},
		{
			name:  "a circuit breaker",
			rules: strings.Replace(retryRules(stuckOrSystem, ""), "rules:", "storm: {failures: 1, pipelines: 1, within: 5m, pause: 15m}\nrules:", 1),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry is deferred", func() bool { all := p.outcomes(); return len(all) == 1 && all[0].Result == event.ResultDeferred })
			},
			verdict: story.Deferred, says: "which waits: a storm: too many failures of class stuck",
		},
		{
			name: "a delay", rules: strings.Replace(retryRules(stuckOrSystem, ""), "max_attempts: 3", "max_attempts: 3, delay: 1h, max_delay: 2h", 1),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry waits", func() bool { return len(p.outcomes()) == 1 })
			},
			verdict: story.Waiting, says: `not retried yet: rule "retry-stuck" decided to retry it, due at `,
		},
		{
			name: "a pause while it is not due", rules: strings.Replace(retryRules(stuckOrSystem, ""), "max_attempts: 3", "max_attempts: 3, delay: 1h, max_delay: 2h", 1),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry waits", func() bool { return len(p.outcomes()) == 1 })
				var out, errs bytes.Buffer
				if code := run(p.Context(), []string{"pipesteward", "pause", "--admin-url", p.admin, "--project", "platform/*", "--by", "ann", "--reason", "the cluster moves"}, &out, &errs); code != 0 {
					p.Fatal(errs.String())
				}
			},
			verdict: story.Waiting, says: "UTC; paused (project:platform/*) by ann: the cluster moves, until somebody resumes",
		},
		{
			name: "a dry run that is not due", rules: strings.Replace(retryRules(stuckOrSystem, "    dry_run: true\n"), "max_attempts: 3", "max_attempts: 3, delay: 1h, max_delay: 2h", 1),
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry waits", func() bool { return len(p.outcomes()) == 1 })
			},
			verdict: story.DryRun, says: `not retried, and will not be: dry run; rule "retry-stuck" would retry it at `,
		},
		{
			name:    "rules that can't match",
			rules:   retryRules(`failed_with("stuck_or_timeout_failure") and job.name == "x"`, "  - {name: a, on: job, if: 'job.status == \"success\"', notify: [{channel: ci}]}\n  - {name: b, on: job, if: 'job.status == \"failed\"', notify: [{channel: ci}]}\n  - {name: c, on: pipeline, if: 'pipeline.status == \"failed\"', notify: [{channel: ci}]}\n"),
			verdict: story.NoRule, says: "not retried",
			has: []string{"✓ b matched", "✗ a did not match", "1 matched, 1 did not, 1 can't match such an event"},
		},
		{
			name: "a guard: somebody retried it",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				body := env.gitlab.JobHookBody(job.ID)
				if _, err := env.gitlab.Retry(job.ID); err != nil {
					p.Fatal(err)
				}
				p.post(body)
				p.workedOff()
			},
			verdict: story.Skipped, says: `not retried: rule "retry-stuck" matched, but already retried as job`,
			has: []string{"Did not retry rspec"},
		},
		{
			name: "a dry run", rules: retryRules(stuckOrSystem, "    dry_run: true\n"),
			verdict: story.DryRun, says: `not retried: dry run; rule "retry-stuck" would retry it`, has: []string{"dry_run: false"},
		},
		{
			name: "a call that GitLab refused",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				env.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"}) // it has rights there
				env.gitlab.SetRole(job.ProjectID, gitlabtest.Reporter)
				p.post(env.gitlab.JobHookBody(job.ID))
				p.workedOff()
			},
			verdict: story.Failed, says: `not retried: rule "retry-stuck" decided to retry it, and that failed: GitLab refused`,
			has: []string{"POST retry: 403"},
		},
		{
			name:    "retried and running",
			verdict: story.Done, says: `retried by rule "retry-stuck" as job 1002, which is pending: attempt 2 of 3`, has: []string{"is pending", "POST retry: 201", "attempt 2 of 3"},
		},
		{
			name:    "retried and passed",
			arrange: func(env *environment, p *program, job gitlabtest.Job) { env.retryAndEnd(p, job, "success", "") },
			verdict: story.Recovered, says: `retried by rule "retry-stuck" as job 1002, which passed: attempt 2 passed`, has: []string{"Recovered: rspec", "ended: success"},
		},
		{
			name: "retried and failed again",
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				env.retryAndEnd(p, job, "failed", "script_failure")
			},
			verdict: story.FailedAgain, says: `retried by rule "retry-stuck" as job 1002, which failed again: attempt 2 failed for another reason: script_failure`, has: []string{"ended: failed (script_failure)"},
		},
		{
			name: "a notification failed", rules: retryRules(stuckOrSystem, "    notify: [{channel: \"#gone\"}]\n"),
			before: func(env *environment, _ gitlabtest.Job) {
				env.slack.Fail(slacktest.Fault{Method: "chat.postMessage", Error: "invalid_blocks", Times: 100})
			},
			verdict: story.Done, says: "retried by rule",
			has: []string{"! rule \"retry-stuck\": #gone in Slack was not notified", "invalid_blocks", "could not notify #gone in Slack"},
		},
		{
			name: "a notification waits", rules: retryRules(stuckOrSystem, "    notify: [{channel: \"#ci\"}]\n"),
			before: func(env *environment, _ gitlabtest.Job) {
				env.slack.Fail(slacktest.Fault{Method: "chat.postMessage", Status: http.StatusServiceUnavailable, Times: 1000})
			},
			arrange: func(env *environment, p *program, job gitlabtest.Job) {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.eventually("the retry is done", func() bool { all := p.outcomes(); return len(all) == 1 && all[0].Result == event.ResultDone })
			},
			verdict: story.Done, says: "retried by rule",
			has: []string{`! rule "retry-stuck": its notification to #ci in Slack has not been sent yet`},
		},
		{
			name:   "a dead decision",
			before: (*environment).buryDecision,
			arrange: func(_ *environment, p *program, _ gitlabtest.Job) {
				p.eventually("the record is buried", func() bool { d, ok := p.depth(); return ok && d.Dead == 1 })
			},
			verdict: story.Dead, says: `not retried: its decision was buried: unknown action "explode"`,
			has: []string{"buried, and nothing is done about it any more", "`pipesteward queue list --dead`", "back into the queue: pipesteward queue requeue decision:x"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			if c.rules == "" {
				c.rules = retryRules(stuckOrSystem, "")
			}
			env.write("rules.yaml", c.rules)
			job := env.stuckJob()
			if c.before != nil {
				c.before(env, job)
			}
			p := env.run()
			if c.arrange == nil {
				p.post(env.gitlab.JobHookBody(job.ID))
				p.workedOff()
			} else {
				c.arrange(env, p, job)
			}
			s := p.story(env.page(job))
			if s.Verdict != c.verdict || !strings.Contains(s.Answer, c.says) {
				t.Errorf("the answer is %s, %q, want %s, %q", s.Verdict, s.Answer, c.verdict, c.says)
			}
			code, out, errs := p.why(env.page(job))
			if code != 0 || errs != "" {
				t.Fatalf("why exits with %d: %s", code, errs)
			}
			if first := strings.Join(strings.Fields(out), " "); !strings.HasPrefix(first, strings.Split(s.Answer, "; checked again")[0]) { // which it may be meanwhile
				t.Errorf("the answer does not come first:\n%s", out)
			}
			words := strings.Join(strings.Fields(out), " ")
			for _, want := range c.has {
				if !strings.Contains(words, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			for line := range strings.Lines(out) {
				if n := len([]rune(strings.TrimSpace(line))); n > wrap.DefaultWidth && !strings.Contains(line, "://") {
					t.Errorf("a line has %d characters: %s", n, line)
				}
			}
		})
	}
}

// retryAndEnd delivers the job's event, has the retry end, and delivers that.
func (env *environment) retryAndEnd(p *program, job gitlabtest.Job, status, reason string) {
	p.Helper()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	again := env.gitlab.Latest(job.PipelineID, job.Name)
	env.gitlab.Run(again.ID)
	env.gitlab.Finish(again.ID, status, reason)
	p.post(env.gitlab.JobHookBody(again.ID))
	p.eventually("the result is recorded", func() bool { return len(p.outcomes()) == 2 })
}

// buryDecision puts a decision into the store that nobody can carry out.
func (env *environment) buryDecision(job gitlabtest.Job) {
	d := event.Decision{ID: "x", Key: "x", Rule: "retry-stuck", Action: event.Action{Verb: "explode"}}
	d.Meta.Instance, d.Project.ID, d.Pipeline.ID, d.Job.ID = env.gitlab.URL(), job.ProjectID, job.PipelineID, job.ID
	body, err := json.Marshal(d)
	if err != nil {
		env.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(env.dir, "pipesteward.db"), bolt.Options{Now: time.Now})
	if err != nil {
		env.Fatal(err)
	}
	if _, err := db.Put(env.Context(), store.Record{ID: "decision:x", Kind: event.RecordDecision, Body: body}); err != nil {
		env.Fatal(err)
	}
	if err := db.Close(); err != nil {
		env.Fatal(err)
	}
}

// TestWhyOfAPipeline: the story of a pipeline has the decisions about all of its jobs.
func TestWhyOfAPipeline(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(stuckOrSystem, "  - {name: tell, on: pipeline, if: 'pipeline.status == \"failed\"', notify: [{channel: ci}]}\n"))
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop"})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"}, gitlabtest.Job{Name: "jest"}, gitlabtest.Job{Name: "lint"})
	for name, reason := range map[string]string{"rspec": "runner_system_failure", "jest": "stuck_or_timeout_failure", "lint": "script_failure"} {
		env.gitlab.Finish(env.gitlab.Latest(pipeline.ID, name).ID, "failed", reason)
	}
	hooks := [][]byte{env.gitlab.PipelineHookBody(pipeline.ID)} // before a retry has the pipeline run again
	for _, name := range []string{"rspec", "jest", "lint"} {
		hooks = append(hooks, env.gitlab.JobHookBody(env.gitlab.Latest(pipeline.ID, name).ID))
	}
	p := env.run()
	for _, hook := range hooks {
		p.post(hook)
	}
	p.workedOff()
	page := fmt.Sprintf("%s/platform/shop/-/pipelines/%d", env.gitlab.URL(), pipeline.ID)
	s := p.story(page)
	if want := "2 decisions: 2 done"; s.Answer != want || s.Pipeline.ID != pipeline.ID || s.Job.ID != 0 {
		t.Errorf("the answer about pipeline %d is %q, want %q", s.Pipeline.ID, s.Answer, want)
	}
	_, out, _ := p.why(page)
	words := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"lint, failed (script_failure): none can match such an event", "decided to retry job", "Retried rspec", "Retried jest", fmt.Sprintf("pipeline %d, failed: 1 matched", pipeline.ID)} {
		if !strings.Contains(words, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// TestWhyWithoutGitLab: what is recorded is told while GitLab can't be used, and why the
// rest is missing; and so it is when the job was deleted meanwhile.
func TestWhyWithoutGitLab(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(stuckOrSystem, "  - {name: tell, on: pipeline, if: 'pipeline.status == \"failed\"', notify: [{channel: ci}]}\n"))
	job := env.stuckJob()
	ofPipeline := env.gitlab.PipelineHookBody(job.PipelineID) // before a retry has it run again
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	p.post(ofPipeline) // the last event is not the job's own
	p.workedOff()
	env.gitlab.Fail(gitlabtest.Fault{Status: 503, Times: 1000})
	s := p.story(env.page(job))
	if !strings.HasPrefix(s.Answer, "retried by rule") || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "what GitLab says now is missing: 503") || s.Job.Name != "rspec" || s.Job.Status != "failed" || !strings.HasPrefix(s.Of, "job ") {
		t.Errorf("while GitLab is away: %q, %q, job %+v", s.Answer, s.Problems, s.Job)
	}
	env.gitlab.ClearFaults()
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"})
	env.gitlab.SetRole(job.ProjectID, gitlabtest.NoAccess)
	s = p.story(env.page(job))
	if !strings.HasPrefix(s.Answer, "retried by rule") || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "404") {
		t.Errorf("when the project is hidden: %q, %q", s.Answer, s.Problems)
	}
}

// TestWhyOfAnotherProject: a job is known by its id, but its story is told under its own
// project's address only.
func TestWhyOfAnotherProject(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(stuckOrSystem, ""))
	job := env.stuckJob()
	env.stuckJobOf("platform/other")
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	for _, outage := range []int{0, http.StatusUnauthorized} {
		if outage != 0 {
			env.gitlab.Fail(gitlabtest.Fault{Status: outage, Times: 1000})
		}
		for _, page := range []string{"platform/other/-/jobs/", "platform/none/-/jobs/"} {
			code, out, errs := p.why(fmt.Sprintf("%s/%s%d", env.gitlab.URL(), page, job.ID))
			if want := fmt.Sprintf("it belongs to platform/shop, as recorded; give the address of job %d of platform/shop", job.ID); code != 1 || out != "" || !strings.Contains(errs, want) {
				t.Errorf("exit status %d, want 1 with %q:\n%s%s", code, want, out, errs)
			}
		}
		if s := p.story(strings.Replace(env.page(job), "shop", "Shop", 1)); !strings.HasPrefix(s.Answer, "retried by rule") || s.Job.Name != "rspec" {
			t.Errorf("its own page: %q, job %+v", s.Answer, s.Job)
		}
	}
}

// TestWhyAfterOtherRules: what the rules made of an event is told when they have changed
// since, and that they have.
func TestWhyAfterOtherRules(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(`failed_with("script_failure")`, ""))
	job := env.stuckJob()
	p := env.run()
	p.post(env.gitlab.JobHookBody(job.ID))
	p.workedOff()
	env.write("rules.yaml", "# a comment changes nothing\n"+retryRules(`failed_with("script_failure")`, ""))
	p.reload()
	if s := p.story(env.page(job)); len(s.Notes) != 0 || len(s.Rules) != 1 || s.Rules[0].Explanation.If.Text == "" {
		t.Errorf("after another comment: %+v", s)
	}
	env.write("rules.yaml", retryRules(stuckOrSystem, ""))
	p.reload()
	s := p.story(env.page(job))
	if s.Answer != "not retried: no rule matched" || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "the rules have changed since the event") {
		t.Errorf("after another rule: %q %q", s.Answer, s.Notes)
	}
}

// TestWhyOnAnotherReplica: each replica tells what any of them saw.
func TestWhyOnAnotherReplica(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.write("rules.yaml", retryRules(`failed_with("script_failure")`, ""))
	server := redistest.Start(t)
	job := env.stuckJob()
	one := env.run("--store", server.URL())
	one.post(env.gitlab.JobHookBody(job.ID))
	one.workedOff()
	one.stop()
	two := env.run("--store", server.URL())
	if s := two.story(env.page(job)); s.Verdict != story.NoRule || !strings.Contains(s.Answer, "did not match, because job.failure_reason is") {
		t.Errorf("another replica answers %q", s.Answer)
	}
}

// TestWhyOfNothing: what can't be answered says what to do instead.
func TestWhyOfNothing(t *testing.T) {
	t.Parallel()
	env := newEnvironment(t)
	env.stuckJob()
	hidden := env.stuckJobOf("secret/project")
	env.gitlab.SetRole(hidden.ProjectID, gitlabtest.NoAccess)
	p := env.run()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no address", nil, 2, "why needs the address of a job or a pipeline"},
		{"two addresses", []string{"a", "b"}, 2, "why takes one address"},
		{"an id", []string{"1977"}, 2, `"1977" is no address: give the address`},
		{"another page", []string{env.gitlab.URL() + "/platform/shop/-/issues/1"}, 2, "is no page of a job or a pipeline"},
		{"another GitLab", []string{"https://gitlab.com/platform/shop/-/jobs/1"}, 2, "gitlab.com is a page of another GitLab than " + env.gitlab.URL()},
		{"no such job", []string{env.gitlab.URL() + "/platform/shop/-/jobs/99999"}, 1, "does not show job 99999 of platform/shop to the user of the token (404"},
		{"no such project", []string{env.gitlab.URL() + "/platform/none/-/pipelines/1"}, 1, "does not show pipeline 1 of platform/none to the user of the token (404"},
		{"a hidden project", []string{fmt.Sprintf("%s/secret/project/-/jobs/%d", env.gitlab.URL(), hidden.ID)}, 1, "or the user is no member of the project"},
		{"no server", []string{"--admin-url", "http://127.0.0.1:1", "https://gitlab.com/a/b/-/jobs/1"}, 1, "no server answers at http://127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := p.why(c.args...)
			if code != c.code || !strings.Contains(errs, c.says) || out != "" {
				t.Errorf("exit status %d, want %d with %q:\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
	for query, want := range map[string]int{"": http.StatusBadRequest, "?url=x&y=z": http.StatusBadRequest, "?url=x": http.StatusBadRequest} {
		if code, text := p.get("/api/v1/why" + query); code != want {
			t.Errorf("%s: %d %s, want %d", query, code, text, want)
		}
	}
}
