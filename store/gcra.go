package store

import "time"

// gcra is one step of the generic cell rate algorithm (ITU-T I.371), which
// keeps one number for a bucket: full, when it will be full again. It returns
// the new number and 0 when one may be taken at now, else the old number and
// how long until one may. All times are Unix nanoseconds; a new bucket's is 0.
func gcra(now, full int64, rate Rate) (newFull int64, wait time.Duration) {
	interval, burst := rate.interval(), rate.burst()
	empty := now + interval*burst
	// No bucket is emptier than empty: after a change of rate or a clock set
	// back, the wait is one interval at most.
	full = min(max(full, now), empty)
	if wait := full + interval - empty; wait > 0 {
		return full, time.Duration(wait)
	}
	return full + interval, 0
}

// interval is the time in which one comes back to the bucket, in nanoseconds,
// rounded up so that rounding never grants more than Limit.
func (r Rate) interval() int64 {
	limit := int64(r.Limit)
	return (int64(r.Per) + limit - 1) / limit
}

func (r Rate) burst() int64 {
	if r.Burst == 0 {
		return int64(r.Limit)
	}
	return int64(r.Burst)
}
