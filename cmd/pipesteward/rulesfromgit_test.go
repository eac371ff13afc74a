package main

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/handlers/auth/authtest"
)

// ciJob is a job of .gitlab-ci.yml, with the keys that ours use.
type ciJob struct {
	Stage        string
	Image        ciImage
	Needs        []string
	Rules        []struct{ If string }
	Script       []string
	AfterScript  []string `yaml:"after_script"`
	AllowFailure bool     `yaml:"allow_failure"`
	Cache        struct {
		Key   string
		Paths []string
	}
	Artifacts struct {
		When     string
		Paths    []string
		ExposeAs string `yaml:"expose_as"`
		ExpireIn string `yaml:"expire_in"`
		Reports  map[string]string
	}
}

type ciImage struct {
	Name       string
	Entrypoint []string
}

// rulesPipeline is the pipeline of a repository with the rules.
type rulesPipeline struct {
	Stages   []string
	Workflow struct {
		Rules []struct{ If string }
	}
	Variables map[string]string
	Default   struct{ Image ciImage }
	Jobs      map[string]ciJob `yaml:",inline"`
}

func readRulesPipeline(t *testing.T) (p rulesPipeline) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/ci/rules.gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Load(text, &p, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return p
}

// The jobs have stages that there are, need jobs of earlier stages, and run what they make
// artifacts of; the page names them all.
func TestRulesPipelineIsWhole(t *testing.T) {
	t.Parallel()
	p := readRulesPipeline(t)
	for name, job := range p.Jobs {
		if !slices.Contains(p.Stages, job.Stage) || len(job.Script) == 0 {
			t.Errorf("the job %s has no stage or no script: %+v", name, job)
		}
		for _, need := range job.Needs {
			if before, is := p.Jobs[need]; !is || slices.Index(p.Stages, before.Stage) >= slices.Index(p.Stages, job.Stage) {
				t.Errorf("the job %s needs %s, which is no job of an earlier stage", name, need)
			}
		}
		script := strings.Join(slices.Concat(job.Script, job.AfterScript), "\n")
		for _, file := range slices.Concat(job.Artifacts.Paths, job.Cache.Paths) {
			if !strings.Contains(script, file) {
				t.Errorf("the script of the job %s does not make %s", name, file)
			}
		}
		for _, file := range job.Artifacts.Reports {
			if !strings.Contains(script, file) {
				t.Errorf("the script of the job %s does not make %s", name, file)
			}
		}
		if table := section(t, "deploy/RULES-FROM-GIT.md", "## The pipeline"); name != "rules-before" && !strings.Contains(table, "\n| `"+name+"` |") {
			t.Errorf("deploy/RULES-FROM-GIT.md does not name the job %s", name)
		}
	}
	if len(p.Jobs) != 5 {
		t.Errorf("%d jobs, want check, test, rules-before, backtest and reload", len(p.Jobs))
	}
}

// runScript runs the script of a job as the job's shell does, and then its after_script,
// and returns the script's exit status and what both print.
func runScript(t *testing.T, job ciJob, dir string, variables ...string) (code int, output string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.Symlink(executable(t), filepath.Join(bin, "pipesteward")); err != nil {
		t.Fatal(err)
	}
	shell := func(script []string) (int, string) {
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.Join(script, "\n"))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asProgram+"=1", "NO_COLOR=1", "PATH="+bin+":"+os.Getenv("PATH"))
		cmd.Env = append(cmd.Env, variables...)
		out, _ := cmd.CombinedOutput() // the exit status is returned
		return cmd.ProcessState.ExitCode(), string(out)
	}
	code, output = shell(job.Script)
	_, after := shell(job.AfterScript)
	return code, output + after
}

const gitRules = `version: 1
rules:
  - {name: retry-stuck, on: job, if: 'failed_with("stuck_or_timeout_failure")', actions: [retry]}
`

