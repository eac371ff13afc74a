package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/actions/slack/slacktest"
	"github.com/pipesteward/pipesteward/cmd/pipesteward/app"
	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/redistest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

const (
	testSecret = "secret-of-the-webhooks"
	testSlack  = "xoxb-secret-of-the-tests"
	// Messages are spread over channels: each takes one a second.
	testRules = `
version: 1
defaults: {channel: "#ci", group: false}
limits: {per_pipeline: 100000, per_project: 100000/1h, total: 100000/1h}
storm: {failures: 10000, within: 10s} # of which the soak has fewer
rules:
  - name: retry-stuck
    on: job
    if: failed_with("stuck_or_timeout_failure")
    actions: [retry: {max_attempts: 3, allow_stale: true}]
    notify: [{when: [done, skipped, failed], channel: "#ci-{{ pipeline.id % 50 }}"}]
`
)

// The test binary is the program, too: with this variable set it runs main.
const asProgram = "TEST_AS_PIPESTEWARD"

// environment is a simulated GitLab and Slack with a place for the program's files.
type environment struct {
	*testing.T
	dir    string
	gitlab *gitlabtest.Server
	slack  *slacktest.Server
	// tokenFile holds the access token for GitLab; "": the environment does.
	tokenFile string
	// variables are further ones of the environment of processes.
	variables []string
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	env := &environment{T: t, dir: t.TempDir(), gitlab: gitlabtest.Start(t, gitlabtest.Options{Now: time.Now})}
	var err error
	if env.slack, err = slacktest.New(slacktest.Options{Token: testSlack}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.slack.Close() })
	env.write("rules.yaml", testRules)
	return env
}

func (env *environment) write(name, text string) string {
	env.Helper()
	path := filepath.Join(env.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		env.Fatal(err)
	}
	return path
}

// stuckJob makes a pipeline with a job that got stuck.
func (env *environment) stuckJob() gitlabtest.Job { return env.stuckJobOf("platform/shop") }

func (env *environment) stuckJobOf(path string) gitlabtest.Job {
	project := env.gitlab.AddProject(gitlabtest.Project{Path: path})
	pipeline := env.gitlab.AddPipeline(project.ID, gitlabtest.Pipeline{}, gitlabtest.Job{Name: "rspec"})
	job := env.gitlab.Latest(pipeline.ID, "rspec")
	env.gitlab.Finish(job.ID, "failed", "stuck_or_timeout_failure")
	return job
}

// program is a running `pipesteward serve`.
type program struct {
	*testing.T
	cmd      *exec.Cmd          // nil: it runs in this process
	cancel   context.CancelFunc // ends it there
	webhooks string
	admin    string
	ended    chan error // how it ended
	mu       sync.Mutex
	log      bytes.Buffer
}

// args returns the arguments that every test needs, and then the others.
func (env *environment) args(more ...string) []string {
	return append([]string{
		"serve", "--native-retry-wait", "0s", "--rules", filepath.Join(env.dir, "rules.yaml"), "--store", "bolt:" + filepath.Join(env.dir, "pipesteward.db"),
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--gitlab-url", env.gitlab.URL(), "--slack-api-url", env.slack.URL(),
	}, more...)
}

// run starts the program in this process, for tests that need neither a signal nor
// a process of its own.
func (env *environment) run(more ...string) *program {
	env.Helper()
	return env.runFromEnv(append(secretFlags(), more...)...)
}

// secretFlags are the flags with the secrets of the tests.
func secretFlags() []string {
	return []string{"--gitlab-token", gitlabtest.DefaultToken, "--webhook-token", "another", "--webhook-token", testSecret, "--slack-token", testSlack}
}

// runFromEnv is run with the secrets of this process's environment.
func (env *environment) runFromEnv(more ...string) *program {
	env.Helper()
	return env.runLogging(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }, more...)
}

// runLogging is runFromEnv with a format of the log.
func (env *environment) runLogging(format func(io.Writer) slog.Handler, more ...string) *program {
	env.Helper()
	p := &program{T: env.T, ended: make(chan error, 1)}
	service, err := app.New(env.Context(), env.options(more...), slog.New(store.QuietOutages(format(p))))
	if err != nil {
		env.Fatal(err)
	}
	p.webhooks, p.admin = service.WebhookURL(), service.AdminURL()
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(env.Context()))
	go func() { p.ended <- service.Run(ctx) }()
	env.Cleanup(func() {
		p.cancel()
		err := <-p.ended
		if p.ended <- err; err != nil {
			env.Errorf("serve ends with %v\n%s", err, p.tail())
		}
	})
	return p
}

// options returns what `serve` reads from the arguments that every test needs, from
// more, and from the environment.
func (env *environment) options(more ...string) (o app.Options) {
	env.Helper()
	c := serveCommand(io.Discard)
	c.DisableSliceFlagSeparator = true // as in run
	c.Action = func(_ context.Context, c *cli.Command) (err error) {
		o, err = readSettings(c)
		return err
	}
	if err := c.Run(env.Context(), env.args(more...)); err != nil {
		env.Fatal(err)
	}
	return o
}

// Write adds to the log of a program that runs in this process.
func (p *program) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(line)
}

// serve starts the program as a process of its own. More arguments come
// after those that every test needs.
func (env *environment) serve(more ...string) *program {
	env.Helper()
	p, err := env.start(more...)
	if err != nil {
		env.Fatal(err)
	}
	return p
}

