//go:build linux

package check_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

var replicas = []string{"pipesteward-1", "pipesteward-2"}

// operator is a user of Redis who may do anything, for the tests to look in.
const operator = "operator"

// project loads compose.yaml as docker compose does, with what its .env must
// hold.
func project(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{deploy + "/compose.yaml"}, cli.WithEnv(append([]string{"PIPESTEWARD_SITE=pipesteward.example.com"}, env...)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestComposeServices(t *testing.T) {
	want := append(slices.Clone(replicas), "proxy", "redis")
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(project(t).Services))); diff != "" {
		t.Errorf("two replicas, their proxy and their Redis (-want +got):\n%s", diff)
	}
}

func TestComposeNeedsASite(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{deploy + "/compose.yaml"}, cli.WithEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.LoadProject(t.Context()); err == nil || !strings.Contains(err.Error(), "set it in .env to the name that GitLab calls") {
		t.Errorf("without PIPESTEWARD_SITE: %v", err)
	}
}

func TestComposeServicesAreHardened(t *testing.T) {
	p := project(t)
	capabilities := map[string][]string{"proxy": {"NET_BIND_SERVICE"}}
	for name, s := range p.Services {
		if !s.ReadOnly || s.Privileged || s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
			t.Errorf("%s: the root can be written, or the host is shared", name)
		}
		if diff := cmp.Diff([]string{"ALL"}, s.CapDrop); diff != "" {
			t.Errorf("%s: cap_drop (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(capabilities[name], s.CapAdd); diff != "" {
			t.Errorf("%s: cap_add (-want +got):\n%s", name, diff)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: it can gain privileges", name)
		}
		if root := s.User == "" || strings.HasPrefix(s.User, "0"); root != (name == "proxy") {
			t.Errorf("%s: user %q", name, s.User)
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: its log is not rotated", name)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= 10*time.Second {
			t.Errorf("%s: stop_grace_period %v, which is not more than the 10 s it may take", name, s.StopGracePeriod)
		}
		if l := s.Deploy; l == nil || l.Resources.Limits == nil || l.Resources.Limits.MemoryBytes == 0 || l.Resources.Limits.NanoCPUs == 0 || l.Resources.Limits.Pids == 0 {
			t.Errorf("%s: memory, cpus or pids are not limited", name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && (!v.ReadOnly || v.Bind == nil || bool(v.Bind.CreateHostPath)) {
				t.Errorf("%s: %s can be written, or is made where it is missing", name, v.Target)
			}
		}
		if _, tag, pinned := strings.Cut(s.Image, ":"); s.Build == nil && (!pinned || strings.Count(tag, ".") < 2) {
			t.Errorf("%s: the image %s is not pinned to a patch version", name, s.Image)
		}
	}
}

func TestComposeReplicas(t *testing.T) {
	p := project(t)
	first, second := service(t, p, replicas[0]), service(t, p, replicas[1])
	for _, s := range []types.ServiceConfig{first, second} {
		checkSettings(t, "compose.yaml", slices.Collect(maps.Keys(s.Environment)))
		var secrets []string
		for _, secret := range s.Secrets {
			secrets = append(secrets, "/run/secrets/"+secret.Source)
		}
		for name, value := range s.Environment {
			if strings.HasSuffix(name, "_FILE") && !slices.Contains(secrets, *value) {
				t.Errorf("%s: %s is %s, which is no secret of the service", s.Name, name, *value)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is published beyond this machine; the admin address has no log-in", s.Name, port.Target)
			}
		}
		if d := s.DependsOn["redis"]; d.Condition != types.ServiceConditionHealthy {
			t.Errorf("%s: starts before Redis is healthy", s.Name)
		}
		if _, err := os.Stat(s.Build.Context + "/" + s.Build.Dockerfile); err != nil {
			t.Error(err)
		}
		if want := image(t).user(); s.User != want {
			t.Errorf("%s: its user is %s, and the image's %s", s.Name, s.User, want)
		}
	}
	first.Name, first.Ports = second.Name, second.Ports
	if diff := cmp.Diff(second, first); diff != "" {
		t.Errorf("the replicas differ in more than their name and port:\n%s", diff)
	}
}

// Replicas have the variables of otel.env, which may be missing: all other tests have none.
func TestComposePassesOpenTelemetry(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "otel.env"), "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318\nPIPESTEWARD_RULES=elsewhere\n")
	options, err := cli.NewProjectOptions([]string{deploy + "/compose.yaml"}, cli.WithWorkingDirectory(dir), cli.WithEnv([]string{"PIPESTEWARD_SITE=pipesteward.example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range replicas {
		for variable, want := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "PIPESTEWARD_RULES": "/etc/pipesteward/rules"} {
			if got := service(t, p, name).Environment[variable]; got == nil || *got != want {
				t.Errorf("%s: %s is not %s", name, variable, want)
			}
		}
	}
}

