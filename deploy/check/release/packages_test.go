//go:build linux

package release_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
	"golang.org/x/sys/unix"
)

// dynamicUser is one of the users that systemd takes for DynamicUser=yes.
const dynamicUser = 61184

// manager installs packages of one format, with the words of its program.
type manager struct {
	format                           string
	install, upgrade, verify, remove []string
	edited                           string // what a removal appends to the names of edited settings
}

var (
	deb = manager{
		format:  "deb",
		install: []string{"dpkg", "--install"}, upgrade: []string{"dpkg", "--install"}, verify: []string{"dpkg", "--verify"}, remove: []string{"dpkg", "--remove"},
	}
	// Debian's rpm knows nothing of what dpkg has installed.
	rpm = manager{
		format:  "rpm",
		install: []string{"rpm", "--force-debian", "--nodeps", "--install"}, upgrade: []string{"rpm", "--force-debian", "--nodeps", "--upgrade"},
		verify: []string{"rpm", "--nodeps", "--verify"}, remove: []string{"rpm", "--force-debian", "--nodeps", "--erase"},
		edited: ".rpmsave",
	}
)

// versions are the version that is installed, and the one that it is upgraded to.
var versions = [2]string{"1.0.0", "1.0.1"}

// TestPackageIsInstalledAndServes: on a machine without Pipesteward, the package is installed,
// and after the steps of deploy/README.md the service answers; an upgrade and a removal keep what
// people have written. systemd itself does not run: the test starts what the unit says, as a user
// of the kind that the unit gets, with copies of the secrets where they are then.
func TestPackageIsInstalledAndServes(t *testing.T) {
	programs := [2]string{buildProgram(t, versions[0]), buildProgram(t, versions[1])}
	for _, with := range []manager{deb, rpm} {
		t.Run(with.format, func(t *testing.T) {
			if _, err := exec.LookPath(with.install[0]); err != nil || os.Getuid() != 0 {
				t.Skipf("this test installs a package: it needs %s, and root", with.install[0])
			}
			first, second := buildPackage(t, with.format, versions[0], programs[0]), buildPackage(t, with.format, versions[1], programs[1])
			m := newMachine(t)
			m.installs(with.install, first)
			if out := m.run(append(with.verify, "pipesteward")...); out != "" {
				t.Errorf("%q: %s", with.verify, out)
			}
			if _, err := exec.LookPath("systemd-analyze"); err == nil {
				if out := m.run("systemd-analyze", "verify", "/usr/lib/systemd/system/pipesteward.service"); out != "" {
					t.Errorf("systemd-analyze verify: %s", out)
				}
			}
			m.hasModes(map[string]os.FileMode{
				"/usr/bin/pipesteward": 0o755, "/etc/pipesteward/pipesteward.env": 0o644, "/etc/pipesteward/rules/rules.yaml": 0o644,
				"/etc/pipesteward/secrets": os.ModeDir | 0o700, "/etc/pipesteward/secrets/gitlab-token": 0o600, "/etc/pipesteward/secrets/store": 0o600,
				"/usr/share/man/man1/pipesteward.1.gz": 0o644, "/usr/share/doc/pipesteward/deploy/README.md": 0o644,
			})

			const settings, token = "/etc/pipesteward/pipesteward.env", "/etc/pipesteward/secrets/gitlab-token"
			m.append(settings, "PIPESTEWARD_GITLAB_URL=http://127.0.0.1:1\n")
			m.append(token, "a-token\n")
			m.append("/etc/pipesteward/secrets/webhook-token", "another-token\n")
			m.serves()

			m.installs(with.upgrade, second)
			if out := m.run("pipesteward", "--version"); !strings.Contains(out, "v1.0.1") {
				t.Errorf("after an upgrade, pipesteward --version says %s", out)
			}
			m.hasLines(settings, "PIPESTEWARD_GITLAB_URL=http://127.0.0.1:1\n")
			m.run(append(with.remove, "pipesteward")...)
			m.hasLines(settings+with.edited, "PIPESTEWARD_GITLAB_URL=http://127.0.0.1:1\n")
			m.hasLines(token, "a-token\n")
			m.hasModes(map[string]os.FileMode{"/var/lib/pipesteward/pipesteward.db": 0o600, "/usr/bin/pipesteward": 0, "/usr/share/doc/pipesteward": 0})
			if with.format == "deb" {
				m.run("dpkg", "--purge", "pipesteward")
				m.hasModes(map[string]os.FileMode{"/etc/pipesteward": 0, "/var/lib/pipesteward": 0})
			}
		})
	}
}

