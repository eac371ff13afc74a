package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/store/storetest/await"
)

// slots is how many hash slots a Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three masters.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts a Cluster and waits until it serves all slots.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	const n = 3
	var buses []string
	for i := range n {
		bus := FreePort(t)
		node := Start(t, "--cluster-enabled", "yes", "--cluster-port", bus)
		node.Do("cluster", "set-config-epoch", i+1)
		node.Do("cluster", "addslotsrange", i*slots/n, (i+1)*slots/n-1)
		c.Nodes, buses = append(c.Nodes, node), append(buses, bus)
	}
	for i, node := range c.Nodes[1:] {
		ip, port, err := net.SplitHostPort(node.Addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Nodes[0].Do("cluster", "meet", ip, port, buses[1+i])
	}
	for _, node := range c.Nodes {
		await.Until(node.t, "the Cluster is complete", func() bool {
			info := fmt.Sprint(node.Do("cluster", "info"))
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d", slots))
		})
	}
	return c
}

// URL returns the Cluster's redis+cluster:// URL.
func (c *Cluster) URL() string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}
