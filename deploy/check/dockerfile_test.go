//go:build linux

package check_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
)

const (
	dockerfile  = "../Dockerfile"
	testVersion = "v1.2.3-check"
)

// built is the image's build, done by hand: its build stage's steps, in a
// folder that holds what .dockerignore lets through.
type built struct {
	stages []instructions.Stage
	dir    string // src and out, the build stage's folders
}

var build = sync.OnceValues(func() (built, error) {
	stages, err := parseDockerfile()
	if err != nil {
		return built{}, err
	}
	b := built{stages: stages, dir: buildDir}
	return b, b.buildStage(filepath.Join(b.dir, "src"))
})

// image builds the image's files, once for all tests.
func image(t *testing.T) built {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// final is the stage that is built by default.
func (b built) final() instructions.Stage { return b.stages[len(b.stages)-1] }

// user gives the USER of the final stage.
func (b built) user() (user string) {
	for _, c := range b.final().Commands {
		if c, ok := c.(*instructions.UserCommand); ok {
			user = c.User
		}
	}
	return user
}

func parseDockerfile() ([]instructions.Stage, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err == nil && len(stages) != 3 {
		err = fmt.Errorf("%d stages, not a build stage, one for CI jobs and a final one", len(stages))
	}
	return stages, err
}

// buildStage runs the RUN steps. COPY . . is done before them: that it comes
// after the first is for the cache only.
func (b built) buildStage(src string) error {
	if err := copyContext(src); err != nil {
		return err
	}
	for _, c := range b.stages[0].Commands {
		step, ok := c.(*instructions.RunCommand)
		if !ok {
			continue
		}
		line := strings.ReplaceAll(strings.Join(step.CmdLine, " "), "/out/", filepath.Join(b.dir, "out")+"/")
		env := []string{"TARGETOS=linux", "TARGETARCH=" + runtime.GOARCH, "VERSION=" + testVersion, "GOTOOLCHAIN=local", "GOWORK=off"}
		if err := run(context.Background(), src, env, "/bin/sh", "-c", line); err != nil {
			return fmt.Errorf("%s:%d: %w", dockerfile, step.Location()[0].Start.Line, err)
		}
	}
	return nil
}

// copyContext copies what .dockerignore lets through.
func copyContext(to string) error {
	ignored, err := dockerignore()
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		if drop, err := ignored.MatchesOrParentMatches(name); err != nil || drop {
			return err
		}
		data, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) { // a test's file that is gone again
			return nil
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}

func dockerignore() (*patternmatcher.PatternMatcher, error) {
	f, err := os.Open(dockerfile + ".dockerignore")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return patternmatcher.New(patterns)
}

// noRegistry knows base images without asking anybody.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture": "` + runtime.GOARCH + `", "os": "linux", "config": {"Env": ["PATH=/usr/local/go/bin:/usr/bin:/bin"]}}`), nil
}

func TestDockerfileHasNoWarnings(t *testing.T) {
	text := []byte(read(t, dockerfile))
	source := llb.NewSourceMap(nil, dockerfile, "Dockerfile", text)
	source.Definition = &llb.Definition{} // or the linter dereferences nil
	results, err := dockerfile2llb.DockerfileLint(t.Context(), text, dockerfile2llb.ConvertOpt{
		MetaResolver: noRegistry{}, SourceMap: source,
	})
	if err != nil {
		t.Fatal(err)
	}
	if results.Error != nil {
		t.Error(results.Error.Message)
	}
	for _, w := range results.Warnings {
		t.Errorf("line %d: %s: %s", w.Location.Ranges[0].Start.Line, w.RuleName, w.Detail)
	}
}

func TestDockerfileBuildsWithTheModulesGo(t *testing.T) {
	base := image(t).stages[0].BaseName
	version := regexp.MustCompile(`^golang:(1\.\d+)\.\d+-`).FindStringSubmatch(base)
	if version == nil {
		t.Fatalf("the base %q is not pinned to a patch version of Go", base)
	}
	if mod := read(t, root+"/go.mod"); !strings.Contains(mod, "\ngo "+version[1]+".") {
		t.Errorf("the base is %s, and go.mod wants another Go", base)
	}
}

