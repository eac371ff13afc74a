package worker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pipesteward/pipesteward/store"
)

// Lister counts and lists the records in the queue.
type Lister interface {
	Depth(ctx context.Context) (store.Depth, error)
	Records(ctx context.Context, cursor string, n int) (records []store.QueuedRecord, next string, err error)
}

// metrics reads the queue's depth and age whenever metrics are read.
type metrics struct {
	queue Lister
	now   func() time.Time
	depth *prometheus.Desc
	age   *prometheus.Desc
	dead  *prometheus.Desc
}

// NewMetrics returns a collector of the queue's depth and age.
func NewMetrics(queue Lister, now func() time.Time) prometheus.Collector {
	return metrics{
		queue: queue, now: now,
		depth: prometheus.NewDesc("pipesteward_queue_depth", "Records in the queue: due, waiting or leased.", nil, nil),
		age:   prometheus.NewDesc("pipesteward_queue_age_seconds", "How long the most overdue record of the queue has been due; 0 if none is due.", nil, nil),
		dead:  prometheus.NewDesc("pipesteward_dead_total", "Records that were buried for a person to look at.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.depth
	ch <- m.age
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
	first, _, err := m.queue.Records(ctx, "", 1)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.age, err)
		return
	}
	age := 0.0
	if len(first) > 0 {
		age = max(m.now().Sub(first[0].Next()).Seconds(), 0)
	}
	ch <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, age)
	ch <- prometheus.MustNewConstMetric(m.dead, prometheus.GaugeValue, float64(d.Dead))
}