func TestComposeRedisIsKeptInside(t *testing.T) {
	p := project(t)
	redis := service(t, p, "redis")
	if len(redis.Ports) > 0 || !p.Networks["redis"].Internal || len(redis.Networks) != 1 {
		t.Error("Redis can be reached from outside, or can reach outside")
	}
	for _, s := range p.Services {
		if _, in := s.Networks["redis"]; in != (s.Name != "proxy") {
			t.Errorf("%s on the network of Redis: %v", s.Name, in)
		}
	}
	var data bool
	for _, v := range redis.Volumes {
		data = data || v.Type == types.VolumeTypeVolume && v.Target == "/data"
	}
	if !data {
		t.Error("/data is no volume")
	}
}

// The proxy of compose.yaml is the version that these tests run.
func TestComposeProxyIsTheOneTested(t *testing.T) {
	image := service(t, project(t), "proxy").Image
	version := strings.TrimSuffix(strings.TrimPrefix(image, "caddy:"), "-alpine")
	if !strings.Contains(read(t, "go.mod"), "github.com/caddyserver/caddy/v2 v"+version+"\n") {
		t.Errorf("compose.yaml runs %s; go.mod has another Caddy", image)
	}
}

// stack is what compose.yaml starts, without containers: the same programs,
// configuration, environment and secrets, each with ports of its own.
type stack struct {
	*testing.T
	dir     string // secrets, rules, Redis's data
	project *types.Project
	port    string // of Redis
	site    string // the proxy's URL
	listen  string // the port of the replicas' webhooks
	admin   string // … and of their admin address
	redis   *process
	proxy   *process
}

func newStack(t *testing.T) *stack {
	t.Helper()
	needs(t, "redis-server", "redis-server")
	needs(t, "redis-cli", "redis-tools")
	s := &stack{
		T: t, dir: t.TempDir(), port: freePort(t, "127.0.0.1"), listen: freePort(t, "127.0.0.2"), admin: freePort(t, "127.0.0.2"),
		site: "http://127.0.0.1:" + freePort(t, "127.0.0.1"),
	}
	gitlab := httptest.NewServer(http.NotFoundHandler()) // the jobs are gone, so there is nothing to do
	t.Cleanup(gitlab.Close)
	s.project = project(t, "PIPESTEWARD_SITE="+s.site, "PIPESTEWARD_GITLAB_URL="+gitlab.URL, "PIPESTEWARD_GITLAB_RATE=100000/1m")
	write(t, filepath.Join(s.dir, "secrets.sh"), read(t, deploy+"/secrets.sh"))
	if err := run(t.Context(), s.dir, nil, "/bin/sh", "secrets.sh"); err != nil {
		t.Fatal(err)
	}
	write(t, s.secret("gitlab-token"), "glpat-of-the-check")
	write(t, s.secret("redis-users"), read(t, s.secret("redis-users"))+"user "+operator+" on >"+operator+" ~* &* +@all\n")
	write(t, s.secret("store"), strings.Replace(read(t, s.secret("store")), "redis:6379", "127.0.0.1:"+s.port, 1))
	write(t, filepath.Join(s.dir, "rules/rules.yaml"), `
version: 1
rules:
  - name: retry
    on: job
    if: failed_with("runner_system_failure")
    actions: [retry: {}]
`)
	return s
}

func (s *stack) secret(name string) string { return filepath.Join(s.dir, "secrets", name) }

// inPlace gives a container's path or address here.
func (s *stack) inPlace(value, host string) string {
	switch value {
	case ":8080":
		return host + ":" + s.listen
	case ":9090":
		return host + ":" + s.admin
	}
	return strings.NewReplacer("/run/secrets/", s.dir+"/secrets/", "/etc/pipesteward/rules", s.dir+"/rules").Replace(value)
}