// buildPackage builds the package of a version of the program as GoReleaser does, by the library
// that it has.
func buildPackage(t *testing.T, format, version, program string) (path string) {
	t.Helper()
	p := load(t).Nfpms[0]
	info := nfpm.Info{
		Name: p.PackageName, Arch: runtime.GOARCH, Platform: "linux", Version: version, Maintainer: p.Maintainer, Description: p.Description,
		Overridables: nfpm.Overridables{
			Umask: p.Umask, Recommends: p.Recommends,
			Contents: files.Contents{{Source: program, Destination: p.Bindir + "/pipesteward"}},
			Scripts:  nfpm.Scripts{PostInstall: source(t, p.Scripts.Postinstall), PreRemove: source(t, p.Scripts.Preremove), PostRemove: source(t, p.Scripts.Postremove)},
		},
	}
	for _, content := range p.Contents {
		add := files.Content{Destination: content.Dst, Type: content.Type, Packager: content.Packager, FileInfo: &files.ContentFileInfo{Mode: content.FileInfo.Mode}}
		if content.Src != "" {
			add.Source = source(t, content.Src)
		}
		info.Contents = append(info.Contents, &add)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		t.Fatal(err)
	}
	ready := nfpm.WithDefaults(&info)
	if err := nfpm.PrepareForPackager(ready, format); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), packager.ConventionalFileName(ready)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(packager.Package(ready, file), file.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// buildProgram builds the program of a version as .goreleaser.yaml says.
func buildProgram(t *testing.T, version string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipesteward")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -X main.release=v"+version, "-o", path, "./cmd/pipesteward")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// source gives the path of a file that .goreleaser.yaml names.
func source(t *testing.T, name string) string {
	t.Helper()
	if name, is := strings.CutPrefix(name, documents); is {
		return filepath.Join(makeDocuments(t), name)
	}
	return filepath.Join(root, name)
}

// machine is this machine as it would be if what the test does to it were undone: the test has a
// root directory whose changes are in memory, and a loopback network, of its own.
type machine struct {
	*testing.T
	root string
}

// newMachine keeps the goroutine on a thread that ends with the test: the namespaces belong to
// it, and the programs that it starts have them too.
func newMachine(t *testing.T) machine {
	t.Helper()
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_NEWNET); err != nil {
		t.Skipf("this test needs namespaces of its own: %v", err)
	}
	dir := t.TempDir()
	m := machine{t, filepath.Join(dir, "root")}
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(target, 0o755), syscall.Mount(source, target, kind, flags, data)); err != nil {
			t.Skipf("this test needs to mount %s: %v", kind, err)
		}
	}
	mount("", "/", "none", syscall.MS_REC|syscall.MS_PRIVATE, "")
	mount("tmpfs", dir, "tmpfs", 0, "mode=755")
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "changes"), 0o755), os.Mkdir(filepath.Join(dir, "work"), 0o755)); err != nil {
		t.Fatal(err)
	}
	mount("overlay", m.root, "overlay", 0, "lowerdir=/,upperdir="+dir+"/changes,workdir="+dir+"/work")
	mount("/proc", m.root+"/proc", "none", syscall.MS_BIND, "")
	mount("/dev", m.root+"/dev", "none", syscall.MS_BIND, "")
	if err := loopbackUp(); err != nil {
		t.Fatal(err)
	}
	return m
}

// loopbackUp sets the network's loopback device up, which a new one has down.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	device, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, device)
}

