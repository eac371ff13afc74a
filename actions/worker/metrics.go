package worker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/store"
)

// Depther counts the records in the queue.
type Depther interface {
	Depth(ctx context.Context) (store.Depth, error)
}

// metrics reads the queue's depth whenever metrics are read.
type metrics struct {
	queue Depther
	depth *prometheus.Desc
	dead  *prometheus.Desc
}

// NewMetrics returns a collector of the queue's depth.
func NewMetrics(queue Depther) prometheus.Collector {
	return metrics{
		queue: queue,
		depth: prometheus.NewDesc("pipesteward_queue_depth", "Records in the queue: due, waiting or leased.", nil, nil),
		dead:  prometheus.NewDesc("pipesteward_dead_total", "Records that were buried for a person to look at.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.depth
	ch <- m.dead
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d, err := m.queue.Depth(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.depth, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(m.depth, prometheus.GaugeValue, float64(d.Due+d.Waiting+d.Leased))
	ch <- prometheus.MustNewConstMetric(m.dead, prometheus.GaugeValue, float64(d.Dead))
}