// The image holds one program: no shell, no package manager, nothing else to
// run; and its user owns the state directory only.
func TestFinalImage(t *testing.T) {
	final := image(t).final()
	if final.BaseName != "scratch" {
		t.Errorf("the final image is built on %s, not on nothing", final.BaseName)
	}
	var files, owned []string
	var entrypoint, cmd, ports []string
	for _, c := range final.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			files = append(files, c.DestPath)
			if c.Chown != "" {
				owned = append(owned, c.DestPath)
			}
			if c.From == "" {
				for _, source := range c.SourcePaths {
					if _, err := os.Stat(filepath.Join(image(t).dir, "src", source)); err != nil {
						t.Errorf("COPY %s: not in the repository, or ignored: %v", source, err)
					}
				}
			}
		case *instructions.EntrypointCommand:
			if !c.PrependShell {
				entrypoint = c.CmdLine
			}
		case *instructions.CmdCommand:
			if !c.PrependShell {
				cmd = c.CmdLine
			}
		case *instructions.ExposeCommand:
			ports = c.Ports
		case *instructions.ArgCommand, *instructions.EnvCommand, *instructions.LabelCommand, *instructions.UserCommand, *instructions.WorkdirCommand:
		default:
			t.Errorf("the final stage has a %s", c.Name())
		}
	}
	state := "/var/lib/pipesteward"
	if diff := cmp.Diff([]string{"/etc/ssl/certs/ca-certificates.crt", "/LICENSE", state, "/usr/local/bin/pipesteward"}, files); diff != "" {
		t.Errorf("the files of the image (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{state}, owned); diff != "" {
		t.Errorf("what the user owns (-want +got):\n%s", diff)
	}
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(image(t).user()) {
		t.Errorf("USER %q is not the numbers of a user and group other than root", image(t).user())
	}
	if diff := cmp.Diff([]string{"/usr/local/bin/pipesteward", "serve"}, append(entrypoint, cmd...)); diff != "" {
		t.Errorf("what the image runs, without a shell (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"8080"}, ports); diff != "" {
		t.Errorf("exposed ports; the admin address has no log-in (-want +got):\n%s", diff)
	}
}

// The image for CI jobs has a shell, which the runner needs, and the same program where
// the component's script finds it. Nothing but the script runs.
func TestImageForCIJobs(t *testing.T) {
	stage := image(t).stages[1]
	if stage.Name != "ci" || !strings.HasPrefix(stage.BaseName, "alpine:3.") {
		t.Errorf("the stage %q is built on %s, not on a pinned Alpine", stage.Name, stage.BaseName)
	}
	var files []string
	for _, c := range stage.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			files = append(files, c.DestPath)
		case *instructions.UserCommand:
			if c.User != image(t).user() {
				t.Errorf("USER %s, and the service's is %s", c.User, image(t).user())
			}
		default:
			t.Errorf("the stage has a %s", c.Name())
		}
	}
	if diff := cmp.Diff([]string{"/etc/ssl/certs/ca-certificates.crt", "/LICENSE", "/usr/local/bin/pipesteward"}, files); diff != "" {
		t.Errorf("the files of the image (-want +got):\n%s", diff)
	}
}

// What lies about in a checkout stays out of the image's layers.
func TestDockerignore(t *testing.T) {
	ignored, err := dockerignore()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		".git/config", ".env", "pipesteward", "pipesteward.db", "cmd/pipesteward/pipesteward.db", "rules.yaml",
		"deploy/secrets/gitlab-token", "deploy/.env", "store/bolt/bolt_test.go", "handlers/webhook/testdata/job.json",
	} {
		if drop, err := ignored.MatchesOrParentMatches(name); err != nil || !drop {
			t.Errorf("%s is sent to the build (%v)", name, err)
		}
	}
}

