package slack

import (
	"context"
	"sync"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// postRate is how often messages are posted to a channel, by all replicas together. Slack
// documents one a second, and takes short bursts.
var postRate = store.Rate{Limit: 1, Per: time.Second, Burst: 5}

const (
	// maxTurn bounds the time after which a message is tried again that waits for its turn
	// in a channel.
	maxTurn = 10 * time.Minute
	// maxPaced is how many channels may have messages that wait before those that no longer
	// do are forgotten.
	maxPaced = 1000
)

// pace spreads the messages that wait for their turn in a channel, so that they do not all
// try again at the same time. Its zero value is ready.
type pace struct {
	mu   sync.Mutex
	next map[string]time.Time // when the next message of a channel may be tried
}

// after returns after which time a message of the channel is tried again, if the channel
// takes none for the time of wait.
func (p *pace) after(channel string, now time.Time, wait time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = map[string]time.Time{}
	}
	if len(p.next) >= maxPaced {
		for other, next := range p.next {
			if next.Before(now) {
				delete(p.next, other)
			}
		}
	}
	turn := p.next[channel]
	if soonest := now.Add(wait); turn.Before(soonest) || turn.Sub(now) > maxTurn {
		turn = soonest
	}
	p.next[channel] = turn.Add(postRate.Interval())
	return turn.Sub(now)
}

// await returns an error unless a message may be posted to the channel now.
func (w *turn) await(ctx context.Context) error {
	_, wait, err := w.state.Take(ctx, store.Bucket{Key: keys.Posts(w.channel), Rate: postRate})
	if err != nil {
		return stateError(err)
	}
	if wait > 0 {
		return &Error{
			Method: "notify", Channel: w.channel, Code: "paced", advice: "Slack takes one message a second: tried again later",
			again: true, after: w.pace.after(w.channel, w.now(), wait),
		}
	}
	return nil
}
