package bolt

import (
	"time"

	"github.com/pipesteward/pipesteward/store"
)

// gcra is one step of the generic cell rate algorithm (ITU-T I.371), whose
// state is one number for a bucket: full, the time when it will be full again.
// If a token is left at now, gcra takes it and returns the new state and 0; else
// it returns the old state and the time until there is a token. Times are Unix
// nanoseconds; the state of a new bucket is 0.
func gcra(now, full int64, rate store.Rate) (newFull int64, wait time.Duration) {
	interval := int64(rate.Interval())
	empty := now + interval*rate.Capacity()
	// No bucket is emptier than empty: after a change of the rate, the wait is
	// one interval at most.
	full = min(max(full, now), empty)
	if wait := full + interval - empty; wait > 0 {
		return full, time.Duration(wait)
	}
	return full + interval, 0
}
