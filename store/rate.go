package store

import "time"

// Rate is a token bucket: on average Limit tokens in each Per, at most Burst
// at once. A Burst of 0 means Limit.
type Rate struct {
	Limit int
	Per   time.Duration
	Burst int
}

// Bucket is a token bucket that has a key.
type Bucket struct {
	Key  string
	Rate Rate
}

// Interval returns the time in which one token comes back to the bucket,
// rounded up so that rounding never grants more than Limit.
func (r Rate) Interval() time.Duration {
	limit := time.Duration(r.Limit)
	return (r.Per + limit - 1) / limit
}

// Capacity returns how many tokens a full bucket has.
func (r Rate) Capacity() int64 {
	if r.Burst == 0 {
		return int64(r.Limit)
	}
	return int64(r.Burst)
}

// Left returns how many tokens a bucket has at now; full and now are as for Take.
func (r Rate) Left(now, full int64) int {
	missing := min(max(full-now, 0), int64(r.Interval())*r.Capacity())
	return int(r.Capacity() - (missing+int64(r.Interval())-1)/int64(r.Interval()))
}

// Take is one step of the generic cell rate algorithm (ITU-T I.371), whose state is one
// number for a bucket: full, the time when it will be full again. If a token is left at
// now, Take takes it and returns the new state and 0; else it returns the old state and the
// time until there is a token. Times are Unix nanoseconds; the state of a new bucket is 0.
// The same in Lua is in store/redis/lua/take.lua.
func (r Rate) Take(now, full int64) (newFull int64, wait time.Duration) {
	interval := int64(r.Interval())
	empty := now + interval*r.Capacity()
	// No bucket is emptier than empty: after a change of the rate, the wait is one
	// interval at most.
	full = min(max(full, now), empty)
	if wait := full + interval - empty; wait > 0 {
		return full, time.Duration(wait)
	}
	return full + interval, 0
}