// startRedis starts Redis with redis.conf; other settings come after it.
func (s *stack) startRedis(other ...string) {
	s.Helper()
	command := service(s.T, s.project, "redis").Command
	if diff := cmp.Diff(types.ShellCommand{"redis-server", "/etc/redis/redis.conf"}, command); diff != "" {
		s.Fatal(diff)
	}
	here := strings.NewReplacer("\ndir /data\n", "\ndir "+s.dir+"\n", "/run/secrets/", s.secret("")+"/")
	conf := write(s.T, filepath.Join(s.dir, "redis.conf"), here.Replace(read(s.T, deploy+"/redis.conf")))
	s.redis = start(s.T, exec.CommandContext(context.Background(), "redis-server", append([]string{conf, "--bind", "127.0.0.1", "--port", s.port}, other...)...))
	s.redis.logs("Ready to accept connections")
}

// host is the address that represents a replica's container.
func (s *stack) host(n int) string { return fmt.Sprintf("127.0.0.%d", n+2) }

func (s *stack) startReplica(n int) *process {
	s.Helper()
	cmd := exec.CommandContext(context.Background(), program(s.T), "serve")
	cmd.Env = []string{}
	for name, value := range service(s.T, s.project, replicas[n]).Environment {
		cmd.Env = append(cmd.Env, name+"="+s.inPlace(*value, s.host(n)))
	}
	p := start(s.T, cmd)
	p.serving()
	return p
}

// startProxy starts Caddy with the Caddyfile, in which each replica's name has
// become an address of this machine.
func (s *stack) startProxy() {
	s.Helper()
	names := strings.NewReplacer("pipesteward-1:8080", "127.0.0.2:"+s.listen, "pipesteward-2:8080", "127.0.0.3:"+s.listen, "health_port 9090", "health_port "+s.admin)
	caddyfile := write(s.T, filepath.Join(s.dir, "Caddyfile"), names.Replace(read(s.T, deploy+"/caddy/Caddyfile")))
	cmd := exec.CommandContext(context.Background(), os.Args[0], "run", "--config", caddyfile, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), asCaddy+"=1", "CADDY_ADMIN=127.0.0.1:0", "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir,
		"SITE="+*service(s.T, s.project, "proxy").Environment["SITE"])
	s.proxy = start(s.T, cmd)
	s.proxy.logs("serving initial configuration")
}

func (s *stack) deliver(job int) int {
	s.Helper()
	return deliver(s.T, s.site+"/webhooks/gitlab", strings.TrimSpace(read(s.T, s.secret("webhook-token"))), job)
}

// got says whether a replica was given a delivery since it started.
func (s *stack) got(n int) bool {
	s.Helper()
	metrics := get(s.T, s.adminURL(n)+"/metrics")
	return regexp.MustCompile(`(?m)^pipesteward_deliveries_total\{.*\} [1-9]`).MatchString(metrics)
}

func (s *stack) adminURL(n int) string { return "http://" + s.inPlace(":9090", s.host(n)) }

// decided gives the ids of the decisions on each job.
func (s *stack) decided() map[int][]string {
	s.Helper()
	decided := map[int][]string{}
	for cursor := ""; ; {
		var page struct {
			Decisions []struct {
				ID  string
				Job struct{ ID int }
			}
			Next string
		}
		if err := json.Unmarshal([]byte(get(s.T, s.adminURL(0)+"/api/v1/decisions?limit=500&cursor="+url.QueryEscape(cursor))), &page); err != nil {
			s.Fatal(err)
		}
		for _, d := range page.Decisions {
			if !slices.Contains(decided[d.Job.ID], d.ID) {
				decided[d.Job.ID] = append(decided[d.Job.ID], d.ID)
			}
		}
		if cursor = page.Next; cursor == "" {
			return decided
		}
	}
}

// redisCLI gives what Redis answers the user, be it an error.
func (s *stack) redisCLI(as, password string, args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), "redis-cli", append([]string{"-p", s.port, "--no-auth-warning", "--user", as, "--pass", password}, args...)...).CombinedOutput()
	if err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// A rolling restart, as README.md says to do it, and then a crash of Redis