// start is serve for a test that goes on where the program does not start.
func (env *environment) start(more ...string) (*program, error) {
	p := &program{T: env.T, cmd: exec.CommandContext(context.Background(), os.Args[0], env.args(more...)...), ended: make(chan error, 1)}
	token := "PIPESTEWARD_GITLAB_TOKEN=" + gitlabtest.DefaultToken
	if env.tokenFile != "" {
		token = "PIPESTEWARD_GITLAB_TOKEN_FILE=" + env.tokenFile
	}
	p.cmd.Env = append(os.Environ(), asProgram+"=1", token, "PIPESTEWARD_WEBHOOK_TOKEN=another,"+testSecret, "PIPESTEWARD_SLACK_TOKEN="+testSlack)
	p.cmd.Env = append(p.cmd.Env, env.variables...)
	redistest.EndWithParent(p.cmd)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	env.Cleanup(func() {
		p.kill()
		if log := p.logged(); strings.Contains(log, "DATA RACE") { // else only its exit status would show it
			p.Errorf("the race detector found something in serve:\n%s", log)
		}
	})
	return p, p.watch(stderr, p.cmd.Wait)
}

// watch keeps the log, and waits until it reports where the program listens. The
// error is that of wait, if the program ends before.
func (p *program) watch(stderr io.Reader, wait func() error) (failed error) {
	p.Helper()
	started := make(chan struct{})
	go func() {
		p.read(stderr, started)
		p.ended <- wait()
	}()
	p.eventually("serve serves", func() bool {
		select {
		case <-started:
			return true
		case err := <-p.ended:
			failed = fmt.Errorf("serve ends with %w:\n%s", err, p.tail())
			p.ended <- err
			return true
		default:
			return false
		}
	})
	return failed
}

// read keeps the log, and reads from it where the program listens.
func (p *program) read(stderr io.Reader, started chan<- struct{}) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		var line struct{ Msg, Webhooks, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == servesLine {
			p.webhooks, p.admin = line.Webhooks, line.Admin
			close(started)
		}
	}
}

func (p *program) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// tail is the end of the log, as much as a test may print.
func (p *program) tail() string { return await.Tail(p.logged()) }

// kill ends the program as `kill -9` does, and waits for that.
func (p *program) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		p.ended <- <-p.ended
	}
}

// stop ends the program as a service manager does, and wants it to end well.
func (p *program) stop() {
	p.Helper()
	if p.cmd == nil {
		p.cancel()
	} else {
		p.signal(syscall.SIGTERM)
	}
	if err := p.end(); err != nil {
		p.Errorf("a stop ends serve with %v, want exit status 0\n%s", err, p.tail())
	}
}

// end waits until the program has ended, and returns how.
func (p *program) end() (err error) {
	p.Helper()
	p.eventually("serve ends", func() bool {
		select {
		case err = <-p.ended:
			p.ended <- err
			return true
		default:
			return false
		}
	})
	return err
}

// signal sends the program a signal.
func (p *program) signal(sig os.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.Fatalf("%v to serve: %v", sig, err)
	}
}

// post posts a hook body, as GitLab or curl does.
func (p *program) post(body []byte) int {
	p.Helper()
	code, err := p.tryPost(body)
	if err != nil {
		p.Fatal(err)
	}
	return code
}

// tryPost is post for a test in which the program may have ended.
func (p *program) tryPost(body []byte) (int, error) {
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.webhooks, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Gitlab-Token", testSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// get reads a page of the admin address.
func (p *program) get(path string) (int, string) {
	p.Helper()
	return p.request(http.MethodGet, path, "")
}

// outcomes lists all decisions, newest first.
func (p *program) outcomes() []event.Outcome {
	p.Helper()
	var all []event.Outcome
	for cursor := ""; ; {
		var page struct {
			Decisions []event.Outcome
			Next      string
		}
		var code int
		var text string
		await.Until(p, "the store answers", func() bool { // it has little time, on a slow machine
			code, text = p.get("/api/v1/decisions?limit=500&cursor=" + url.QueryEscape(cursor))
			return code != http.StatusServiceUnavailable
		})
		if err := json.Unmarshal([]byte(text), &page); err != nil || code != http.StatusOK {
			p.Fatalf("decisions: %d %v in %s", code, err, text)
		}
		all = append(all, page.Decisions...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// depth returns how many records the queue has, as the API reports it; not ok
// while the store does not respond.
func (p *program) depth() (d depth, ok bool) {
	p.Helper()
	code, text := p.get("/api/v1/queue")
	return d, code == http.StatusOK && json.Unmarshal([]byte(text), &d) == nil
}

type depth struct{ Due, Waiting, Leased, Dead int }

func (d depth) queued() int { return d.Due + d.Waiting + d.Leased }

// workedOff waits until the queue is empty.
func (p *program) workedOff() {
	p.Helper()
	p.eventually("the queue is empty", func() bool {
		d, ok := p.depth()
		return ok && d.queued() == 0
	})
}

func (p *program) eventually(what string, is func() bool) {
	p.Helper()
	await.Until(p, what, is, p.logged)
}

// resident returns the memory that the program has, in bytes; 0 where the
// system does not report it.
func (p *program) resident() int { return p.memory("VmRSS:") }

// peak returns the most memory that the program has had, in bytes; 0 where the
// system does not report it.
func (p *program) peak() int { return p.memory("VmHWM:") }

func (p *program) memory(field string) int {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(status, []byte(field))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.Atoi(string(fields[0]))
	return kilobytes << 10
}
