package webhook

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The log has refusalsAtOnce refused deliveries at once, and then one each refusalEvery:
// anybody can send them. The metrics count all, and the last ones are kept for people.
const (
	refusalsAtOnce = 20
	refusalEvery   = 10 * time.Second
)

// refusals bounds the log lines about refused deliveries.
type refusals struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	left    int // refusals without a line since the last line
}

func newRefusals() *refusals {
	return &refusals{limiter: rate.NewLimiter(rate.Every(refusalEvery), refusalsAtOnce)}
}

// next counts a refusal at a time. If it gets a line, before is how many had none since
// the last line.
func (r *refusals) next(at time.Time) (before int, line bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.limiter.AllowN(at, 1) {
		r.left++
		return 0, false
	}
	before, r.left = r.left, 0
	return before, true
}
