package chart_test

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestRulesFromGit: git-sync fetches the rules beside serve, which reads them through the link
// that git-sync moves. The volume is mounted at git-sync's root: a mount of the link or of what
// is below it would keep the first commit.
func TestRulesFromGit(t *testing.T) {
	pod := get[appsv1.Deployment](t, rendered(t, fromGit), "Deployment/release-pipesteward").Spec.Template.Spec
	if len(pod.InitContainers) != 1 {
		t.Fatalf("%d init containers", len(pod.InitContainers))
	}
	sync, serve := pod.InitContainers[0], pod.Containers[0]
	if sync.RestartPolicy == nil || *sync.RestartPolicy != corev1.ContainerRestartPolicyAlways || sync.StartupProbe == nil {
		t.Errorf("git-sync is no sidecar that serve waits for: %v %v", sync.RestartPolicy, sync.StartupProbe)
	}
	for _, c := range []corev1.Container{sync, serve} {
		i := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "rules" })
		if i < 0 || c.VolumeMounts[i].MountPath != flag(sync, "--root") || c.VolumeMounts[i].ReadOnly != (c.Name == "pipesteward") {
			t.Errorf("%s has the mounts %+v", c.Name, c.VolumeMounts)
		}
	}
	for directory, want := range map[string]string{"rules": "/git/current/rules", "": "/git/current", "a/b/": "/git/current/a/b"} {
		values := strings.Replace(fromGit, "existingSecret: rules-token", `existingSecret: rules-token, directory: "`+directory+`"`, 1)
		d := get[appsv1.Deployment](t, rendered(t, values), "Deployment/release-pipesteward")
		if got := environment(d)["PIPESTEWARD_RULES"]; got != want {
			t.Errorf("of the directory %q, serve reads %s, want %s", directory, got, want)
		}
	}
	for _, v := range pod.Volumes {
		if v.Name == "rules" && v.EmptyDir == nil || v.Name == "rules-token" && v.Secret.SecretName != "rules-token" {
			t.Errorf("the volume %+v", v)
		}
	}
	public := get[appsv1.Deployment](t, rendered(t, strings.Replace(fromGit, ", existingSecret: rules-token", "", 1)), "Deployment/release-pipesteward").Spec.Template.Spec
	if c := public.InitContainers[0]; flag(c, "--password-file") != "" || len(c.VolumeMounts) != 2 || len(public.Volumes) != len(pod.Volumes)-1 {
		t.Errorf("a repository without a password has one: %+v", c)
	}
}

// TestRulesFromGitAsDocumented: the values of RULES-FROM-GIT.md add such a repository to the least
// that the chart needs.
func TestRulesFromGitAsDocumented(t *testing.T) {
	_, below, found := strings.Cut(read(t, "../../RULES-FROM-GIT.md"), "```yaml\nrules:\n  git:")
	values, _, _ := strings.Cut(below, "```")
	if !found {
		t.Fatal("RULES-FROM-GIT.md has no values of rules.git")
	}
	head, _, _ := strings.Cut(fromGit, "rules:")
	all := rendered(t, head+"settings: {insecure-admin-without-auth: true}\nrules:\n  git:"+values)
	sync := get[appsv1.Deployment](t, all, "Deployment/release-pipesteward").Spec.Template.Spec.InitContainers[0]
	if flag(sync, "--repo") == "" || flag(sync, "--password-file") == "" {
		t.Errorf("%q", sync.Args)
	}
}

// TestGitSync runs git-sync as the chart does, but with a directory in place of the volumes, and a
// server of Git in place of GitLab.
func TestGitSync(t *testing.T) {
	if _, err := exec.LookPath("git-sync"); err != nil {
		t.Skip("this test needs git-sync, which no package of Debian has: build it from https://github.com/kubernetes/git-sync, of the version in values.yaml, and put it into the PATH")
	}
	const password = "deploy-token"
	dir := t.TempDir()
	repository := filepath.Join(dir, "repository")
	commit := func(rules string) {
		t.Helper()
		write(t, filepath.Join(repository, "rules/rules.yaml"), rules)
		git(t, repository, "add", ".")
		git(t, repository, "commit", "--message", "Rules")
	}
	git(t, dir, "init", "--initial-branch", "main", repository)
	commit("one")
	server := httptest.NewServer(gitServer(t, dir, "rules", password))
	t.Cleanup(server.Close)

	values := strings.NewReplacer("https://gitlab.example.com/platform/pipesteward-rules.git", server.URL+"/repository/.git", "existingSecret: rules-token", "existingSecret: rules-token, period: 20ms").Replace(fromGit)
	d := get[appsv1.Deployment](t, rendered(t, values), "Deployment/release-pipesteward")
	volumes := strings.NewReplacer("=/git", "="+filepath.Join(dir, "git"), "=/run/secrets/rules/", "="+dir+"/", "=:1234", "=127.0.0.1:0")
	var args []string
	for _, arg := range d.Spec.Template.Spec.InitContainers[0].Args {
		args = append(args, volumes.Replace(arg))
	}
	write(t, filepath.Join(dir, "token"), password+"\n")
	cmd := exec.CommandContext(t.Context(), "git-sync", args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		t.Logf("git-sync, killed: %v", <-ended)
	})

	served := filepath.Join(dir, environment(d)["PIPESTEWARD_RULES"], "rules.yaml")
	for _, rules := range []string{"one", "two"} {
		commit(rules + "\n")
		deadline := time.After(5 * time.Minute) // bounds a hang
		for every := time.Tick(20 * time.Millisecond); ; {
			if text, err := os.ReadFile(served); err == nil && string(text) == rules+"\n" {
				break
			}
			select {
			case <-every:
				continue
			case err := <-ended:
				ended <- err
				t.Fatalf("git-sync ended: %v\n%s", err, log.String())
			case <-deadline:
				t.Fatalf("%s does not come to be %q", served, rules)
			}
		}
	}
}

// gitServer serves the repositories in the directory to one user.
func gitServer(t *testing.T, dir, user, password string) http.Handler {
	t.Helper()
	at, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(at)), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
}

// git runs git in a directory.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flag returns the value of a flag of the container's program.
func flag(c corev1.Container, name string) string {
	for _, arg := range c.Args {
		if value, is := strings.CutPrefix(arg, name+"="); is {
			return value
		}
	}
	return ""
}