// A merge request that changes rules is checked, tested and compared with its target branch
// on past jobs of a simulated GitLab.
func TestRulesPipelineOnAMergeRequest(t *testing.T) {
	t.Parallel()
	jobs := readRulesPipeline(t).Jobs
	past := week(t)
	upstream, clone := filepath.Join(past.dir, "upstream"), filepath.Join(past.dir, "clone")
	git := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(dir, rules string, tests string) {
		t.Helper()
		for name, text := range map[string]string{"rules.yaml": rules, "rules.test.yaml": tests} {
			if err := os.WriteFile(filepath.Join(dir, "rules", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	const stuckTest = "version: 1\ntests:\n  - {name: stuck, event: {kind: job, job: {name: rspec, status: failed, failure_reason: stuck_or_timeout_failure}}, expect: [{rule: retry-stuck}]}\n"
	if err := os.MkdirAll(filepath.Join(upstream, "rules"), 0o750); err != nil {
		t.Fatal(err)
	}
	git(upstream, "init", "--initial-branch", "main")
	write(upstream, gitRules, stuckTest)
	git(upstream, "add", ".")
	git(upstream, "commit", "--message", "Rules")
	git(past.dir, "clone", upstream, clone)
	git(clone, "checkout", "--detach")
	const added = "  - {name: retry-full-disk, on: job, if: 'failed_with(\"script_failure\") and log() contains \"No space left\"', actions: [retry]}\n"

	write(clone, gitRules+added, stuckTest)
	if code, output := runScript(t, jobs["test"], clone); code != 1 || !strings.Contains(output, "retry-full-disk never fired") {
		t.Errorf("a rule without a test: exit status %d\n%s", code, output)
	}
	write(clone, gitRules+"  - {name: never, on: job, if: job.attempt < 1, actions: [retry]}\n", stuckTest)
	if code, output := runScript(t, jobs["check"], clone); code != 1 || !strings.Contains(output, "this can never be true") {
		t.Errorf("a rule with a warning: exit status %d\n%s", code, output)
	}
	if report, err := os.ReadFile(filepath.Join(clone, jobs["check"].Artifacts.Reports["codequality"])); err != nil || !strings.Contains(string(report), "this can never be true") {
		t.Errorf("the report of a rule with a warning: %v %s", err, report)
	}

	write(clone, gitRules+added, stuckTest+"  - {name: disk, event: {kind: job, job: {name: rspec, status: failed, failure_reason: script_failure}}, gitlab: {log: No space left on device}, expect: [{rule: retry-full-disk}]}\n")
	for _, name := range []string{"check", "test", "rules-before", "backtest"} {
		code, output := runScript(t, jobs[name], clone, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main", "BACKTEST_PROJECT=platform", "BACKTEST_SINCE=7d",
			"PIPESTEWARD_GITLAB_URL="+past.gitlab.URL(), "PIPESTEWARD_GITLAB_TOKEN="+gitlabtest.DefaultToken, "PIPESTEWARD_GITLAB_RATE=1000000/1m")
		if code != 0 {
			t.Fatalf("the job %s ends with exit status %d:\n%s", name, code, output)
		}
		for _, file := range jobs[name].Artifacts.Paths {
			if _, err := os.Stat(filepath.Join(clone, file)); err != nil {
				t.Errorf("the job %s: %v", name, err)
			}
		}
		for _, file := range jobs[name].Artifacts.Reports {
			if _, err := os.Stat(filepath.Join(clone, file)); err != nil {
				t.Errorf("the job %s: %v", name, err)
			}
		}
	}
	report, err := os.ReadFile(filepath.Join(clone, "backtest.txt"))
	if err != nil {
		t.Fatal(err)
	}
	past.said(string(report), "before/rules", "retry-stuck", "retry-full-disk")
	if _, err := os.Stat(filepath.Join(clone, jobs["backtest"].Cache.Paths[0])); err != nil {
		t.Errorf("what was read is not kept: %v", err)
	}
}

// After the merge, the reload is done by an access token of GitLab with the role operate, and
// the job fails with the reason where the rules can't be used or the token has no such role.
func TestRulesPipelineReloads(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the job needs curl, which its image has")
	}
	env := newEnvironment(t)
	people := authtest.Start(t, time.Now)
	people.AddUser(authtest.User{Username: "rules-bot", Below: []string{"platform/ops"}})
	people.AddUser(authtest.User{Username: "eve"})
	const token = "glpat-0123456789abcdef"
	people.AddToken(token, authtest.AccessToken{Username: "rules-bot", Scopes: []string{"api"}})
	people.AddToken(token+"-eve", authtest.AccessToken{Username: "eve", Scopes: []string{"api"}})
	backend := &url.URL{Scheme: "http"}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(backend) }})
	t.Cleanup(front.Close)
	t.Setenv("PIPESTEWARD_ADMIN_OIDC_CLIENT_SECRET_FILE", env.write("client-secret", people.ClientSecret))
	p := env.run("--admin-auth", "oidc", "--admin-oidc-issuer", people.URL, "--admin-oidc-client-id", people.ClientID,
		"--admin-external-url", front.URL, "--admin-operator-groups", "platform/ops")
	backend.Host = strings.TrimPrefix(p.admin, "http://")

	job := readRulesPipeline(t).Jobs["reload"]
	for _, c := range []struct {
		name, token, rules string
		code               int
		says               string
	}{
		{"it reloads", token, gitRules, 0, "reloaded"},
		{"rules that can't be used", token, "version: 1\nrules: [{name: broken, on: jobs}]\n", 22, "did you mean"},
		{"another's token", token + "-eve", gitRules, 22, "needs the role operate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env.write("rules.yaml", c.rules)
			code, output := runScript(t, job, env.dir, "PIPESTEWARD_ADMIN_URL="+front.URL, "PIPESTEWARD_ADMIN_TOKEN="+c.token)
			if code != c.code || !strings.Contains(output, c.says) {
				t.Errorf("exit status %d, want %d and %q\n%s", code, c.code, c.says, output)
			}
		})
	}
}

// What the page overrides in Docker Compose is there.
func TestRulesFromGitPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../deploy/RULES-FROM-GIT.md")
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type composed struct{ Services, Networks map[string]any }
	var base composed
	if err := yaml.Load(compose, &base); err != nil {
		t.Fatal(err)
	}
	services := 0
	for _, b := range blocks(string(page)) {
		if b.language != "yaml" {
			continue
		}
		var override composed
		if err := yaml.Load([]byte(b.text), &override); err != nil {
			t.Errorf("%v in\n%s", err, b.text)
		}
		services += len(override.Services)
		for name := range override.Services {
			if base.Services[name] == nil && name != "rules" {
				t.Errorf("compose.yaml has no service %s", name)
			}
		}
	}
	if services != 3 {
		t.Errorf("%d services of Docker Compose, want rules and two replicas", services)
	}
}
