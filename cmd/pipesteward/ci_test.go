package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/ownpipeline"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules/event"
)

const ciRules = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-infrastructure
    on: job
    if: failed_with("runner_system_failure")
    actions: [retry: {max_attempts: 3, delay: 0s}]
    notify: [{when: [done, gave_up]}]
  - name: deploy
    on: pipeline
    if: event.source == "ci" and all(pipeline.jobs, .stage != "test" or .status == "success")
    actions:
      - play: {jobs: 'filter(pipeline.jobs, .name == "deploy" and .status == "manual")'}
`

// ciEnvironment is a pipeline in a simulated GitLab, whose last job runs `pipesteward ci`.
type ciEnvironment struct {
	*environment
	pipeline gitlabtest.Pipeline
	own      gitlabtest.Job
}

// newCIEnvironment returns one in which rspec has failed for the reason, and the last
// job runs.
func newCIEnvironment(t *testing.T, o gitlabtest.Options, rules, reason string) *ciEnvironment {
	t.Helper()
	env := &ciEnvironment{environment: newEnvironment(t)}
	o.Now = time.Now
	env.gitlab = gitlabtest.Start(t, o)
	env.write("rules.yaml", rules)
	project := env.gitlab.AddProject(gitlabtest.Project{Path: "platform/shop", AgentIDs: []int64{5}})
	env.gitlab.AddProject(gitlabtest.Project{Path: "platform/other"})
	env.pipeline = env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{},
		gitlabtest.Job{Stage: "test", Name: "rspec"},
		gitlabtest.Job{Stage: "deploy", Name: "deploy", When: "manual", AllowFailure: true},
		gitlabtest.Job{Stage: ".post", Name: "pipesteward", When: "always"},
	)
	env.rspec(reason)
	env.startOwn()
	return env
}

// rspec ends the latest run of rspec: "" lets it pass.
func (env *ciEnvironment) rspec(reason string) {
	job := env.gitlab.Latest(env.pipeline.ID, "rspec")
	env.gitlab.Run(job.ID)
	if reason == "" {
		env.gitlab.Finish(job.ID, "success", "")
	} else {
		env.gitlab.Finish(job.ID, "failed", reason)
	}
}

// startOwn has a runner take the job that runs the command.
func (env *ciEnvironment) startOwn() {
	env.Helper()
	env.own = env.gitlab.Latest(env.pipeline.ID, "pipesteward")
	if env.own.Status == "pending" {
		env.gitlab.Run(env.own.ID)
	} else if env.own.Status != "running" {
		env.Fatalf("the job that runs the command is %s", env.own.Status)
	}
}

// ci runs the command as the job does, with an access token.
func (env *ciEnvironment) ci(more ...string) (code int, output string) {
	env.Helper()
	return env.ciWithout(append([]string{"--gitlab-token", gitlabtest.DefaultToken}, more...)...)
}

// ciWithout is ci without an access token.
func (env *ciEnvironment) ciWithout(more ...string) (code int, output string) {
	env.Helper()
	var out bytes.Buffer
	code = run(env.Context(), append([]string{
		"pipesteward", "ci", "--rules", filepath.Join(env.dir, "rules.yaml"), "--native-retry-wait", "0s", "--gitlab-rate", "1000000/1m",
		"--gitlab-url", env.gitlab.URL(), "--job-token", env.gitlab.JobToken(env.own.ID),
	}, more...), &out, &out)
	for _, secret := range []string{gitlabtest.DefaultToken, env.gitlab.JobToken(env.own.ID), testSlack} {
		if strings.Contains(out.String(), secret) {
			env.Errorf("a secret is printed:\n%s", out.String())
		}
	}
	return code, out.String()
}

// writes returns the requests that changed something.
func (env *ciEnvironment) writes() (all []string) {
	for _, r := range env.gitlab.Requests() {
		if r.Method != http.MethodGet {
			all = append(all, r.Path)
		}
	}
	return all
}

// wantCI checks an exit status, what the output has, and what was changed.
func (env *ciEnvironment) wantCI(code, wantCode int, output string, says []string, writes ...string) {
	env.Helper()
	if code != wantCode {
		env.Errorf("exit status %d, want %d\n%s", code, wantCode, output)
	}
	for _, part := range says {
		if !strings.Contains(output, part) {
			env.Errorf("the output lacks %q:\n%s", part, output)
		}
	}
	if got := env.writes(); !slices.Equal(got, writes) {
		env.Errorf("requests %v, want %v\n%s", got, writes, output)
	}
}

func jobPath(job gitlabtest.Job, verb string) string {
	return fmt.Sprintf("/projects/%d/jobs/%d/%s", job.ProjectID, job.ID, verb)
}

// With what GitLab sets, and nothing else, the command says what it would do.
func TestCIWithTheJobsVariablesOnly(t *testing.T) {
	env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
	t.Chdir(env.dir)
	t.Setenv("CI_API_V4_URL", env.gitlab.URL()+"/api/v4")
	t.Setenv("CI_JOB_TOKEN", env.gitlab.JobToken(env.own.ID))
	t.Setenv("CI_JOB_ID", strconv.FormatInt(env.own.ID, 10))
	t.Setenv("NO_COLOR", "1")
	var out bytes.Buffer
	code := run(t.Context(), []string{"pipesteward", "ci"}, &out, &out)
	env.wantCI(code, 4, out.String(), []string{
		"Pipesteward: 1 not done (dry run)\n",
		"pipeline 101 of platform/shop on main is running: " + env.pipeline.WebURL,
		`this is job 1003 "pipesteward", which is left alone`,
		"2 rules for the pipeline as it is and its 2 jobs that have ended\n",
		"Kubernetes agents that this job may use: 5 (of project 1)",
		"→ Dry run: would retry rspec (runner_system_failure)  (rule retry-infrastructure)",
		"GitLab lets no job token retry, play, cancel or erase. Give an access token with the scope api as the masked variable PIPESTEWARD_GITLAB_TOKEN",
	})
	section := regexp.MustCompile(`(?s)^\x1b\[0Ksection_start:\d{10}:pipesteward\r\x1b\[0KPipesteward: .*\n\x1b\[0Ksection_end:\d{10}:pipesteward\r\x1b\[0K\n`)
	if !section.MatchString(out.String()) {
		t.Errorf("the output has no section of a job log:\n%q", out.String())
	}
	t.Setenv("CI_API_V4_URL", "")
	t.Setenv("CI_SERVER_URL", env.gitlab.URL())
	if code := run(t.Context(), []string{"pipesteward", "ci"}, &out, &out); code != 4 {
		t.Errorf("with CI_SERVER_URL: exit status %d\n%s", code, out.String())
	}
}

func TestCI(t *testing.T) {
	t.Parallel()
	retry := func(rule string) string {
		return "version: 1\nrules:\n  - name: r\n    on: job\n    if: failed_with(\"runner_system_failure\")\n    actions: [retry: {" + rule + "}]\n"
	}
	onPipeline := func(action string) string {
		return "version: 1\nrules:\n  - name: p\n    on: pipeline\n    actions: [" + action + "]\n"
	}
	old := gitlabtest.Options{Version: "16.0.0"}
	for _, c := range []struct {
		name    string
		options gitlabtest.Options
		rules   string
		reason  string // of rspec's failure; "": it passed
		before  func(env *ciEnvironment)
		without bool // an access token
		args    []string
		code    int
		says    []string
		writes  func(env *ciEnvironment) []string
	}{
		{
			name: "retries, and folds the section", rules: ciRules, reason: "runner_system_failure",
			says:   []string{"pipesteward[collapsed=true]\r", "1 done", "Retried rspec (runner_system_failure), now job 1004: attempt 2 of 3"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1001), "retry")} },
		},
		{
			name: "plays when the tests are green", rules: ciRules,
			says:   []string{"1 done", "Played deploy"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1002), "play")} },
		},
		{
			name: "a red job is left alone", rules: ciRules, reason: "script_failure",
			says: []string{"pipesteward[collapsed=true]\r", "Pipesteward: no rule calls for anything"},
		},
		{
			name: "gives up", rules: retry("max_attempts: 1"), reason: "runner_system_failure", code: 3,
			says: []string{"pipesteward\r", "1 gave up", "1 attempt failed, as many as the rule allows"},
		},
		{
			name: "a delay that is short is waited for", rules: retry("delay: 1s"), reason: "runner_system_failure",
			says:   []string{"1 done"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1001), "retry")} },
		},
		{
			name: "a delay that is long is not", rules: retry("delay: 10m"), reason: "runner_system_failure", code: 4,
			says: []string{"1 left", "Left: retry rspec: due in ", "1 action is left, due later than --wait allows"},
		},
		{
			name: "a dry run of the command", rules: ciRules, reason: "runner_system_failure", args: []string{"--dry-run"}, code: 4,
			says: []string{"1 not done (dry run)", "would retry rspec"},
		},
		{
			name: "a dry run of the rule", rules: strings.Replace(ciRules, "    on: job\n", "    on: job\n    dry_run: true\n", 1), reason: "runner_system_failure", code: 4,
			says: []string{"1 not done (dry run)"},
		},
		{
			name: "an outdated pipeline", rules: ciRules, reason: "runner_system_failure",
			before: func(env *ciEnvironment) {
				env.gitlab.AddPipeline(env.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
			},
			says: []string{"1 skipped", "the pipeline is outdated by pipeline 102"},
		},
		{
			name: "its own job is not canceled", rules: onPipeline(`cancel: {jobs: 'filter(pipeline.jobs, .name == "pipesteward")'}`), reason: "script_failure",
			says: []string{"1 skipped", "job 1003 is the one that this command runs in"},
		},
		{
			name: "its own pipeline is not canceled", rules: onPipeline("cancel_pipeline"), reason: "script_failure",
			says: []string{"1 skipped", "job 1003, which this command runs in, would be canceled with its pipeline"},
		},
		{
			name: "without a token, its own job would not be either", rules: onPipeline("cancel_pipeline"), reason: "script_failure", without: true,
			says: []string{"1 skipped", "job 1003, which this command runs in", "Nothing was changed"},
		},
		{
			name: "older pipelines are canceled", rules: onPipeline("cancel_outdated"), reason: "script_failure",
			before: func(env *ciEnvironment) {
				// The test's pipeline is the older one: the command runs in a newer one.
				next := env.gitlab.AddPipeline(env.pipeline.ProjectID, gitlabtest.Pipeline{}, gitlabtest.Job{Stage: ".post", Name: "pipesteward"})
				env.pipeline = next
				env.startOwn()
			},
			says:   []string{"1 done", "Canceled what pipeline #102 makes redundant"},
			writes: func(*ciEnvironment) []string { return []string{"/projects/1/pipelines/101/cancel"} },
		},
		{
			name: "a rule that reads what a job token may not", rules: "version: 1\nrules:\n  - name: full-disk\n    on: job\n    if: log() contains \"disk\"\n    actions: [retry]\n", reason: "script_failure", without: true, code: 1,
			says: []string{"full-disk", "log() reads what a job token may not: give an access token with the scope api", "2 errors"},
		},
		{
			name: "an old GitLab shows no jobs to a job token", options: old, rules: ciRules, reason: "runner_system_failure", without: true, code: 1,
			says: []string{"this GitLab shows the jobs of a pipeline to no job token: give an access token"},
		},
		{
			name: "an old GitLab, with a token", options: old, rules: ciRules, reason: "runner_system_failure",
			says:   []string{"1 done"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1001), "retry")} },
		},
		{
			name: "no right to write", rules: ciRules, reason: "runner_system_failure", code: 1,
			before: func(env *ciEnvironment) { env.gitlab.SetRole(env.pipeline.ProjectID, gitlabtest.Reporter) },
			says:   []string{"1 failed", "GitLab refused: 403 Forbidden", "check the token, its scope `api`, the rights of its user on the project"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1001), "retry")} },
		},
		{
			name: "no right to read", rules: ciRules, reason: "runner_system_failure", code: 1,
			before: func(env *ciEnvironment) { env.gitlab.SetRole(env.pipeline.ProjectID, gitlabtest.NoAccess) },
			says:   []string{"the user of the access token may not see project platform/shop: make it a member, with the role Developer at least"},
		},
		{
			name: "an access token that expired", rules: ciRules, reason: "runner_system_failure", code: 1,
			before: func(env *ciEnvironment) { env.gitlab.SetToken("another") },
			says:   []string{"401 Unauthorized", "check that the access token is right, not expired and not revoked"},
		},
		{
			name: "a job token that expired", rules: ciRules, reason: "runner_system_failure", code: 1,
			before: func(env *ciEnvironment) { env.gitlab.Finish(env.own.ID, "success", "") },
			says:   []string{"GitLab does not accept CI_JOB_TOKEN", "a job token is valid only while its job runs"},
		},
		{
			name: "a log that GitLab does not give in time", rules: "version: 1\nrules:\n  - name: full-disk\n    on: job\n    if: job.name == \"rspec\" and log() contains \"disk\"\n    actions: [retry]\n", reason: "script_failure", args: []string{"--wait", "0s"}, code: 1,
			before: func(env *ciEnvironment) { env.gitlab.Fail(gitlabtest.Fault{Path: "/trace", Times: -1, Status: 502}) },
			says:   []string{"The rules could not be evaluated on 1 event: GitLab did not answer in time. Run this job again."},
		},
		{
			name: "an answer that gets lost is no second retry", rules: ciRules, reason: "runner_system_failure",
			before: func(env *ciEnvironment) {
				env.gitlab.Fail(gitlabtest.Fault{Method: "POST", Path: "/retry", Status: 502, After: true})
			},
			says:   []string{"1 done", "attempt 2 of 3, seen after the call was cut short"},
			writes: func(env *ciEnvironment) []string { return []string{jobPath(env.gitlab.Job(1001), "retry")} },
		},
		{
			name: "a login page in front of GitLab", rules: ciRules, reason: "runner_system_failure", code: 1,
			before: func(env *ciEnvironment) { env.gitlab.Fail(gitlabtest.LoginPage) },
			says:   []string{"GitLab answered with a web page"},
		},
		{
			name: "a rule file that can't be used", rules: "version: 1\nrules: [{name: a, on: jobs}]\n", code: 1,
			says: []string{"the rules can't be used", `(did you mean "job"?)`},
		},
		{name: "no rule file", rules: ciRules, args: []string{"--rules", "none.yaml"}, code: 1, says: []string{"none.yaml"}},
		{name: "a wait that is none", rules: ciRules, args: []string{"--wait", "2h"}, code: 2, says: []string{`--wait: "2h" is not a time up to 1h, like 2m`}},
		{name: "an argument", rules: ciRules, args: []string{"rules.yaml"}, code: 2, says: []string{"name rule files with --rules"}},
		{name: "outside CI", rules: ciRules, args: []string{"--job-token", ""}, code: 2, says: []string{"CI_JOB_TOKEN is not set: `pipesteward ci` runs inside a job of GitLab CI"}},
		{name: "no GitLab", rules: ciRules, args: []string{"--gitlab-url", ""}, code: 2, says: []string{"neither CI_API_V4_URL nor CI_SERVER_URL is set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := newCIEnvironment(t, c.options, c.rules, c.reason)
			if c.before != nil {
				c.before(env)
			}
			ci := env.ci
			if c.without {
				ci = env.ciWithout
			}
			code, output := ci(c.args...)
			var writes []string
			if c.writes != nil {
				writes = c.writes(env)
			}
			env.wantCI(code, c.code, output, c.says, writes...)
		})
	}
}

// However often the job runs, the retries end: attempts are counted by the pipeline's
// runs, as no run of the command remembers another one.
func TestCIEnds(t *testing.T) {
	t.Parallel()
	env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
	var codes []int
	for range 6 {
		code, output := env.ci()
		codes = append(codes, code)
		if code != 0 && code != 3 {
			t.Fatalf("exit status %d\n%s", code, output)
		}
		env.gitlab.Finish(env.own.ID, "success", "")
		if env.gitlab.Latest(env.pipeline.ID, "rspec").Status == "pending" {
			env.rspec("runner_system_failure")
		}
		if _, err := env.gitlab.Retry(env.own.ID); err != nil { // somebody runs the job again
			t.Fatal(err)
		}
		env.startOwn()
	}
	if want := []int{0, 0, 3, 3, 3, 3}; !slices.Equal(codes, want) {
		t.Errorf("exit statuses %v, want %v", codes, want)
	}
	if n := env.gitlab.Count("POST", "/retry"); n != 2 {
		t.Errorf("%d retries, want 2: max_attempts is 3", n)
	}
}

// What is waited for is said before, so that nobody takes the job for stuck.
func TestCISaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	entry := func(due time.Duration) ownpipeline.Entry {
		e := ownpipeline.Entry{Due: time.Now().Add(due)}
		e.Job.Name, e.Action.Verb = "rspec", event.VerbRetry
		return e
	}
	var out bytes.Buffer
	printWaiting(&out, []ownpipeline.Entry{entry(-time.Hour), entry(30 * time.Minute), entry(2 * time.Hour)}, time.Hour)
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "Waits to retry rspec, and goes on by itself: due in ") {
		t.Errorf("it says %q, want the decision alone that is due in half an hour", lines)
	}
}

// Notifications are sent where there is a token for Slack.
func TestCINotifies(t *testing.T) {
	t.Parallel()
	env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
	if code, output := env.ci("--slack-token", testSlack, "--slack-api-url", env.slack.URL()); code != 0 {
		t.Errorf("exit status %d\n%s", code, output)
	}
	if posts := env.slack.Posts(); len(posts) != 1 || posts[0].Channel != "ci" {
		t.Errorf("messages %+v, want one in #ci", posts)
	}
}

// A notification that waits until the bot is invited is not waited for.
func TestCIWithoutTheBotInTheChannel(t *testing.T) {
	t.Parallel()
	env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
	env.slack.AddChannel(slacktest.Channel{Name: "ci", NotMember: true})
	code, output := env.ci("--slack-token", testSlack, "--slack-api-url", env.slack.URL())
	if want := "1 notification could not be sent in time"; code != 0 || !strings.Contains(output, want) {
		t.Errorf("exit status %d, want 0 and %q\n%s", code, want, output)
	}
}

// The id in CI_JOB_ID is that of the token's job.
func TestCIOfAnotherJob(t *testing.T) {
	env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
	t.Setenv("CI_JOB_ID", "7")
	code, output := env.ci()
	env.wantCI(code, 1, output, []string{"CI_JOB_TOKEN is the token of job 1003, and CI_JOB_ID is 7"})
}

// The component has valid documents, uses each input that it declares and no other, and
// its script runs as a job's shell runs it. A dry run by a variable, as of a group, holds
// although the input says nothing of it.
func TestCIComponent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, input string // of dry-run; "": the default
		variables   []string
		code        int
		says        string
		requests    []string
	}{
		{name: "neither", says: "1 done", requests: []string{"/projects/1/jobs/1001/retry"}},
		{name: "a variable", variables: []string{"PIPESTEWARD_DRY_RUN=true"}, code: 4, says: "1 not done (dry run)"},
		{name: "the input, whatever the variable", input: "true", variables: []string{"PIPESTEWARD_DRY_RUN=false"}, code: 4, says: "1 not done (dry run)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := componentScript(t, c.input)
			env := newCIEnvironment(t, gitlabtest.Options{}, ciRules, "runner_system_failure")
			bin := t.TempDir()
			if err := os.Symlink(executable(t), filepath.Join(bin, "pipesteward")); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
			cmd.Dir = env.dir
			cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"), "NO_COLOR=1", "PIPESTEWARD_NATIVE_RETRY_WAIT=0s",
				"CI_API_V4_URL="+env.gitlab.URL()+"/api/v4", "CI_JOB_TOKEN="+env.gitlab.JobToken(env.own.ID), "PIPESTEWARD_GITLAB_TOKEN="+gitlabtest.DefaultToken)
			cmd.Env = append(cmd.Env, c.variables...)
			out, _ := cmd.CombinedOutput() // a status other than 0 is checked
			env.wantCI(cmd.ProcessState.ExitCode(), c.code, string(out), []string{c.says}, c.requests...)
		})
	}
}

// componentScript checks the component and returns the script of its job, with the
// default of each input but dry-run; "": its default, too.
func componentScript(t *testing.T, dryRun string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/ci/templates/pipesteward.yml")
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := bytes.Cut(text, []byte("\n---\n"))
	if !ok {
		t.Fatal("the component has no two documents")
	}
	var spec struct {
		Spec struct {
			Inputs map[string]struct {
				Description string
				Default     any
				Type        string
				Options     []string
			}
		}
	}
	if err := yaml.Load(head, &spec, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	interpolated := regexp.MustCompile(`\$\[\[ inputs\.([a-z-]+) \]\]`).ReplaceAllFunc(body, func(match []byte) []byte {
		name := strings.TrimSuffix(strings.TrimPrefix(string(match), "$[[ inputs."), " ]]")
		input, declared := spec.Spec.Inputs[name]
		if !declared {
			t.Errorf("input %s is not declared", name)
		}
		used[name] = true
		if name == "image" {
			return []byte("registry.example.com/pipesteward:ci")
		}
		if name == "dry-run" && dryRun != "" {
			return []byte(dryRun)
		}
		if len(input.Options) > 0 && !slices.Contains(input.Options, fmt.Sprint(input.Default)) {
			t.Errorf("the default of %s is none of its options", name)
		}
		return []byte(fmt.Sprint(input.Default))
	})
	for name, input := range spec.Spec.Inputs {
		if !used[name] || input.Description == "" {
			t.Errorf("input %s is not used, or not described", name)
		}
	}
	type job struct {
		Stage string
		Image struct {
			Name       string
			Entrypoint []string
		}
		Rules        []struct{ When string }
		Dependencies []string
		Variables    map[string]string
		Script       []string
		AllowFailure struct {
			ExitCodes []int `yaml:"exit_codes"`
		} `yaml:"allow_failure"`
	}
	var jobs map[string]job
	if err := yaml.Load(interpolated, &jobs, yaml.WithKnownFields()); err != nil {
		t.Fatalf("%v in\n%s", err, interpolated)
	}
	j, ok := jobs["pipesteward"]
	if !ok || len(jobs) != 1 || j.Stage != ".post" || j.Image.Name == "" || len(j.Rules) != 1 || j.Rules[0].When != "on_failure" || !slices.Equal(j.AllowFailure.ExitCodes, []int{3, 4}) {
		t.Errorf("jobs %+v", jobs)
	}
	return strings.Join(j.Script, "\n")
}

// executable returns the path of this test binary.
func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The hook for pre-commit stands where pre-commit reads it, and runs on the files that it
// names.
func TestPreCommitHook(t *testing.T) {
	text, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct {
		ID, Name, Description, Entry, Language, Files, Exclude string
		Types                                                  []string
		RequireSerial                                          bool `yaml:"require_serial"`
	}
	if err := yaml.Load(text, &hooks, yaml.WithKnownFields()); err != nil || len(hooks) != 1 {
		t.Fatalf("%d hooks: %v", len(hooks), err)
	}
	hook := hooks[0]
	for name, want := range map[string]bool{"rules.yaml": true, "ci/rules.yaml": true, "rules.test.yaml": false, "values.yaml": false, "my-rules.yaml": false} {
		if got := regexp.MustCompile(hook.Files).MatchString(name) && !regexp.MustCompile(hook.Exclude).MatchString(name); got != want {
			t.Errorf("the hook runs on %s: %t, want %t", name, got, want)
		}
	}
	env := newEnvironment(t)
	var out bytes.Buffer
	if code := run(t.Context(), append(strings.Fields(hook.Entry), filepath.Join(env.dir, "rules.yaml")), &out, &out); code != 0 {
		t.Errorf("exit status %d\n%s", code, out.String())
	}
	env.write("rules.yaml", "version: 1\nrules: [{name: a, on: jobs}]\n")
	if code := run(t.Context(), append(strings.Fields(hook.Entry), filepath.Join(env.dir, "rules.yaml")), &out, &out); code != 1 {
		t.Errorf("exit status %d on a broken file\n%s", code, out.String())
	}
}