// The program does with what the image gives it: no file but its own, a root
// that can't be written, a user without rights, no shell, no zoneinfo.
func TestProgramInAnEmptyImage(t *testing.T) {
	b := image(t)
	files := t.TempDir()
	var env []string
	var workdir string
	for _, c := range b.final().Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			source := filepath.Join(b.dir, "src", c.SourcePaths[0])
			if c.From == "build" {
				source = filepath.Join(b.dir, c.SourcePaths[0])
			}
			copyInto(t, source, filepath.Join(files, c.DestPath))
		case *instructions.EnvCommand:
			for _, v := range c.Env {
				env = append(env, v.Key+"="+v.Value)
			}
		case *instructions.WorkdirCommand:
			workdir = c.Path
		}
	}
	write(t, filepath.Join(files, "etc/pipesteward/rules/rules.yaml"), `
version: 1
rules:
  - name: time-zones-are-known
    on: job
    if: timezone("Asia/Shanghai").String() == "Asia/Shanghai"
    actions: [retry: {}]
`)
	write(t, filepath.Join(files, "run/secrets/token"), "a-token")
	readOnly(t, files, workdir)

	cmd := exec.CommandContext(context.Background(), "/usr/local/bin/pipesteward", "serve")
	cmd.Dir = workdir
	cmd.Env = slices.Concat(env, []string{
		"PIPESTEWARD_LISTEN=127.0.0.1:0", "PIPESTEWARD_ADMIN_LISTEN=127.0.0.1:0", "PIPESTEWARD_GITLAB_URL=http://127.0.0.1:1",
		"PIPESTEWARD_GITLAB_TOKEN_FILE=/run/secrets/token", "PIPESTEWARD_WEBHOOK_TOKEN_FILE=/run/secrets/token",
	})
	user, _, _ := strings.Cut(b.user(), ":")
	cmd.SysProcAttr = inside(t, files, user)
	p := start(t, cmd)
	said := p.serving()
	if said.Version != testVersion {
		t.Errorf("the image's --version is %q, not the build argument VERSION, %q", said.Version, testVersion)
	}
	if got := status(t, said.Admin+"/readyz"); got != http.StatusOK {
		t.Errorf("/readyz: %d", got)
	}
	if got := deliver(t, said.Webhooks, "a-token", 1); got != http.StatusAccepted {
		t.Errorf("a delivery is answered %d", got)
	}
	until(t, "the rule matched", func() bool { return strings.Contains(get(t, said.Admin+"/api/v1/decisions"), "time-zones-are-known") })
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.logged())
	}
	if got, err := filepath.Glob(filepath.Join(files, workdir, "*")); err != nil || !slices.Equal(got, []string{filepath.Join(files, workdir, "pipesteward.db")}) {
		t.Errorf("the state directory holds %v", got)
	}
}

// copyInto copies a file, or an empty directory, as an image has it.
func copyInto(t *testing.T, source, target string) {
	t.Helper()
	info, err := os.Stat(source)
	if errors.Is(err, fs.ErrNotExist) && path.Base(source) == "ca-certificates.crt" {
		return // the base image's
	}
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		if err := os.MkdirAll(target, 0o755); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.Chmod(write(t, target, read(t, source)), 0o755); err != nil {
		t.Fatal(err)
	}
}

// readOnly takes the right to write from all directories but one.
func readOnly(t *testing.T, dir, but string) {
	t.Helper()
	chmod := func(mode fs.FileMode) {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || p == filepath.Join(dir, but) {
				return err
			}
			return os.Chmod(p, mode)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	chmod(0o555)
	t.Cleanup(func() { chmod(0o755) })
}

// inside has a program see the directory as its root and itself as the user,
// who has no rights outside of it.
func inside(t *testing.T, dir, user string) *syscall.SysProcAttr {
	t.Helper()
	id, err := strconv.Atoi(user)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{
		Chroot:      dir,
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getgid(), Size: 1}},
	}
}
