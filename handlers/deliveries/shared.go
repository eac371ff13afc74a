package deliveries

import (
	"context"
	"iter"
	"log/slog"
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
	// clockSkew is how far the clock of a replica may be ahead of the store's: in a log,
	// blocks have times of the store, and deliveries those of their replica.
	clockSkew = time.Minute
)

// Recent is a log of recent items that all replicas share.
type Recent interface {
	// Add adds an item by the subject by which it is found. It does not block.
	Add(subject string, item ...[]byte)
	// EachBlock calls visit with blocks of items until visit returns false, from that
	// with the newest item on: an item of a block was added at the time newest at the
	// latest. In each block, the items of a replica are in the order in which it added
	// them, the last one first.
	EachBlock(ctx context.Context, visit func(newest time.Time, items iter.Seq2[string, []byte]) (more bool)) error
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

// Deliveries is like that of Log, of all replicas: newest first by their clocks. While the
// store does not answer, it lists those of this process.
func (s *Shared) Deliveries(ctx context.Context, match func(*event.Delivery) bool, since time.Time, cursor string, limit int) (list []event.Delivery, next string, err error) {
	page, err := newPage(match, since, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	s.share()
	for _, log := range []Recent{s.Authenticated, s.Others} {
		err := log.EachBlock(ctx, func(newest time.Time, items iter.Seq2[string, []byte]) bool {
			if page.complete(newest.Add(clockSkew)) {
				return false
			}
			for _, item := range items {
				var d event.Delivery
				if json.Unmarshal(item, &d) == nil {
					page.add(&d)
				}
			}
			return true
		})
		if err != nil {
			s.Logger.WarnContext(ctx, "the deliveries of other replicas can't be read: those of this process are listed", store.Outage(err))
			return s.Log.Deliveries(ctx, match, since, cursor, limit)
		}
	}
	list, next = page.result()
	return list, next, nil
}
