package handlers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The log has refusalsAtOnce refused requests at once, and then one each refusalEvery:
// anybody can send them.
const (
	refusalsAtOnce = 20
	refusalEvery   = 10 * time.Second
)

// Refusals bounds the log lines about refused requests.
type Refusals struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	left    int // refusals without a line since the last line
}

// NewRefusals returns a Refusals for one way in.
func NewRefusals() *Refusals {
	return &Refusals{limiter: rate.NewLimiter(rate.Every(refusalEvery), refusalsAtOnce)}
}

// Next counts a refusal at a time. If it gets a line, before is how many had none since
// the last line.
func (r *Refusals) Next(at time.Time) (before int, line bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.limiter.AllowN(at, 1) {
		r.left++
		return 0, false
	}
	before, r.left = r.left, 0
	return before, true
}
