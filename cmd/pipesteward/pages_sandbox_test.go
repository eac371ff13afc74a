//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"github.com/pipesteward/pipesteward/actions/gitlab/gitlabtest"
	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// sandbox is where the commands of a page run: a directory with the files of the repository
// that pages use, settings that lead to a simulated GitLab and Slack, and below root what
// the commands find and write in system directories.
type sandbox struct {
	*environment
	root      string
	serving   *program          // what commands reach at --admin-url; nil: nothing
	settings  map[string]string // variables that a page does not set
	words     []string          // in turn: what a page writes, and what that is in the sandbox
	statuses  map[string]int    // exit statuses that are not 0, by a part of the command line
	happens   func()            // something that a command which follows can print
	reachedAt func(string)      // told the address of webhooks, once serve serves
	terminal  *os.File
}

// newSandbox returns a sandbox with a scene; nil: there is none.
func newSandbox(t *testing.T, scene func(*sandbox)) *sandbox {
	t.Helper()
	env := newEnvironment(t)
	s := &sandbox{environment: env, root: t.TempDir(), statuses: map[string]int{}, terminal: openTerminal(t)}
	s.words = []string{"glpat-…", gitlabtest.DefaultToken, "xoxb-…", testSlack}
	s.settings = map[string]string{
		"PIPESTEWARD_GITLAB_TOKEN": gitlabtest.DefaultToken, "PIPESTEWARD_GITLAB_RATE": "100000/1m",
		"PIPESTEWARD_NATIVE_RETRY_WAIT": "0s", "PIPESTEWARD_WEBHOOK_TOKEN": testSecret, "PIPESTEWARD_SLACK_TOKEN": testSlack, "PIPESTEWARD_SLACK_API_URL": env.slack.URL(),
		"PIPESTEWARD_LISTEN": "127.0.0.1:0", "PIPESTEWARD_ADMIN_LISTEN": "127.0.0.1:0", "NO_COLOR": "1", "HOME": env.dir, "XDG_CACHE_HOME": env.dir,
	}
	s.reaches(env.gitlab)
	t.Chdir(env.dir)
	for _, dir := range []string{"backup", "etc/systemd/system", "usr/local/bin", "usr/local/share/man/man1", "var/lib/pipesteward"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if scene != nil {
		scene(s)
	}
	for _, name := range []string{"Makefile", "rules.example.yaml", "deploy"} {
		s.copies(name)
	}
	return s
}

// reaches has the sandbox's settings lead to a simulated GitLab.
func (s *sandbox) reaches(gitlab *gitlabtest.Server) {
	s.gitlab, s.settings["PIPESTEWARD_GITLAB_URL"] = gitlab, gitlab.URL()
	s.words = append([]string{"https://gitlab.example.com", gitlab.URL()}, s.words...)
}

// openTerminal returns a terminal of 80 columns.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no terminals to open:", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return terminal
}

// copies copies a file or a directory of the repository into the sandbox, with the
// sandbox's words.
func (s *sandbox) copies(name string) {
	s.Helper()
	top := os.DirFS(repositoryTop)
	err := fs.WalkDir(top, name, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "deploy/check" || name == "deploy/pictures"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(s.path(name), 0o700)
		}
		text, err := fs.ReadFile(top, name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(s.path(name), []byte(strings.NewReplacer(s.words...).Replace(string(text))), info.Mode().Perm())
	})
	if err != nil {
		s.Fatal(err)
	}
}

// repositoryTop is the repository's top directory, wherever the test is.
var repositoryTop = func() string {
	top, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return top
}()

var systemPath = regexp.MustCompile(`(^|[\s="'])(/(?:backup|etc|usr/local|var)/)`)

// inSandbox returns a script of a page as it is run in the sandbox.
func (s *sandbox) inSandbox(script string) string {
	return systemPath.ReplaceAllString(strings.NewReplacer(s.words...).Replace(script), "${1}"+s.root+"$2")
}

// onPage returns a text of the sandbox as a page would have it.
func (s *sandbox) onPage(text string) string {
	words := slices.Clone(s.words)
	slices.Reverse(words)
	return strings.NewReplacer(append(words, s.root, "", s.dir+"/", "")...).Replace(text)
}

