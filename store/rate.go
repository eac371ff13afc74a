package store

import "time"

// Rate is a token bucket: on average Limit tokens in each Per, at most Burst
// at once. A Burst of 0 means Limit.
type Rate struct {
	Limit int
	Per   time.Duration
	Burst int
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
