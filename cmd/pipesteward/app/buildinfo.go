package app

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// newBuildInfo returns the metric that tells the version of the program, and from what it
// was built.
func newBuildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "pipesteward_build_info",
		Help:        "1, with the version of Pipesteward, that of Go, and the commit that it was built from.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version(), "revision": revision()},
	}, func() float64 { return 1 })
}

// revision returns the commit that the program was built from, "unknown" if the Go tool
// did not stamp it.
func revision() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return cmp.Or(commit, "unknown")
}
