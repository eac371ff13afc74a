package bolt

import (
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// gcra is one step of the generic cell rate algorithm (ITU-T I.371), which
// keeps one number for a bucket: full, when it will be full again. It returns
// the new number and 0 when one may be taken at now, else the old number and
// how long until one may. All times are Unix nanoseconds; a new bucket's is 0.
func gcra(now, full int64, rate store.Rate) (newFull int64, wait time.Duration) {
	interval := int64(rate.Interval())
	empty := now + interval*rate.Capacity()
	// No bucket is emptier than empty: after a change of rate or a clock set
	// back, the wait is one interval at most.
	full = min(max(full, now), empty)
	if wait := full + interval - empty; wait > 0 {
		return full, time.Duration(wait)
	}
	return full + interval, 0
}
