//go:build linux

package check_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

const (
	root   = "../.."
	deploy = ".."
)

// patience bounds a hang. This module can't import the program's await.Until,
// and has one of its own.
const patience = 5 * time.Minute

// The test binary is the proxy, too: with this variable set it runs Caddy.
const asCaddy = "CHECK_AS_CADDY"

// buildDir is where image builds, for all tests.
var buildDir string

func TestMain(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		os.Exit(0)
	}
	var err error
	if buildDir, err = os.MkdirTemp("", "pipesteward-image-"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(buildDir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// process is a running program.
type process struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan string // of its log, until it ends
	ended chan error

	mu  sync.Mutex
	log bytes.Buffer
}

// start starts a program that ends with the test.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{T: t, cmd: cmd, lines: make(chan string, 10_000), ended: make(chan error, 1)}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop(syscall.SIGKILL) })
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.lines <- lines.Text():
			default:
			}
		}
	}()
	go func() {
		err := cmd.Wait()
		w.Close()
		p.ended <- err
		close(p.ended)
	}()
	return p
}

// stop sends the signal and gives the error that the program ended with.
func (p *process) stop(signal os.Signal) error {
	p.Helper()
	_ = p.cmd.Process.Signal(signal)
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		p.Errorf("%v does not end:\n%s", p.cmd.Args, p.logged())
		return nil
	}
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// logs waits for a line that holds the text, and gives it.
func (p *process) logs(text string) string {
	p.Helper()
	for deadline := time.After(patience); ; {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case err := <-p.ended:
			p.Fatalf("%v ended (%v):\n%s", p.cmd.Args, err, p.logged())
		case <-deadline:
			p.Fatalf("%v does not say %q:\n%s", p.cmd.Args, text, p.logged())
		}
	}
}

// serving waits until pipesteward serves, and gives what it says of itself.
func (p *process) serving() (said struct{ Version, Webhooks, Admin string }) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.logs(`"pipesteward serves"`)), &said); err != nil {
		p.Fatal(err)
	}
	return said
}

// until waits until something comes true.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for every := time.Tick(20 * time.Millisecond); !holds(); {
		select {
		case <-every:
		case <-deadline:
			t.Fatalf("in %v it did not come true that %s", patience, what)
		}
	}
}

// get gives the body of a GET, or "" when it is not answered 200.
func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, body := do(t, req)
	if code != http.StatusOK {
		return ""
	}
	return body
}

// status gives the status of a GET, 0 without an answer.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, _ := do(t, req)
	return code
}

// deliver sends the hook of a job that failed, and gives the status of the
// answer, 0 without one.
func deliver(t *testing.T, url, token string, job int) int {
	t.Helper()
	hook := fmt.Sprintf(`{"object_kind": "build", "ref": "main", "build_id": %[1]d, "build_name": "test-%[1]d", "build_stage": "test", "build_status": "failed",
		"build_failure_reason": "runner_system_failure", "pipeline_id": 3, "project_id": 5, "project_name": "a / b",
		"project": {"id": 5, "name": "b", "path_with_namespace": "a/b", "default_branch": "main"}}`, job)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(hook))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Gitlab-Event", "Job Hook")
	req.Header.Set("X-Gitlab-Token", token)
	code, _ := do(t, req)
	return code
}

func do(t *testing.T, req *http.Request) (code int, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

// freePort gives a port that was free just now on the address.
func freePort(t *testing.T, address string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// needs fails a test whose program is not installed, with what to do.
func needs(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("this test needs %s (Debian: apt-get install %s): %v", program, debian, err)
	}
}

// knownSettings gives the environment variables that `pipesteward serve --help`
// names; files are those of them that name the file of a secret.
func knownSettings(t *testing.T) (settings, files map[string]bool) {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), program(t), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	settings, files = map[string]bool{}, map[string]bool{}
	for _, flag := range regexp.MustCompile(`(?m)^ +--([a-z-]+)`).FindAllSubmatch(help, -1) {
		settings["PIPESTEWARD_"+strings.ToUpper(strings.ReplaceAll(string(flag[1]), "-", "_"))] = true
	}
	for _, name := range regexp.MustCompile(`\bPIPESTEWARD_[A-Z_]+_FILE\b`).FindAll(help, -1) {
		settings[string(name)], files[string(name)] = true, true
	}
	if len(files) == 0 {
		t.Fatalf("no settings found in the help:\n%s", help)
	}
	return settings, files
}

// checkSettings says which variables are not pipesteward's, and which secret
// has no file.
func checkSettings(t *testing.T, where string, variables []string) {
	t.Helper()
	settings, files := knownSettings(t)
	for _, name := range variables {
		if strings.HasPrefix(name, "PIPESTEWARD_") && !settings[name] {
			t.Errorf("%s sets %s, which serve does not know", where, name)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("%s does not set %s: every secret is a file there, an empty one where it is not used", where, name)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// program gives the path of the program that the image holds.
func program(t *testing.T) string {
	t.Helper()
	return filepath.Join(image(t).dir, "out/pipesteward")
}

// run runs a program to its end; the error holds what it said.
func run(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