// lose no delivery, and each is decided once.
func TestComposeRollingRestart(t *testing.T) {
	s := newStack(t)
	// A process that is killed has written what it acknowledged; to wait for
	// the disk would only make the test as slow as that.
	noSync := []string{"--appendfsync", "no"}
	s.startRedis(noSync...)
	running := []*process{s.startReplica(0), s.startReplica(1)}
	s.startProxy()

	var sent, lost int
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	load.Go(func() {
		for pause := time.Tick(2 * time.Millisecond); ctx.Err() == nil; <-pause {
			sent++
			if code := s.deliver(sent); code != http.StatusAccepted {
				lost++
				t.Errorf("delivery %d is answered %d", sent, code)
			}
		}
	})
	for n, p := range running {
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Errorf("%s: %v", replicas[n], err)
		}
		s.startReplica(n)
		until(t, replicas[n]+" is given deliveries again", func() bool { return s.got(n) })
	}
	stop()
	load.Wait()

	_ = s.redis.stop(syscall.SIGKILL)
	s.startRedis(noSync...)
	until(t, "the replicas are ready again", func() bool { return status(t, s.adminURL(0)+"/readyz") == http.StatusOK })
	until(t, "all is decided", func() bool { return len(s.decided()) == sent-lost })
	for job, ids := range s.decided() {
		if len(ids) != 1 {
			t.Errorf("job %d was decided %d times", job, len(ids))
		}
	}
	t.Logf("%d deliveries, %d lost", sent, lost)

	if denied := s.redisCLI(operator, operator, "acl", "log"); denied != "" {
		t.Errorf("redis-users forbids what the program does:\n%s", denied)
	}
}

// A request that fails is logged, and GitLab's holds the token.
func TestComposeProxyLogsNoSecret(t *testing.T) {
	s := newStack(t)
	s.startProxy()
	if code := s.deliver(1); code != http.StatusInternalServerError {
		t.Errorf("with no replica a delivery is answered %d, want 500, after which no GitLab disables a webhook for good", code)
	}
	s.proxy.logs(`"uri":"/webhooks/gitlab"`)
	if strings.Contains(s.proxy.logged(), strings.TrimSpace(read(t, s.secret("webhook-token")))) {
		t.Errorf("the log holds the webhook token:\n%s", s.proxy.logged())
	}
}

func TestComposeRedisKeepsTheQueue(t *testing.T) {
	s := newStack(t)
	s.startRedis()
	for setting, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "dir": s.dir,
	} {
		if got := s.redisCLI(operator, operator, "config", "get", setting); got != setting+"\n"+want {
			t.Errorf("%s", got)
		}
	}
	_, maxmemory, _ := strings.Cut(s.redisCLI(operator, operator, "config", "get", "maxmemory"), "\n")
	limit := int64(service(t, s.project, "redis").Deploy.Resources.Limits.MemoryBytes)
	if n, err := strconv.ParseInt(maxmemory, 10, 64); err != nil || n == 0 || 2*n > limit {
		t.Errorf("maxmemory is %s of a limit of %d bytes: while its file is rewritten, Redis may need twice as much", maxmemory, limit)
	}
}

func TestComposeRedisUsers(t *testing.T) {
	s := newStack(t)
	s.startRedis()

	check := service(t, s.project, "redis").HealthCheck.Test
	healthy := exec.CommandContext(t.Context(), check[1], append([]string{"-p", s.port}, check[2:]...)...)
	if out, err := healthy.CombinedOutput(); err != nil || string(out) != "PONG\n" {
		t.Errorf("the health check: %v: %s", err, out)
	}

	at, err := url.Parse(strings.TrimSpace(read(t, s.secret("store"))))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := at.User.Password()
	for _, tc := range []struct {
		user, password string
		command        []string
		allowed        bool
	}{
		{"pipesteward", password, []string{"set", "{pipesteward}:x", "1"}, true},
		{"pipesteward", password, []string{"set", "x", "1"}, false},
		{"pipesteward", password, []string{"config", "set", "appendonly", "no"}, false},
		{"pipesteward", password, []string{"flushall"}, false},
		{"pipesteward", password, []string{"shutdown"}, false},
		{"pipesteward", "a guess", []string{"get", "{pipesteward}:x"}, false},
		{"health", "none", []string{"get", "{pipesteward}:x"}, false},
		{"default", "", []string{"ping"}, false},
	} {
		out := s.redisCLI(tc.user, tc.password, tc.command...)
		if refused := strings.Contains(out, "NOPERM") || strings.Contains(out, "NOAUTH"); refused == tc.allowed {
			t.Errorf("%s: %s: %s", tc.user, strings.Join(tc.command, " "), out)
		}
	}
}

// What is there stays as it is; what belongs together is made together.
func TestSecretsAreMadeOnce(t *testing.T) {
	s := newStack(t)
	names := slices.Sorted(maps.Keys(s.project.Secrets))
	before := map[string]string{}
	for _, name := range names {
		before[name] = read(t, s.secret(name))
	}
	if err := run(t.Context(), s.dir, nil, "/bin/sh", "secrets.sh"); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if read(t, s.secret(name)) != before[name] {
			t.Errorf("%s was made anew", name)
		}
	}
	info, err := os.Stat(s.secret(""))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("secrets has mode %v (%v)", info.Mode(), err)
	}
}