// shell returns a shell in the sandbox that prints to out.
func (s *sandbox) shell(out io.Writer) *interp.Runner {
	s.Helper()
	variables := []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		variables = append(variables, name+"="+s.settings[name])
	}
	shell, err := interp.New(interp.Dir(s.dir), interp.Env(expand.ListEnviron(variables...)), interp.StdIO(nil, out, out), interp.ExecHandlers(s.programs))
	if err != nil {
		s.Fatal(err)
	}
	return shell
}

// programs returns what runs a program that a page calls: ours, its stand-in, or a tool
// that any system has.
func (s *sandbox) programs(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		name := filepath.Base(args[0])
		standIn, is := standIns()[name]
		switch {
		case name == "pipesteward":
			return s.pipesteward(ctx, args)
		case is:
			return standIn(ctx, s, args)
		case slices.Contains([]string{"cat", "cp", "date", "install", "mkdir", "secrets.sh"}, name):
			return next(ctx, args)
		}
		return fmt.Errorf("a page runs %s: give it a stand-in in standIns", args[0])
	}
}

// pipesteward runs the program as main does, with the shell's environment. What serves goes
// on until the test ends; what follows ends once it has printed something.
func (s *sandbox) pipesteward(ctx context.Context, args []string) error {
	shell := interp.HandlerCtx(ctx)
	defer s.set(shell.Env)()
	s.Chdir(shell.Dir)
	args = append([]string{"pipesteward"}, args[1:]...)
	switch {
	case slices.Contains(args, "demo"): // TestDemo and TestDemoKeeps run it
		if wrong := unusable(commandTree(&output{w: io.Discard}, io.Discard), strings.Join(args[1:], " ")); wrong != "" {
			return fmt.Errorf("there is no %s", wrong)
		}
		return nil
	case slices.Contains(args, "serve"):
		s.serves(args)
		return nil
	case slices.Contains(args, "--follow"):
		return s.followed(ctx, args, shell)
	}
	return exits(run(ctx, args, onTerminal{shell.Stdout, s.terminal}, shell.Stderr))
}

// exits returns the error by which a shell knows an exit status.
func exits(code int) error {
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(code)
}

// set sets the variables of a shell that the program and its libraries may read, and the
// address of the server that there is, until what it returns is called.
func (s *sandbox) set(env expand.Environ) (unset func()) {
	var names []string
	set := func(name, value string) {
		names = append(names, name)
		s.Setenv(name, value)
	}
	if s.serving != nil {
		set("PIPESTEWARD_ADMIN_URL", s.serving.admin)
	}
	env.Each(func(name string, v expand.Variable) bool {
		_, ours := s.settings[name]
		if v.Exported && (ours || strings.HasPrefix(name, "PIPESTEWARD_") || strings.HasPrefix(name, "OTEL_")) {
			set(name, v.String())
		}
		return true
	})
	return func() {
		for _, name := range names {
			_ = os.Unsetenv(name) // the test's end sets what there was before
		}
	}
}

// serves starts serve, and waits until it serves.
func (s *sandbox) serves(args []string) {
	s.Helper()
	p := &program{T: s.T, ended: make(chan error, 1)}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(s.Context()))
	log, stderr := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := exits(run(ctx, args, io.Discard, stderr))
		_ = stderr.Close()
		ended <- err
	}()
	s.Cleanup(func() { p.stop() })
	if err := p.watch(log, func() error { return <-ended }); err != nil {
		s.Fatal(err)
	}
	s.serving = p
	if s.reachedAt != nil {
		s.reachedAt(p.webhooks)
	}
}

// followed runs a command that prints what happens, until it has printed something.
func (s *sandbox) followed(ctx context.Context, args []string, shell interp.HandlerContext) error {
	if s.happens != nil {
		s.happens()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var out lines
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, onTerminal{&out, s.terminal}, shell.Stderr) }()
	printed := func() string { return strings.Join(out.all(), "\n") }
	await.Until(s, strings.Join(args, " ")+" prints something", func() bool { return len(ended) > 0 || printed() != "" })
	stop()
	code := <-ended
	if _, err := io.WriteString(shell.Stdout, printed()); err != nil {
		return err
	}
	return exits(code)
}
