package app

import (
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// Bounds of each time of a Retention. The least one is longer than decisions and people
// need what is kept; a file or a Redis would be full before the greatest one is too short.
const (
	LeastRetention    = 24 * time.Hour
	GreatestRetention = 2 * 365 * 24 * time.Hour
)

// Retention is how long the store keeps what is for people to look at, and what retries
// taught; 0: for 30 days.
type Retention struct {
	Journal    time.Duration // decisions and what became of them
	Deliveries time.Duration // webhook deliveries, and what the rules made of their events
	Unknown    time.Duration // failed jobs that no failure class covers
	Ledger     time.Duration // what retries taught, after the last one
}

// Longest returns the retention of a command that opens the store of a service whose settings
// it does not know: it removes nothing that the service keeps.
func Longest() Retention {
	return Retention{GreatestRetention, GreatestRetention, GreatestRetention, GreatestRetention}
}

// ofStore returns the part that the store itself enforces.
func (r Retention) ofStore() store.Retention {
	return store.Retention{Journal: r.Journal, Logs: map[string]time.Duration{
		keys.Delivered: r.Deliveries, keys.DeliveredByOthers: r.Deliveries, keys.Evaluations: r.Deliveries,
		keys.Unclassified: r.Unknown, keys.NotRead: r.Unknown,
	}}
}
