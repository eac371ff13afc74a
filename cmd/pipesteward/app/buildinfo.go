package app

import (
	"cmp"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// newBuildInfo returns the metric that tells the version of the program, and from which commit
// it was built.
func newBuildInfo(version, commit string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "pipesteward_build_info",
		Help:        "1, with the version of Pipesteward, that of Go, and the commit that it was built from.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version(), "revision": cmp.Or(commit, "unknown")},
	}, func() float64 { return 1 })
}
