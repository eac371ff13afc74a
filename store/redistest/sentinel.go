package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// MasterName is the name that Sentinels give their master.
const MasterName = "pipesteward-test"

// Sentinel is a master and its replica, watched by two Sentinels. They take a master that
// does not answer for a slow one, until Watch says otherwise.
type Sentinel struct {
	Master    *Server // at the start
	Replica   *Server // at the start
	Sentinels []*Server
}

// StartSentinel starts them and waits until all know each other.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := Start(t)
	ip, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sentinel{
		Master:  master,
		Replica: Start(t, "--replicaof", ip+" "+port, "--repl-diskless-sync-delay", "0"),
	}
	for range 2 {
		s.Sentinels = append(s.Sentinels, startSentinel(t, ip, port))
	}
	for _, watcher := range s.Sentinels {
		await.Until(watcher.t, "the Sentinels know each other and the replica", func() bool {
			found, ok := watcher.Do("sentinel", "master", MasterName).(map[any]any)
			return ok && found["num-slaves"] == "1" && found["num-other-sentinels"] == "1" && found["flags"] == "master"
		})
	}
	await.Until(master.t, "the replica follows", func() bool {
		return strings.Contains(fmt.Sprint(s.Replica.Do("info", "replication")), "master_link_status:up")
	})
	return s
}

// startSentinel starts one Sentinel, which writes its own configuration.
func startSentinel(t testing.TB, ip, port string) *Server {
	t.Helper()
	s := &Server{Addr: net.JoinHostPort(host, FreePort(t)), t: t, dir: t.TempDir()}
	_, own, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf(`port %[1]s
bind %[2]s
dir %[3]s
sentinel monitor %[4]s %[5]s %[6]s 2
sentinel down-after-milliseconds %[4]s 600000
sentinel failover-timeout %[4]s 3000
`, own, host, s.dir, MasterName, ip, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config, "--sentinel"}
	s.run()
	return s
}

// Watch makes the Sentinels replace a master that has not answered for half a second.
func (s *Sentinel) Watch() {
	for _, watcher := range s.Sentinels {
		watcher.Do("sentinel", "set", MasterName, "down-after-milliseconds", 500)
	}
}

// URL returns the redis+sentinel:// URL.
func (s *Sentinel) URL() string {
	var addrs []string
	for _, watcher := range s.Sentinels {
		addrs = append(addrs, watcher.Addr)
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + MasterName
}
