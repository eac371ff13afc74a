// Package again counts the failures of decisions. A decision that has failed may be made
// again when a person requests it, by catch-up or by a requeue: once for each failure,
// because the number of failures is part of the record's id.
package again

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/pipesteward/pipesteward/store"
	"github.com/pipesteward/pipesteward/store/keys"
)

// remembered is how long the store keeps failures of decisions: longer than a
// pipeline is worked on.
const remembered = 7 * 24 * time.Hour

// Failures counts the failures of a decision.
type Failures struct {
	N  int       `json:"n"`
	At time.Time `json:"at"` // of the last one
}

// Guard has the failures.
type Guard interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// Load returns the failures of the decision with the key; zero if it has not failed
// within the last 7 days, or if its failures can't be read.
func Load(ctx context.Context, g Guard, decision string) (Failures, error) {
	value, err := g.Get(ctx, keys.Failed(decision))
	if err != nil {
		return Failures{}, err
	}
	var f Failures
	if json.Unmarshal(value, &f) != nil {
		f = Failures{}
	}
	return f, nil
}

// Values returns the values which say that the decision with the key, about an event of
// a GitLab instance, has failed for the nth time.
func Values(decision, instance string, n int, now time.Time) ([]store.Value, error) {
	value, err := json.Marshal(Failures{n, now.UTC()})
	return []store.Value{
		{Key: keys.Failed(decision), Value: value, TTL: remembered},
		{Key: keys.LastFailed(instance), Value: []byte(strconv.FormatInt(now.UnixNano(), 10)), TTL: remembered},
	}, err
}
