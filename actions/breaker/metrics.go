package breaker

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics reads the breakers from the store whenever metrics are read: any
// replica may have opened one.
type metrics struct {
	breakers *Breakers
	open     *prometheus.Desc
}

// NewMetrics returns a collector of the open breakers.
func NewMetrics(b *Breakers) prometheus.Collector {
	return metrics{b, prometheus.NewDesc("pipesteward_storm_active", "1 while retries of the failure class wait for the end of a storm.", []string{"class"}, nil)}
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.open }

// Collect implements prometheus.Collector.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	open, err := m.breakers.Open(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.open, err)
		return
	}
	for _, class := range m.breakers.Rules().Classes() {
		value := 0.0
		if slices.ContainsFunc(open, func(s State) bool { return s.Class == class }) {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, value, class)
	}
}
