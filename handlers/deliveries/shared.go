package deliveries

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/goccy/go-json"

	"github.com/pipesteward/pipesteward/rules/event"
	"github.com/pipesteward/pipesteward/store"
)

const (
	// shareEvery is how often deliveries are shared: those that come so fast that they
	// displace each other before are lost, so that a flood costs no more than this.
	shareEvery = time.Second
	// surplus is how many times more deliveries are read than are listed: those of
	// several replicas are not in the order of their times.
	surplus = 4
)

// Recent is a log of recent items that all replicas share.
type Recent interface {
	// Add adds an item by the subject by which it is found. It does not block.
	Add(subject string, item ...[]byte)
	// Each calls visit with the items, from the newest on, until visit returns false.
	Each(ctx context.Context, visit func(subject string, item []byte) (more bool)) error
}

// Shared is a Log whose deliveries all replicas share. As there, those that anybody can
// send have a log of their own.
type Shared struct {
	*Log
	Authenticated, Others Recent
	Logger                *slog.Logger

	sharing sync.Mutex
	shared  int64 // the number of the last delivery that was shared
}

// Run shares the deliveries until ctx is done, and then those that are left.
func (s *Shared) Run(ctx context.Context) {
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.share()
			return
		case <-ticker.C:
			s.share()
		}
	}
}

// share adds the deliveries that came since the last time to the logs.
func (s *Shared) share() {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	s.mu.Lock()
	authenticated, others := s.authenticated.since(s.shared), s.others.since(s.shared)
	s.shared = s.recorded
	s.mu.Unlock()
	s.add(s.Authenticated, authenticated)
	s.add(s.Others, others)
}

func (s *Shared) add(to Recent, all []event.Delivery) {
	for i := range all {
		item, err := json.Marshal(&all[i])
		if err != nil {
			s.Logger.Error("a delivery can't be shared", "error", err)
			continue
		}
		to.Add("", item)
	}
}

// Deliveries lists the latest deliveries of all replicas that match, newest first, limit
// at most. While the store does not answer, it lists those of this process. Its error is
// always nil.
func (s *Shared) Deliveries(ctx context.Context, match func(*event.Delivery) bool, limit int) ([]event.Delivery, error) {
	s.share()
	list := []event.Delivery{}
	for _, log := range []Recent{s.Authenticated, s.Others} {
		found := 0
		err := log.Each(ctx, func(_ string, item []byte) bool {
			var d event.Delivery
			if json.Unmarshal(item, &d) == nil && match(&d) {
				list = append(list, d)
				found++
			}
			return found < surplus*limit
		})
		if err != nil {
			s.Logger.Warn("the deliveries of other replicas can't be read: those of this process are listed", store.Outage(err))
			return s.Log.Deliveries(ctx, match, limit)
		}
	}
	slices.SortStableFunc(list, func(a, b event.Delivery) int { return b.At.Compare(a.At) })
	return list[:min(limit, len(list))], nil
}
