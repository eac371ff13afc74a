package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/rules"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redistest"
)

const (
	testSecret = "secret-of-the-webhooks"
	testSlack  = "xoxb-secret-of-the-tests"
	testRules  = `
version: 1
defaults: {channel: "#ci"}
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {max_attempts: 3}]
    notify: [{when: [done, skipped, failed]}]
`
)

// The test binary is the program, too: with this variable set it runs main.
const asProgram = "PIPESTEWARD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// world is a simulated GitLab and Slack with a place for the program's files.
type world struct {
	*testing.T
	dir    string
	gitlab *gitlabtest.Server
	slack  *slacktest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), gitlab: gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})}
	var err error
	if w.slack, err = slacktest.New(slacktest.Options{Token: testSlack}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.slack.Close() })
	w.write("rules.yaml", testRules)
	return w
}

func (w *world) write(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// program is a running `pipesteward serve`.
type program struct {
	*testing.T
	cmd      *exec.Cmd
	webhooks string
	admin    string
	ended    chan error
	mu       sync.Mutex
	log      bytes.Buffer
}

// serve starts the program as a process of its own. More arguments come
// after those that every test needs.
func (w *world) serve(more ...string) *program {
	w.Helper()
	args := append([]string{
		"serve", "--rules", filepath.Join(w.dir, "rules.yaml"), "--store", "bolt:" + filepath.Join(w.dir, "pipesteward.db"),
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--gitlab-url", w.gitlab.URL(), "--slack-api-url", w.slack.URL(),
	}, more...)
	p := &program{T: w.T, cmd: exec.CommandContext(context.Background(), os.Args[0], args...), ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "PIPESTEWARD_GITLAB_TOKEN="+gitlabtest.DefaultToken,
		"PIPESTEWARD_WEBHOOK_TOKEN=another,"+testSecret, "PIPESTEWARD_SLACK_TOKEN="+testSlack)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(p.kill)
	started := make(chan struct{})
	go p.read(stderr, started)
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		w.Fatalf("serve does not start:\n%s", p.logged())
	}
	return p
}

// read keeps the log and learns from it where the program listens.
func (p *program) read(stderr io.Reader, started chan<- struct{}) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		var line struct{ Msg, Webhooks, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "pipesteward serves" {
			p.webhooks, p.admin = line.Webhooks, line.Admin
			close(started)
		}
	}
	p.ended <- p.cmd.Wait()
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends the program as `kill -9` does, and waits for that.
func (p *program) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		p.ended <- <-p.ended
	}
}