// command is a program that sees the machine's root.
func (m machine) command(args ...string) *exec.Cmd {
	m.Helper()
	cmd := exec.CommandContext(m.Context(), "env", args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a program to its end, and returns what it says.
func (m machine) run(args ...string) string {
	m.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// installs installs a package of the real machine.
func (m machine) installs(with []string, name string) {
	m.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		m.Fatal(err)
	}
	here := "/" + filepath.Base(name)
	if err := os.WriteFile(m.root+here, data, 0o600); err != nil {
		m.Fatal(err)
	}
	m.run(append(with, here)...)
}

// hasLines compares the end of a file.
func (m machine) hasLines(name, end string) {
	m.Helper()
	if text := m.read(name); !strings.HasSuffix(text, end) {
		m.Errorf("%s does not end with %q:\n%s", name, end, text)
	}
}

func (m machine) read(name string) string {
	m.Helper()
	data, err := os.ReadFile(m.root + name)
	if err != nil {
		m.Fatal(err)
	}
	return string(data)
}

// append adds a line to a file that is there.
func (m machine) append(name, line string) {
	m.Helper()
	file, err := os.OpenFile(m.root+name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		m.Fatal(err)
	}
	_, err = file.WriteString(line)
	if err := errors.Join(err, file.Close()); err != nil {
		m.Fatal(err)
	}
}

// hasModes compares the modes of root's files; 0 is for those that are not to be there.
func (m machine) hasModes(want map[string]os.FileMode) {
	m.Helper()
	for name, mode := range want {
		info, err := os.Stat(m.root + name)
		if mode == 0 {
			if !errors.Is(err, os.ErrNotExist) {
				m.Errorf("%s is there: %v", name, err)
			}
			continue
		}
		if err != nil {
			m.Error(err)
		} else if info.Mode() != mode {
			m.Errorf("%s has the mode %v, want %v", name, info.Mode(), mode)
		}
	}
}

// service is what the unit says of the process.
type service struct {
	program, directory, settings string   // ExecStart, WorkingDirectory, EnvironmentFile
	environment                  []string // NAME=value
}

// prepares reads the unit, and makes what systemd makes before it starts the process: the state
// directory, and the copies of secrets.
func (m machine) prepares() (s service) {
	m.Helper()
	options, err := unit.DeserializeOptions(strings.NewReader(m.read("/usr/lib/systemd/system/pipesteward.service")))
	if err != nil {
		m.Fatal(err)
	}
	const credentials = "/run/credentials/pipesteward.service"
	specifiers := strings.NewReplacer("%d", credentials, "%S", "/var/lib")
	for _, o := range options {
		value := specifiers.Replace(o.Value)
		switch o.Name {
		case "ExecStart":
			s.program = value
		case "WorkingDirectory":
			s.directory = value
		case "EnvironmentFile":
			s.settings = value
		case "Environment":
			s.environment = append(s.environment, value)
		case "StateDirectory":
			m.run("mkdir", "--parents", "/var/lib/"+value)
			m.gives("/var/lib/"+value, 0o700)
		case "LoadCredential":
			name, from, _ := strings.Cut(value, ":")
			m.run("install", "-D", from, credentials+"/"+name)
			m.gives(credentials+"/"+name, 0o400)
		}
	}
	return s
}

// gives gives a file to the service's user.
func (m machine) gives(name string, mode os.FileMode) {
	m.Helper()
	if err := errors.Join(os.Chmod(m.root+name, mode), os.Chown(m.root+name, dynamicUser, dynamicUser)); err != nil {
		m.Fatal(err)
	}
}

// serves starts the service, sends the request of the document until it succeeds, and stops it.
func (m machine) serves() {
	m.Helper()
	step := regexp.MustCompile(`(?m)^   (curl [^;]+);`).FindStringSubmatch(read(m.T, "deploy/README.md"))
	if step == nil {
		m.Fatal("deploy/README.md has no request that shows whether the service is ready")
	}
	s := m.prepares()
	cmd := m.command("sh", "-c", "cd "+s.directory+" && set -a && . "+s.settings+" && umask 077 && exec "+s.program)
	cmd.Env = append(cmd.Env, s.environment...)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: dynamicUser, Gid: dynamicUser}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(5 * time.Minute) // bounds a hang
	for m.command("sh", "-c", step[1]).Run() != nil {
		select {
		case err := <-ended:
			m.Fatalf("%s ended: %v\n%s", s.program, err, log.String())
		case <-deadline:
			_ = cmd.Process.Kill()
			m.Fatalf("%s does not succeed, and %s ended: %v\n%s", step[1], s.program, <-ended, &log)
		default:
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	if err := <-ended; err != nil {
		m.Errorf("after SIGTERM: %v\n%s", err, log.String())
	}
}