// post posts a hook body, as GitLab or curl does.
func (p *program) post(body []byte) int {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.webhooks, bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("X-Gitlab-Token", testSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// get reads a page of the admin address.
func (p *program) get(path string) (int, string) {
	p.Helper()
	resp, err := http.Get(p.admin + path)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *program) outcomes() []rules.Outcome {
	p.Helper()
	var page struct{ Decisions []rules.Outcome }
	_, text := p.get("/api/v1/decisions")
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		p.Fatalf("%v in %s", err, text)
	}
	return page.Decisions
}

// workedOff waits until the queue is empty.
func (p *program) workedOff() {
	p.Helper()
	p.eventually("the queue is empty", func() bool {
		var d struct{ Due, Waiting, Leased int }
		_, text := p.get("/api/v1/queue")
		return json.Unmarshal([]byte(text), &d) == nil && d.Due+d.Waiting+d.Leased == 0
	})
}

func (p *program) eventually(what string, is func() bool) {
	p.Helper()
	deadline := time.After(3 * time.Minute)
	for !is() {
		select {
		case <-deadline:
			p.Fatalf("never seen: %s\n%s", what, p.logged())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stuckJob makes a pipeline with a job that got stuck.
func (w *world) stuckJob() gitlabtest.Job { return w.stuckJobOf("platform/shop") }

func (w *world) stuckJobOf(path string) gitlabtest.Job {
	project := w.gitlab.AddProject(gitlabtest.Project{Path: path})
	pipeline := w.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	job := w.gitlab.Latest(pipeline.ID, "rspec")
	w.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
	return job
}

func TestServe(t *testing.T) {
	w := newWorld(t)
	p := w.serve()
	job := w.stuckJob()
	body := w.gitlab.JobHookBody(job.ID)
	if code := p.post(body); code != http.StatusAccepted {
		t.Errorf("a stuck job is answered with %d, want 202", code)
	}
	if code := p.post(body); code != http.StatusOK {
		t.Errorf("the same again is answered with %d, want 200", code)
	}
	p.workedOff()
	if all := p.outcomes(); len(all) != 1 || all[0].Result != rules.ResultDone || all[0].Rule != "retry-stuck" {
		t.Errorf("outcomes %+v, want one done", all)
	}
	if n := w.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1", n)
	}
	if n := len(w.slack.Posts()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := p.get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	_, metrics := p.get("/metrics")
	for _, line := range []string{
		`pipesteward_deliveries_total{kind="job",result="stored"} 1`,
		`pipesteward_deliveries_total{kind="job",result="duplicate"} 1`,
		`pipesteward_decisions_total{action="retry",outcome="done",rule="retry-stuck"} 1`,
		`pipesteward_gitlab_requests_total{code="201",endpoint="retry"} 1`,
		`pipesteward_event_to_action_seconds_count 1`,
		`pipesteward_queue_depth 0`,
		`pipesteward_dead_total 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("SIGTERM ends serve with %v, want exit status 0\n%s", err, p.logged())
	}
	for _, secret := range []string{testSecret, testSlack, gitlabtest.DefaultToken} {
		if strings.Contains(p.logged(), secret) {
			t.Errorf("the log holds a secret:\n%s", p.logged())
		}
	}
}

// Whatever the program was doing when it was killed: after the next start
// there was one retry and one message. A message that was on its way is
// looked for only when it has surely arrived or not, after 30 s.
func TestKilledAndStartedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(w *world) (reached func() bool)
	}{
		{"right after the answer", func(*world) func() bool { return func() bool { return true } }},
		{"reading the job's state", hangingGitLab("/pipelines/101/jobs", false)},
		{"before the retry", hangingGitLab("/retry", false)},
		{"after the retry, before its answer", hangingGitLab("/retry", true)},
		{"before the message", hangingSlack(false)},
		{"after the message, before its answer", hangingSlack(true)},
		{"after all", func(w *world) func() bool { return func() bool { return len(w.slack.Posts()) == 1 } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			reached := c.arrange(w)
			job := w.stuckJob()
			p := w.serve()
			if code := p.post(w.gitlab.JobHookBody(job.ID)); code != http.StatusAccepted {
				t.Fatalf("answered with %d, want 202", code)
			}
			p.eventually(c.name, reached)
			p.kill()

			p = w.serve()
			p.workedOff()
			if runs := w.gitlab.Jobs(job.PipelineID); len(runs) != 2 {
				t.Errorf("%d runs of the job, want 2", len(runs))
			}
			if n := len(w.slack.Posts()); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
			if all := p.outcomes(); len(all) != 1 || all[0].Result != rules.ResultDone {
				t.Errorf("outcomes %+v, want one done", all)
			}
		})
	}
}

// hangingGitLab lets the first request to a path hang, before or after its
// effect.
func hangingGitLab(path string, after bool) func(*world) func() bool {
	return func(w *world) func() bool {
		w.gitlab.Fail(gitlabtest.Fault{Path: path, After: after, Until: make(chan struct{})})
		return func() bool { return w.gitlab.Count("", path) > 0 }
	}
}

func hangingSlack(after bool) func(*world) func() bool {
	return func(w *world) func() bool {
		w.slack.Fail(slacktest.Fault{Method: "chat.postMessage", AfterEffect: after, Delay: time.Minute})
		return func() bool { return w.slack.Calls("chat.postMessage") > 0 && (!after || len(w.slack.Posts()) > 0) }
	}
}

// Two replicas share a Redis: each delivery is stored once whoever gets it,
// and what a killed one had begun is ended by the other.
func TestReplicasOnRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendfsync", "always")
	w := newWorld(t)
	reached := hangingGitLab("/retry", true)(w)
	jobs := []gitlabtest.Job{w.stuckJobOf("platform/shop"), w.stuckJobOf("platform/search")}
	bodies := [][]byte{w.gitlab.JobHookBody(jobs[0].ID), w.gitlab.JobHookBody(jobs[1].ID)}
	first := w.serve("--store", redis.URL())
	if code := first.post(bodies[0]); code != http.StatusAccepted {
		t.Fatalf("answered with %d, want 202", code)
	}
	first.eventually("the retry is called", reached)

	second := w.serve("--store", redis.URL())
	for _, c := range []struct{ job, code int }{{0, http.StatusOK}, {1, http.StatusAccepted}, {1, http.StatusOK}} {
		if code := second.post(bodies[c.job]); code != c.code {
			t.Errorf("job %d is answered with %d, want %d", jobs[c.job].ID, code, c.code)
		}
	}
	first.kill()
	second.workedOff()
	for _, job := range jobs {
		if runs := w.gitlab.Jobs(job.PipelineID); len(runs) != 2 {
			t.Errorf("%d runs of job %d, want 2", len(runs), job.ID)
		}
	}
	if n := len(w.slack.Posts()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	for _, o := range second.outcomes() {
		if o.Result != rules.ResultDone {
			t.Errorf("outcome %s (%s), want done", o.Result, o.Reason)
		}
	}
}

// A Redis that is gone for a while: deliveries are refused at once, and work
// goes on by itself when it is back, with all that was acknowledged.
func TestRedisGoneForAWhile(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendfsync", "always")
	w := newWorld(t)
	w.gitlab.Fail(gitlabtest.Fault{Status: http.StatusServiceUnavailable, Times: 3})
	acknowledged, refused := w.stuckJobOf("platform/shop"), w.stuckJobOf("platform/search")
	p := w.serve("--store", redis.URL())
	if code := p.post(w.gitlab.JobHookBody(acknowledged.ID)); code != http.StatusAccepted {
		t.Fatalf("answered with %d, want 202", code)
	}
	redis.Kill()
	if code := p.post(w.gitlab.JobHookBody(refused.ID)); code != http.StatusServiceUnavailable {
		t.Errorf("answered with %d, want 503", code)
	}
	if code, text := p.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d %s, want 503", code, text)
	}
	redis.Restart()
	p.workedOff()
	if runs := w.gitlab.Jobs(acknowledged.PipelineID); len(runs) != 2 {
		t.Errorf("%d runs of the job, want 2", len(runs))
	}
	if code := p.post(w.gitlab.JobHookBody(refused.ID)); code != http.StatusAccepted {
		t.Errorf("sent again, answered with %d, want 202", code)
	}
}

// A secret with a comma in it is one secret: half of it is none.
func TestSecretWithAComma(t *testing.T) {
	w := newWorld(t)
	p := w.serve("--webhook-token", "a,"+testSecret)
	for token, want := range map[string]int{"a": http.StatusUnauthorized, testSecret: http.StatusUnauthorized, "a," + testSecret: http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.webhooks, strings.NewReader(`{"object_kind":"push"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitlab-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token %q is answered with %d, want %d", token, resp.StatusCode, want)
		}
	}
}

// A shutdown ends within 10 s also when GitLab hangs, and what was begun is
// ended after the next start.
func TestStopsWhileGitLabHangs(t *testing.T) {
	w := newWorld(t)
	reached := hangingGitLab("/retry", true)(w)
	job := w.stuckJob()
	p := w.serve()
	p.post(w.gitlab.JobHookBody(job.ID))
	p.eventually("the retry is called", reached)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("ends with %v, want exit status 0\n%s", err, p.logged())
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("still running 10 s after SIGTERM\n%s", p.logged())
	}
	p = w.serve()
	p.workedOff()
	if runs := w.gitlab.Jobs(job.PipelineID); len(runs) != 2 {
		t.Errorf("%d runs of the job, want 2", len(runs))
	}
}

// Secrets come from files, too, and hooks may be signed.
func TestSecretsFromFiles(t *testing.T) {
	w := newWorld(t)
	const signing = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	t.Setenv("PIPESTEWARD_WEBHOOK_SIGNING_TOKEN_FILE", w.write("signing", "\n"+signing+"\nwhsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"))
	p := w.serve()
	w.gitlab.AddHook(gitlabtest.Hook{URL: p.webhooks, SigningToken: signing, JobEvents: true})
	w.gitlab.AddHook(gitlabtest.Hook{URL: p.webhooks, Token: "wrong", JobEvents: true})
	w.stuckJob()
	w.gitlab.Flush()
	p.workedOff()
	if n := w.gitlab.Count("POST", "/retry"); n != 1 {
		t.Errorf("%d retries, want 1\n%s", n, p.logged())
	}
	for _, d := range w.gitlab.Deliveries() {
		if d.HookID == 2 && d.Status != http.StatusUnauthorized {
			t.Errorf("a hook with a wrong token is answered with %d", d.Status)
		}
	}
}

func TestBadStarts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", testRules)
	broken := write("broken.yaml", "version: 1\nrules:\n  - {name: a, on: jobs, actions: [retri]}\n  - {name: b, on: job, if: job.stats, actions: [retry: {max_attempts: x}]}\n  - {name: b, on: job}\n")
	database := "bolt:" + filepath.Join(dir, "p.db")
	const token = "--gitlab-token=hush-hush"
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such command", []string{"serv"}, 2, []string{`no command "serv"`}},
		{"no such flag", []string{"serve", "--rulez", "x"}, 2, []string{"rulez"}},
		{"an argument too many", []string{"serve", "rules.yaml"}, 2, []string{`takes no arguments, but got "rules.yaml"`}},
		{"no rule file", []string{"serve", "--rules", filepath.Join(dir, "none.yaml")}, 1, []string{"none.yaml", "rules.example.yaml"}},
		{"an empty directory of rules", []string{"serve", "--rules", t.TempDir()}, 1, []string{"holds no *.yaml"}},
		{"five mistakes", []string{"serve", "--rules", broken}, 1, []string{
			`broken.yaml:3:19: rule "a"`, `"jobs" (did you mean "job"?)`, `"retri" (did you mean "retry"?)`, `"stats" (did you mean "status"?)`, "max_attempts must be a whole number", `name "b" already`,
		}},
		{"no webhook credentials", []string{"serve", "--rules", good, token, "--store", database}, 1, []string{"webhook-token", "insecure-no-webhook-auth"}},
		{"a signing token that is none", []string{"serve", "--rules", good, token, "--store", database, "--webhook-signing-token", "hush-hush"}, 1, []string{"whsec_"}},
		{"a store of another kind", []string{"serve", "--rules", good, "--store", "mysql://me:hush-hush@db/x"}, 1, []string{`"mysql" is not a kind of store`, "bolt:PATH"}},
		{"a Redis with a wrong port", []string{"serve", "--rules", good, "--store", "redis://me:hush-hush@db:99999/0"}, 1, []string{"port"}},
		{"a Redis that nobody answers for", []string{"serve", "--rules", good, "--store", "redis://me:hush-hush@127.0.0.1:1/0"}, 1, []string{"127.0.0.1:1"}},
		{"a store in no directory", []string{"serve", "--rules", good, "--store", "bolt:" + filepath.Join(dir, "no", "such.db")}, 1, []string{"no"}},
		{"a rate that is none", []string{"serve", "--rules", good, "--gitlab-rate", "fast"}, 1, []string{"like 300/1m"}},
		{"a log window that is none", []string{"serve", "--rules", good, "--log-window", "0"}, 1, []string{"--log-window", "from 1 to 104857600"}},
		{"no GitLab token", []string{"serve", "--rules", good, "--store", database}, 1, []string{"--gitlab-token is missing", "PIPESTEWARD_GITLAB_TOKEN_FILE"}},
		{"a GitLab that is no URL", []string{"serve", "--rules", good, token, "--store", database, "--gitlab-url", "gitlab.example.com"}, 1, []string{"--gitlab-url"}},
		{"an address that is taken or wrong", []string{"serve", "--rules", good, token, "--store", database, "--webhook-token", "hush-hush", "--admin-listen", "127.0.0.1:x"}, 1, []string{"--admin-listen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"pipesteward"}, c.args...), &stdout, &stderr)
			if code != c.code {
				t.Errorf("exit status %d, want %d\n%s", code, c.code, stderr.String())
			}
			for _, part := range c.says {
				if !strings.Contains(stderr.String(), part) {
					t.Errorf("stderr does not say %q:\n%s", part, stderr.String())
				}
			}
			if strings.Contains(stderr.String()+stdout.String(), "hush-hush") {
				t.Errorf("a secret is printed:\n%s%s", stderr.String(), stdout.String())
			}
		})
	}
	for _, c := range []struct{ name, variable, file, says string }{
		{"a secret file of two lines", "", "hush-hush\nhush-hush", "must hold one line"},
		{"a secret in two places", "hush-hush", "hush-hush", "choose one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PIPESTEWARD_GITLAB_TOKEN", c.variable)
			t.Setenv("PIPESTEWARD_GITLAB_TOKEN_FILE", write("token", c.file))
			var stderr bytes.Buffer
			code := run(t.Context(), []string{"pipesteward", "serve", "--rules", good}, io.Discard, &stderr)
			if code != 1 || !strings.Contains(stderr.String(), c.says) || strings.Contains(stderr.String(), "hush-hush") {
				t.Errorf("exit status %d: %s", code, stderr.String())
			}
		})
	}
	t.Run("a secret file that is missing", func(t *testing.T) {
		t.Setenv("PIPESTEWARD_GITLAB_TOKEN_FILE", filepath.Join(dir, "none"))
		var stderr bytes.Buffer
		if code := run(t.Context(), []string{"pipesteward", "serve", "--rules", good}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "PIPESTEWARD_GITLAB_TOKEN_FILE") {
			t.Errorf("exit status %d: %s", code, stderr.String())
		}
	})
}

func TestDemo(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"pipesteward", "demo"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, stdout.String(), stderr.String())
	}
	for _, part := range []string{
		"attempt 2 of 3", "attempt 3 of 3", "play of deploy-staging", "leaves it alone", "erase of review-app", "#ci", "/-/pipelines/", "That was it: 4 outcomes",
	} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("the demo does not show %q:\n%s", part, stdout.String())
		}
	}
}

func TestParseRate(t *testing.T) {
	for _, bad := range []string{"", "300", "300/", "/1m", "0/1m", "-1/1m", "300/0s", "300/fast", "x/1m"} {
		if _, err := parseRate(bad); err == nil {
			t.Errorf("%q is taken for a rate", bad)
		}
	}
	for rate, want := range map[string]store.Rate{
		"60/1m": {Limit: 55, Per: time.Minute, Burst: 6}, // 6 at once, then one each 60/55 s: 60 in a minute
		"1/10s": {Limit: 1, Per: 10 * time.Second, Burst: 1},
	} {
		if r, err := parseRate(rate); err != nil || r != want {
			t.Errorf("%s is %+v, %v, want %+v", rate, r, err, want)
		}
	}
}
